#include "daemon/laminad/header.h"

#include <stdio.h>
#include <string.h>

#include "core/base/text.h"
#include "core/base/uid.h"

/* PS3.6: what a condition may reasonably ask of a series. */
static const struct {
    const char *keyword, *tag;
} keywords[] = {
    {"AcquisitionContrast", "00089209"},
    {"AcquisitionType", "00189302"},
    {"AngioFlag", "00180025"},
    {"BodyPartExamined", "00180015"},
    {"ContrastBolusAgent", "00180010"},
    {"ConvolutionKernel", "00181210"},
    {"EchoTime", "00180081"},
    {"FlipAngle", "00181314"},
    {"ImageType", "00080008"},
    {"InstitutionName", "00080080"},
    {"Laterality", "00200060"},
    {"MagneticFieldStrength", "00180087"},
    {"Manufacturer", "00080070"},
    {"ManufacturerModelName", "00081090"},
    {"Modality", "00080060"},
    {"NumberOfFrames", "00280008"},
    {"PatientAge", "00101010"},
    {"PatientPosition", "00185100"},
    {"PatientSex", "00100040"},
    {"PhotometricInterpretation", "00280004"},
    {"PixelSpacing", "00280030"},
    {"ProtocolName", "00181030"},
    {"RepetitionTime", "00180080"},
    {"SOPClassUID", "00080016"},
    {"SamplesPerPixel", "00280002"},
    {"ScanOptions", "00180022"},
    {"ScanningSequence", "00180020"},
    {"SequenceName", "00180024"},
    {"SeriesDescription", "0008103E"},
    {"SeriesNumber", "00200011"},
    {"SliceThickness", "00180050"},
    {"SpacingBetweenSlices", "00180088"},
    {"StationName", "00081010"},
    {"StudyDescription", "00081030"},
    {"ViewPosition", "00185101"},
};

const char *lam_header_tag(const char *keyword)
{
    for (size_t i = 0; i < LAM_COUNT(keywords); i++)
        if (strcmp(keywords[i].keyword, keyword) == 0)
            return keywords[i].tag;
    return NULL;
}

static void append(char text[LAM_HEADER_VALUE], const char *value)
{
    size_t used = strlen(text);
    lam_text_copy(text + used, LAM_HEADER_VALUE - used, value);
}

static void append_value(char text[LAM_HEADER_VALUE], const json_t *value)
{
    char number[40];
    if (json_is_object(value))
        value = json_object_get(value, "Alphabetic");
    if (json_is_string(value)) {
        append(text, json_string_value(value));
    } else if (json_is_integer(value)) {
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        append(text, number);
    } else if (json_is_real(value)) {
        snprintf(number, sizeof number, "%.10g", json_real_value(value));
        append(text, number);
    }
}

const char *lam_header_text(const json_t *attributes, const char *tag, char text[LAM_HEADER_VALUE])
{
    const json_t *values = json_object_get(json_object_get(attributes, tag), "Value");
    text[0] = '\0';
    for (size_t i = 0; i < json_array_size(values); i++) {
        if (i)
            append(text, "\\");
        append_value(text, json_array_get(values, i));
    }
    return text[0] ? text : NULL;
}

static lam_status need_uid(const json_t *value, const char *name, const char **out, lam_error *err)
{
    const char *uid = json_string_value(value);
    if (!uid)
        return lam_fail(err, LAM_E_CORRUPT, "%s is missing", name);
    if (!lam_uid_is_valid(uid))
        return lam_fail(err, LAM_E_CORRUPT, "%s is not a valid UID", name);
    *out = uid;
    return LAM_OK;
}

lam_status lam_header_from_json(json_t *indexed, lam_header *out, lam_error *err)
{
    lam_header header = {.root = indexed, .attributes = json_object_get(indexed, "attributes")};
    header.dataset_offset = json_integer_value(json_object_get(indexed, "dataset_offset"));
    const struct {
        const char *tag, *name;
        const char **out;
    } uids[] = {
        {"0020000D", "StudyInstanceUID", &header.study_uid},
        {"0020000E", "SeriesInstanceUID", &header.series_uid},
        {"00080018", "SOPInstanceUID", &header.sop_uid},
        {"00080016", "SOPClassUID", &header.sop_class_uid},
    };
    lam_status status = LAM_OK;
    for (size_t i = 0; status == LAM_OK && i < LAM_COUNT(uids); i++) {
        const json_t *values = json_object_get(json_object_get(header.attributes, uids[i].tag), "Value");
        status = need_uid(json_array_get(values, 0), uids[i].name, uids[i].out, err);
    }
    if (status == LAM_OK)
        status = need_uid(json_object_get(indexed, "transfer_syntax_uid"), "TransferSyntaxUID",
                          &header.transfer_syntax_uid, err);
    if (status == LAM_OK) {
        json_incref(indexed);
        *out = header;
    }
    return status;
}

lam_status lam_header_parse(const char *payload, lam_header *out, lam_error *err)
{
    json_error_t where; /* its text quotes the header, which names the patient (promise 9) */
    json_t *root = json_loads(payload, JSON_REJECT_DUPLICATES, &where);
    if (!root)
        return lam_fail(err, LAM_E_CORRUPT, "the worker's answer is not JSON, at byte %d", where.position);
    lam_status status = lam_header_from_json(root, out, err);
    json_decref(root);
    return status;
}

void lam_header_done(lam_header *header)
{
    if (!header)
        return;
    json_decref(header->root);
    *header = (lam_header){0};
}
