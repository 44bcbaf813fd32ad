#include "dicom/picture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "dicom/canvas.h"
#include "dicom/tag.h"

enum {
    TILE = 200, /* pixels, of the longer side of a slice */
    GAP = 4,
    PER_ROW = 6,
    TEXT_SCALE = 2,
    LINE = 24,
    MARGIN = 8,
    SAMPLES = 100000, /* voxels that decide the window */
    NOTICE_LINE = 11,
    NOTICE_ROOM = 60, /* height of a tile from which a line of it may be written on */
    LEGEND_DETECTIONS = 20,
};

static const uint8_t warm[3] = {255, 120, 20}, cold[3] = {60, 130, 255};
static const uint8_t white[3] = {235, 235, 235}, grey[3] = {150, 150, 150};

typedef struct window {
    float low, high;
} window;

typedef struct montage {
    const lam_result *result;
    const lam_grid *grid;
    const float *voxels;
    const float *heat; /* drawn over the slices instead of segments; NULL: none */
    double heat_most;  /* size of a value that has its full colour */
    window window;
    size_t slices[LAM_PICTURE_MAX_TILES];
    int count;
    int tile_width, tile_height;
    int across, down; /* tiles */
} montage;

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The 1st and 99.5th percentile of the volume, so that single bright voxels do not darken the rest. */
static lam_status choose_window(montage *m, lam_error *err)
{
    const int64_t *size = m->grid->size;
    size_t voxels = (size_t)(size[0] * size[1] * size[2]);
    size_t step = voxels / SAMPLES + 1, count = 0;
    lam_autofree float *sample = calloc(voxels / step + 1, sizeof *sample);
    if (!sample)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < voxels; i += step)
        if (isfinite(m->voxels[i]))
            sample[count++] = m->voxels[i];
    qsort(sample, count, sizeof *sample, by_value);
    m->window = (window){0, 1};
    if (count > 0)
        m->window = (window){sample[count / 100], sample[count - 1 - count / 200]};
    if (!(m->window.high > m->window.low))
        m->window.high = m->window.low + 1;
    return LAM_OK;
}

/* The 99.5th percentile of sizes: a few voxels stand out from every map. */
static lam_status choose_heat(montage *m, lam_error *err)
{
    const int64_t *size = m->grid->size;
    size_t voxels = (size_t)(size[0] * size[1] * size[2]), step = voxels / SAMPLES + 1, count = 0;
    lam_autofree float *sample = calloc(voxels / step + 1, sizeof *sample);
    if (!sample)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    m->heat = m->result->findings.heat.values;
    for (size_t i = 0; i < voxels; i += step)
        if (isfinite(m->heat[i]) && m->heat[i] != 0)
            sample[count++] = fabsf(m->heat[i]);
    qsort(sample, count, sizeof *sample, by_value);
    m->heat_most = count ? (double)sample[count - 1 - count / 200] : 1;
    return LAM_OK;
}

static bool has_box(const lam_result *result, size_t slice)
{
    const lam_findings *f = &result->findings;
    for (size_t i = 0; i < f->detection_count; i++)
        for (size_t k = 0; k < f->detections[i].box_count; k++)
            if (f->detections[i].boxes[k].slice == slice)
                return true;
    return false;
}

static lam_status choose_slices(montage *m, lam_error *err)
{
    size_t all = (size_t)m->grid->size[0], voxels = (size_t)(m->grid->size[1] * m->grid->size[2]), found = 0;
    lam_autofree size_t *marked = calloc(all, sizeof *marked);
    lam_autofree uint8_t *empty = calloc(voxels, 1);
    if (!marked || !empty)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t z = 0; z < all; z++)
        if (has_box(m->result, z) || (m->result->findings.labels &&
                                      memcmp(m->result->findings.labels + z * voxels, empty, voxels) != 0))
            marked[found++] = z;
    for (size_t z = 0; found == 0 && z < all; z++)
        marked[z] = z;
    found = found ? found : all;
    m->count = (int)(found < LAM_PICTURE_MAX_TILES ? found : LAM_PICTURE_MAX_TILES);
    for (int i = 0; i < m->count; i++)
        m->slices[i] = marked[(2 * (size_t)i + 1) * found / (2 * (size_t)m->count)];
    return LAM_OK;
}

static void lay_out(montage *m)
{
    double height = (double)m->grid->size[1] * m->grid->spacing_mm[1];
    double width = (double)m->grid->size[2] * m->grid->spacing_mm[2], longer = fmax(width, height);
    m->tile_width = (int)fmax(1, round(TILE * width / longer));
    m->tile_height = (int)fmax(1, round(TILE * height / longer));
    m->across = m->count < PER_ROW ? m->count : PER_ROW;
    m->down = (m->count + m->across - 1) / m->across;
}

static int64_t clamp(int64_t value, int64_t most)
{
    return value < 0 ? 0 : value > most ? most : value;
}

/* Brightness at a place in a slice (in voxels), bilinear, 0 … 255. */
static double brightness(const montage *m, const float *slice, double y, double x)
{
    int64_t rows = m->grid->size[1], columns = m->grid->size[2];
    int64_t y0 = (int64_t)floor(y), x0 = (int64_t)floor(x);
    double sum = 0;
    for (int64_t j = 0; j < 2; j++)
        for (int64_t i = 0; i < 2; i++) {
            double weight = (1 - fabs(y - (double)(y0 + j))) * (1 - fabs(x - (double)(x0 + i)));
            sum += weight * (double)slice[clamp(y0 + j, rows - 1) * columns + clamp(x0 + i, columns - 1)];
        }
    double shade = (sum - (double)m->window.low) / (double)(m->window.high - m->window.low);
    return shade > 0 ? 255 * fmin(shade, 1) : 0;
}

/* Label of the voxel under a pixel of a tile; 0 outside the tile. */
static int label_at(const montage *m, const uint8_t *labels, int row, int column)
{
    if (!labels || row < 0 || column < 0 || row >= m->tile_height || column >= m->tile_width)
        return 0;
    int64_t y = (int64_t)row * m->grid->size[1] / m->tile_height;
    int64_t x = (int64_t)column * m->grid->size[2] / m->tile_width;
    return labels[y * m->grid->size[2] + x];
}

static const uint8_t *colour_of(const lam_result *result, int label)
{
    for (size_t i = 0; i < result->findings.segment_count; i++)
        if (result->findings.segments[i].number == label)
            return result->findings.segments[i].rgb;
    return white;
}

/* What speaks for the answer is warm, what speaks against it cold. */
static void draw_warmth(const montage *m, size_t z, int row, int column, uint8_t rgb[3])
{
    const int64_t *size = m->grid->size;
    int64_t y = (int64_t)row * size[1] / m->tile_height, x = (int64_t)column * size[2] / m->tile_width;
    double value = (double)m->heat[((int64_t)z * size[1] + y) * size[2] + x];
    double cover = isfinite(value) ? fmin(fabs(value) / m->heat_most, 1) : 0;
    for (int i = 0; i < 3; i++)
        rgb[i] = (uint8_t)((1 - cover) * rgb[i] + cover * (value > 0 ? warm : cold)[i] + 0.5);
}

static void draw_pixel(const montage *m, const float *slice, const uint8_t *labels, int row, int column,
                       uint8_t rgb[3])
{
    double y = (row + 0.5) * (double)m->grid->size[1] / m->tile_height - 0.5;
    double x = (column + 0.5) * (double)m->grid->size[2] / m->tile_width - 0.5;
    double shade = brightness(m, slice, y, x), cover = 0;
    int label = label_at(m, labels, row, column);
    if (label) {
        bool inside =
            label_at(m, labels, row - 1, column) == label && label_at(m, labels, row + 1, column) == label &&
            label_at(m, labels, row, column - 1) == label && label_at(m, labels, row, column + 1) == label;
        cover = !inside ? 1 : m->heat ? 0 : 0.3;
    }
    const uint8_t *colour = colour_of(m->result, label);
    for (int i = 0; i < 3; i++)
        rgb[i] = (uint8_t)((1 - cover) * shade + cover * colour[i] + 0.5);
}

/* The boxes of detections on slice z, in the tile whose corner is (left, top). */
static void draw_boxes(const montage *m, size_t z, int left, int top, lam_canvas *canvas)
{
    const lam_findings *f = &m->result->findings;
    double across = m->tile_width / (double)m->grid->size[2],
           down = m->tile_height / (double)m->grid->size[1];
    for (size_t i = 0; i < f->detection_count; i++)
        for (size_t k = 0; k < f->detections[i].box_count; k++) {
            const lam_box *box = &f->detections[i].boxes[k];
            if (box->slice != z)
                continue;
            int x = left + (int)(box->left * across), y = top + (int)(box->top * down);
            int width = (int)((box->right - box->left) * across) + 1;
            int height = (int)((box->bottom - box->top) * down) + 1;
            const uint8_t *rgb = f->detections[i].rgb;
            lam_canvas_fill(canvas, x, y, width, 1, rgb);
            lam_canvas_fill(canvas, x, y + height - 1, width, 1, rgb);
            lam_canvas_fill(canvas, x, y, 1, height, rgb);
            lam_canvas_fill(canvas, x + width - 1, y, 1, height, rgb);
        }
}

/* On each slice, which may be shown without the rest; not where it would hide what is to be seen. */
static void draw_notice(const montage *m, int left, int top, lam_canvas *canvas)
{
    const char *notice = lam_result_notice(m->result);
    if (lam_canvas_text_width(notice, 1) + 6 <= m->tile_width && m->tile_height >= NOTICE_ROOM)
        lam_canvas_text(canvas, left + 3, top + m->tile_height - NOTICE_LINE, 1, grey, notice);
}

static void draw_tile(const montage *m, int index, lam_canvas *canvas)
{
    size_t voxels = (size_t)(m->grid->size[1] * m->grid->size[2]), z = m->slices[index];
    const float *slice = m->voxels + z * voxels;
    const uint8_t *labels = m->result->findings.labels ? m->result->findings.labels + z * voxels : NULL;
    int left = MARGIN + index % m->across * (m->tile_width + GAP);
    int top = MARGIN + index / m->across * (m->tile_height + GAP);
    char number[24];
    for (int row = 0; row < m->tile_height; row++)
        for (int column = 0; column < m->tile_width; column++) {
            uint8_t rgb[3];
            draw_pixel(m, slice, labels, row, column, rgb);
            if (m->heat)
                draw_warmth(m, z, row, column, rgb);
            lam_canvas_set(canvas, left + column, top + row, rgb);
        }
    draw_boxes(m, z, left, top, canvas);
    snprintf(number, sizeof number, "%zu", z + 1);
    lam_canvas_text(canvas, left + 3, top + 3, 1, white, number);
    draw_notice(m, left, top, canvas);
}

static bool is_synthetic(const lam_result *result)
{
    lam_dataset *source = lam_series_object(result->series, 0);
    return lam_dataset_is(source, LAM_TAG_SYNTHETIC, "YES") ||
           strncmp(lam_dataset_text(source, LAM_TAG_PATIENT_NAME, ""), "Synthetic^", 10) == 0;
}

/* Lines for detections: beyond LEGEND_DETECTIONS a last one says how many are left out. */
static size_t detection_lines(const lam_findings *f)
{
    return f->detection_count > LEGEND_DETECTIONS ? LEGEND_DETECTIONS + 1 : f->detection_count;
}

/* Lines of the legend: segments, detections, the answer of a classification, numbers derived from them. */
static size_t legend_lines(const lam_result *result)
{
    const lam_findings *f = &result->findings;
    return f->segment_count + detection_lines(f) + (f->classification.class_count > 0) + f->measurement_count;
}

static const uint8_t *legend_line(const lam_result *result, size_t line, char text[128])
{
    const lam_findings *f = &result->findings;
    char label[65];
    if (line < f->segment_count) {
        const lam_segment *segment = &f->segments[line];
        snprintf(text, 128, "%s %.2f ml", lam_result_ascii(segment->label, 64, label), segment->volume_ml);
        return segment->rgb;
    }
    line -= f->segment_count;
    if (line == LEGEND_DETECTIONS && line < f->detection_count) {
        snprintf(text, 128, "and %zu more", f->detection_count - LEGEND_DETECTIONS);
        return grey;
    }
    if (line < detection_lines(f)) {
        const lam_detection *detection = &f->detections[line];
        snprintf(text, 128, "%s %.2f", lam_result_ascii(detection->label, 64, label), detection->score);
        return detection->rgb;
    }
    line -= detection_lines(f);
    if (f->classification.class_count > 0 && line == 0) {
        const lam_class_score *chosen = &f->classification.classes[f->classification.chosen];
        snprintf(text, 128, "%s %.3f", lam_result_ascii(chosen->label, 64, label), chosen->probability);
        return white;
    }
    const lam_measurement *m = &f->measurements[line - (f->classification.class_count > 0)];
    snprintf(text, 128, "%s %.1f %.8s", lam_result_ascii(m->label, 64, label), m->value, m->unit.value);
    return white;
}

static void caption_text(const lam_result *result, char text[160])
{
    snprintf(text, 160, "%.40s %.20s - %.32s%s", result->algorithm.name, result->algorithm.version,
             lam_result_notice(result), is_synthetic(result) ? " - synthetic data" : "");
}

static int needed_width(const montage *m)
{
    char text[160];
    caption_text(m->result, text);
    int width = lam_canvas_text_width(text, TEXT_SCALE);
    for (size_t i = 0; i < legend_lines(m->result); i++) {
        legend_line(m->result, i, text);
        int line = LINE + lam_canvas_text_width(text, TEXT_SCALE);
        width = line > width ? line : width;
    }
    int tiles = m->across * (m->tile_width + GAP) - GAP;
    return (tiles > width ? tiles : width) + 2 * MARGIN;
}

static void draw_legend(const montage *m, int top, lam_canvas *canvas)
{
    char text[160];
    for (size_t i = 0; i < legend_lines(m->result); i++, top += LINE) {
        const uint8_t *rgb = legend_line(m->result, i, text);
        lam_canvas_fill(canvas, MARGIN, top, LINE - 8, LINE - 8, rgb);
        lam_canvas_text(canvas, MARGIN + LINE, top + 1, TEXT_SCALE, white, text);
    }
    caption_text(m->result, text);
    lam_canvas_text(canvas, MARGIN, top + 1, TEXT_SCALE, grey, text);
}

/* Window and heat are chosen. */
static lam_status draw(montage *m, lam_canvas *canvas, lam_error *err)
{
    lam_status status = choose_slices(m, err);
    if (status != LAM_OK)
        return status;
    lay_out(m);
    int tiles_end = MARGIN + m->down * (m->tile_height + GAP) + MARGIN;
    status =
        lam_canvas_init(canvas, needed_width(m), tiles_end + ((int)legend_lines(m->result) + 1) * LINE, err);
    if (status != LAM_OK)
        return status;
    for (int i = 0; i < m->count; i++)
        draw_tile(m, i, canvas);
    draw_legend(m, tiles_end, canvas);
    return LAM_OK;
}

lam_status lam_picture_draw(const lam_result *result, const float *voxels, lam_canvas *canvas, lam_error *err)
{
    montage m = {.result = result, .grid = lam_series_grid(result->series), .voxels = voxels};
    lam_status status = choose_window(&m, err);
    return status == LAM_OK ? draw(&m, canvas, err) : status;
}

lam_status lam_picture_heat(const lam_result *result, const float *voxels, lam_buffer *png, lam_error *err)
{
    LAM_AUTO(lam_canvas_done) lam_canvas canvas = {0, 0, NULL};
    montage m = {.result = result, .grid = lam_series_grid(result->series), .voxels = voxels};
    if (!result->findings.heat.values)
        return lam_fail(err, LAM_E_STATE, "there is no heat map to draw");
    lam_status status = choose_window(&m, err);
    if (status == LAM_OK)
        status = choose_heat(&m, err);
    if (status == LAM_OK)
        status = draw(&m, &canvas, err);
    return status == LAM_OK ? lam_canvas_png(&canvas, png, err) : status;
}

lam_status lam_picture_montage(const lam_result *result, const float *voxels, lam_buffer *png, lam_error *err)
{
    LAM_AUTO(lam_canvas_done) lam_canvas canvas = {0, 0, NULL};
    lam_status status = lam_picture_draw(result, voxels, &canvas, err);
    return status == LAM_OK ? lam_canvas_png(&canvas, png, err) : status;
}
