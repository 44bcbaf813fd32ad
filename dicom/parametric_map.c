#include "dicom/parametric_map.h"

#include <math.h>
#include <stdio.h>

#include "core/base/cleanup.h"
#include "dicom/multiframe.h"
#include "dicom/tag.h"

#define FRAME_TYPES           LAM_TAG(0x0040, 0x9092) /* ParametricMapFrameTypeSequence */
#define FRAME_TYPE            LAM_TAG(0x0008, 0x9007)
#define REAL_WORLD            LAM_TAG(0x0040, 0x9096) /* RealWorldValueMappingSequence */
#define ACQUISITION_CONTEXT   LAM_TAG(0x0040, 0x0555)
#define CONTENT_QUALIFICATION LAM_TAG(0x0018, 0x9004)
#define LUT_EXPLANATION       LAM_TAG(0x0028, 0x3003)
#define LUT_LABEL             LAM_TAG(0x0040, 0x9210)
#define FIRST_VALUE           LAM_TAG(0x0040, 0x9214) /* DoubleFloatRealWorldValueFirstValueMapped */
#define LAST_VALUE            LAM_TAG(0x0040, 0x9213)
#define REAL_INTERCEPT        LAM_TAG(0x0040, 0x9224)
#define REAL_SLOPE            LAM_TAG(0x0040, 0x9225)
#define QUANTITIES            LAM_TAG(0x0040, 0x9220) /* QuantityDefinitionSequence */
#define RECOGNIZABLE          LAM_TAG(0x0028, 0x0302)
#define PRESENTATION_LUT      LAM_TAG(0x2050, 0x0020)

static size_t voxel_count(const lam_result *result)
{
    const int64_t *size = lam_series_grid(result->series)->size;
    return (size_t)(size[0] * size[1] * size[2]);
}

/* Smallest and largest value; LAM_E_INVALID where one is not finite. */
static lam_status find_range(const lam_result *result, double range[2], lam_error *err)
{
    const float *values = result->findings.heat.values;
    range[0] = range[1] = (double)values[0];
    for (size_t i = 0; i < voxel_count(result); i++) {
        if (!isfinite(values[i]))
            return lam_fail(err, LAM_E_INVALID, "a value of the heat map is not finite");
        range[0] = fmin(range[0], (double)values[i]);
        range[1] = fmax(range[1], (double)values[i]);
    }
    return LAM_OK;
}

static void set_image(const lam_result *result, lam_dataset *out)
{
    const int64_t *size = lam_series_grid(result->series)->size;
    char text[65];
    lam_dataset_set_text(out, LAM_TAG_IMAGE_TYPE, "DERIVED\\PRIMARY\\VOLUME\\NONE");
    lam_dataset_set_number(out, LAM_TAG_SAMPLES, 1);
    lam_dataset_set_text(out, LAM_TAG_PHOTOMETRIC, "MONOCHROME2");
    lam_dataset_set_number(out, LAM_TAG_FRAMES, (double)size[0]);
    lam_dataset_set_number(out, LAM_TAG_ROWS, (double)size[1]);
    lam_dataset_set_number(out, LAM_TAG_COLUMNS, (double)size[2]);
    lam_dataset_set_number(out, LAM_TAG_BITS_ALLOCATED, 32);
    lam_dataset_set_text(out, LAM_TAG_BURNED_IN, "NO");
    lam_dataset_set_text(out, RECOGNIZABLE, "NO");
    lam_dataset_set_text(out, CONTENT_QUALIFICATION, "RESEARCH");
    lam_dataset_set_empty(out, LAM_TAG_LATERALITY);
    lam_dataset_set_empty(out, ACQUISITION_CONTEXT);
    lam_dataset_set_text(out, PRESENTATION_LUT, "IDENTITY");
    lam_dataset_set_text(out, LAM_TAG_IMAGE_COMMENTS, "Not for clinical use");
    lam_dataset_set_text(out, LAM_TAG_CONTENT_LABEL, "PARAMETRIC_MAP");
    lam_dataset_set_text(out, LAM_TAG_CONTENT_DESCRIPTION,
                         lam_result_ascii(result->findings.heat.label, 64, text));
    lam_dataset_set_empty(out, LAM_TAG_CONTENT_CREATOR);
}

/* The values are what they say: slope 1, intercept 0 (PS3.3 C.7.6.16.2.11). */
static void add_mapping(const lam_heat_map *heat, const double range[2], lam_dataset *shared)
{
    static const lam_code quantity = {"246205007", "SCT", "Quantity"};
    char text[65];
    lam_dataset *type = lam_dataset_add(shared, FRAME_TYPES);
    lam_dataset_set_text(type, FRAME_TYPE, "DERIVED\\PRIMARY\\VOLUME\\NONE");
    lam_dataset *stored = lam_dataset_add(shared, LAM_TAG_VALUE_TRANSFORMS);
    lam_dataset_set_number(stored, LAM_TAG_INTERCEPT, 0);
    lam_dataset_set_number(stored, LAM_TAG_SLOPE, 1);
    lam_dataset_set_text(stored, LAM_TAG_RESCALE_TYPE, "US"); /* unspecified */
    lam_dataset *mapping = lam_dataset_add(shared, REAL_WORLD);
    lam_dataset_set_text(mapping, LUT_EXPLANATION, lam_result_ascii(heat->label, 64, text));
    lam_dataset_set_text(mapping, LUT_LABEL, "HEAT");
    lam_dataset_set_number(mapping, FIRST_VALUE, range[0]);
    lam_dataset_set_number(mapping, LAST_VALUE, range[1]);
    lam_dataset_set_number(mapping, REAL_INTERCEPT, 0);
    lam_dataset_set_number(mapping, REAL_SLOPE, 1);
    lam_result_code(mapping, LAM_TAG_UNITS, heat->unit);
    if (!heat->quantity.value)
        return;
    lam_dataset *definition = lam_dataset_add(mapping, QUANTITIES);
    lam_dataset_set_text(definition, LAM_TAG_VALUE_TYPE, "CODE");
    lam_result_code(definition, LAM_TAG_CONCEPT_NAMES, quantity);
    lam_result_code(definition, LAM_TAG_CONCEPT_CODES, heat->quantity);
}

lam_status lam_parametric_map_create(const lam_result *result, lam_dataset **out, lam_error *err)
{
    static const lam_code derivation = {"113085", "DCM", "Spatial resampling"};
    char description[65];
    double range[2];
    LAM_AUTO_PTR(lam_dataset) *object = NULL;
    if (!result->findings.heat.values)
        return lam_fail(err, LAM_E_STATE, "there is no heat map to write");
    if (!lam_series_is_placed(result->series))
        return lam_fail(err, LAM_E_STATE, "the images have no place that a heat map could share");
    if (voxel_count(result) > (UINT32_MAX - 1) / sizeof(float))
        return lam_fail(err, LAM_E_LIMIT, "a heat map of %zu voxels does not fit into one object",
                        voxel_count(result));
    lam_status status = lam_dataset_create(&object, err);
    if (status == LAM_OK)
        status = find_range(result, range, err);
    if (status != LAM_OK)
        return status;
    snprintf(description, sizeof description, "%s heat map", result->algorithm.title);
    const lam_result_kind kind = {"PM", LAM_PARAMETRIC_MAP_SOP_CLASS, 6, description, "OT"};
    lam_result_begin(result, &kind, object);
    lam_multiframe_set_frame_of_reference(result, object);
    set_image(result, object);
    lam_multiframe_set_lossy(result, object);
    lam_multiframe_add_dimensions(result, false, object);
    add_mapping(&result->findings.heat, range, lam_multiframe_add_shared(result, object));
    for (size_t z = 0; z < (size_t)lam_series_grid(result->series)->size[0]; z++)
        lam_multiframe_add_frame(lam_series_slices(result->series), z, 0, derivation, object);
    lam_multiframe_add_sources(result, object);
    lam_dataset_set_floats(object, LAM_TAG_FLOAT_PIXELS, result->findings.heat.values, voxel_count(result));
    status = lam_dataset_status(object, err);
    if (status == LAM_OK)
        *out = LAM_TAKE_PTR(object);
    return status;
}
