#include "api/store_response.h"

#include <stdio.h>
#include <string.h>

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
