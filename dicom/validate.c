#include "dicom/validate.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/uid.h"
#include "dicom/key_objects.h"
#include "dicom/parametric_map.h"
#include "dicom/presentation_state.h"
#include "dicom/secondary_capture.h"
#include "dicom/seg.h"
#include "dicom/sr.h"
#include "dicom/validate_rules.h"

enum { MOST_PROBLEMS = 100 };

enum { SEG = 1, LABELMAP = 2, SR = 4, KO = 8, PR = 16, SC = 32, PM = 64, ALL = 127 };
enum { PLANES = SEG | LABELMAP | PM, IMAGES = PLANES | SC, DOCUMENTS = SR | KO };

static const struct {
    const char *sop_class;
    unsigned kind;
} kinds[] = {
    {LAM_SEG_SOP_CLASS, SEG},
    {LAM_LABELMAP_SOP_CLASS, LABELMAP},
    {LAM_SR_SOP_CLASS, SR},
    {LAM_KO_SOP_CLASS, KO},
    {LAM_PR_SOP_CLASS, PR},
    {LAM_SC_SOP_CLASS, SC},
    {LAM_PARAMETRIC_MAP_SOP_CLASS, PM},
};

/* Attributes that must be there: type 2 may be empty, type 3 is optional in the standard (PS3.5 7.4), but a
 * result says there which model made it. */
static const struct {
    unsigned kinds;
    int type;
    lam_rule_name name;
} required[] = {
    {ALL, 2, {LAM_TAG_PATIENT_NAME, "PatientName", "PS3.3 C.7.1.1"}},
    {ALL, 2, {LAM_TAG_PATIENT_ID, "PatientID", "PS3.3 C.7.1.1"}},
    {ALL, 2, {LAM_TAG_BIRTH_DATE, "PatientBirthDate", "PS3.3 C.7.1.1"}},
    {ALL, 2, {LAM_TAG_SEX, "PatientSex", "PS3.3 C.7.1.1"}},
    {ALL, 1, {LAM_TAG_STUDY, "StudyInstanceUID", "PS3.3 C.7.2.1"}},
    {ALL, 2, {LAM_TAG_STUDY_DATE, "StudyDate", "PS3.3 C.7.2.1"}},
    {ALL, 2, {LAM_TAG_STUDY_TIME, "StudyTime", "PS3.3 C.7.2.1"}},
    {ALL, 2, {LAM_TAG_STUDY_ID, "StudyID", "PS3.3 C.7.2.1"}},
    {ALL, 2, {LAM_TAG_ACCESSION, "AccessionNumber", "PS3.3 C.7.2.1"}},
    {ALL, 2, {LAM_TAG_REFERRING_PHYSICIAN, "ReferringPhysicianName", "PS3.3 C.7.2.1"}},
    {ALL, 1, {LAM_TAG_MODALITY, "Modality", "PS3.3 C.7.3.1"}},
    {ALL, 1, {LAM_TAG_SERIES, "SeriesInstanceUID", "PS3.3 C.7.3.1"}},
    {ALL, 1, {LAM_TAG_SERIES_NUMBER, "SeriesNumber", "PS3.3 C.7.3.1"}},
    {ALL, 1, {LAM_TAG_SOP_INSTANCE, "SOPInstanceUID", "PS3.3 C.12.1"}},
    {ALL, 1, {LAM_TAG_INSTANCE_NUMBER, "InstanceNumber", "PS3.3 C.7.6.1"}},
    {ALL, 1, {LAM_TAG_MANUFACTURER, "Manufacturer", "PS3.3 C.7.5.2"}},
    {ALL, 3, {LAM_TAG_CONTRIBUTING_EQUIPMENT, "ContributingEquipmentSequence", "PS3.3 C.12.1"}},
    {IMAGES, 1, {LAM_TAG_SAMPLES, "SamplesPerPixel", "PS3.3 C.7.6.3"}},
    {IMAGES, 1, {LAM_TAG_PHOTOMETRIC, "PhotometricInterpretation", "PS3.3 C.7.6.3"}},
    {IMAGES, 1, {LAM_TAG_ROWS, "Rows", "PS3.3 C.7.6.3"}},
    {IMAGES, 1, {LAM_TAG_COLUMNS, "Columns", "PS3.3 C.7.6.3"}},
    {IMAGES, 1, {LAM_TAG_BITS_ALLOCATED, "BitsAllocated", "PS3.3 C.7.6.3"}},
    {IMAGES, 1, {LAM_TAG_IMAGE_TYPE, "ImageType", "PS3.3 C.7.6.1"}},
    {SC, 1, {LAM_TAG_CONVERSION_TYPE, "ConversionType", "PS3.3 C.8.6.1"}},
    {PLANES, 1, {LAM_TAG_FRAME_OF_REFERENCE, "FrameOfReferenceUID", "PS3.3 C.7.4.1"}},
    {PLANES, 2, {LAM_TAG_POSITION_INDICATOR, "PositionReferenceIndicator", "PS3.3 C.7.4.1"}},
    {PLANES, 1, {LAM_TAG_FRAMES, "NumberOfFrames", "PS3.3 C.7.6.6"}},
    {PLANES, 1, {LAM_TAG_SHARED_GROUPS, "SharedFunctionalGroupsSequence", "PS3.3 C.7.6.16"}},
    {PLANES, 1, {LAM_TAG_FRAME_GROUPS, "PerFrameFunctionalGroupsSequence", "PS3.3 C.7.6.16"}},
    {PLANES, 1, {LAM_TAG_DIMENSION_ORGANIZATIONS, "DimensionOrganizationSequence", "PS3.3 C.7.6.17"}},
    {PLANES, 1, {LAM_TAG_DIMENSION_INDICES, "DimensionIndexSequence", "PS3.3 C.7.6.17"}},
    {PLANES, 1, {LAM_TAG_CONTENT_LABEL, "ContentLabel", "PS3.3 C.8.20.2"}},
    {PLANES, 2, {LAM_TAG_CONTENT_DESCRIPTION, "ContentDescription", "PS3.3 C.8.20.2"}},
    {PLANES, 1, {LAM_TAG_LOSSY, "LossyImageCompression", "PS3.3 C.8.20.2"}},
    {PLANES, 1, {LAM_TAG_REFERENCED_SERIES, "ReferencedSeriesSequence", "PS3.3 C.12.2"}},
    {SEG | LABELMAP, 1, {LAM_TAG_SEGMENTATION_TYPE, "SegmentationType", "PS3.3 C.8.20.2"}},
    {SEG | LABELMAP, 1, {LAM_TAG_SEGMENTS, "SegmentSequence", "PS3.3 C.8.20.2"}},
    {DOCUMENTS, 1, {LAM_TAG_VALUE_TYPE, "ValueType", "PS3.3 C.17.3"}},
    {DOCUMENTS, 1, {LAM_TAG_CONCEPT_NAMES, "ConceptNameCodeSequence", "PS3.3 C.17.3"}},
    {DOCUMENTS, 1, {LAM_TAG_CONTENT, "ContentSequence", "PS3.3 C.17.3"}},
    {DOCUMENTS, 1, {LAM_TAG_EVIDENCE, "CurrentRequestedProcedureEvidenceSequence", "PS3.3 C.17.2"}},
    {SR, 1, {LAM_TAG_COMPLETION, "CompletionFlag", "PS3.3 C.17.2"}},
    {SR, 1, {LAM_TAG_VERIFICATION, "VerificationFlag", "PS3.3 C.17.2"}},
    {SR, 2, {LAM_TAG_PERFORMED_CODES, "PerformedProcedureCodeSequence", "PS3.3 C.17.2"}},
    {PR, 1, {LAM_TAG_REFERENCED_SERIES, "ReferencedSeriesSequence", "PS3.3 C.11.11"}},
};

static const struct {
    unsigned kinds;
    void (*check)(lam_validation *v);
} checks[] = {
    {SEG | LABELMAP | SC, lam_validate_pixels},
    {SEG | LABELMAP, lam_validate_segments},
    {PLANES, lam_validate_frames},
    {PLANES, lam_validate_planes},
    {ALL, lam_validate_against_source},
    {DOCUMENTS, lam_validate_content},
    {PR, lam_validate_presentation},
};

static unsigned kind_of(const char *sop_class)
{
    for (size_t i = 0; i < LAM_COUNT(kinds); i++)
        if (strcmp(kinds[i].sop_class, sop_class) == 0)
            return kinds[i].kind;
    return 0;
}

bool lam_validate_full(const lam_validation *v)
{
    return v->count >= MOST_PROBLEMS;
}

void lam_validate_tell(lam_validation *v, const lam_rule_name *rule, const char *format, ...)
{
    lam_problem problem = {.tag = rule->tag, .attribute = rule->attribute, .clause = rule->clause};
    if (lam_validate_full(v))
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(problem.message, sizeof problem.message, format, arguments);
    va_end(arguments);
    v->count++;
    if (v->heard)
        v->heard(v->context, &problem);
}

static void check_required(lam_validation *v, unsigned kind)
{
    for (size_t i = 0; i < LAM_COUNT(required); i++) {
        lam_tag tag = required[i].name.tag;
        if (!(required[i].kinds & kind))
            continue;
        if (!lam_dataset_is_present(v->object, tag))
            lam_validate_tell(v, &required[i].name, "is missing (type %d%s)", required[i].type,
                              required[i].type == 3 ? ", but nothing else names the model" : "");
        else if (required[i].type != 2 && !lam_dataset_has(v->object, tag))
            lam_validate_tell(v, &required[i].name, "is empty (type %d)", required[i].type);
    }
}

static void check_uids(lam_validation *v)
{
    static const lam_rule_name uids[] = {
        {LAM_TAG_SOP_INSTANCE, "SOPInstanceUID", "PS3.5 9"},
        {LAM_TAG_SERIES, "SeriesInstanceUID", "PS3.5 9"},
        {LAM_TAG_STUDY, "StudyInstanceUID", "PS3.5 9"},
        {LAM_TAG_FRAME_OF_REFERENCE, "FrameOfReferenceUID", "PS3.5 9"},
    };
    for (size_t i = 0; i < LAM_COUNT(uids); i++) {
        const char *uid = lam_dataset_text(v->object, uids[i].tag, NULL);
        if (uid && !lam_uid_is_valid(uid))
            lam_validate_tell(v, &uids[i], "\"%.64s\" is not a UID", uid);
    }
}

size_t lam_validate(lam_dataset *object, lam_dataset *const *sources, size_t source_count,
                    lam_problem_heard *heard, void *context)
{
    static const lam_rule_name sop_class = {LAM_TAG_SOP_CLASS, "SOPClassUID", "PS3.4 B.5"};
    lam_validation v = {object, sources, source_count, heard, context, 0};
    unsigned kind = kind_of(lam_dataset_text(object, LAM_TAG_SOP_CLASS, ""));
    if (kind == 0) {
        lam_validate_tell(&v, &sop_class, "is none of those that have rules here");
        return v.count;
    }
    check_required(&v, kind);
    check_uids(&v);
    for (size_t i = 0; i < LAM_COUNT(checks); i++)
        if (checks[i].kinds & kind)
            checks[i].check(&v);
    return v.count;
}
