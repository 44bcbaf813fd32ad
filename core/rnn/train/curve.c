#include "core/rnn/train/curve.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS "epoch,loss,gradient_norm,rate,"

void lam_curve_done(lam_curve *curve)
{
    free(curve->rows);
    *curve = (lam_curve){0};
}

lam_status lam_curve_add(lam_curve *curve, const lam_curve_row *row, lam_error *err)
{
    if (curve->count == curve->room) {
        size_t room = curve->room ? curve->room * 2 : 64;
        lam_curve_row *rows = realloc(curve->rows, room * sizeof *rows);
        if (!rows)
            return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
        curve->rows = rows;
        curve->room = room;
    }
    curve->rows[curve->count++] = *row;
    return LAM_OK;
}

/* Five numbers between commas. */
static bool read_row(const char *line, lam_curve_row *row)
{
    double *const values[] = {&row->epoch, &row->loss, &row->norm, &row->rate, &row->metric};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char *end;
        *values[i] = strtod(line, &end);
        if (end == line || *end != (i < 4 ? ',' : '\n'))
            return false;
        line = end + 1;
    }
    return true;
}

lam_status lam_curve_read(lam_curve *curve, const char *csv, lam_error *err)
{
    const char *line = strchr(csv, '\n');
    if (strncmp(csv, COLUMNS, strlen(COLUMNS)) != 0 || !line)
        return lam_fail(err, LAM_E_CORRUPT, "the checkpoint's curve cannot be read");
    for (line++; *line; line++) {
        lam_curve_row row;
        if (!read_row(line, &row))
            return lam_fail(err, LAM_E_CORRUPT, "the checkpoint's curve cannot be read");
        lam_status status = lam_curve_add(curve, &row, err);
        if (status)
            return status;
        if (!(line = strchr(line, '\n')))
            break;
    }
    return LAM_OK;
}

void lam_curve_csv(const lam_curve *curve, const char *metric, lam_buffer *out)
{
    lam_buffer_printf(out, COLUMNS "%s\n", metric);
    for (size_t i = 0; i < curve->count; i++) {
        const lam_curve_row *row = &curve->rows[i];
        lam_buffer_printf(out, "%.0f,%.9g,%.9g,%.9g,%.9g\n", row->epoch, row->loss, row->norm, row->rate,
                          row->metric);
    }
}

/* ---- picture ---- */

enum { WIDTH = 720, HEIGHT = 360, MARGIN = 56 };

static double value_of(const lam_curve_row *row, bool metric)
{
    return metric ? row->metric : row->loss;
}

/* One line with an axis of its own at one side. */
static void draw_series(const lam_curve *curve, bool metric, const char *name, const char *colour,
                        lam_buffer *out)
{
    double low = INFINITY, high = -INFINITY, last = 1;
    for (size_t i = 0; i < curve->count; i++) {
        double value = value_of(&curve->rows[i], metric);
        low = value < low ? value : low;
        high = value > high ? value : high;
        last = curve->rows[i].epoch > last ? curve->rows[i].epoch : last;
    }
    if (!(high >= low))
        return;
    double range = high > low ? high - low : 1;
    lam_buffer_printf(out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" points=\"", colour);
    for (size_t i = 0; i < curve->count; i++) {
        double value = value_of(&curve->rows[i], metric);
        if (!isnan(value))
            lam_buffer_printf(out, "%.1f,%.1f ", MARGIN + (WIDTH - 2 * MARGIN) * curve->rows[i].epoch / last,
                              HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (value - low) / range);
    }
    int x = metric ? WIDTH - MARGIN + 6 : MARGIN - 6;
    const char *anchor = metric ? "start" : "end";
    lam_buffer_printf(out, "\"/>\n<g fill=\"%s\" text-anchor=\"%s\">", colour, anchor);
    lam_buffer_printf(out, "<text x=\"%d\" y=\"%d\">%.4g</text>", x, HEIGHT - MARGIN, low);
    lam_buffer_printf(out, "<text x=\"%d\" y=\"%d\">%.4g</text>", x, MARGIN + 10, high);
    lam_buffer_printf(out, "<text x=\"%d\" y=\"%d\">%s</text></g>\n", x, MARGIN - 10, name);
}

void lam_curve_svg(const lam_curve *curve, const char *metric, lam_buffer *out)
{
    lam_buffer_printf(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" "
        "font-size=\"11\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
        "<path d=\"M%d %dV%dH%dV%d\" fill=\"none\" stroke=\"#999\"/>\n",
        WIDTH, HEIGHT, MARGIN, MARGIN, HEIGHT - MARGIN, WIDTH - MARGIN, MARGIN);
    lam_buffer_printf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">epoch (%zu)</text>\n", WIDTH / 2,
                      HEIGHT - MARGIN / 2, curve->count);
    draw_series(curve, false, "loss", "#b3402f", out);
    draw_series(curve, true, metric, "#2f6db3", out);
    lam_buffer_append_text(out, "</svg>\n");
}
