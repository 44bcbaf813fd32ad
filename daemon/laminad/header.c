#include "daemon/laminad/header.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/text.h"
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

const char *lam_header_value(const json_t *attribute, char text[LAM_HEADER_VALUE])
{
    const json_t *values = json_object_get(attribute, "Value");
    text[0] = '\0';
    for (size_t i = 0; i < json_array_size(values); i++) {
        if (i)
            append(text, "\\");
        append_value(text, json_array_get(values, i));
    }
    return text[0] ? text : NULL;
}

const char *lam_header_text(const json_t *attributes, const char *tag, char text[LAM_HEADER_VALUE])
{
    return lam_header_value(json_object_get(attributes, tag), text);
}

/* ---- an answer, of which most is only kept ---- */

enum { TAG = 8, LONGEST_SEARCHED = 4096, MEMBERS = 64 };

typedef struct parser {
    lam_header header; /* its members point into the payload until the text is made */
    size_t capacity;
    uint32_t
        highest; /* tag of the members: most come in order, and need not be looked for among the others */
    lam_json_span character_set; /* the value; NULL: there is none */
} parser;

/* What equipment notes about how an image was made is most of a header, and only read again from the text. */
static bool is_used(uint32_t tag, size_t length)
{
    return (lam_attribute_of_tag(tag) || tag >> 16 == 0x0010) && length <= LONGEST_SEARCHED;
}

static lam_status add_member(parser *p, uint32_t tag, lam_json_span value, lam_error *err)
{
    lam_header *header = &p->header;
    for (size_t i = 0; tag <= p->highest && i < header->member_count; i++)
        if (header->members[i].tag == tag)
            return lam_fail(err, LAM_E_INVALID, "JSON: a member comes twice");
    p->highest = tag > p->highest ? tag : p->highest;
    if (header->member_count == p->capacity) {
        size_t capacity = 2 * p->capacity + MEMBERS;
        lam_header_member *members = realloc(header->members, capacity * sizeof *members);
        if (!members)
            return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a header");
        header->members = members;
        p->capacity = capacity;
    }
    header->members[header->member_count++] = (lam_header_member){tag, value};
    return LAM_OK;
}

static lam_status visit_attribute(void *user, lam_json_span key, lam_json_span value, lam_error *err)
{
    parser *p = user;
    char text[TAG + 1] = "", *end = text;
    if (key.length != TAG)
        return LAM_OK;
    memcpy(text, key.bytes, TAG);
    uint32_t tag = (uint32_t)strtoul(text, &end, 16);
    if (*end)
        return LAM_OK;
    if (tag == 0x00080005)
        p->character_set = value;
    return is_used(tag, value.length) ? add_member(p, tag, value, err) : LAM_OK;
}

/* The attributes as text, in which the character set is that of the text and not that of the object. The
 * members move along. */
static lam_status keep_text(parser *p, lam_json_span all, lam_error *err)
{
    static const char utf8[] = "{\"vr\":\"CS\",\"Value\":[\"ISO_IR 192\"]}";
    lam_json_span set = p->character_set;
    size_t before = set.bytes ? (size_t)(set.bytes - all.bytes) : all.length, after = before + set.length;
    size_t inserted = set.bytes ? strlen(utf8) : 0;
    char *text = malloc(all.length - set.length + inserted + 1);
    if (!text)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a header");
    memcpy(text, all.bytes, before);
    memcpy(text + before, utf8, inserted);
    memcpy(text + before + inserted, all.bytes + after, all.length - after);
    text[all.length - set.length + inserted] = '\0';
    for (size_t i = 0; i < p->header.member_count; i++) {
        lam_json_span *value = &p->header.members[i].value;
        size_t at = (size_t)(value->bytes - all.bytes);
        value->bytes = text + (at < after ? at : at - set.length + inserted);
        if (at == before)
            value->length = inserted;
    }
    p->header.text = text;
    return LAM_OK;
}

static bool is_key(lam_json_span key, const char *name)
{
    return key.length == strlen(name) && memcmp(key.bytes, name, key.length) == 0;
}

static lam_status visit_member(void *user, lam_json_span key, lam_json_span value, lam_error *err)
{
    parser *p = user;
    if (is_key(key, "dataset_offset")) {
        p->header.dataset_offset = strtoll(value.bytes, NULL, 10);
    } else if (is_key(key, "transfer_syntax_uid") && value.length - 2 < LAM_UID_TEXT) {
        memcpy(p->header.transfer_syntax_uid, value.bytes + 1, value.length - 2); /* without the quotes */
    } else if (is_key(key, "pixels") && !p->header.pixels) {
        p->header.pixels = strndup(value.bytes, value.length);
    } else if (is_key(key, "attributes") && !p->header.text && *value.bytes == '{') {
        lam_status status = lam_json_scan(value, visit_attribute, p, err);
        return status == LAM_OK ? keep_text(p, value, err) : status;
    }
    return LAM_OK;
}

static lam_status check_uid(const char *uid, const char *name, lam_error *err)
{
    if (!*uid)
        return lam_fail(err, LAM_E_CORRUPT, "%s is missing", name);
    return lam_uid_is_valid(uid) ? LAM_OK : lam_fail(err, LAM_E_CORRUPT, "%s is not a valid UID", name);
}

/* Too long for a UID is not cut to one that may be valid. */
static void take_uid(const lam_header *header, uint32_t tag, char uid[LAM_UID_TEXT])
{
    json_t *attribute = lam_header_attribute(header, tag);
    const char *text = json_string_value(json_array_get(json_object_get(attribute, "Value"), 0));
    if (text)
        lam_text_copy(uid, LAM_UID_TEXT, strlen(text) < LAM_UID_TEXT ? text : "too long");
    json_decref(attribute);
}

static lam_status take_uids(lam_header *header, lam_error *err)
{
    const struct {
        uint32_t tag;
        const char *name;
        char *uid;
    } uids[] = {
        {0x0020000D, "StudyInstanceUID", header->study_uid},
        {0x0020000E, "SeriesInstanceUID", header->series_uid},
        {0x00080018, "SOPInstanceUID", header->sop_uid},
        {0x00080016, "SOPClassUID", header->sop_class_uid},
    };
    lam_status status = LAM_OK;
    for (size_t i = 0; status == LAM_OK && i < LAM_COUNT(uids); i++) {
        take_uid(header, uids[i].tag, uids[i].uid);
        status = check_uid(uids[i].uid, uids[i].name, err);
    }
    return status == LAM_OK ? check_uid(header->transfer_syntax_uid, "TransferSyntaxUID", err) : status;
}

lam_status lam_header_parse(const char *payload, lam_header *out, lam_error *err)
{
    parser p = {.capacity = 0};
    lam_error why = {0};
    lam_status status = lam_json_scan((lam_json_span){payload, strlen(payload)}, visit_member, &p, &why);
    if (status != LAM_OK) /* only where and what: the text names the patient (promise 9) */
        status = lam_fail(err, status == LAM_E_NO_MEMORY ? status : LAM_E_CORRUPT,
                          "the worker's answer cannot be used: %s", why.message);
    else
        status = take_uids(&p.header, err);
    if (status == LAM_OK)
        *out = p.header;
    else
        lam_header_done(&p.header);
    return status;
}

lam_status lam_header_from_json(const json_t *indexed, lam_header *out, lam_error *err)
{
    lam_autofree char *text = json_dumps(indexed, JSON_COMPACT);
    if (!text)
        return lam_fail(err, LAM_E_CORRUPT, "the worker's answer lacks the header of an object");
    return lam_header_parse(text, out, err);
}

json_t *lam_header_attribute(const lam_header *header, uint32_t tag)
{
    for (size_t i = 0; i < header->member_count; i++)
        if (header->members[i].tag == tag)
            return json_loadb(header->members[i].value.bytes, header->members[i].value.length,
                              JSON_REJECT_DUPLICATES, NULL);
    return NULL;
}

/* All of the patient belongs to the study. */
static bool belongs(uint32_t tag, lam_level level)
{
    const lam_attribute *known = lam_attribute_of_tag(tag);
    return known ? known->level == level : level == LAM_LEVEL_STUDY;
}

char *lam_header_pick(const lam_header *header, lam_level level)
{
    size_t size = sizeof "{}", used = 0;
    for (size_t i = 0; i < header->member_count; i++)
        size += header->members[i].value.length + sizeof ",\"00000000\":";
    char *text = malloc(size);
    if (!text)
        return NULL;
    text[used++] = '{';
    for (size_t i = 0; i < header->member_count; i++) {
        const lam_header_member *member = &header->members[i];
        if (belongs(member->tag, level))
            used += (size_t)snprintf(text + used, size - used, "%s\"%08X\":%.*s", used > 1 ? "," : "",
                                     member->tag, (int)member->value.length, member->value.bytes);
    }
    memcpy(text + used, "}", 2);
    return text;
}

void lam_header_done(lam_header *header)
{
    if (!header)
        return;
    free(header->text);
    free(header->pixels);
    free(header->members);
    *header = (lam_header){.text = NULL};
}
