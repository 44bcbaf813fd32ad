#include "dicom/overlay.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "dicom/groups.h"
#include "dicom/seg_read.h"
#include "dicom/tag.h"

static const uint8_t plain[3] = {255, 80, 80};

bool lam_overlay_is_segmentation(const lam_frames *frames)
{
    return lam_dataset_has(frames->header, LAM_TAG_SEGMENTATION_TYPE) &&
           lam_dataset_items(frames->header, LAM_TAG_SEGMENTS) > 0;
}

const char *lam_overlay_source(lam_frames *s, int64_t index, int64_t *frame)
{
    lam_dataset *derivation = lam_groups_item(s->header, LAM_TAG_DERIVATION_IMAGES, (size_t)index);
    lam_dataset *source = derivation ? lam_dataset_item(derivation, LAM_TAG_SOURCE_IMAGES, 0) : NULL;
    int64_t number = 1;
    if (!source)
        return NULL;
    lam_dataset_integer(source, LAM_TAG_REFERENCED_FRAME, 0, &number);
    *frame = number - 1;
    return lam_dataset_text(source, LAM_TAG_REFERENCED_INSTANCE, NULL);
}

/* ---- colours ---- */

/* Under D50; to sRGB by way of D65. */
void lam_overlay_rgb_of_lab(const double lab[3], uint8_t rgb[3])
{
    double l = lab[0] / 65535 * 100, a = lab[1] / 65535 * 255 - 128, b = lab[2] / 65535 * 255 - 128;
    double f[3] = {(l + 16) / 116 + a / 500, (l + 16) / 116, (l + 16) / 116 - b / 200};
    static const double white[3] = {0.9642, 1, 0.8249};
    static const double m[3][3] = {{3.1338561, -1.6168667, -0.4906146},
                                   {-0.9787684, 1.9161415, 0.0334540},
                                   {0.0719453, -0.2289914, 1.4052427}};
    double xyz[3];
    for (int i = 0; i < 3; i++)
        xyz[i] = white[i] * (f[i] > 6.0 / 29 ? f[i] * f[i] * f[i] : (f[i] - 4.0 / 29) * 108 / 841);
    for (int i = 0; i < 3; i++) {
        double v = m[i][0] * xyz[0] + m[i][1] * xyz[1] + m[i][2] * xyz[2];
        v = v <= 0.0031308 ? 12.92 * v : 1.055 * pow(v, 1 / 2.4) - 0.055;
        rgb[i] = (uint8_t)(v <= 0 ? 0 : v >= 1 ? 255 : 255 * v + 0.5);
    }
}

static void colour_of(lam_frames *s, int64_t number, uint8_t rgb[3])
{
    memcpy(rgb, plain, 3);
    lam_dataset *segment;
    for (size_t i = 0; (segment = lam_dataset_item(s->header, LAM_TAG_SEGMENTS, i)); i++) {
        int64_t own = 0;
        double lab[3];
        lam_dataset_integer(segment, LAM_TAG_SEGMENT_NUMBER, 0, &own);
        if (own == number && lam_dataset_numbers(segment, LAM_TAG_DISPLAY_LAB, lab, 3))
            lam_overlay_rgb_of_lab(lab, rgb);
    }
}

/* ---- drawing ---- */

typedef struct mask {
    uint8_t *labels; /* [rows, columns]; 0 is nothing */
    int64_t rows, columns;
} mask;

static uint8_t label_at(const mask *m, int64_t row, int64_t column)
{
    bool inside = row >= 0 && column >= 0 && row < m->rows && column < m->columns;
    return inside ? m->labels[row * m->columns + column] : 0;
}

static bool is_edge(const mask *m, int64_t row, int64_t column, uint8_t label)
{
    return label_at(m, row - 1, column) != label || label_at(m, row + 1, column) != label ||
           label_at(m, row, column - 1) != label || label_at(m, row, column + 1) != label;
}

static void paint(const mask *m, uint8_t label, const uint8_t rgb[3], lam_canvas *canvas)
{
    for (int64_t row = 0; row < m->rows; row++)
        for (int64_t column = 0; column < m->columns; column++) {
            if (label_at(m, row, column) != label)
                continue;
            uint8_t *to = canvas->rgb + 3 * (row * m->columns + column);
            double cover = is_edge(m, row, column, label) ? 1 : 0.3;
            for (int i = 0; i < 3; i++)
                to[i] = (uint8_t)((1 - cover) * to[i] + cover * rgb[i] + 0.5);
        }
}

static lam_status draw_frame(lam_frames *s, int64_t index, unsigned char *bytes, mask *m, lam_canvas *canvas,
                             lam_error *err)
{
    char photometric[17];
    uint8_t rgb[3];
    lam_status status = lam_frames_decode(s, index, true, bytes, photometric, err);
    if (status != LAM_OK)
        return status;
    lam_seg_read_values(s, bytes, m->labels);
    bool map = lam_dataset_is(s->header, LAM_TAG_SEGMENTATION_TYPE, "LABELMAP");
    if (!map) {
        colour_of(s, lam_seg_read_segment(s, index), rgb);
        paint(m, 1, rgb, canvas);
        return LAM_OK;
    }
    bool used[256] = {false};
    for (int64_t i = 0; i < m->rows * m->columns; i++)
        used[m->labels[i]] = true;
    for (int label = 1; label < 256; label++) {
        if (!used[label])
            continue;
        colour_of(s, label, rgb);
        paint(m, (uint8_t)label, rgb, canvas);
    }
    return LAM_OK;
}

static bool lies_on(lam_frames *s, int64_t index, const char *sop_uid, int64_t frame)
{
    int64_t on = 0;
    const char *uid = lam_overlay_source(s, index, &on);
    return uid && sop_uid && strcmp(uid, sop_uid) == 0 && on == frame;
}

lam_status lam_overlay_draw(lam_frames *s, const char *sop_uid, int64_t frame, int64_t only,
                            lam_canvas *canvas, lam_error *err)
{
    const lam_layout *l = &s->layout;
    size_t size = 0;
    if (l->rows != canvas->height || l->columns != canvas->width)
        return lam_fail(err, LAM_E_INVALID, "the segmentation has %lld×%lld pixels, its image %d×%d",
                        (long long)l->columns, (long long)l->rows, canvas->width, canvas->height);
    lam_status status = lam_frames_size(s, &size, err);
    if (status != LAM_OK)
        return status;
    lam_autofree unsigned char *bytes = calloc(1, size + 8);
    lam_autofree uint8_t *labels = calloc((size_t)l->rows, (size_t)l->columns);
    if (!bytes || !labels)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a segmentation");
    mask m = {labels, l->rows, l->columns};
    for (int64_t i = 0; i < l->frames && status == LAM_OK; i++)
        if (only >= 0 ? i == only : lies_on(s, i, sop_uid, frame))
            status = draw_frame(s, i, bytes, &m, canvas, err);
    return status;
}
