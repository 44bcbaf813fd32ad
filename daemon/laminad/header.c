#include "daemon/laminad/header.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json_scan.h"
#include "core/base/text.h"
#include "core/base/uid.h"
#include "daemon/laminad/attribute.h"

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

/* ---- an answer, of which most is only kept ---- */

enum { TAG = 8, LONGEST_USED = 4096 };

static bool is_keyword_tag(const char *tag)
{
    for (size_t i = 0; i < LAM_COUNT(keywords); i++)
        if (memcmp(keywords[i].tag, tag, TAG) == 0)
            return true;
    return false;
}

/* What equipment notes about how an image was made is most of a header, and only read again from the
 * metadata. */
static bool is_used(lam_json_span tag, lam_json_span value)
{
    char text[TAG + 1] = "", *end = text;
    if (tag.length != TAG || value.length > LONGEST_USED)
        return false;
    memcpy(text, tag.bytes, TAG);
    uint32_t number = (uint32_t)strtoul(text, &end, 16);
    return *end == '\0' && (lam_attribute_of_tag(number) || is_keyword_tag(text));
}

/* Into the object `user`. */
static lam_status add_member(json_t *object, lam_json_span key, lam_json_span value, lam_error *err)
{
    if (json_object_getn(object, key.bytes, key.length))
        return lam_fail(err, LAM_E_INVALID, "JSON: a member comes twice");
    json_t *parsed = json_loadb(value.bytes, value.length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    if (!parsed || json_object_setn_new(object, key.bytes, key.length, parsed) < 0)
        return lam_fail(err, LAM_E_INVALID, "JSON: a member is not as it must be");
    return LAM_OK;
}

static bool is_key(lam_json_span key, const char *name)
{
    return key.length == strlen(name) && memcmp(key.bytes, name, key.length) == 0;
}

typedef struct attributes {
    json_t *used;
    lam_json_span character_set; /* the value; NULL: there is none */
} attributes;

static lam_status visit_attribute(void *user, lam_json_span tag, lam_json_span value, lam_error *err)
{
    attributes *self = user;
    if (is_key(tag, "00080005"))
        self->character_set = value;
    return is_used(tag, value) ? add_member(self->used, tag, value, err) : LAM_OK;
}

/* The attributes as text, in which the character set is that of the text and not that of the object. */
static char *keep_text(lam_json_span all, lam_json_span character_set)
{
    if (!character_set.bytes)
        return strndup(all.bytes, all.length);
    const char *after = character_set.bytes + character_set.length;
    char *text = NULL;
    if (asprintf(&text, "%.*s{\"vr\":\"CS\",\"Value\":[\"ISO_IR 192\"]}%.*s",
                 (int)(character_set.bytes - all.bytes), all.bytes, (int)(all.bytes + all.length - after),
                 after) < 0)
        return NULL;
    return text;
}

static lam_status visit_member(void *user, lam_json_span key, lam_json_span value, lam_error *err)
{
    lam_header *header = user;
    if (!is_key(key, "attributes") || *value.bytes != '{')
        return add_member(header->root, key, value, err);
    attributes self = {.used = json_object()};
    if (header->text || json_object_set_new(header->root, "attributes", self.used) < 0)
        return lam_fail(err, LAM_E_INVALID, "JSON: a member comes twice");
    lam_status status = lam_json_scan(value, visit_attribute, &self, err);
    if (status != LAM_OK)
        return status;
    header->text = keep_text(value, self.character_set);
    return header->text ? LAM_OK : lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a header");
}

lam_status lam_header_parse(const char *payload, lam_header *out, lam_error *err)
{
    LAM_AUTO(lam_header_done) lam_header parts = {.root = json_object()};
    lam_error why = {0};
    lam_status status = lam_json_scan((lam_json_span){payload, strlen(payload)}, visit_member, &parts, &why);
    if (status != LAM_OK) /* only where and what: the text names the patient (promise 9) */
        return lam_fail(err, status == LAM_E_NO_MEMORY ? status : LAM_E_CORRUPT,
                        "the worker's answer cannot be used: %s", why.message);
    status = lam_header_from_json(parts.root, out, err);
    if (status == LAM_OK)
        out->text = LAM_TAKE_PTR(parts.text);
    return status;
}

char *lam_header_metadata(const lam_header *header)
{
    if (header->text)
        return strdup(header->text);
    json_t *copy = json_copy(header->attributes);
    if (json_object_get(copy, "00080005"))
        json_object_set_new(copy, "00080005", json_pack("{s:s,s:[s]}", "vr", "CS", "Value", "ISO_IR 192"));
    char *text = json_dumps(copy, JSON_COMPACT);
    json_decref(copy);
    return text;
}

void lam_header_done(lam_header *header)
{
    if (!header)
        return;
    free(header->text);
    json_decref(header->root);
    *header = (lam_header){0};
}
