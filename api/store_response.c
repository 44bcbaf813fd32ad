#include "api/store_response.h"

#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"

static const struct {
    const char *tag;
    const char *keyword;
} keywords[] = {
    {"00081150", "ReferencedSOPClassUID"}, {"00081155", "ReferencedSOPInstanceUID"},
    {"00081190", "RetrieveURL"},           {"00081196", "WarningReason"},
    {"00081197", "FailureReason"},         {"00081198", "FailedSOPSequence"},
    {"00081199", "ReferencedSOPSequence"}, {"0008119A", "OtherFailuresSequence"},
};

void lam_store_response_init(lam_store_response *response)
{
    *response = (lam_store_response){.stored = json_array(), .failed = json_array(), .others = json_array()};
}

void lam_store_response_done(lam_store_response *response)
{
    json_decref(response->stored);
    json_decref(response->failed);
    json_decref(response->others);
}

/* An empty text makes an attribute without value. */
static void set_text(json_t *item, const char *tag, const char *vr, const char *text)
{
    json_object_set_new(
        item, tag, *text ? json_pack("{s:s, s:[s]}", "vr", vr, "Value", text) : json_pack("{s:s}", "vr", vr));
}

static void set_number(json_t *item, const char *tag, unsigned number)
{
    json_object_set_new(item, tag, json_pack("{s:s, s:[i]}", "vr", "US", "Value", (int)number));
}

static json_t *sop_reference(const lam_store_result *result)
{
    json_t *item = json_object();
    set_text(item, "00081150", "UI", result->sop_class_uid);
    set_text(item, "00081155", "UI", result->sop_instance_uid);
    return item;
}

static void add_failure(lam_store_response *response, const lam_store_result *result)
{
    if (response->failed_count++ == 0)
        snprintf(response->first_reason, sizeof response->first_reason, "%s", result->reason);
    if (result->dicom_status >> 8 == 0xA7)
        response->resource_count++;
    bool known = result->sop_instance_uid[0] && result->sop_class_uid[0];
    json_t *item = known ? sop_reference(result) : json_object();
    set_number(item, "00081197", result->dicom_status ? result->dicom_status : 0x0110);
    json_array_append_new(known ? response->failed : response->others, item);
}

static void note_study(lam_store_response *response, const char *study_uid)
{
    if (response->stored_count == 0)
        snprintf(response->study_uid, sizeof response->study_uid, "%s", study_uid);
    else if (strcmp(response->study_uid, study_uid) != 0)
        response->study_uid[0] = '\0';
}

void lam_store_response_add(lam_store_response *response, const lam_store_result *result, const char *root)
{
    if (result->status != LAM_OK) {
        add_failure(response, result);
        return;
    }
    note_study(response, result->study_uid);
    response->stored_count++;
    json_t *item = sop_reference(result);
    char url[1024];
    snprintf(url, sizeof url, "%s/studies/%s/series/%s/instances/%s", root, result->study_uid,
             result->series_uid, result->sop_instance_uid);
    set_text(item, "00081190", "UR", url);
    if (result->dicom_warning) {
        response->warning_count++;
        set_number(item, "00081196", result->dicom_warning);
    }
    json_array_append_new(response->stored, item);
}

unsigned lam_store_response_status(const lam_store_response *response)
{
    if (response->stored_count == 0)
        return response->resource_count && response->resource_count == response->failed_count ? 507 : 409;
    return response->failed_count || response->warning_count ? 202 : 200;
}

static void set_sequence(json_t *data_set, const char *tag, json_t *items)
{
    if (json_array_size(items))
        json_object_set_new(data_set, tag, json_pack("{s:s, s:O}", "vr", "SQ", "Value", items));
}

json_t *lam_store_response_json(const lam_store_response *response, const char *root)
{
    json_t *data_set = json_object();
    char url[1024] = "";
    if (response->study_uid[0])
        snprintf(url, sizeof url, "%s/studies/%s", root, response->study_uid);
    set_text(data_set, "00081190", "UR", url);
    set_sequence(data_set, "00081198", response->failed);
    set_sequence(data_set, "00081199", response->stored);
    set_sequence(data_set, "0008119A", response->others);
    return data_set;
}

static void write_escaped(lam_buffer *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&':
            lam_buffer_append_text(out, "&amp;");
            break;
        case '<':
            lam_buffer_append_text(out, "&lt;");
            break;
        case '>':
            lam_buffer_append_text(out, "&gt;");
            break;
        default:
            lam_buffer_append(out, text, 1);
        }
    }
}

static const char *keyword_of(const char *tag)
{
    for (size_t i = 0; i < LAM_COUNT(keywords); i++)
        if (strcmp(keywords[i].tag, tag) == 0)
            return keywords[i].keyword;
    return "";
}

static void write_data_set(lam_buffer *out, const json_t *data_set);

static void write_value(lam_buffer *out, size_t number, const json_t *value)
{
    if (json_is_object(value)) {
        lam_buffer_printf(out, "<Item number=\"%zu\">", number);
        write_data_set(out, value);
        lam_buffer_append_text(out, "</Item>");
        return;
    }
    lam_buffer_printf(out, "<Value number=\"%zu\">", number);
    if (json_is_integer(value))
        lam_buffer_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_string(value))
        write_escaped(out, json_string_value(value));
    lam_buffer_append_text(out, "</Value>");
}

static void write_data_set(lam_buffer *out, const json_t *data_set)
{
    const char *tag;
    json_t *attribute;
    json_object_foreach((json_t *)data_set, tag, attribute)
    {
        lam_buffer_printf(out, "<DicomAttribute tag=\"%s\" vr=\"%s\" keyword=\"%s\">", tag,
                          json_string_value(json_object_get(attribute, "vr")), keyword_of(tag));
        const json_t *values = json_object_get(attribute, "Value");
        for (size_t i = 0; i < json_array_size(values); i++)
            write_value(out, i + 1, json_array_get(values, i));
        lam_buffer_append_text(out, "</DicomAttribute>");
    }
}

void lam_store_response_xml(const json_t *data_set, lam_buffer *out)
{
    lam_buffer_append_text(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<NativeDicomModel "
                                "xmlns=\"http://dicom.nema.org/PS3.19/models/NativeDICOM\">");
    write_data_set(out, data_set);
    lam_buffer_append_text(out, "</NativeDicomModel>\n");
}
