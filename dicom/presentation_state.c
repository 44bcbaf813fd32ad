#include "dicom/presentation_state.h"

#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "dicom/contour.h"
#include "dicom/tag.h"

#define CREATION_DATE     LAM_TAG(0x0070, 0x0082) /* PresentationCreationDate */
#define CREATION_TIME     LAM_TAG(0x0070, 0x0083)
#define DISPLAYED_AREAS   LAM_TAG(0x0070, 0x005a)
#define AREA_TOP_LEFT     LAM_TAG(0x0070, 0x0052)
#define AREA_BOTTOM_RIGHT LAM_TAG(0x0070, 0x0053)
#define SIZE_MODE         LAM_TAG(0x0070, 0x0100)
#define PIXEL_SPACING     LAM_TAG(0x0070, 0x0101) /* PresentationPixelSpacing */
#define ASPECT_RATIO      LAM_TAG(0x0070, 0x0102)
#define LAYERS            LAM_TAG(0x0070, 0x0060)
#define LAYER             LAM_TAG(0x0070, 0x0002)
#define LAYER_ORDER       LAM_TAG(0x0070, 0x0062)
#define LAYER_LAB         LAM_TAG(0x0070, 0x0401)
#define ANNOTATIONS       LAM_TAG(0x0070, 0x0001)
#define GRAPHICS          LAM_TAG(0x0070, 0x0009)
#define GRAPHIC_UNITS     LAM_TAG(0x0070, 0x0005)
#define GRAPHIC_DIMENSION LAM_TAG(0x0070, 0x0020)
#define POINT_COUNT       LAM_TAG(0x0070, 0x0021)
#define GRAPHIC_FILLED    LAM_TAG(0x0070, 0x0024)
#define TEXTS             LAM_TAG(0x0070, 0x0008)
#define TEXT_UNITS        LAM_TAG(0x0070, 0x0004)
#define TEXT              LAM_TAG(0x0070, 0x0006)
#define ANCHOR            LAM_TAG(0x0070, 0x0014)
#define ANCHOR_VISIBLE    LAM_TAG(0x0070, 0x0015)
#define PRESENTATION_LUT  LAM_TAG(0x2050, 0x0020)

enum { MAX_POINTS = 8000 }; /* of one outline: the attribute holds 64 KiB */

static void reference_slice(const lam_slice *slice, lam_dataset *item)
{
    lam_dataset *image = lam_dataset_add(item, LAM_TAG_REFERENCED_IMAGES);
    lam_result_reference(image, lam_dataset_text(slice->object, LAM_TAG_SOP_CLASS, ""),
                         lam_dataset_text(slice->object, LAM_TAG_SOP_INSTANCE, ""));
    if (slice->multi_frame)
        lam_dataset_set_number(image, LAM_TAG_REFERENCED_FRAME, (double)(slice->frame + 1));
}

/* Presentation State Relationship (PS3.3 C.11.11): every source object. */
static void add_relationship(const lam_result *result, lam_dataset *out)
{
    lam_result_add_sources(result, LAM_TAG_REFERENCED_IMAGES, out);
}

/* The whole image (PS3.3 C.10.4). */
static void add_displayed_area(const lam_result *result, lam_dataset *out)
{
    const lam_grid *grid = lam_series_grid(result->series);
    const double first[2] = {1, 1}, last[2] = {(double)grid->size[2], (double)grid->size[1]};
    lam_dataset *area = lam_dataset_add(out, DISPLAYED_AREAS);
    lam_dataset_set_numbers(area, AREA_TOP_LEFT, first, 2);
    lam_dataset_set_numbers(area, AREA_BOTTOM_RIGHT, last, 2);
    lam_dataset_set_text(area, SIZE_MODE, "SCALE TO FIT");
    if (lam_series_is_placed(result->series))
        lam_dataset_set_numbers(area, PIXEL_SPACING, grid->spacing_mm + 1, 2);
    else
        lam_dataset_set_text(area, ASPECT_RATIO, "1\\1");
}

/* A layer for each segment, in its colour, and one for detections. */
static void layer_name(size_t index, char name[17])
{
    snprintf(name, 17, "LAMINA%u", (unsigned)index + 1);
}

static void add_layers(const lam_result *result, lam_dataset *out)
{
    const lam_findings *f = &result->findings;
    char name[17];
    for (size_t i = 0; i <= f->segment_count; i++) {
        lam_dataset *layer = lam_dataset_add(out, LAYERS);
        layer_name(i, name);
        lam_dataset_set_text(layer, LAYER, name);
        lam_dataset_set_number(layer, LAYER_ORDER, (double)(i + 1));
        if (i == f->segment_count)
            continue;
        const double lab[3] = {f->segments[i].lab[0], f->segments[i].lab[1], f->segments[i].lab[2]};
        lam_dataset_set_numbers(layer, LAYER_LAB, lab, 3);
    }
}

static lam_dataset *add_annotation(const lam_slice *slice, size_t layer, lam_dataset *out)
{
    char name[17];
    lam_dataset *annotation = lam_dataset_add(out, ANNOTATIONS);
    reference_slice(slice, annotation);
    layer_name(layer, name);
    lam_dataset_set_text(annotation, LAYER, name);
    return annotation;
}

static void add_polyline(const double *points, size_t count, lam_dataset *annotation)
{
    lam_dataset *graphic = lam_dataset_add(annotation, GRAPHICS);
    lam_dataset_set_text(graphic, GRAPHIC_UNITS, "PIXEL");
    lam_dataset_set_number(graphic, GRAPHIC_DIMENSION, 2);
    lam_dataset_set_number(graphic, POINT_COUNT, (double)count);
    lam_dataset_set_numbers(graphic, LAM_TAG_GRAPHIC_DATA, points, 2 * count);
    lam_dataset_set_text(graphic, LAM_TAG_GRAPHIC_TYPE, "POLYLINE");
    lam_dataset_set_text(graphic, GRAPHIC_FILLED, "N");
}

static void add_text(const char *text, const double at[2], lam_dataset *annotation)
{
    char ascii[97];
    lam_dataset *item = lam_dataset_add(annotation, TEXTS);
    lam_dataset_set_text(item, TEXT_UNITS, "PIXEL");
    lam_dataset_set_text(item, TEXT, lam_result_ascii(text, 96, ascii));
    lam_dataset_set_numbers(item, ANCHOR, at, 2);
    lam_dataset_set_text(item, ANCHOR_VISIBLE, "N");
}

static lam_status add_segment(const lam_result *result, size_t index, lam_dataset *out, lam_error *err)
{
    char text[97];
    const lam_slice *slices = lam_series_slices_of(result->series, result->findings.segments[index].phase);
    for (size_t z = 0; z < (size_t)lam_series_grid(result->series)->size[0]; z++) {
        LAM_AUTO(lam_contours_done) lam_contours c = {.points = NULL};
        lam_status status = lam_contours_trace(result, index, z, MAX_POINTS, &c, err);
        if (status != LAM_OK)
            return status;
        if (c.count == 0)
            continue;
        lam_dataset *annotation = add_annotation(&slices[z], index, out);
        for (size_t i = 0; i < c.count; i++)
            add_polyline(c.points + 2 * c.list[i].first, c.list[i].count, annotation);
        snprintf(text, sizeof text, "%.60s - %.32s", result->findings.segments[index].label,
                 lam_result_notice(result));
        add_text(text, c.points + 2 * c.list[c.longest].first, annotation);
    }
    return LAM_OK;
}

static void add_detection(const lam_result *result, const lam_detection *detection, lam_dataset *out)
{
    char text[97];
    for (size_t i = 0; i < detection->box_count; i++) {
        const lam_box *box = &detection->boxes[i];
        const double points[] = {box->left,   box->top,  box->right,  box->top,  box->right,
                                 box->bottom, box->left, box->bottom, box->left, box->top};
        lam_dataset *annotation = add_annotation(&lam_series_slices(result->series)[box->slice],
                                                 result->findings.segment_count, out);
        add_polyline(points, LAM_COUNT(points) / 2, annotation);
        snprintf(text, sizeof text, "%.50s %.2f - %.32s", detection->label, box->score,
                 lam_result_notice(result));
        add_text(text, points, annotation);
    }
}

static void set_presentation(const lam_result *result, lam_dataset *out)
{
    char date[16], time[16], text[65];
    lam_result_date(result, date, time);
    lam_dataset_set_text(out, LAM_TAG_CONTENT_LABEL, "FINDINGS");
    lam_dataset_set_text(out, LAM_TAG_CONTENT_DESCRIPTION,
                         lam_result_ascii(result->algorithm.title, 64, text));
    lam_dataset_set_empty(out, LAM_TAG_CONTENT_CREATOR);
    lam_dataset_set_text(out, CREATION_DATE, date);
    lam_dataset_set_text(out, CREATION_TIME, time);
    lam_dataset_remove(out, LAM_TAG_CONTENT_DATE); /* it has a date of its own */
    lam_dataset_remove(out, LAM_TAG_CONTENT_TIME);
    lam_dataset_set_empty(out, LAM_TAG_LATERALITY);
    lam_dataset_set_text(out, PRESENTATION_LUT, "IDENTITY");
}

lam_status lam_presentation_state_create(const lam_result *result, lam_dataset **out, lam_error *err)
{
    char description[65];
    const lam_findings *f = &result->findings;
    LAM_AUTO_PTR(lam_dataset) *object = NULL;
    lam_status status = lam_dataset_create(&object, err);
    if (status != LAM_OK)
        return status;
    snprintf(description, sizeof description, "%s outlines", result->algorithm.title);
    const lam_result_kind kind = {"PR", LAM_PR_SOP_CLASS, 4, description, NULL};
    lam_result_begin(result, &kind, object);
    set_presentation(result, object);
    add_relationship(result, object);
    add_displayed_area(result, object);
    add_layers(result, object);
    for (size_t i = 0; i < f->segment_count && status == LAM_OK; i++)
        status = add_segment(result, i, object, err);
    if (status != LAM_OK)
        return status;
    for (size_t i = 0; i < f->detection_count; i++)
        add_detection(result, &f->detections[i], object);
    status = lam_dataset_status(object, err);
    if (status == LAM_OK)
        *out = LAM_TAKE_PTR(object);
    return status;
}
