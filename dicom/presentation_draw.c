#include "dicom/presentation_draw.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "dicom/overlay.h"
#include "dicom/overlay_plane.h"
#include "dicom/presentation_state.h"
#include "dicom/result.h"
#include "dicom/tag.h"

#define VOI               LAM_TAG(0x0028, 0x3110) /* SoftcopyVOILUTSequence */
#define ANNOTATIONS       LAM_TAG(0x0070, 0x0001)
#define LAYER             LAM_TAG(0x0070, 0x0002)
#define TEXT_BOX_UNITS    LAM_TAG(0x0070, 0x0003)
#define ANCHOR_UNITS      LAM_TAG(0x0070, 0x0004)
#define GRAPHIC_UNITS     LAM_TAG(0x0070, 0x0005)
#define TEXT              LAM_TAG(0x0070, 0x0006)
#define TEXTS             LAM_TAG(0x0070, 0x0008)
#define GRAPHICS          LAM_TAG(0x0070, 0x0009)
#define BOX_TOP_LEFT      LAM_TAG(0x0070, 0x0010)
#define ANCHOR            LAM_TAG(0x0070, 0x0014)
#define POINT_COUNT       LAM_TAG(0x0070, 0x0021)
#define FLIPPED           LAM_TAG(0x0070, 0x0041)
#define ROTATION          LAM_TAG(0x0070, 0x0042)
#define LAYERS            LAM_TAG(0x0070, 0x0060)
#define LAYER_GREY        LAM_TAG(0x0070, 0x0066)
#define LAYER_LAB         LAM_TAG(0x0070, 0x0401)
#define SHUTTER           LAM_TAG(0x0018, 0x1600)
#define MASKS             LAM_TAG(0x0028, 0x6100)
#define PRESENTATION_LUTS LAM_TAG(0x2050, 0x0010)

enum { MAX_POINTS = 20000, ROUND = 180, TEXT_LINE = 120 };

bool lam_presentation_is_state(lam_dataset *object)
{
    return lam_dataset_is(object, LAM_TAG_SOP_CLASS, LAM_PR_SOP_CLASS);
}

/* ---- which image ---- */

/* The frame (from 0) that a reference names; the first where it names none. */
static int64_t frame_of(lam_dataset *reference)
{
    int64_t number = 1;
    lam_dataset_integer(reference, LAM_TAG_REFERENCED_FRAME, 0, &number);
    return number - 1;
}

static const char *reference(lam_dataset *image, int64_t *frame)
{
    *frame = frame_of(image);
    return lam_dataset_text(image, LAM_TAG_REFERENCED_INSTANCE, NULL);
}

const char *lam_presentation_source(lam_dataset *state, int64_t index, int64_t *frame)
{
    lam_dataset *annotation = index < 0 ? lam_dataset_item(state, ANNOTATIONS, 0) : NULL;
    lam_dataset *image = annotation ? lam_dataset_item(annotation, LAM_TAG_REFERENCED_IMAGES, 0) : NULL;
    if (image)
        return reference(image, frame);
    lam_dataset *series;
    for (size_t s = 0; (series = lam_dataset_item(state, LAM_TAG_REFERENCED_SERIES, s)); s++) {
        size_t count = lam_dataset_items(series, LAM_TAG_REFERENCED_IMAGES);
        if (index < (int64_t)count && count)
            return reference(
                lam_dataset_item(series, LAM_TAG_REFERENCED_IMAGES, index > 0 ? (size_t)index : 0), frame);
        index -= (int64_t)count;
    }
    return NULL;
}

/* What refers to no image in particular is for all of them. */
static bool is_for(lam_dataset *item, const char *sop_uid, int64_t frame)
{
    size_t count = lam_dataset_items(item, LAM_TAG_REFERENCED_IMAGES);
    for (size_t i = 0; i < count; i++) {
        lam_dataset *image = lam_dataset_item(item, LAM_TAG_REFERENCED_IMAGES, i);
        bool all = !lam_dataset_has(image, LAM_TAG_REFERENCED_FRAME);
        if (lam_dataset_is(image, LAM_TAG_REFERENCED_INSTANCE, sop_uid) && (all || frame_of(image) == frame))
            return true;
    }
    return count == 0;
}

bool lam_presentation_window(lam_dataset *state, const char *sop_uid, int64_t frame, lam_window *out)
{
    lam_dataset *item;
    for (size_t i = 0; (item = lam_dataset_item(state, VOI, i)); i++) {
        lam_window window = {0, 0, LAM_VOI_LINEAR};
        if (!is_for(item, sop_uid, frame) ||
            !lam_dataset_number(item, LAM_TAG_WINDOW_CENTRE, 0, &window.centre) ||
            !lam_dataset_number(item, LAM_TAG_WINDOW_WIDTH, 0, &window.width) || !isfinite(window.centre) ||
            !(window.width > 0) || !isfinite(window.width))
            continue;
        lam_voi_function_of(lam_dataset_text(item, LAM_TAG_VOI_FUNCTION, ""), &window.function);
        *out = window;
        return true;
    }
    return false;
}

/* ---- drawing ---- */

static double scale_x(const lam_canvas *c, bool display)
{
    return display ? c->width : 1;
}

static double scale_y(const lam_canvas *c, bool display)
{
    return display ? c->height : 1;
}

/* The pixel that a place is in; one outside of every canvas for places that no integer holds. */
static int pixel_of(double place)
{
    return (int)fmax(-1, fmin(floor(place), INT16_MAX));
}

/* In pixels from the top left corner of the image. */
static void line(lam_canvas *canvas, const double from[2], const double to[2], const uint8_t rgb[3])
{
    double far = fmax(fabs(to[0] - from[0]), fabs(to[1] - from[1]));
    int steps = (int)fmin(ceil(far), 65536) + 1;
    for (int i = 0; i <= steps; i++) {
        double t = (double)i / steps;
        lam_canvas_set(canvas, pixel_of(from[0] + t * (to[0] - from[0])),
                       pixel_of(from[1] + t * (to[1] - from[1])), rgb);
    }
}

/* Around `centre`; `a` and `b` lead from it to the ends of its axes. */
static void ellipse(lam_canvas *canvas, const double centre[2], const double a[2], const double b[2],
                    const uint8_t rgb[3])
{
    double before[2] = {centre[0] + a[0], centre[1] + a[1]};
    for (int i = 1; i <= ROUND; i++) {
        double angle = 2 * acos(-1) * i / ROUND;
        const double at[2] = {centre[0] + a[0] * cos(angle) + b[0] * sin(angle),
                              centre[1] + a[1] * cos(angle) + b[1] * sin(angle)};
        line(canvas, before, at, rgb);
        memcpy(before, at, sizeof before);
    }
}

/* C.10.5.1.2. An interpolated line goes straight from point to point, which it may not leave by much. */
static void draw_shape(const char *type, const double (*p)[2], size_t count, lam_canvas *canvas,
                       const uint8_t rgb[3])
{
    if (strcmp(type, "CIRCLE") == 0 && count == 2) {
        double radius = hypot(p[1][0] - p[0][0], p[1][1] - p[0][1]);
        ellipse(canvas, p[0], (double[]){radius, 0}, (double[]){0, radius}, rgb);
    } else if (strcmp(type, "ELLIPSE") == 0 &&
               count == 4) { /* ends of the longer axis, then of the shorter one */
        const double centre[2] = {(p[0][0] + p[1][0]) / 2, (p[0][1] + p[1][1]) / 2};
        ellipse(canvas, centre, (double[]){p[1][0] - centre[0], p[1][1] - centre[1]},
                (double[]){(p[3][0] - p[2][0]) / 2, (p[3][1] - p[2][1]) / 2}, rgb);
    } else if (count == 1) {
        line(canvas, p[0], p[0], rgb);
    } else {
        for (size_t i = 1; i < count; i++)
            line(canvas, p[i - 1], p[i], rgb);
    }
}

static lam_status draw_graphic(lam_dataset *graphic, lam_canvas *canvas, const uint8_t rgb[3], lam_error *err)
{
    int64_t count = 0;
    lam_dataset_integer(graphic, POINT_COUNT, 0, &count);
    if (count < 1)
        return LAM_OK;
    if (count > MAX_POINTS)
        return lam_fail(err, LAM_E_LIMIT, "a graphic of %lld points; at most %d are drawn", (long long)count,
                        MAX_POINTS);
    bool display = lam_dataset_is(graphic, GRAPHIC_UNITS, "DISPLAY");
    lam_autofree double(*points)[2] = calloc((size_t)count, sizeof *points);
    if (!points)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a graphic");
    if (!lam_dataset_numbers(graphic, LAM_TAG_GRAPHIC_DATA, points[0], 2 * (size_t)count))
        return LAM_OK;
    for (int64_t i = 0; i < count; i++) {
        points[i][0] *= scale_x(canvas, display);
        points[i][1] *= scale_y(canvas, display);
    }
    draw_shape(lam_dataset_text(graphic, LAM_TAG_GRAPHIC_TYPE, ""), (const double(*)[2])points, (size_t)count,
               canvas, rgb);
    return LAM_OK;
}

static void draw_text(lam_dataset *text, lam_canvas *canvas, const uint8_t rgb[3])
{
    double at[2];
    char ascii[TEXT_LINE + 1];
    bool boxed = lam_dataset_numbers(text, BOX_TOP_LEFT, at, 2);
    if (!boxed && !lam_dataset_numbers(text, ANCHOR, at, 2))
        return;
    bool display = lam_dataset_is(text, boxed ? TEXT_BOX_UNITS : ANCHOR_UNITS, "DISPLAY");
    lam_result_ascii(lam_dataset_text(text, TEXT, ""), TEXT_LINE, ascii);
    double x = at[0] * scale_x(canvas, display), y = at[1] * scale_y(canvas, display);
    if (fabs(x) < 65536 && fabs(y) < 65536)
        lam_canvas_text(canvas, (int)x, (int)y, 1, rgb, ascii);
}

/* White where the layer recommends nothing (C.10.7). */
static void colour_of_layer(lam_dataset *state, const char *name, uint8_t rgb[3])
{
    lam_dataset *layer;
    memset(rgb, 255, 3);
    for (size_t i = 0; (layer = lam_dataset_item(state, LAYERS, i)); i++) {
        double lab[3];
        int64_t grey = 0;
        if (!lam_dataset_is(layer, LAYER, name))
            continue;
        if (lam_dataset_numbers(layer, LAYER_LAB, lab, 3))
            lam_overlay_rgb_of_lab(lab, rgb);
        else if (lam_dataset_integer(layer, LAYER_GREY, 0, &grey))
            memset(rgb, (int)(grey >> 8 & 255), 3);
    }
}

static lam_status draw_annotation(lam_dataset *state, lam_dataset *annotation, lam_canvas *canvas,
                                  lam_error *err)
{
    uint8_t rgb[3];
    lam_dataset *item;
    lam_status status = LAM_OK;
    colour_of_layer(state, lam_dataset_text(annotation, LAYER, ""), rgb);
    for (size_t i = 0; status == LAM_OK && (item = lam_dataset_item(annotation, GRAPHICS, i)); i++)
        status = draw_graphic(item, canvas, rgb, err);
    for (size_t i = 0; (item = lam_dataset_item(annotation, TEXTS, i)); i++)
        draw_text(item, canvas, rgb);
    return status;
}

/* What of the state would change the image and is not done here; NULL: nothing. */
static const char *not_done_here(lam_dataset *state)
{
    static const struct {
        lam_tag tag;
        const char *name;
    } attributes[] = {{SHUTTER, "a display shutter"},
                      {MASKS, "a mask to be subtracted"},
                      {LAM_TAG_MODALITY_LUT, "a modality lookup table"},
                      {PRESENTATION_LUTS, "a presentation lookup table"}};
    for (size_t i = 0; i < LAM_COUNT(attributes); i++)
        if (lam_dataset_has(state, attributes[i].tag))
            return attributes[i].name;
    lam_dataset *voi;
    for (size_t i = 0; (voi = lam_dataset_item(state, VOI, i)); i++)
        if (lam_dataset_has(voi, LAM_TAG_VOI_LUT))
            return "a VOI lookup table";
    int64_t rotation = 0;
    lam_dataset_integer(state, ROTATION, 0, &rotation);
    bool turned = rotation % 360 != 0 || strcmp(lam_dataset_text(state, FLIPPED, "N"), "Y") == 0;
    return turned ? "a turned image" : NULL;
}

lam_status lam_presentation_draw(lam_dataset *state, const char *sop_uid, int64_t frame, bool inverted,
                                 lam_canvas *canvas, lam_error *err)
{
    const char *missing = not_done_here(state);
    if (missing)
        return lam_fail(err, LAM_E_UNSUPPORTED, "a presentation state with %s is not drawn here", missing);
    size_t bytes = 3 * (size_t)canvas->width * (size_t)canvas->height;
    bool inverse = lam_dataset_is(state, LAM_TAG_PRESENTATION_SHAPE, "INVERSE");
    for (size_t i = 0; inverse != inverted && i < bytes; i++)
        canvas->rgb[i] = (uint8_t)(255 - canvas->rgb[i]);
    lam_overlay_planes_draw(state, frame, canvas);
    lam_dataset *annotation;
    lam_status status = LAM_OK;
    for (size_t i = 0; status == LAM_OK && (annotation = lam_dataset_item(state, ANNOTATIONS, i)); i++)
        if (is_for(annotation, sop_uid, frame))
            status = draw_annotation(state, annotation, canvas, err);
    return status;
}
