#include "core/rnn/train/froc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 480, HEIGHT = 320, MARGIN = 48 };

#define PREFIX "froc."

static bool is_point(const lam_score *score)
{
    return strncmp(score->name, PREFIX, sizeof PREFIX - 1) == 0;
}

bool lam_froc_measured(const lam_scores *scores)
{
    for (size_t i = 0; i < scores->count; i++)
        if (is_point(&scores->items[i]))
            return true;
    return false;
}

/* Rates from 1/8 to 8, doubling, as wide as each other. */
static double across(const lam_score *score)
{
    double rate = strtod(score->name + sizeof PREFIX - 1, NULL);
    return MARGIN + (WIDTH - 2 * MARGIN) * (log2(rate) + 3) / 6;
}

static double up(double sensitivity)
{
    return HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * sensitivity;
}

static void draw_band(const lam_scores *scores, lam_buffer *out)
{
    lam_buffer_append_text(out, "<polygon fill=\"#2f6db3\" fill-opacity=\"0.2\" points=\"");
    for (size_t i = 0; i < scores->count; i++)
        if (is_point(&scores->items[i]) && !isnan(scores->items[i].low))
            lam_buffer_printf(out, "%.1f,%.1f ", across(&scores->items[i]), up(scores->items[i].low));
    for (size_t i = scores->count; i-- > 0;)
        if (is_point(&scores->items[i]) && !isnan(scores->items[i].high))
            lam_buffer_printf(out, "%.1f,%.1f ", across(&scores->items[i]), up(scores->items[i].high));
    lam_buffer_append_text(out, "\"/>\n");
}

static void draw_line(const lam_scores *scores, lam_buffer *out)
{
    lam_buffer_append_text(out, "<polyline fill=\"none\" stroke=\"#2f6db3\" stroke-width=\"1.5\" points=\"");
    for (size_t i = 0; i < scores->count; i++)
        if (is_point(&scores->items[i]))
            lam_buffer_printf(out, "%.1f,%.1f ", across(&scores->items[i]), up(scores->items[i].value));
    lam_buffer_append_text(out, "\"/>\n");
}

void lam_froc_svg(const lam_scores *scores, lam_buffer *out)
{
    lam_buffer_printf(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" "
        "font-size=\"11\" text-anchor=\"middle\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
        "<path d=\"M%d %dV%dH%d\" fill=\"none\" stroke=\"#999\"/>\n",
        WIDTH, HEIGHT, MARGIN, MARGIN, HEIGHT - MARGIN, WIDTH - MARGIN);
    draw_band(scores, out);
    draw_line(scores, out);
    for (size_t i = 0; i < scores->count; i++)
        if (is_point(&scores->items[i]))
            lam_buffer_printf(out, "<text x=\"%.1f\" y=\"%d\">%s</text>\n", across(&scores->items[i]),
                              HEIGHT - MARGIN + 16, scores->items[i].name + sizeof PREFIX - 1);
    for (int tenths = 0; tenths <= 10; tenths += 2)
        lam_buffer_printf(out, "<text x=\"%d\" y=\"%.1f\">%.1f</text>\n", MARGIN - 16, up(tenths / 10.0) + 4,
                          tenths / 10.0);
    lam_buffer_printf(out,
                      "<text x=\"%d\" y=\"%d\">false boxes an image</text>\n<text x=\"%d\" y=\"%d\" "
                      "text-anchor=\"start\">sensitivity</text>\n</svg>\n",
                      WIDTH / 2, HEIGHT - 10, 8, MARGIN - 14);
}
