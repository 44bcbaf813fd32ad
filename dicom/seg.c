#include "dicom/seg.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "dicom/tag.h"

/* One frame of the object: which segment on which slice. */
typedef struct frame {
    int segment; /* index */
    size_t slice;
} frame;

typedef struct frames {
    frame *list;
    size_t count;
} frames;

static void frames_done(frames *f)
{
    free(f->list);
}

static size_t slice_voxels(const lam_result *result)
{
    const int64_t *size = lam_series_grid(result->series)->size;
    return (size_t)(size[1] * size[2]);
}

static lam_status choose_frames(const lam_result *result, frames *out, lam_error *err)
{
    size_t slices = (size_t)lam_series_grid(result->series)->size[0], voxels = slice_voxels(result);
    frames f = {.list = calloc(slices * result->findings.segment_count, sizeof *f.list)};
    if (!f.list)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t s = 0; s < result->findings.segment_count; s++)
        for (size_t z = 0; z < slices; z++)
            if (memchr(result->findings.labels + z * voxels, result->findings.segments[s].number, voxels))
                f.list[f.count++] = (frame){(int)s, z};
    bool nothing = f.count == 0;
    for (size_t s = 0; s < result->findings.segment_count && nothing; s++)
        f.list[f.count++] = (frame){(int)s, 0};
    *out = f;
    return LAM_OK;
}

void lam_seg_pack(const uint8_t *labels, size_t count, uint8_t label, uint8_t *bits, uint64_t offset)
{
    for (size_t i = 0; i < count; i++, offset++)
        bits[offset / 8] |= (uint8_t)((labels[i] == label) << (offset % 8));
}

static lam_status set_pixels(const lam_result *result, const frames *f, lam_dataset *out, lam_error *err)
{
    size_t voxels = slice_voxels(result);
    uint64_t bytes = ((uint64_t)f->count * voxels + 7) / 8;
    bytes += bytes % 2;
    if (bytes > UINT32_MAX - 1)
        return lam_fail(err, LAM_E_LIMIT, "a segmentation of %llu bytes does not fit into one object",
                        (unsigned long long)bytes);
    lam_autofree uint8_t *bits = calloc(1, (size_t)bytes);
    if (!bits)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for %llu bytes of segmentation",
                        (unsigned long long)bytes);
    for (size_t i = 0; i < f->count; i++)
        lam_seg_pack(result->findings.labels + f->list[i].slice * voxels, voxels,
                     (uint8_t)result->findings.segments[f->list[i].segment].number, bits,
                     (uint64_t)i * voxels);
    lam_dataset_set_bytes(out, LAM_TAG_PIXELS, bits, (size_t)bytes);
    return LAM_OK;
}

static void set_image(const lam_result *result, const frames *f, lam_dataset *out)
{
    static const struct {
        lam_tag tag;
        double number;
    } numbers[] = {{LAM_TAG_SAMPLES, 1},
                   {LAM_TAG_BITS_ALLOCATED, 1},
                   {LAM_TAG_BITS_STORED, 1},
                   {LAM_TAG_HIGH_BIT, 0},
                   {LAM_TAG_PIXEL_SIGN, 0}};
    const int64_t *size = lam_series_grid(result->series)->size;
    char text[65];
    for (size_t i = 0; i < LAM_COUNT(numbers); i++)
        lam_dataset_set_number(out, numbers[i].tag, numbers[i].number);
    lam_dataset_set_text(out, LAM_TAG_PHOTOMETRIC, "MONOCHROME2");
    lam_dataset_set_number(out, LAM_TAG_ROWS, (double)size[1]);
    lam_dataset_set_number(out, LAM_TAG_COLUMNS, (double)size[2]);
    lam_dataset_set_number(out, LAM_TAG_FRAMES, (double)f->count);
    lam_dataset_set_text(out, LAM_TAG_IMAGE_TYPE, "DERIVED\\PRIMARY");
    lam_dataset_set_text(out, LAM_TAG_IMAGE_COMMENTS, "Not for clinical use");
    lam_dataset_set_text(out, LAM_TAG_SEGMENTATION_TYPE, "BINARY");
    lam_dataset_set_text(out, LAM_TAG_SEGMENTS_OVERLAP, "NO");
    lam_dataset_set_text(out, LAM_TAG_CONTENT_LABEL, "SEGMENTATION");
    lam_dataset_set_text(out, LAM_TAG_CONTENT_DESCRIPTION,
                         lam_result_ascii(result->algorithm.title, 64, text));
    lam_dataset_set_empty(out, LAM_TAG_CONTENT_CREATOR);
}

/* Old sources may lack one; then the result has its own, as an object with positions cannot be without. */
static void set_frame_of_reference(const lam_result *result, lam_dataset *source, lam_dataset *out)
{
    char uid[LAM_UID_TEXT];
    lam_result_uid(result, "frame of reference", uid);
    if (!lam_dataset_has(source, LAM_TAG_FRAME_OF_REFERENCE) ||
        !lam_dataset_copy(out, source, LAM_TAG_FRAME_OF_REFERENCE))
        lam_dataset_set_text(out, LAM_TAG_FRAME_OF_REFERENCE, uid);
    if (!lam_dataset_copy(out, source, LAM_TAG_POSITION_INDICATOR))
        lam_dataset_set_empty(out, LAM_TAG_POSITION_INDICATOR);
}

/* Whether the source had lost information already (PS3.3 C.7.6.1.1.5); the mask adds no loss. */
static void set_lossy(lam_dataset *source, lam_dataset *out)
{
    bool lossy = strcmp(lam_dataset_text(source, LAM_TAG_LOSSY, "00"), "01") == 0;
    lam_dataset_set_text(out, LAM_TAG_LOSSY, lossy ? "01" : "00");
    if (lossy) {
        lam_dataset_copy(out, source, LAM_TAG_LOSSY_RATIO);
        lam_dataset_copy(out, source, LAM_TAG_LOSSY_METHOD);
    }
}

static void add_segments(const lam_result *result, lam_dataset *out)
{
    static const lam_code family = {"123110", "DCM", "Artificial Intelligence"};
    char text[65], long_text[1025], role[32], uid[LAM_UID_TEXT];
    for (size_t i = 0; i < result->findings.segment_count; i++) {
        const lam_segment *segment = &result->findings.segments[i];
        lam_dataset *item = lam_dataset_add(out, LAM_TAG_SEGMENTS);
        lam_dataset_set_number(item, LAM_TAG_SEGMENT_NUMBER, segment->number);
        lam_dataset_set_text(item, LAM_TAG_SEGMENT_LABEL, lam_result_ascii(segment->label, 64, text));
        if (segment->description && *segment->description)
            lam_dataset_set_text(item, LAM_TAG_SEGMENT_DESCRIPTION,
                                 lam_result_ascii(segment->description, 1024, long_text));
        lam_dataset_set_text(item, LAM_TAG_SEGMENT_ALGORITHM_TYPE, "AUTOMATIC");
        lam_dataset_set_text(item, LAM_TAG_SEGMENT_ALGORITHM_NAME,
                             lam_result_ascii(result->algorithm.name, 64, text));
        lam_dataset *algorithm = lam_dataset_add(item, LAM_TAG_SEGMENT_ALGORITHM_IDS);
        lam_result_code(algorithm, LAM_TAG_ALGORITHM_FAMILY, family);
        lam_dataset_set_text(algorithm, LAM_TAG_ALGORITHM_NAME,
                             lam_result_ascii(result->algorithm.name, 64, text));
        lam_dataset_set_text(algorithm, LAM_TAG_ALGORITHM_VERSION,
                             lam_result_ascii(result->algorithm.version, 64, text));
        snprintf(long_text, sizeof long_text, "weights sha256 %s", result->algorithm.weights_sha256);
        lam_dataset_set_text(algorithm, LAM_TAG_ALGORITHM_PARAMETERS, long_text);
        lam_result_code(item, LAM_TAG_PROPERTY_CATEGORY, segment->category);
        lam_result_code(item, LAM_TAG_PROPERTY_TYPE, segment->type);
        if (segment->type_modifier.value)
            lam_result_code(lam_dataset_item(item, LAM_TAG_PROPERTY_TYPE, 0), LAM_TAG_PROPERTY_MODIFIER,
                            segment->type_modifier);
        lam_result_code(item, LAM_TAG_ANATOMIC_REGION, segment->anatomy);
        if (segment->anatomy.value && segment->anatomy_modifier.value)
            lam_result_code(lam_dataset_item(item, LAM_TAG_ANATOMIC_REGION, 0), LAM_TAG_ANATOMIC_MODIFIER,
                            segment->anatomy_modifier);
        snprintf(role, sizeof role, "segment %d", segment->number);
        lam_result_uid(result, role, uid);
        lam_dataset_set_text(item, LAM_TAG_TRACKING_ID, lam_result_ascii(segment->label, 64, text));
        lam_dataset_set_text(item, LAM_TAG_TRACKING_UID, uid);
        double lab[3] = {segment->lab[0], segment->lab[1], segment->lab[2]};
        lam_dataset_set_numbers(item, LAM_TAG_DISPLAY_LAB, lab, 3);
    }
}

static void add_dimensions(const lam_result *result, lam_dataset *out)
{
    static const struct {
        lam_tag pointer, group;
        const char *label;
    } indices[] = {{LAM_TAG_REFERENCED_SEGMENT, LAM_TAG_SEGMENT_IDS, "Segment"},
                   {LAM_TAG_POSITION, LAM_TAG_PLANE_POSITIONS, "Slice"}};
    char uid[LAM_UID_TEXT];
    lam_result_uid(result, "dimension organization", uid);
    lam_dataset_set_text(lam_dataset_add(out, LAM_TAG_DIMENSION_ORGANIZATIONS), LAM_TAG_DIMENSION_UID, uid);
    for (size_t i = 0; i < LAM_COUNT(indices); i++) {
        lam_dataset *item = lam_dataset_add(out, LAM_TAG_DIMENSION_INDICES);
        lam_dataset_set_text(item, LAM_TAG_DIMENSION_UID, uid);
        lam_dataset_set_tags(item, LAM_TAG_DIMENSION_POINTER, &indices[i].pointer, 1);
        lam_dataset_set_tags(item, LAM_TAG_DIMENSION_GROUP, &indices[i].group, 1);
        lam_dataset_set_text(item, LAM_TAG_DIMENSION_LABEL, indices[i].label);
    }
}

/* Text where the source has it; the distance between slices is measured from their positions, and the
 * source's own text for it is kept when it says the same. */
static void set_measures(const lam_result *result, lam_dataset *group)
{
    const lam_slice *slice = &lam_series_slices(result->series)[0];
    double step = lam_series_grid(result->series)->spacing_mm[0], said = 0;
    lam_dataset *item = lam_dataset_add(group, LAM_TAG_PIXEL_MEASURES);
    lam_dataset_copy(item, slice->measures_in, LAM_TAG_PIXEL_SPACING);
    if (lam_dataset_number(slice->measures_in, LAM_TAG_SLICE_SPACING, 0, &said) &&
        fabs(said - step) < 1e-3 * step)
        lam_dataset_copy(item, slice->measures_in, LAM_TAG_SLICE_SPACING);
    else
        lam_dataset_set_number(item, LAM_TAG_SLICE_SPACING, round(step * 1e6) / 1e6);
    if (!lam_dataset_has(slice->measures_in, LAM_TAG_SLICE_THICKNESS) ||
        !lam_dataset_copy(item, slice->measures_in, LAM_TAG_SLICE_THICKNESS))
        lam_dataset_set_number(item, LAM_TAG_SLICE_THICKNESS, round(step * 1e6) / 1e6);
}

static void add_derivation(const lam_slice *slice, lam_dataset *group)
{
    static const lam_code segmentation = {"113076", "DCM", "Segmentation"};
    static const lam_code source = {"121322", "DCM", "Source image for image processing operation"};
    lam_dataset *item = lam_dataset_add(group, LAM_TAG_DERIVATION_IMAGES);
    lam_result_code(item, LAM_TAG_DERIVATION_CODES, segmentation);
    lam_dataset *image = lam_dataset_add(item, LAM_TAG_SOURCE_IMAGES);
    lam_result_reference(image, lam_dataset_text(slice->object, LAM_TAG_SOP_CLASS, ""),
                         lam_dataset_text(slice->object, LAM_TAG_SOP_INSTANCE, ""));
    if (slice->multi_frame)
        lam_dataset_set_number(image, LAM_TAG_REFERENCED_FRAME, (double)(slice->frame + 1));
    lam_dataset_set_text(image, LAM_TAG_SPATIAL_PRESERVED, "YES");
    lam_result_code(image, LAM_TAG_PURPOSE_CODES, source);
}

static void add_groups(const lam_result *result, const frames *f, lam_dataset *out)
{
    const lam_slice *slices = lam_series_slices(result->series);
    lam_dataset *shared = lam_dataset_add(out, LAM_TAG_SHARED_GROUPS);
    lam_dataset_copy(lam_dataset_add(shared, LAM_TAG_PLANE_ORIENTATIONS), slices[0].orientation_in,
                     LAM_TAG_ORIENTATION);
    set_measures(result, shared);
    for (size_t i = 0; i < f->count; i++) {
        const frame *one = &f->list[i];
        const lam_slice *slice = &slices[one->slice];
        int number = result->findings.segments[one->segment].number;
        lam_dataset *group = lam_dataset_add(out, LAM_TAG_FRAME_GROUPS);
        const double indices[2] = {number, (double)one->slice + 1};
        lam_dataset_set_numbers(lam_dataset_add(group, LAM_TAG_FRAME_CONTENT), LAM_TAG_DIMENSION_VALUES,
                                indices, 2);
        lam_dataset_copy(lam_dataset_add(group, LAM_TAG_PLANE_POSITIONS), slice->position_in,
                         LAM_TAG_POSITION);
        lam_dataset_set_number(lam_dataset_add(group, LAM_TAG_SEGMENT_IDS), LAM_TAG_REFERENCED_SEGMENT,
                               number);
        add_derivation(slice, group);
    }
}

/* Common Instance Reference (PS3.3 C.12.2): every source object. */
static void add_source_series(const lam_result *result, lam_dataset *out)
{
    lam_dataset *series = lam_dataset_add(out, LAM_TAG_REFERENCED_SERIES);
    lam_dataset_copy(series, lam_series_object(result->series, 0), LAM_TAG_SERIES);
    const lam_slice *slices = lam_series_slices(result->series);
    size_t count = (size_t)lam_series_grid(result->series)->size[0];
    for (size_t i = 0; i < count; i++) {
        if (slices[i].frame != 0)
            continue; /* once for each object */
        lam_result_reference(lam_dataset_add(series, LAM_TAG_REFERENCED_INSTANCES),
                             lam_dataset_text(slices[i].object, LAM_TAG_SOP_CLASS, ""),
                             lam_dataset_text(slices[i].object, LAM_TAG_SOP_INSTANCE, ""));
    }
}

lam_status lam_seg_create(const lam_result *result, lam_dataset **out, lam_error *err)
{
    char description[65];
    snprintf(description, sizeof description, "%s segmentation", result->algorithm.title);
    const lam_result_kind kind = {"SEG", LAM_SEG_SOP_CLASS, 1, description};
    lam_dataset *source = lam_series_slices(result->series)[0].object;
    LAM_AUTO_PTR(lam_dataset) *object = NULL;
    LAM_AUTO(frames_done) frames f = {NULL, 0};
    lam_status status = lam_dataset_create(&object, err);
    if (status == LAM_OK)
        status = choose_frames(result, &f, err);
    if (status != LAM_OK)
        return status;
    lam_result_begin(result, &kind, object);
    set_frame_of_reference(result, source, object);
    set_image(result, &f, object);
    set_lossy(source, object);
    add_segments(result, object);
    add_dimensions(result, object);
    add_groups(result, &f, object);
    add_source_series(result, object);
    status = set_pixels(result, &f, object, err);
    if (status == LAM_OK)
        status = lam_dataset_status(object, err);
    if (status == LAM_OK)
        *out = LAM_TAKE_PTR(object);
    return status;
}
