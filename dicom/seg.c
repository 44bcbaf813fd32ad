#include "dicom/seg.h"

#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "dicom/multiframe.h"
#include "dicom/seg_frames.h"
#include "dicom/tag.h"

const char *lam_seg_sop_class(lam_seg_form form)
{
    return form == LAM_SEG_LABELMAP ? LAM_LABELMAP_SOP_CLASS : LAM_SEG_SOP_CLASS;
}

/* How each form says what its pixels are (PS3.3 C.8.20.2). */
static const struct {
    const char *type, *fractional;
    int bits, maximum;
} forms[] = {
    [LAM_SEG_BINARY] = {"BINARY", NULL, 1, 0},
    [LAM_SEG_OCCUPANCY] = {"FRACTIONAL", "OCCUPANCY", 8, 1},
    [LAM_SEG_PROBABILITY] = {"FRACTIONAL", "PROBABILITY", 8, 255},
    [LAM_SEG_LABELMAP] = {"LABELMAP", NULL, 8, 0},
};

static lam_status set_pixels(const lam_result *result, const lam_seg_frames *f, lam_dataset *out,
                             lam_error *err)
{
    uint64_t bytes = lam_seg_frames_bytes(result, f);
    if (bytes > UINT32_MAX - 1)
        return lam_fail(err, LAM_E_LIMIT, "a segmentation of %llu bytes does not fit into one object",
                        (unsigned long long)bytes);
    uint8_t *pixels = lam_dataset_make_bytes(out, LAM_TAG_PIXELS, (size_t)bytes);
    if (!pixels)
        return lam_dataset_status(out, err);
    lam_seg_frames_fill(result, f, pixels);
    return LAM_OK;
}

static void set_image(const lam_result *result, const lam_seg_frames *f, lam_dataset *out)
{
    const int64_t *size = lam_series_grid(result->series)->size;
    const struct {
        lam_tag tag;
        double number;
    } numbers[] = {
        {LAM_TAG_SAMPLES, 1},
        {LAM_TAG_ROWS, (double)size[1]},
        {LAM_TAG_COLUMNS, (double)size[2]},
        {LAM_TAG_FRAMES, (double)f->count},
        {LAM_TAG_BITS_ALLOCATED, forms[f->form].bits},
        {LAM_TAG_BITS_STORED, forms[f->form].bits},
        {LAM_TAG_HIGH_BIT, forms[f->form].bits - 1},
        {LAM_TAG_PIXEL_SIGN, 0},
    };
    char text[65];
    for (size_t i = 0; i < LAM_COUNT(numbers); i++)
        lam_dataset_set_number(out, numbers[i].tag, numbers[i].number);
    lam_dataset_set_text(out, LAM_TAG_PHOTOMETRIC, "MONOCHROME2");
    lam_dataset_set_text(out, LAM_TAG_IMAGE_TYPE, "DERIVED\\PRIMARY");
    lam_dataset_set_text(out, LAM_TAG_IMAGE_COMMENTS, "Not for clinical use");
    lam_dataset_set_text(out, LAM_TAG_SEGMENTATION_TYPE, forms[f->form].type);
    if (forms[f->form].fractional) {
        lam_dataset_set_text(out, LAM_TAG_FRACTIONAL_TYPE, forms[f->form].fractional);
        lam_dataset_set_number(out, LAM_TAG_MAXIMUM_FRACTIONAL, forms[f->form].maximum);
    }
    if (f->form == LAM_SEG_LABELMAP)
        lam_dataset_set_number(out, LAM_TAG_PADDING, 0); /* 0 is no segment */
    lam_dataset_set_text(out, LAM_TAG_SEGMENTS_OVERLAP, f->overlap ? "YES" : "NO");
    lam_dataset_set_text(out, LAM_TAG_CONTENT_LABEL, "SEGMENTATION");
    lam_dataset_set_text(out, LAM_TAG_CONTENT_DESCRIPTION,
                         lam_result_ascii(result->algorithm.title, 64, text));
    lam_dataset_set_empty(out, LAM_TAG_CONTENT_CREATOR);
}

/* ---- segments ---- */

static void add_algorithm(const lam_algorithm *algorithm, lam_dataset *item)
{
    static const lam_code family = {"123110", "DCM", "Artificial Intelligence"};
    char text[65], parameters[128];
    lam_dataset_set_text(item, LAM_TAG_SEGMENT_ALGORITHM_TYPE, "AUTOMATIC");
    lam_dataset_set_text(item, LAM_TAG_SEGMENT_ALGORITHM_NAME, lam_result_ascii(algorithm->name, 64, text));
    lam_dataset *id = lam_dataset_add(item, LAM_TAG_SEGMENT_ALGORITHM_IDS);
    lam_result_code(id, LAM_TAG_ALGORITHM_FAMILY, family);
    lam_dataset_set_text(id, LAM_TAG_ALGORITHM_NAME, lam_result_ascii(algorithm->name, 64, text));
    lam_dataset_set_text(id, LAM_TAG_ALGORITHM_VERSION, lam_result_ascii(algorithm->version, 64, text));
    snprintf(parameters, sizeof parameters, "weights sha256 %s", algorithm->weights_sha256);
    lam_dataset_set_text(id, LAM_TAG_ALGORITHM_PARAMETERS, parameters);
}

static void add_codes(const lam_segment *segment, lam_dataset *item)
{
    lam_result_code(item, LAM_TAG_PROPERTY_CATEGORY, segment->category);
    lam_result_code(item, LAM_TAG_PROPERTY_TYPE, segment->type);
    if (segment->type_modifier.value)
        lam_result_code(lam_dataset_item(item, LAM_TAG_PROPERTY_TYPE, 0), LAM_TAG_PROPERTY_MODIFIER,
                        segment->type_modifier);
    lam_result_code(item, LAM_TAG_ANATOMIC_REGION, segment->anatomy);
    if (segment->anatomy.value && segment->anatomy_modifier.value)
        lam_result_code(lam_dataset_item(item, LAM_TAG_ANATOMIC_REGION, 0), LAM_TAG_ANATOMIC_MODIFIER,
                        segment->anatomy_modifier);
}

static void add_segment(const lam_result *result, size_t index, lam_dataset *out)
{
    const lam_segment *segment = &result->findings.segments[index];
    char text[65], description[1025], uid[LAM_UID_TEXT];
    lam_dataset *item = lam_dataset_add(out, LAM_TAG_SEGMENTS);
    lam_dataset_set_number(item, LAM_TAG_SEGMENT_NUMBER, lam_result_segment_number(result, index));
    lam_dataset_set_text(item, LAM_TAG_SEGMENT_LABEL, lam_result_ascii(segment->label, 64, text));
    if (segment->description && *segment->description)
        lam_dataset_set_text(item, LAM_TAG_SEGMENT_DESCRIPTION,
                             lam_result_ascii(segment->description, 1024, description));
    add_algorithm(&result->algorithm, item);
    add_codes(segment, item);
    lam_result_tracking_uid(result, "segment", segment->number, uid);
    lam_dataset_set_text(item, LAM_TAG_TRACKING_ID, lam_result_ascii(segment->label, 64, text));
    lam_dataset_set_text(item, LAM_TAG_TRACKING_UID, uid);
    const double lab[3] = {segment->lab[0], segment->lab[1], segment->lab[2]};
    lam_dataset_set_numbers(item, LAM_TAG_DISPLAY_LAB, lab, 3);
}

/* ---- the object ---- */

static void add_groups(const lam_result *result, const lam_seg_frames *f, lam_dataset *out)
{
    static const lam_code segmentation = {"113076", "DCM", "Segmentation"};
    lam_multiframe_add_dimensions(result, f->form != LAM_SEG_LABELMAP, out);
    lam_multiframe_add_shared(result, out);
    for (size_t i = 0; i < f->count; i++) {
        int segment = f->list[i].segment;
        size_t phase = segment < 0 ? 0 : result->findings.segments[segment].phase;
        lam_multiframe_add_frame(lam_series_slices_of(result->series, phase), f->list[i].slice,
                                 segment < 0 ? 0 : lam_result_segment_number(result, (size_t)segment),
                                 segmentation, out);
    }
    lam_multiframe_add_sources(result, out);
}

lam_status lam_seg_create(const lam_result *result, lam_dataset **out, lam_error *err)
{
    char description[65];
    LAM_AUTO_PTR(lam_dataset) *object = NULL;
    LAM_AUTO(lam_seg_frames_done) lam_seg_frames f = {.list = NULL};
    if (result->findings.segment_count == 0)
        return lam_fail(err, LAM_E_STATE, "there are no segments to write");
    if (!lam_series_is_placed(result->series))
        return lam_fail(err, LAM_E_STATE, "the images have no place that segments could share");
    lam_status status = lam_dataset_create(&object, err);
    if (status == LAM_OK)
        status = lam_seg_frames_choose(result, &f, err);
    if (status != LAM_OK)
        return status;
    snprintf(description, sizeof description, "%s segmentation", result->algorithm.title);
    const lam_result_kind kind = {"SEG", lam_seg_sop_class(f.form), 1, description, NULL};
    lam_result_begin(result, &kind, object);
    lam_multiframe_set_frame_of_reference(result, object);
    set_image(result, &f, object);
    lam_multiframe_set_lossy(result, object);
    for (size_t i = 0; i < result->findings.segment_count; i++)
        if (lam_result_segment_number(result, i))
            add_segment(result, i, object);
    add_groups(result, &f, object);
    status = set_pixels(result, &f, object, err);
    if (status == LAM_OK)
        status = lam_dataset_status(object, err);
    if (status == LAM_OK)
        *out = LAM_TAKE_PTR(object);
    return status;
}
