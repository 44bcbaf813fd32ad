#include "dicom/render.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "dicom/groups.h"
#include "dicom/lut.h"
#include "dicom/pixels.h"
#include "dicom/tag.h"

bool lam_voi_function_of(const char *name, lam_voi_function *out)
{
    static const char *const names[] = {"LINEAR", "LINEAR_EXACT", "SIGMOID"};
    for (size_t i = 0; i < LAM_COUNT(names); i++)
        if (strcmp(names[i], name) == 0) {
            *out = (lam_voi_function)i;
            return true;
        }
    return false;
}

/* ---- grey ---- */

/* Where a frame says it: the item of its functional group, or the header itself. */
static lam_dataset *group_item(lam_frames *frames, int64_t index, lam_tag group)
{
    lam_dataset *item = lam_groups_item(frames->header, group, (size_t)index);
    return item ? item : frames->header;
}

typedef struct grey {
    double slope, intercept;
    lam_lut *modality, *voi;
    bool has_window;
    lam_window window;
    bool inverted;
} grey;

static void grey_done(grey *g)
{
    lam_lut_free(g->modality);
    lam_lut_free(g->voi);
}

static void read_transforms(lam_frames *frames, int64_t index, bool is_signed, grey *g)
{
    lam_dataset *transform = group_item(frames, index, LAM_TAG_VALUE_TRANSFORMS);
    lam_dataset *voi = group_item(frames, index, LAM_TAG_FRAME_VOI);
    g->slope = 1;
    lam_dataset_number(transform, LAM_TAG_SLOPE, 0, &g->slope);
    lam_dataset_number(transform, LAM_TAG_INTERCEPT, 0, &g->intercept);
    if (g->slope == 0 || !isfinite(g->slope) || !isfinite(g->intercept)) {
        g->slope = 1;
        g->intercept = 0;
    }
    g->modality = lam_lut_read(lam_dataset_item(transform, LAM_TAG_MODALITY_LUT, 0), LAM_TAG_LUT_DESCRIPTOR,
                               LAM_TAG_LUT_DATA, is_signed);
    if (g->has_window)
        return;
    g->has_window = lam_dataset_number(voi, LAM_TAG_WINDOW_CENTRE, 0, &g->window.centre) &&
                    lam_dataset_number(voi, LAM_TAG_WINDOW_WIDTH, 0, &g->window.width) &&
                    isfinite(g->window.centre) && g->window.width > 0 && isfinite(g->window.width);
    lam_voi_function_of(lam_dataset_text(voi, LAM_TAG_VOI_FUNCTION, ""), &g->window.function);
    if (!g->has_window)
        g->voi = lam_lut_read(lam_dataset_item(voi, LAM_TAG_VOI_LUT, 0), LAM_TAG_LUT_DESCRIPTOR,
                              LAM_TAG_LUT_DATA, is_signed || g->intercept < 0);
}

static double modality_value(const grey *g, double stored)
{
    return g->modality ? lam_lut_at(g->modality, stored) : stored * g->slope + g->intercept;
}

/* From the smallest to the largest value that is not padding. */
static void window_of_range(const lam_pixels *p, grey *g)
{
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < p->count; i++) {
        double stored = lam_pixels_value(p, i);
        double value = modality_value(g, stored);
        if (lam_pixels_is_padding(p, stored) || !isfinite(value))
            continue;
        low = fmin(low, value);
        high = fmax(high, value);
    }
    if (!(low <= high))
        low = high = 0;
    g->window = (lam_window){(low + high) / 2, fmax(high - low, 1e-12), LAM_VOI_LINEAR_EXACT};
    g->has_window = true;
}

/* 0 … 1 (PS3.3 C.11.2.1.2, C.11.2.1.3). */
static double brightness(const grey *g, double value)
{
    double c = g->window.centre, w = g->window.width, y;
    if (g->voi)
        return lam_lut_at(g->voi, value) / (double)((UINT64_C(1) << (g->voi->bits & 31)) - 1);
    if (g->window.function == LAM_VOI_SIGMOID)
        return 1 / (1 + exp(-4 * (value - c) / w));
    if (g->window.function == LAM_VOI_LINEAR)
        y = w <= 1 ? value > c - 0.5 : (value - (c - 0.5)) / (w - 1) + 0.5;
    else
        y = (value - c) / w + 0.5;
    return y;
}

static uint8_t shade(const grey *g, double stored)
{
    double y = brightness(g, modality_value(g, stored));
    y = y > 0 ? fmin(y, 1) : 0; /* NaN is black */
    return (uint8_t)(255 * (g->inverted ? 1 - y : y) + 0.5);
}

bool lam_render_inverts(const lam_frames *frames)
{
    lam_dataset *header = frames->header;
    if (lam_dataset_has(header, LAM_TAG_PRESENTATION_SHAPE))
        return lam_dataset_is(header, LAM_TAG_PRESENTATION_SHAPE, "INVERSE");
    return lam_dataset_is(header, LAM_TAG_PHOTOMETRIC, "MONOCHROME1");
}

static lam_status draw_grey(lam_frames *frames, int64_t index, const lam_pixels *p, const lam_window *window,
                            lam_canvas *canvas)
{
    LAM_AUTO(grey_done) grey g = {.has_window = window != NULL};
    if (window)
        g.window = *window;
    g.inverted = lam_render_inverts(frames);
    read_transforms(frames, index, p->is_signed, &g);
    if (!g.has_window && !g.voi)
        window_of_range(p, &g);
    size_t range = p->stored <= 16 && p->layout->tag == LAM_TAG_PIXELS ? (size_t)1 << p->stored : 0;
    double lowest = p->is_signed && p->layout->bits_allocated > 1 ? -(double)range / 2 : 0;
    lam_autofree uint8_t *table = range && range <= p->count ? malloc(range) : NULL;
    for (size_t i = 0; table && i < range; i++)
        table[i] = shade(&g, lowest + (double)i);
    for (size_t i = 0; i < p->count; i++) {
        double stored = lam_pixels_value(p, i);
        uint8_t s = table ? table[(size_t)(stored - lowest)] : shade(&g, stored);
        memset(canvas->rgb + 3 * i, s, 3);
    }
    return LAM_OK;
}

/* ---- colour ---- */

static uint8_t byte_of(double value)
{
    return (uint8_t)(value > 0 ? fmin(value, 255) + 0.5 : 0); /* NaN is black */
}

/* PS3.3 C.7.6.3.1.2; `partial` has luminance 16 … 235. */
static void from_ybr(double y, double cb, double cr, bool partial, uint8_t rgb[3])
{
    if (partial) {
        y = (y - 16) * 255 / 219;
        cb = (cb - 128) * 255 / 224 + 128;
        cr = (cr - 128) * 255 / 224 + 128;
    }
    rgb[0] = byte_of(y + 1.402 * (cr - 128));
    rgb[1] = byte_of(y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128));
    rgb[2] = byte_of(y + 1.772 * (cb - 128));
}

static lam_status draw_colour(const lam_pixels *p, lam_canvas *canvas, lam_error *err)
{
    bool ybr = strncmp(p->photometric, "YBR_FULL", 8) == 0 || strncmp(p->photometric, "YBR_PARTIAL", 11) == 0;
    bool partial = strncmp(p->photometric, "YBR_PARTIAL", 11) == 0;
    bool halved = !p->layout->encapsulated && strstr(p->photometric, "_422") != NULL;
    if ((!ybr && strcmp(p->photometric, "RGB") != 0) || p->layout->samples != 3 ||
        p->layout->bits_allocated < 8)
        return lam_fail(err, LAM_E_UNSUPPORTED, "pictures of PhotometricInterpretation %.16s are not drawn",
                        *p->photometric ? p->photometric : "(none)");
    double scale = 255 / (pow(2, p->stored) - 1);
    for (size_t i = 0; i < p->count; i++) {
        uint8_t *rgb = canvas->rgb + 3 * i;
        double v[3];
        for (size_t s = 0; s < 3; s++) {
            size_t at = halved ? i / 2 * 4 + (s ? s + 1 : i % 2) : 3 * i + s;
            v[s] = lam_pixels_value(p, at) * scale;
        }
        if (ybr)
            from_ybr(v[0], v[1], v[2], partial, rgb);
        else
            for (size_t s = 0; s < 3; s++)
                rgb[s] = byte_of(v[s]);
    }
    return LAM_OK;
}

static lam_status draw_palette(lam_frames *frames, const lam_pixels *p, lam_canvas *canvas, lam_error *err)
{
    for (unsigned channel = 0; channel < 3; channel++) {
        LAM_AUTO_PTR(lam_lut) *t = lam_lut_read(frames->header, LAM_TAG_PALETTE_DESCRIPTOR + channel,
                                                LAM_TAG_PALETTE_DATA + channel, p->is_signed);
        if (!t)
            return lam_fail(err, LAM_E_UNSUPPORTED, "a PALETTE COLOR image without plain lookup tables");
        double most = 0;
        for (size_t i = 0; i < t->count; i++)
            most = fmax(most, t->values[i]);
        double scale = t->bits > 8 && most > 255 ? 1.0 / 257 : 1; /* some say 16 bits and write 8 */
        for (size_t i = 0; i < p->count; i++)
            canvas->rgb[3 * i + channel] = byte_of(lam_lut_at(t, lam_pixels_value(p, i)) * scale);
    }
    return LAM_OK;
}

lam_status lam_render_frame(lam_frames *frames, int64_t index, const lam_window *window, lam_canvas *out,
                            lam_error *err)
{
    LAM_AUTO(lam_pixels_done) lam_pixels p = {.bytes = NULL};
    lam_canvas canvas = {0, 0, NULL};
    const lam_layout *l = &frames->layout;
    lam_status status = lam_canvas_init(&canvas, (int)l->columns, (int)l->rows, err);
    if (status == LAM_OK)
        status = lam_pixels_read(frames, index, &p, err);
    if (status == LAM_OK && strcmp(p.photometric, "PALETTE COLOR") == 0)
        status = draw_palette(frames, &p, &canvas, err);
    else if (status == LAM_OK && l->samples == 1)
        status = draw_grey(frames, index, &p, window, &canvas);
    else if (status == LAM_OK)
        status = draw_colour(&p, &canvas, err);
    if (status == LAM_OK)
        *out = canvas;
    else
        lam_canvas_done(&canvas);
    return status;
}

/* ---- the viewport ---- */

/* The mean over a part of a line of pixels, in weights of whole pixels. */
static void sample(const lam_canvas *c, double x, double y, double step_x, double step_y, uint8_t rgb[3])
{
    double sum[3] = {0, 0, 0}, total = 0;
    double half_x = fmax(fabs(step_x), 1) / 2, half_y = fmax(fabs(step_y), 1) / 2;
    int x0 = (int)floor(x - half_x), x1 = (int)ceil(x + half_x);
    int y0 = (int)floor(y - half_y), y1 = (int)ceil(y + half_y);
    for (int j = y0; j < y1; j++) {
        double wy = fmin(j + 1, y + half_y) - fmax(j, y - half_y);
        int row = j < 0 ? 0 : j >= c->height ? c->height - 1 : j;
        for (int i = x0; i < x1; i++) {
            double w = wy * (fmin(i + 1, x + half_x) - fmax(i, x - half_x));
            int column = i < 0 ? 0 : i >= c->width ? c->width - 1 : i;
            const uint8_t *from = c->rgb + 3 * ((size_t)row * (size_t)c->width + (size_t)column);
            for (int s = 0; s < 3; s++)
                sum[s] += w * from[s];
            total += w;
        }
    }
    for (int s = 0; s < 3; s++)
        rgb[s] = byte_of(sum[s] / total);
}

lam_status lam_render_fit(lam_canvas *canvas, const lam_viewport *v, lam_error *err)
{
    double x = v->has_region ? v->x : 0, y = v->has_region ? v->y : 0;
    double w = v->has_region ? v->region_width : canvas->width;
    double h = v->has_region ? v->region_height : canvas->height;
    if (w == 0)
        w = canvas->width - x;
    if (h == 0)
        h = canvas->height - y;
    if (!(x >= 0 && y >= 0 && fabs(w) >= 1 && fabs(h) >= 1 && x + fabs(w) <= canvas->width &&
          y + fabs(h) <= canvas->height))
        return lam_fail(err, LAM_E_INVALID, "the region of the viewport reaches past the image of %d×%d",
                        canvas->width, canvas->height);
    double scale = v->width > 0 ? fmin(v->width / fabs(w), v->height / fabs(h)) : 1;
    int width = (int)fmax(1, round(fabs(w) * scale)), height = (int)fmax(1, round(fabs(h) * scale));
    if (width == canvas->width && height == canvas->height && w > 0 && h > 0 && scale == 1)
        return LAM_OK;
    lam_canvas out = {0, 0, NULL};
    lam_status status = lam_canvas_init(&out, width, height, err);
    if (status != LAM_OK)
        return status;
    double step_x = w / width, step_y = h / height;
    for (int j = 0; j < height; j++)
        for (int i = 0; i < width; i++) {
            double at_x = (w > 0 ? x : x - w) + (i + 0.5) * step_x,
                   at_y = (h > 0 ? y : y - h) + (j + 0.5) * step_y;
            sample(canvas, at_x, at_y, step_x, step_y, out.rgb + 3 * ((size_t)j * (size_t)width + (size_t)i));
        }
    lam_canvas_done(canvas);
    *canvas = out;
    return LAM_OK;
}
