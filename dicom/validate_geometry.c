/* Rules about pixels, segments, frames and where they lie (validate.h). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "dicom/groups.h"
#include "dicom/seg.h"
#include "dicom/validate_rules.h"

static double number_of(lam_dataset *dataset, lam_tag tag)
{
    double number = 0;
    return lam_dataset_number(dataset, tag, 0, &number) ? number : 0;
}

/* ---- pixels ---- */

void lam_validate_pixels(lam_validation *v)
{
    static const lam_rule_name pixels = {LAM_TAG_PIXELS, "PixelData", "PS3.5 8.1.1"};
    static const lam_rule_name bits = {LAM_TAG_BITS_ALLOCATED, "BitsAllocated", "PS3.3 C.8.20.2"};
    static const lam_rule_name high = {LAM_TAG_HIGH_BIT, "HighBit", "PS3.3 C.7.6.3"};
    lam_dataset *o = v->object;
    double allocated = number_of(o, LAM_TAG_BITS_ALLOCATED), frames = fmax(1, number_of(o, LAM_TAG_FRAMES));
    bool segmentation = lam_dataset_has(o, LAM_TAG_SEGMENTATION_TYPE);
    if (segmentation && allocated != (lam_dataset_is(o, LAM_TAG_SEGMENTATION_TYPE, "BINARY") ? 1 : 8))
        lam_validate_tell(v, &bits, "is %g in a segmentation of type %.16s", allocated,
                          lam_dataset_text(o, LAM_TAG_SEGMENTATION_TYPE, ""));
    if (number_of(o, LAM_TAG_HIGH_BIT) != number_of(o, LAM_TAG_BITS_STORED) - 1)
        lam_validate_tell(v, &high, "is not one less than BitsStored");
    size_t length = lam_dataset_length(o, LAM_TAG_PIXELS);
    double wanted = ceil(frames * number_of(o, LAM_TAG_ROWS) * number_of(o, LAM_TAG_COLUMNS) *
                         number_of(o, LAM_TAG_SAMPLES) * allocated / 8);
    if (length == 0)
        lam_validate_tell(v, &pixels, "is missing");
    else if (length != UINT32_MAX && fabs((double)length - wanted) > 1)
        lam_validate_tell(v, &pixels, "has %zu bytes instead of %.0f", length, wanted);
}

/* ---- segments ---- */

static void check_segment(lam_validation *v, lam_dataset *segment, size_t position, bool labelmap)
{
    static const struct {
        lam_rule_name name;
        bool sequence;
    } needed[] = {
        {{LAM_TAG_SEGMENT_LABEL, "SegmentLabel", "PS3.3 C.8.20.4"}, false},
        {{LAM_TAG_SEGMENT_ALGORITHM_TYPE, "SegmentAlgorithmType", "PS3.3 C.8.20.4"}, false},
        {{LAM_TAG_SEGMENT_ALGORITHM_NAME, "SegmentAlgorithmName", "PS3.3 C.8.20.4"}, false},
        {{LAM_TAG_PROPERTY_CATEGORY, "SegmentedPropertyCategoryCodeSequence", "PS3.3 C.8.20.4"}, true},
        {{LAM_TAG_PROPERTY_TYPE, "SegmentedPropertyTypeCodeSequence", "PS3.3 C.8.20.4"}, true},
    };
    static const lam_rule_name number = {LAM_TAG_SEGMENT_NUMBER, "SegmentNumber", "PS3.3 C.8.20.4"};
    static const lam_rule_name tracking = {LAM_TAG_TRACKING_UID, "TrackingUID", "PS3.3 C.8.20.4"};
    if (!labelmap && number_of(segment, LAM_TAG_SEGMENT_NUMBER) != (double)position + 1)
        lam_validate_tell(v, &number, "is %g in item %zu: segments are numbered from 1 without gaps",
                          number_of(segment, LAM_TAG_SEGMENT_NUMBER), position + 1);
    for (size_t i = 0; i < LAM_COUNT(needed); i++) {
        lam_dataset *code = needed[i].sequence ? lam_dataset_item(segment, needed[i].name.tag, 0) : NULL;
        bool there = needed[i].sequence ? code && lam_dataset_has(code, LAM_TAG_CODE_VALUE) &&
                                              lam_dataset_has(code, LAM_TAG_CODE_MEANING)
                                        : lam_dataset_has(segment, needed[i].name.tag);
        if (!there)
            lam_validate_tell(v, &needed[i].name, "is missing or incomplete in segment %zu", position + 1);
    }
    if (lam_dataset_has(segment, LAM_TAG_TRACKING_ID) != lam_dataset_has(segment, LAM_TAG_TRACKING_UID))
        lam_validate_tell(v, &tracking, "and TrackingID come together or not at all (segment %zu)",
                          position + 1);
}

void lam_validate_segments(lam_validation *v)
{
    static const lam_rule_name type = {LAM_TAG_FRACTIONAL_TYPE, "SegmentationFractionalType",
                                       "PS3.3 C.8.20.2"};
    bool labelmap = lam_dataset_is(v->object, LAM_TAG_SOP_CLASS, LAM_LABELMAP_SOP_CLASS);
    for (size_t i = 0; i < lam_dataset_items(v->object, LAM_TAG_SEGMENTS); i++)
        check_segment(v, lam_dataset_item(v->object, LAM_TAG_SEGMENTS, i), i, labelmap);
    if (lam_dataset_is(v->object, LAM_TAG_SEGMENTATION_TYPE, "FRACTIONAL") &&
        (!lam_dataset_has(v->object, LAM_TAG_FRACTIONAL_TYPE) ||
         !lam_dataset_has(v->object, LAM_TAG_MAXIMUM_FRACTIONAL)))
        lam_validate_tell(v, &type, "or MaximumFractionalValue is missing in a FRACTIONAL segmentation");
}

/* ---- frames ---- */

static void check_frame(lam_validation *v, size_t frame)
{
    static const lam_rule_name reference = {LAM_TAG_REFERENCED_SEGMENT, "ReferencedSegmentNumber",
                                            "PS3.3 C.8.20.3.1"};
    static const lam_rule_name index = {LAM_TAG_DIMENSION_VALUES, "DimensionIndexValues", "PS3.3 C.7.6.17"};
    static const lam_rule_name source = {LAM_TAG_SOURCE_IMAGES, "SourceImageSequence", "PS3.3 C.7.6.16.2.6"};
    lam_dataset *o = v->object;
    lam_dataset *segment = lam_groups_item(o, LAM_TAG_SEGMENT_IDS, frame);
    double number = segment ? number_of(segment, LAM_TAG_REFERENCED_SEGMENT) : 0;
    bool per_segment = lam_dataset_is(o, LAM_TAG_SOP_CLASS, LAM_SEG_SOP_CLASS);
    if (per_segment && !(number >= 1 && number <= (double)lam_dataset_items(o, LAM_TAG_SEGMENTS)))
        lam_validate_tell(v, &reference, "is %g in frame %zu; no segment has that number", number, frame + 1);
    lam_dataset *content = lam_groups_item(o, LAM_TAG_FRAME_CONTENT, frame);
    size_t values = content ? lam_dataset_count(content, LAM_TAG_DIMENSION_VALUES) : 0;
    if (values != lam_dataset_items(o, LAM_TAG_DIMENSION_INDICES))
        lam_validate_tell(v, &index, "has %zu values in frame %zu, not one for each dimension", values,
                          frame + 1);
    lam_dataset *derivation = lam_groups_item(o, LAM_TAG_DERIVATION_IMAGES, frame);
    if (!derivation || lam_dataset_items(derivation, LAM_TAG_SOURCE_IMAGES) == 0)
        lam_validate_tell(v, &source, "does not say which image frame %zu was made from", frame + 1);
}

void lam_validate_frames(lam_validation *v)
{
    static const lam_rule_name groups = {LAM_TAG_FRAME_GROUPS, "PerFrameFunctionalGroupsSequence",
                                         "PS3.3 C.7.6.16"};
    size_t items = lam_dataset_items(v->object, LAM_TAG_FRAME_GROUPS);
    if ((double)items != number_of(v->object, LAM_TAG_FRAMES))
        lam_validate_tell(v, &groups, "has %zu items for %g frames", items,
                          number_of(v->object, LAM_TAG_FRAMES));
    for (size_t i = 0; i < items && !lam_validate_full(v); i++)
        check_frame(v, i);
}

/* ---- planes ---- */

static bool is_orientation(const double o[6])
{
    double row = 0, column = 0, skew = 0;
    for (int i = 0; i < 3; i++) {
        row += o[i] * o[i];
        column += o[3 + i] * o[3 + i];
        skew += o[i] * o[3 + i];
    }
    return fabs(row - 1) < 0.02 && fabs(column - 1) < 0.02 && fabs(skew) < 0.01;
}

static const lam_rule_name orientation_rule = {LAM_TAG_ORIENTATION, "ImageOrientationPatient",
                                               "PS3.3 C.7.6.16.2.4"};
static const lam_rule_name position_rule = {LAM_TAG_POSITION, "ImagePositionPatient", "PS3.3 C.7.6.16.2.3"};
static const lam_rule_name measures_rule = {LAM_TAG_PIXEL_MEASURES, "PixelMeasuresSequence",
                                            "PS3.3 C.7.6.16.2.1"};

static bool orientation_of(lam_dataset *object, size_t frame, double out[6])
{
    lam_dataset *item = lam_groups_item(object, LAM_TAG_PLANE_ORIENTATIONS, frame);
    return item && lam_dataset_numbers(item, LAM_TAG_ORIENTATION, out, 6);
}

static bool position_of(lam_dataset *object, size_t frame, double out[3])
{
    lam_dataset *item = lam_groups_item(object, LAM_TAG_PLANE_POSITIONS, frame);
    return item && lam_dataset_numbers(item, LAM_TAG_POSITION, out, 3);
}

static double along(const double o[6], const double p[3])
{
    return p[0] * (o[1] * o[5] - o[2] * o[4]) + p[1] * (o[2] * o[3] - o[0] * o[5]) +
           p[2] * (o[0] * o[4] - o[1] * o[3]);
}

/* The index of the dimension that is the position, from 0; -1 when there is none. */
static int position_dimension(lam_dataset *object)
{
    for (size_t i = 0; i < lam_dataset_items(object, LAM_TAG_DIMENSION_INDICES); i++)
        if (lam_dataset_tag(lam_dataset_item(object, LAM_TAG_DIMENSION_INDICES, i),
                            LAM_TAG_DIMENSION_POINTER) == LAM_TAG_POSITION)
            return (int)i;
    return -1;
}

/* Higher indices lie further along the normal: a stack whose positions run against its indices is reversed.
 */
static void check_order(lam_validation *v, const double o[6], int dimension)
{
    static const lam_rule_name rule = {LAM_TAG_DIMENSION_VALUES, "DimensionIndexValues", "PS3.3 C.7.6.17.2"};
    double last_index = 0, last_place = 0;
    for (size_t i = 0; i < lam_dataset_items(v->object, LAM_TAG_FRAME_GROUPS); i++) {
        double position[3], index = 0;
        lam_dataset *content = lam_groups_item(v->object, LAM_TAG_FRAME_CONTENT, i);
        if (!content || !position_of(v->object, i, position) ||
            !lam_dataset_number(content, LAM_TAG_DIMENSION_VALUES, (size_t)dimension, &index))
            continue;
        double place = along(o, position);
        if (i > 0 && (index - last_index) * (place - last_place) < 0) {
            lam_validate_tell(v, &rule,
                              "run against the positions of the frames (frame %zu): the slices are "
                              "reversed",
                              i + 1);
            return;
        }
        last_index = index;
        last_place = place;
    }
}

void lam_validate_planes(lam_validation *v)
{
    double orientation[6] = {0}, position[3];
    lam_dataset *o = v->object;
    lam_dataset *measures = lam_groups_item(o, LAM_TAG_PIXEL_MEASURES, 0);
    size_t frames = lam_dataset_items(o, LAM_TAG_FRAME_GROUPS);
    double spacing[2];
    if (!measures || !lam_dataset_numbers(measures, LAM_TAG_PIXEL_SPACING, spacing, 2) ||
        !(spacing[0] > 0 && spacing[1] > 0))
        lam_validate_tell(v, &measures_rule, "is missing, or has no PixelSpacing above zero");
    else if (!lam_dataset_has(measures, LAM_TAG_SLICE_THICKNESS))
        lam_validate_tell(v, &measures_rule, "has no SliceThickness");
    else if (frames > 1 && !(number_of(measures, LAM_TAG_SLICE_SPACING) > 0))
        lam_validate_tell(v, &measures_rule, "has no SpacingBetweenSlices, so a volume cannot be built");
    if (!orientation_of(o, 0, orientation) || !is_orientation(orientation))
        lam_validate_tell(v, &orientation_rule, "is missing or not two perpendicular unit vectors");
    for (size_t i = 0; i < frames && !lam_validate_full(v); i++)
        if (!position_of(o, i, position))
            lam_validate_tell(v, &position_rule, "is missing in frame %zu", i + 1);
    int dimension = position_dimension(o);
    if (dimension >= 0)
        check_order(v, orientation, dimension);
}

/* ---- against the source ---- */

static void check_identity(lam_validation *v, lam_dataset *source)
{
    static const lam_rule_name same[] = {
        {LAM_TAG_STUDY, "StudyInstanceUID", "PS3.3 C.7.2.1"},
        {LAM_TAG_PATIENT_ID, "PatientID", "PS3.3 C.7.1.1"},
        {LAM_TAG_PATIENT_NAME, "PatientName", "PS3.3 C.7.1.1"},
        {LAM_TAG_FRAME_OF_REFERENCE, "FrameOfReferenceUID", "PS3.3 C.7.4.1"},
    };
    for (size_t i = 0; i < LAM_COUNT(same); i++) {
        const char *ours = lam_dataset_text(v->object, same[i].tag, NULL);
        const char *theirs = lam_dataset_text(source, same[i].tag, NULL);
        if (ours && theirs && strcmp(ours, theirs) != 0)
            lam_validate_tell(v, &same[i], "differs from the source's");
    }
}

static lam_dataset *find_source(const lam_validation *v, const char *uid)
{
    for (size_t i = 0; i < v->source_count; i++)
        if (lam_dataset_is(v->sources[i], LAM_TAG_SOP_INSTANCE, uid))
            return v->sources[i];
    return NULL;
}

static bool all_near(const double *a, const double *b, size_t count, double tolerance)
{
    for (size_t i = 0; i < count; i++)
        if (!(fabs(a[i] - b[i]) <= tolerance))
            return false;
    return true;
}

/* A frame lies on the image that it says it was made from. */
static void check_frame_source(lam_validation *v, size_t frame)
{
    static const lam_rule_name reference = {LAM_TAG_REFERENCED_INSTANCE, "ReferencedSOPInstanceUID",
                                            "PS3.3 C.7.6.16.2.6"};
    static const lam_rule_name matrix = {LAM_TAG_ROWS, "Rows", "PS3.3 C.7.6.16.2.6"};
    lam_dataset *derivation = lam_groups_item(v->object, LAM_TAG_DERIVATION_IMAGES, frame);
    lam_dataset *image = derivation ? lam_dataset_item(derivation, LAM_TAG_SOURCE_IMAGES, 0) : NULL;
    if (!image)
        return;
    lam_dataset *source = find_source(v, lam_dataset_text(image, LAM_TAG_REFERENCED_INSTANCE, ""));
    if (!source) {
        lam_validate_tell(v, &reference, "of frame %zu is none of the source images", frame + 1);
        return;
    }
    double number = number_of(image, LAM_TAG_REFERENCED_FRAME);
    size_t at = number >= 1 ? (size_t)number - 1 : 0;
    bool multi = lam_dataset_items(source, LAM_TAG_FRAME_GROUPS) > 0;
    double ours[6], theirs[6];
    bool known =
        multi ? position_of(source, at, theirs) : lam_dataset_numbers(source, LAM_TAG_POSITION, theirs, 3);
    if (known && position_of(v->object, frame, ours) && !all_near(ours, theirs, 3, 1e-3))
        lam_validate_tell(v, &position_rule, "of frame %zu is (%g, %g, %g), its source lies at (%g, %g, %g)",
                          frame + 1, ours[0], ours[1], ours[2], theirs[0], theirs[1], theirs[2]);
    known = multi ? orientation_of(source, at, theirs)
                  : lam_dataset_numbers(source, LAM_TAG_ORIENTATION, theirs, 6);
    if (known && orientation_of(v->object, frame, ours) && !all_near(ours, theirs, 6, 1e-3))
        lam_validate_tell(v, &orientation_rule, "of frame %zu is not its source's", frame + 1);
    if (number_of(v->object, LAM_TAG_ROWS) != number_of(source, LAM_TAG_ROWS) ||
        number_of(v->object, LAM_TAG_COLUMNS) != number_of(source, LAM_TAG_COLUMNS))
        lam_validate_tell(v, &matrix, "or Columns differ from those of the source of frame %zu", frame + 1);
}

void lam_validate_against_source(lam_validation *v)
{
    if (v->source_count == 0)
        return;
    check_identity(v, v->sources[0]);
    for (size_t i = 0; i < lam_dataset_items(v->object, LAM_TAG_FRAME_GROUPS) && !lam_validate_full(v); i++)
        check_frame_source(v, i);
}
