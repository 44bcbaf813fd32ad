#include "daemon/cli/card_picture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/rnn/train/task.h"
#include "dicom/canvas.h"

enum { SIDE = 240, TEXT_LINE = 12 };

static const uint8_t white[3] = {235, 235, 235}, orange[3] = {240, 150, 50};

/* One slice of a sample. */
struct view {
    const lam_sample *sample;
    int64_t slice, rows, columns;
    double scale; /* screen pixels a pixel */
    lam_canvas *canvas;
};

/* ---- what the model answers ---- */

struct answer {
    lam_segmentation segmentation;
    lam_detected *boxes;
    size_t box_count;
    float *probabilities;
};

static void answer_done(struct answer *answer)
{
    lam_segmentation_done(&answer->segmentation);
    free(answer->boxes);
    free(answer->probabilities);
}

static lam_status ask(const lam_manifest *manifest, lam_predictor *predictor, const lam_volume *volume,
                      struct answer *out, lam_error *err)
{
    switch (manifest->task) {
    case LAM_TASK_SEGMENTATION:
        return lam_predict_segment(predictor, volume, &out->segmentation, err);
    case LAM_TASK_DETECTION:
        return lam_predict_boxes(predictor, volume, &out->boxes, &out->box_count, err);
    case LAM_TASK_CLASSIFICATION:
        out->probabilities = calloc(manifest->class_count, sizeof *out->probabilities);
        if (!out->probabilities)
            return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
        return lam_predict_classes(predictor, volume, out->probabilities, err);
    default:
        return lam_fail(err, LAM_E_UNSUPPORTED, "there is no picture for %s", lam_task_name(manifest->task));
    }
}

/* ---- drawing ---- */

/* The slice where the maps differ most; without maps the brightest, which shows most of a shape. */
static int64_t choose_slice(const lam_sample *sample, const uint8_t *labels)
{
    int64_t area = sample->size[1] * sample->size[2], best = 0;
    double most = -1;
    for (int64_t z = 0; z < sample->size[0]; z++) {
        double here = 0;
        for (int64_t i = z * area; i < (z + 1) * area; i++)
            here += labels ? labels[i] != sample->truth.map[i] : (double)sample->raw[i];
        if (here > most) {
            most = here;
            best = z;
        }
    }
    return best;
}

static void draw_image(const struct view *v)
{
    const float *pixels = v->sample->raw + v->slice * v->rows * v->columns;
    float low = pixels[0], high = pixels[0];
    for (int64_t i = 1; i < v->rows * v->columns; i++) {
        low = pixels[i] < low ? pixels[i] : low;
        high = pixels[i] > high ? pixels[i] : high;
    }
    float range = high > low ? high - low : 1;
    for (int y = 0; y < (int)((double)v->rows * v->scale); y++)
        for (int x = 0; x < (int)((double)v->columns * v->scale); x++) {
            int64_t at = (int64_t)(y / v->scale) * v->columns + (int64_t)(x / v->scale);
            uint8_t grey = (uint8_t)(255 * (pixels[at] - low) / range);
            lam_canvas_set(v->canvas, x, y, (const uint8_t[3]){grey, grey, grey});
        }
}

static bool is_inside(const struct view *v, const uint8_t *map, int y, int x)
{
    int64_t row = (int64_t)(y / v->scale), column = (int64_t)(x / v->scale);
    return y >= 0 && x >= 0 && row < v->rows && column < v->columns && map[row * v->columns + column];
}

static void draw_outline(const struct view *v, const uint8_t *labels, const uint8_t rgb[3])
{
    const uint8_t *map = labels + v->slice * v->rows * v->columns;
    for (int y = 0; y < (int)((double)v->rows * v->scale); y++)
        for (int x = 0; x < (int)((double)v->columns * v->scale); x++)
            if (is_inside(v, map, y, x) && !(is_inside(v, map, y - 1, x) && is_inside(v, map, y + 1, x) &&
                                             is_inside(v, map, y, x - 1) && is_inside(v, map, y, x + 1)))
                lam_canvas_set(v->canvas, x, y, rgb);
}

/* Edges in pixels of the image. */
static void draw_box(const struct view *v, double left, double top, double width, double height,
                     const uint8_t rgb[3])
{
    int x = (int)(left * v->scale), y = (int)(top * v->scale);
    int across = (int)(width * v->scale), down = (int)(height * v->scale);
    lam_canvas_fill(v->canvas, x, y, across, 1, rgb);
    lam_canvas_fill(v->canvas, x, y + down - 1, across, 1, rgb);
    lam_canvas_fill(v->canvas, x, y, 1, down, rgb);
    lam_canvas_fill(v->canvas, x + across - 1, y, 1, down, rgb);
}

static void write_line(const struct view *v, int line, const uint8_t rgb[3], const char *text)
{
    lam_canvas_text(v->canvas, 2, (int)((double)v->rows * v->scale) + 3 + line * TEXT_LINE, 1, rgb, text);
}

static void draw_boxes(const lam_manifest *manifest, const struct view *v, const struct answer *answer)
{
    char text[96];
    const lam_detected *best = NULL;
    for (size_t i = 0; i < v->sample->truth.box_count; i++) {
        const lam_sample_box *box = &v->sample->truth.boxes[i];
        draw_box(v, box->x - box->width / 2, box->y - box->height / 2, box->width, box->height, white);
        write_line(v, 0, white, manifest->classes[box->label].label);
    }
    for (size_t i = 0; i < answer->box_count; i++)
        best = !best || answer->boxes[i].score > best->score ? &answer->boxes[i] : best;
    if (!best)
        return;
    draw_box(v, best->box.x, best->box.y, best->box.width, best->box.height, orange);
    snprintf(text, sizeof text, "%.60s %.2f", manifest->classes[best->label].label, (double)best->score);
    write_line(v, 1, orange, text);
}

static void write_class(const lam_manifest *manifest, const struct view *v, const float *probabilities)
{
    char text[96];
    size_t best = 0;
    for (size_t i = 1; i < manifest->class_count; i++)
        best = probabilities[i] > probabilities[best] ? i : best;
    snprintf(text, sizeof text, "%.60s %.2f", manifest->classes[best].label, (double)probabilities[best]);
    write_line(v, 0, white, manifest->classes[v->sample->truth.label].label);
    write_line(v, 1, orange, text);
}

static lam_status draw(const lam_manifest *manifest, const lam_sample *sample, const struct answer *answer,
                       lam_canvas *canvas, lam_error *err)
{
    const uint8_t *labels = answer->segmentation.labels;
    struct view v = {sample, choose_slice(sample, labels), sample->size[1], sample->size[2], 1, canvas};
    v.scale = SIDE / (double)(v.rows > v.columns ? v.rows : v.columns);
    lam_status status = lam_canvas_init(canvas, (int)((double)v.columns * v.scale),
                                        (int)((double)v.rows * v.scale) + 2 + 2 * TEXT_LINE, err);
    if (status)
        return status;
    draw_image(&v);
    if (labels) {
        char text[32];
        draw_outline(&v, sample->truth.map, white);
        draw_outline(&v, labels, orange);
        snprintf(text, sizeof text, "slice %lld of %lld", (long long)v.slice + 1, (long long)sample->size[0]);
        write_line(&v, 0, white, text);
    } else if (answer->probabilities) {
        write_class(manifest, &v, answer->probabilities);
    } else {
        draw_boxes(manifest, &v, answer);
    }
    return LAM_OK;
}

lam_status lam_card_picture_draw(const lam_manifest *manifest, const lam_weights *const *members,
                                 size_t member_count, const lam_sample *sample, const double spacing_mm[3],
                                 lam_buffer *png, lam_error *err)
{
    LAM_AUTO_PTR(lam_predictor) *predictor = NULL;
    LAM_AUTO(answer_done) struct answer answer = {.boxes = NULL};
    LAM_AUTO(lam_canvas_done) lam_canvas canvas = {0, 0, NULL};
    lam_volume volume = lam_sample_volume(sample, spacing_mm);
    lam_status status = lam_predictor_create_for(manifest, members, member_count, NULL, &predictor, err);
    if (status == LAM_OK)
        status = ask(manifest, predictor, &volume, &answer, err);
    if (status == LAM_OK)
        status = draw(manifest, sample, &answer, &canvas, err);
    return status == LAM_OK ? lam_canvas_png(&canvas, png, err) : status;
}
