#include "dicom/sr.h"

#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "dicom/seg.h"
#include "dicom/sr_groups.h"
#include "dicom/sr_tree.h"
#include "dicom/tag.h"

/* Concepts (PS3.16 annex D and the context groups of TID 1500). Viewers match some of them by the text of
 * their meaning, so the meanings are exactly the standard's. */
static const lam_code report = {"126000", "DCM", "Imaging Measurement Report"};
static const lam_code language = {"121049", "DCM", "Language of Content Item and Descendants"};
static const lam_code english = {"en", "RFC5646", "English"};
static const lam_code observer_type = {"121005", "DCM", "Observer Type"};
static const lam_code observer_device = {"121007", "DCM", "Device"};
static const lam_code observer_uid = {"121012", "DCM", "Device Observer UID"};
static const lam_code observer_name = {"121013", "DCM", "Device Observer Name"};
static const lam_code observer_manufacturer = {"121014", "DCM", "Device Observer Manufacturer"};
static const lam_code observer_model = {"121015", "DCM", "Device Observer Model Name"};
static const lam_code observer_serial = {"121016", "DCM", "Device Observer Serial Number"};
static const lam_code procedure_reported = {"121058", "DCM", "Procedure reported"};
static const lam_code image_library = {"111028", "DCM", "Image Library"};
static const lam_code image_group = {"126200", "DCM", "Image Library Group"};
static const lam_code modality_name = {"121139", "DCM", "Modality"};
static const lam_code frame_of_reference = {"112227", "DCM", "Frame of Reference UID"};

/* Modality (CID 29) and, where the source names no procedure, what it must have been: CID 100, extended by
 * ultrasound and radiographs, which it lacks. */
static const struct {
    const char *modality;
    lam_code code, procedure;
} modalities[] = {
    {"MR", {"MR", "DCM", "Magnetic Resonance"}, {"25056-3", "LN", "MRI unspecified body region"}},
    {"CT", {"CT", "DCM", "Computed Tomography"}, {"25045-6", "LN", "CT unspecified body region"}},
    {"PT", {"PT", "DCM", "Positron emission tomography"}, {"44136-0", "LN", "PET unspecified body region"}},
    {"US", {"US", "DCM", "Ultrasound"}, {"16310003", "SCT", "Ultrasonography"}},
    {"DX", {"DX", "DCM", "Digital Radiography"}, {"363680008", "SCT", "Radiographic imaging procedure"}},
    {"CR", {"CR", "DCM", "Computed Radiography"}, {"363680008", "SCT", "Radiographic imaging procedure"}},
    {"OT", {"OT", "DCM", "Other Modality"}, {"363679005", "SCT", "Imaging procedure"}},
};

static size_t modality_row(const char *modality)
{
    for (size_t i = 0; i + 1 < LAM_COUNT(modalities); i++)
        if (strcmp(modalities[i].modality, modality) == 0)
            return i;
    return LAM_COUNT(modalities) - 1;
}

/* TID 1001 and 1004. */
static void add_observer(const lam_result *result, lam_dataset *root)
{
    char uid[LAM_UID_TEXT];
    lam_result_device_uid(result, uid);
    lam_sr_code(root, LAM_SR_HAS_OBS_CONTEXT, observer_type, observer_device);
    lam_sr_uid(root, LAM_SR_HAS_OBS_CONTEXT, observer_uid, uid);
    lam_sr_text(root, LAM_SR_HAS_OBS_CONTEXT, observer_name, result->algorithm.name);
    lam_sr_text(root, LAM_SR_HAS_OBS_CONTEXT, observer_manufacturer, result->device.manufacturer);
    lam_sr_text(root, LAM_SR_HAS_OBS_CONTEXT, observer_model, result->device.model_name);
    lam_sr_text(root, LAM_SR_HAS_OBS_CONTEXT, observer_serial, result->device.serial);
}

/* The source's own codes as they are written there, else a general one. */
static void add_procedure(lam_dataset *source, lam_dataset *root)
{
    size_t row = modality_row(lam_dataset_text(source, LAM_TAG_MODALITY, ""));
    lam_dataset *code = lam_dataset_item(source, LAM_TAG_PROCEDURE_CODES, 0);
    bool usable = code && lam_dataset_has(code, LAM_TAG_CODE_VALUE) &&
                  lam_dataset_has(code, LAM_TAG_CODING_SCHEME) && lam_dataset_has(code, LAM_TAG_CODE_MEANING);
    lam_dataset *item = lam_sr_code(root, LAM_SR_HAS_CONCEPT_MOD, procedure_reported,
                                    usable ? (lam_code){NULL, NULL, NULL} : modalities[row].procedure);
    if (!usable)
        return;
    static const lam_tag parts[] = {LAM_TAG_CODE_VALUE, LAM_TAG_CODING_SCHEME, LAM_TAG(0x0008, 0x0103),
                                    LAM_TAG_CODE_MEANING};
    lam_dataset *copy = lam_dataset_add(item, LAM_TAG_CONCEPT_CODES);
    for (size_t i = 0; i < LAM_COUNT(parts); i++)
        lam_dataset_copy(copy, code, parts[i]);
}

static void add_library_image(lam_dataset *source, void *group)
{
    lam_sr_image(group, LAM_SR_CONTAINS, (lam_code){NULL, NULL, NULL},
                 lam_dataset_text(source, LAM_TAG_SOP_CLASS, ""),
                 lam_dataset_text(source, LAM_TAG_SOP_INSTANCE, ""), 0);
}

/* TID 1600. */
static void add_image_library(const lam_result *result, lam_dataset *source, lam_dataset *root)
{
    size_t row = modality_row(lam_dataset_text(source, LAM_TAG_MODALITY, ""));
    const char *reference = lam_dataset_text(source, LAM_TAG_FRAME_OF_REFERENCE, NULL);
    lam_dataset *library = lam_sr_container(root, LAM_SR_CONTAINS, image_library, "1600");
    lam_dataset *group = lam_sr_container(library, LAM_SR_CONTAINS, image_group, NULL);
    lam_sr_code(group, LAM_SR_HAS_ACQ_CONTEXT, modality_name, modalities[row].code);
    if (reference)
        lam_sr_uid(group, LAM_SR_HAS_ACQ_CONTEXT, frame_of_reference, reference);
    lam_result_each_source(result, add_library_image, group);
}

/* Everything the content refers to (PS3.3 C.17.2). */
static void add_evidence(const lam_result *result, lam_dataset *source, lam_dataset *out)
{
    char uid[LAM_UID_TEXT];
    lam_dataset *study = lam_dataset_add(out, LAM_TAG_EVIDENCE);
    lam_dataset_copy(study, source, LAM_TAG_STUDY);
    lam_result_add_sources(result, LAM_TAG_REFERENCED_SOPS, study);
    if (result->findings.segment_count == 0)
        return;
    lam_dataset *segmentation = lam_dataset_add(study, LAM_TAG_REFERENCED_SERIES);
    lam_result_uid(result, "SEG series", uid);
    lam_dataset_set_text(segmentation, LAM_TAG_SERIES, uid);
    lam_result_uid(result, "SEG", uid);
    lam_result_reference(lam_dataset_add(segmentation, LAM_TAG_REFERENCED_SOPS),
                         lam_seg_sop_class(lam_seg_form_of(result)), uid);
}

/* The report that this one replaces (PS3.3 C.17.2.2). */
static void add_predecessor(const lam_result *result, lam_dataset *source, lam_dataset *out)
{
    if (!result->predecessor.sop_uid)
        return;
    lam_dataset *study = lam_dataset_add(out, LAM_TAG_PREDECESSORS);
    lam_dataset_copy(study, source, LAM_TAG_STUDY);
    lam_dataset *series = lam_dataset_add(study, LAM_TAG_REFERENCED_SERIES);
    lam_dataset_set_text(series, LAM_TAG_SERIES, result->predecessor.series_uid);
    lam_result_reference(lam_dataset_add(series, LAM_TAG_REFERENCED_SOPS), LAM_SR_SOP_CLASS,
                         result->predecessor.sop_uid);
}

/* SR Document Series and SR Document General (PS3.3 C.17.1, C.17.2). */
static void set_document(lam_dataset *out)
{
    lam_dataset_set_empty(out, LAM_TAG_PERFORMED_STEP_REFS);
    lam_dataset_set_empty(out, LAM_TAG_PERFORMED_CODES);
    lam_dataset_set_text(out, LAM_TAG_COMPLETION, "COMPLETE");
    lam_dataset_set_text(out, LAM_TAG_VERIFICATION, "UNVERIFIED");
    lam_dataset_set_text(out, LAM_TAG_PRELIMINARY, "PRELIMINARY");
}

lam_status lam_sr_create(const lam_result *result, lam_dataset **out, lam_error *err)
{
    char description[65];
    snprintf(description, sizeof description, "%s measurements", result->algorithm.title);
    const lam_result_kind kind = {"SR", LAM_SR_SOP_CLASS, 2, description, NULL};
    lam_dataset *source = lam_series_slices(result->series)[0].object;
    LAM_AUTO_PTR(lam_dataset) *object = NULL;
    lam_status status = lam_dataset_create(&object, err);
    if (status != LAM_OK)
        return status;
    lam_result_begin(result, &kind, object);
    set_document(object);
    lam_sr_root(object, report, "1500");
    lam_sr_code(object, LAM_SR_HAS_CONCEPT_MOD, language, english);
    add_observer(result, object);
    add_procedure(source, object);
    add_image_library(result, source, object);
    status = lam_sr_groups_add(result, object, err);
    if (status != LAM_OK)
        return status;
    add_evidence(result, source, object);
    add_predecessor(result, source, object);
    status = lam_dataset_status(object, err);
    if (status == LAM_OK)
        *out = LAM_TAKE_PTR(object);
    return status;
}
