#include "dicom/sr_groups.h"

#include <math.h>
#include <stdio.h>

#include "core/base/cleanup.h"
#include "dicom/contour.h"
#include "dicom/seg.h"
#include "dicom/sr_tree.h"
#include "dicom/tag.h"

/* Viewers match some concepts by the text of their meaning, so the meanings are exactly the standard's. */
static const lam_code measurements = {"126010", "DCM", "Imaging Measurements"};
static const lam_code measurement_group = {"125007", "DCM", "Measurement Group"};
static const lam_code evaluations = {"C0034375", "UMLS", "Qualitative Evaluations"};
static const lam_code tracking_identifier = {"112039", "DCM", "Tracking Identifier"};
static const lam_code tracking_uid = {"112040", "DCM", "Tracking Unique Identifier"};
static const lam_code finding_category = {"276214006", "SCT", "Finding category"};
static const lam_code finding = {"121071", "DCM", "Finding"};
static const lam_code finding_site = {"363698007", "SCT", "Finding Site"};
static const lam_code laterality = {"272741003", "SCT", "Laterality"};
static const lam_code topography = {"106233006", "SCT", "Topographical modifier"};
static const lam_code referenced_segment = {"121191", "DCM", "Referenced Segment"};
static const lam_code source_series = {"121232", "DCM", "Source series for segmentation"};
static const lam_code image_region = {"111030", "DCM", "Image Region"};
static const lam_code volume = {"118565006", "SCT", "Volume"};
static const lam_code millilitre = {"ml", "UCUM", "milliliter"};
static const lam_code certainty = {"111012", "DCM", "Certainty of Finding"};
static const lam_code derivation = {"121401", "DCM", "Derivation"};
static const lam_code standard_deviation = {"386136009", "SCT", "Standard Deviation"};
static const lam_code comment = {"121106", "DCM", "Comment"};
static const lam_code percent = {"%", "UCUM", "percent"};
static const lam_code algorithm_name = {"111001", "DCM", "Algorithm Name"};
static const lam_code algorithm_version = {"111003", "DCM", "Algorithm Version"};
static const lam_code algorithm_parameters = {"111002", "DCM", "Algorithm Parameters"};
static const lam_code unnamed = {NULL, NULL, NULL};

/* TID 4019. */
static void add_algorithm(const lam_result *result, lam_dataset *group)
{
    char parameters[96];
    snprintf(parameters, sizeof parameters, "weights sha256 %s", result->algorithm.weights_sha256);
    lam_sr_text(group, LAM_SR_HAS_CONCEPT_MOD, algorithm_name, result->algorithm.name);
    lam_sr_text(group, LAM_SR_HAS_CONCEPT_MOD, algorithm_version, result->algorithm.version);
    lam_sr_text(group, LAM_SR_HAS_CONCEPT_MOD, algorithm_parameters, parameters);
}

/* The beginning of every group. The tracking UID of a segment is the one in the SEG object. */
static lam_dataset *add_group(const lam_result *result, const char *template_id, const char *label,
                              const char *what, int number, lam_dataset *parent)
{
    char uid[LAM_UID_TEXT];
    lam_dataset *group = lam_sr_container(parent, LAM_SR_CONTAINS, measurement_group, template_id);
    lam_result_tracking_uid(result, what, number, uid);
    lam_sr_text(group, LAM_SR_HAS_OBS_CONTEXT, tracking_identifier, label);
    lam_sr_uid(group, LAM_SR_HAS_OBS_CONTEXT, tracking_uid, uid);
    return group;
}

static void add_codes(lam_code category, lam_code type, lam_dataset *group)
{
    if (category.value)
        lam_sr_code(group, LAM_SR_CONTAINS, finding_category, category);
    if (type.value)
        lam_sr_code(group, LAM_SR_CONTAINS, finding, type);
}

/* Values that are rounded, so that the last bit of a sum does not decide the text. */
static lam_dataset *add_number(lam_dataset *group, lam_code quantity, double value, lam_code unit)
{
    return lam_sr_number(group, LAM_SR_CONTAINS, quantity, round(value * 1e6) / 1e6, unit);
}

static void add_measurements(const lam_result *result, int segment, lam_dataset *group)
{
    for (size_t i = 0; i < result->findings.measurement_count; i++) {
        const lam_measurement *m = &result->findings.measurements[i];
        if (m->segment == segment)
            add_number(group, m->quantity, m->value, m->unit);
    }
}

/* ---- segments: TID 1411 ---- */

static void add_site(const lam_segment *segment, lam_dataset *group)
{
    bool region = segment->anatomy.value != NULL;
    lam_dataset *site =
        lam_sr_code(group, LAM_SR_HAS_CONCEPT_MOD, finding_site, region ? segment->anatomy : segment->type);
    if (region && segment->anatomy_modifier.value)
        lam_sr_code(site, LAM_SR_HAS_CONCEPT_MOD, laterality, segment->anatomy_modifier);
    if (!region && segment->type_modifier.value)
        lam_sr_code(site, LAM_SR_HAS_CONCEPT_MOD, topography, segment->type_modifier);
}

static const lam_slice *slice_of(const lam_result *result, const lam_segment *segment, size_t slice)
{
    return &lam_series_slices_of(result->series, segment->phase)[slice];
}

/* Coordinates on an image, and which image they are selected from. */
static void add_region(const lam_slice *slice, const double *points, size_t count, lam_dataset *group)
{
    lam_dataset *region = lam_sr_scoord(group, LAM_SR_CONTAINS, image_region, "POLYLINE", points, count);
    lam_sr_image_frame(
        region, LAM_SR_SELECTED_FROM, unnamed, lam_dataset_text(slice->object, LAM_TAG_SOP_CLASS, ""),
        lam_dataset_text(slice->object, LAM_TAG_SOP_INSTANCE, ""), slice->multi_frame ? slice->frame + 1 : 0);
}

/* The outline where the segment is largest, on the image and in the patient. */
static lam_status add_outline(const lam_result *result, size_t index, lam_dataset *group, lam_error *err)
{
    LAM_AUTO(lam_contours_done) lam_contours c = {.points = NULL};
    size_t slice = 0;
    if (!lam_contour_largest(result, index, &slice, NULL))
        return LAM_OK;
    lam_status status = lam_contours_trace(result, index, slice, LAM_SR_MAX_POINTS, &c, err);
    if (status != LAM_OK)
        return status;
    const lam_contour *outline = &c.list[c.longest];
    lam_autofree double *points = calloc(outline->count, 3 * sizeof *points);
    if (!points)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < outline->count; i++)
        lam_contour_to_patient(result, slice, c.points + 2 * (outline->first + i), points + 3 * i);
    lam_dataset *source = lam_series_slices(result->series)[0].object;
    char uid[LAM_UID_TEXT];
    lam_result_uid(result, "frame of reference", uid);
    add_region(slice_of(result, &result->findings.segments[index], slice), c.points + 2 * outline->first,
               outline->count, group);
    lam_sr_scoord3d(group, LAM_SR_CONTAINS, image_region, "POLYGON", points, outline->count,
                    lam_dataset_text(source, LAM_TAG_FRAME_OF_REFERENCE, uid));
    return LAM_OK;
}

static lam_status add_segment(const lam_result *result, size_t index, const char *sop_class,
                              lam_dataset *parent, lam_error *err)
{
    const lam_segment *segment = &result->findings.segments[index];
    char uid[LAM_UID_TEXT];
    lam_dataset *group = add_group(result, "1411", segment->label, "segment", segment->number, parent);
    add_codes(segment->category, segment->type, group);
    lam_result_uid(result, "SEG", uid);
    lam_sr_image(group, LAM_SR_CONTAINS, referenced_segment, sop_class, uid,
                 lam_result_segment_number(result, index));
    lam_status status = result->choices.region_contours ? add_outline(result, index, group, err) : LAM_OK;
    lam_sr_uid(
        group, LAM_SR_CONTAINS, source_series,
        lam_dataset_text(lam_series_slices_of(result->series, segment->phase)[0].object, LAM_TAG_SERIES, ""));
    add_algorithm(result, group);
    add_site(segment, group);
    add_number(group, volume, segment->volume_ml, millilitre);
    add_measurements(result, segment->number, group);
    return status;
}

/* ---- detections: TID 1410, and 1411 where boxes on several slices are one finding ---- */

static void add_box(const lam_result *result, const lam_box *box, lam_dataset *group)
{
    const lam_slice *slice = &lam_series_slices(result->series)[box->slice];
    const double points[] = {box->left,   box->top,  box->right,  box->top,  box->right,
                             box->bottom, box->left, box->bottom, box->left, box->top};
    add_region(slice, points, LAM_COUNT(points) / 2, group);
}

static void add_detection(const lam_result *result, const lam_detection *detection, lam_dataset *parent)
{
    char label[96];
    snprintf(label, sizeof label, "%.64s %d", detection->label, detection->number);
    lam_dataset *group = add_group(result, detection->box_count > 1 ? "1411" : "1410", label, "detection",
                                   detection->number, parent);
    add_codes(detection->category, detection->type, group);
    for (size_t i = 0; i < detection->box_count; i++)
        add_box(result, &detection->boxes[i], group);
    add_algorithm(result, group);
    if (detection->anatomy.value)
        lam_sr_code(group, LAM_SR_HAS_CONCEPT_MOD, finding_site, detection->anatomy);
    add_number(group, certainty, 100 * detection->score, percent);
}

/* ---- classification: TID 1501 ---- */

/* A class without a code of its own is a code of this device. */
static lam_code class_code(const lam_class_score *class)
{
    return class->code.value ? class->code : (lam_code){class->name, "99LAMINA", class->label};
}

static void add_classification(const lam_result *result, lam_dataset *parent)
{
    const lam_classification *c = &result->findings.classification;
    lam_dataset *group = add_group(result, "1501", c->label, "answer", 1, parent);
    add_codes(unnamed, class_code(&c->classes[c->chosen]), group);
    add_algorithm(result, group);
    if (c->site.value)
        lam_sr_code(group, LAM_SR_HAS_CONCEPT_MOD, finding_site, c->site);
    for (size_t i = 0; i < c->class_count; i++) {
        lam_dataset *number = add_number(group, certainty, 100 * c->classes[i].probability, percent);
        lam_sr_code(number, LAM_SR_HAS_CONCEPT_MOD, finding, class_code(&c->classes[i]));
        if (c->classes[i].deviation <= 0)
            continue;
        number = add_number(group, certainty, 100 * c->classes[i].deviation, percent);
        lam_sr_code(number, LAM_SR_HAS_CONCEPT_MOD, derivation, standard_deviation);
        lam_sr_code(number, LAM_SR_HAS_CONCEPT_MOD, finding, class_code(&c->classes[i]));
    }
}

static void add_answer(const lam_classification *c, lam_dataset *container)
{
    const lam_class_score *chosen = &c->classes[c->chosen];
    char text[160];
    lam_sr_code(container, LAM_SR_CONTAINS, c->question.value ? c->question : finding, class_code(chosen));
    snprintf(text, sizeof text, "%.64s: probability %.3f", chosen->label, chosen->probability);
    lam_sr_text(container, LAM_SR_CONTAINS, c->question.value ? c->question : finding, text);
}

/* The answer of a classification, and what speaks against relying on any of it. */
static void add_evaluations(const lam_result *result, lam_dataset *root)
{
    const lam_findings *f = &result->findings;
    if (f->classification.class_count == 0 && !f->caution)
        return;
    lam_dataset *container = lam_sr_container(root, LAM_SR_CONTAINS, evaluations, NULL);
    if (f->caution)
        lam_sr_text(container, LAM_SR_CONTAINS, comment, f->caution);
    if (f->classification.class_count > 0)
        add_answer(&f->classification, container);
}

/* ---- all ---- */

/* Numbers that belong to no finding have a group of their own. */
static void add_whole(const lam_result *result, lam_dataset *parent)
{
    bool some = false;
    for (size_t i = 0; i < result->findings.measurement_count; i++)
        some |= result->findings.measurements[i].segment == 0;
    if (!some)
        return;
    lam_dataset *group = add_group(result, "1501", result->algorithm.title, "whole", 1, parent);
    add_algorithm(result, group);
    add_measurements(result, 0, group);
}

lam_status lam_sr_groups_add(const lam_result *result, lam_dataset *root, lam_error *err)
{
    const lam_findings *f = &result->findings;
    lam_status status = LAM_OK;
    const char *sop_class = f->segment_count ? lam_seg_sop_class(lam_seg_form_of(result)) : NULL;
    lam_dataset *groups = lam_sr_container(root, LAM_SR_CONTAINS, measurements, NULL);
    for (size_t i = 0; i < f->segment_count && status == LAM_OK; i++)
        if (lam_result_segment_number(result, i))
            status = add_segment(result, i, sop_class, groups, err);
    for (size_t i = 0; i < f->detection_count; i++)
        add_detection(result, &f->detections[i], groups);
    if (f->classification.class_count > 0)
        add_classification(result, groups);
    add_whole(result, groups);
    add_evaluations(result, root);
    return status;
}
