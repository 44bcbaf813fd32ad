#include "dicom/multiframe.h"

#include <math.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "dicom/tag.h"

static lam_dataset *source_of(const lam_result *result)
{
    return lam_series_slices(result->series)[0].object;
}

void lam_multiframe_set_frame_of_reference(const lam_result *result, lam_dataset *out)
{
    char uid[LAM_UID_TEXT];
    lam_dataset *source = source_of(result);
    lam_result_uid(result, "frame of reference", uid);
    if (!lam_dataset_has(source, LAM_TAG_FRAME_OF_REFERENCE) ||
        !lam_dataset_copy(out, source, LAM_TAG_FRAME_OF_REFERENCE))
        lam_dataset_set_text(out, LAM_TAG_FRAME_OF_REFERENCE, uid);
    if (!lam_dataset_copy(out, source, LAM_TAG_POSITION_INDICATOR))
        lam_dataset_set_empty(out, LAM_TAG_POSITION_INDICATOR);
}

void lam_multiframe_set_lossy(const lam_result *result, lam_dataset *out)
{
    lam_dataset *source = source_of(result);
    bool lossy = strcmp(lam_dataset_text(source, LAM_TAG_LOSSY, "00"), "01") == 0;
    lam_dataset_set_text(out, LAM_TAG_LOSSY, lossy ? "01" : "00");
    if (lossy) {
        lam_dataset_copy(out, source, LAM_TAG_LOSSY_RATIO);
        lam_dataset_copy(out, source, LAM_TAG_LOSSY_METHOD);
    }
}

void lam_multiframe_add_dimensions(const lam_result *result, bool segments, lam_dataset *out)
{
    static const struct {
        lam_tag pointer, group;
        const char *label;
    } indices[] = {{LAM_TAG_REFERENCED_SEGMENT, LAM_TAG_SEGMENT_IDS, "Segment"},
                   {LAM_TAG_POSITION, LAM_TAG_PLANE_POSITIONS, "Slice"}};
    char uid[LAM_UID_TEXT];
    lam_result_uid(result, "dimension organization", uid);
    lam_dataset_set_text(lam_dataset_add(out, LAM_TAG_DIMENSION_ORGANIZATIONS), LAM_TAG_DIMENSION_UID, uid);
    for (size_t i = segments ? 0 : 1; i < LAM_COUNT(indices); i++) {
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

lam_dataset *lam_multiframe_add_shared(const lam_result *result, lam_dataset *out)
{
    lam_dataset *shared = lam_dataset_add(out, LAM_TAG_SHARED_GROUPS);
    lam_dataset_copy(lam_dataset_add(shared, LAM_TAG_PLANE_ORIENTATIONS),
                     lam_series_slices(result->series)[0].orientation_in, LAM_TAG_ORIENTATION);
    set_measures(result, shared);
    return shared;
}

static void add_derivation(const lam_slice *slice, lam_code derivation, lam_dataset *group)
{
    static const lam_code source = {"121322", "DCM", "Source image for image processing operation"};
    lam_dataset *item = lam_dataset_add(group, LAM_TAG_DERIVATION_IMAGES);
    lam_result_code(item, LAM_TAG_DERIVATION_CODES, derivation);
    lam_dataset *image = lam_dataset_add(item, LAM_TAG_SOURCE_IMAGES);
    lam_result_reference(image, lam_dataset_text(slice->object, LAM_TAG_SOP_CLASS, ""),
                         lam_dataset_text(slice->object, LAM_TAG_SOP_INSTANCE, ""));
    if (slice->multi_frame)
        lam_dataset_set_number(image, LAM_TAG_REFERENCED_FRAME, (double)(slice->frame + 1));
    lam_dataset_set_text(image, LAM_TAG_SPATIAL_PRESERVED, "YES");
    lam_result_code(image, LAM_TAG_PURPOSE_CODES, source);
}

lam_dataset *lam_multiframe_add_frame(const lam_slice *slices, size_t slice, int segment, lam_code derivation,
                                      lam_dataset *out)
{
    const lam_slice *from = &slices[slice];
    lam_dataset *group = lam_dataset_add(out, LAM_TAG_FRAME_GROUPS);
    const double indices[2] = {segment, (double)slice + 1};
    lam_dataset_set_numbers(lam_dataset_add(group, LAM_TAG_FRAME_CONTENT), LAM_TAG_DIMENSION_VALUES,
                            segment ? indices : indices + 1, segment ? 2 : 1);
    lam_dataset_copy(lam_dataset_add(group, LAM_TAG_PLANE_POSITIONS), from->position_in, LAM_TAG_POSITION);
    if (segment)
        lam_dataset_set_number(lam_dataset_add(group, LAM_TAG_SEGMENT_IDS), LAM_TAG_REFERENCED_SEGMENT,
                               segment);
    add_derivation(from, derivation, group);
    return group;
}

void lam_multiframe_add_sources(const lam_result *result, lam_dataset *out)
{
    lam_result_add_sources(result, LAM_TAG_REFERENCED_INSTANCES, out);
}
