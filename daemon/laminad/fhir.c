#include "daemon/laminad/fhir.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/base/cleanup.h"
#include "core/base/sha256.h"
#include "daemon/laminad/findings_list.h"

typedef struct bundle {
    const json_t *study;
    const json_t *result; /* the one being told */
    json_t *entries;
    json_t *observations; /* references of the result's */
    char study_url[48], report_url[48];
    int count;
} bundle;

/* A UUID of version 8 from what the resource stands for. */
static void make_url(const char *kind, const char *what, long long number, char url[48])
{
    uint8_t d[LAM_SHA256_BYTES];
    char digits[24];
    lam_sha256 hash;
    lam_sha256_init(&hash);
    snprintf(digits, sizeof digits, "%lld", number);
    lam_sha256_update_text(&hash, kind);
    lam_sha256_update_text(&hash, what);
    lam_sha256_update_text(&hash, digits);
    lam_sha256_final(&hash, d);
    snprintf(url, 48, "urn:uuid:%02x%02x%02x%02x-%02x%02x-8%x%02x-%x%x%02x-%02x%02x%02x%02x%02x%02x", d[0],
             d[1], d[2], d[3], d[4], d[5], d[6] & 15u, d[7], 8u | (d[8] & 3u), d[8] >> 4, d[9], d[10], d[11],
             d[12], d[13], d[14], d[15]);
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* Leaves out what is empty: FHIR knows no empty strings. */
static void set_text(json_t *object, const char *key, const char *text)
{
    if (text && *text)
        json_object_set_new(object, key, json_string(text));
}

static void add_entry(bundle *b, const char *url, json_t *resource)
{
    json_object_set_new(resource, "id", json_string(url + strlen("urn:uuid:")));
    json_array_append_new(b->entries, json_pack("{s:s,s:o}", "fullUrl", url, "resource", resource));
}

/* The patient by identifier; no resource of its own, as Lamina is not where patients are kept. */
static void set_subject(const bundle *b, json_t *resource)
{
    const char *id = text_of(b->study, "patient_id");
    json_t *subject = id && *id ? json_pack("{s:s,s:{s:s}}", "type", "Patient", "identifier", "value", id)
                                : json_pack("{s:s,s:s}", "type", "Patient", "display", "unknown");
    json_object_set_new(resource, "subject", subject);
}

/* Milliseconds as a FHIR instant in UTC. */
static void set_instant(json_t *resource, const char *key, const json_t *milliseconds)
{
    char text[32];
    struct tm utc;
    time_t seconds = (time_t)(json_integer_value(milliseconds) / 1000);
    if (!json_is_integer(milliseconds) || !gmtime_r(&seconds, &utc))
        return;
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    set_text(resource, key, text);
}

/* ---- ImagingStudy ---- */

static json_t *series_of(const json_t *series)
{
    const char *modality = text_of(series, "modality");
    json_t *out = json_object();
    set_text(out, "uid", text_of(series, "series_uid"));
    json_object_set_new(out, "modality",
                        json_pack("{s:s,s:s}", "system", "http://dicom.nema.org/resources/ontology/DCM",
                                  "code", modality && *modality ? modality : "OT"));
    set_text(out, "description", text_of(series, "description"));
    json_t *instances = json_object_get(series, "instances");
    if (json_is_integer(instances))
        json_object_set(out, "numberOfInstances", instances);
    return out;
}

static void add_study(bundle *b)
{
    char identifier[96], date[16];
    const char *uid = text_of(b->study, "study_uid"), *day = text_of(b->study, "study_date");
    json_t *resource = json_pack("{s:s,s:s}", "resourceType", "ImagingStudy", "status", "available");
    snprintf(identifier, sizeof identifier, "urn:oid:%s", uid ? uid : "");
    json_object_set_new(resource, "identifier",
                        json_pack("[{s:s,s:s}]", "system", "urn:dicom:uid", "value", identifier));
    set_subject(b, resource);
    if (day && strlen(day) == 8 && strspn(day, "0123456789") == 8) {
        snprintf(date, sizeof date, "%.4s-%.2s-%.2s", day, day + 4, day + 6);
        set_text(resource, "started", date);
    }
    set_text(resource, "description", text_of(b->study, "description"));
    json_t *series = json_array();
    const json_t *from = json_object_get(b->study, "series");
    for (size_t i = 0; i < json_array_size(from); i++)
        json_array_append_new(series, series_of(json_array_get(from, i)));
    if (json_array_size(series) > 0)
        json_object_set(resource, "series", series);
    json_decref(series);
    make_url("study", uid ? uid : "", 0, b->study_url);
    add_entry(b, b->study_url, resource);
}

/* ---- Observation ---- */

static const struct {
    const char *scheme, *system;
} systems[] = {
    {"SCT", "http://snomed.info/sct"},
    {"LN", "http://loinc.org"},
    {"DCM", "http://dicom.nema.org/resources/ontology/DCM"},
    {"UCUM", "http://unitsofmeasure.org"},
};

static json_t *concept_of(const json_t *code, const char *label)
{
    json_t *concept = json_object(), *coding = json_object();
    const char *scheme = text_of(code, "scheme");
    for (size_t i = 0; scheme && i < LAM_COUNT(systems); i++)
        if (strcmp(systems[i].scheme, scheme) == 0)
            set_text(coding, "system", systems[i].system);
    if (code) {
        set_text(coding, "code", text_of(code, "value"));
        set_text(coding, "display", text_of(code, "meaning"));
        json_object_set_new(concept, "coding", json_pack("[O]", coding));
    }
    set_text(concept, "text", label);
    json_decref(coding);
    return concept;
}

static json_t *device_of(const json_t *result)
{
    char text[160];
    const json_t *model = json_object_get(result, "model");
    const char *name = text_of(model, "name"), *version = text_of(model, "version");
    snprintf(text, sizeof text, "%.64s %.32s, not for clinical use", name ? name : "model",
             version ? version : "");
    return json_pack("{s:s,s:s}", "type", "Device", "display", text);
}

/* What is observed; of a volume, that it is one, and where. */
static void set_code(json_t *resource, const lam_listed_finding *finding)
{
    json_t *volume = json_pack("{s:s,s:s,s:s}", "scheme", "SCT", "value", "118565006", "meaning", "Volume");
    json_object_set_new(resource, "code",
                        concept_of(finding->is_volume ? volume : finding->code, finding->label));
    if (finding->is_volume && finding->code)
        json_object_set_new(resource, "bodySite", concept_of(finding->code, finding->label));
    json_decref(volume);
}

static void add_observation(void *context, const lam_listed_finding *finding)
{
    bundle *b = context;
    char url[48];
    make_url("observation", b->report_url, b->count++, url);
    json_t *resource = json_pack("{s:s,s:s}", "resourceType", "Observation", "status", "preliminary");
    set_code(resource, finding);
    set_subject(b, resource);
    json_object_set_new(resource, "partOf",
                        json_pack("[{s:s,s:s}]", "reference", b->study_url, "type", "ImagingStudy"));
    set_instant(resource, "issued", json_object_get(b->result, "created_ms"));
    json_object_set_new(resource, "valueQuantity",
                        json_pack("{s:f,s:s,s:s,s:s}", "value", finding->value, "unit", finding->unit,
                                  "system", "http://unitsofmeasure.org", "code", finding->unit));
    json_object_set_new(resource, "device", device_of(b->result));
    add_entry(b, url, resource);
    json_array_append_new(b->observations, json_pack("{s:s,s:s}", "reference", url, "type", "Observation"));
}

/* ---- DiagnosticReport ---- */

static void add_report(bundle *b)
{
    const json_t *model = json_object_get(b->result, "model");
    make_url("report", b->study_url, json_integer_value(json_object_get(b->result, "job")), b->report_url);
    b->count = 0;
    b->observations = json_array();
    lam_findings_list(b->result, add_observation, b);
    json_t *resource =
        json_pack("{s:s,s:s,s:{s:[{s:s,s:s,s:s}],s:s?}}", "resourceType", "DiagnosticReport", "status",
                  "preliminary", "code", "coding", "system", "http://loinc.org", "code", "18748-4", "display",
                  "Diagnostic imaging study", "text", text_of(model, "name"));
    set_subject(b, resource);
    set_instant(resource, "issued", json_object_get(b->result, "created_ms"));
    json_object_set_new(resource, "imagingStudy",
                        json_pack("[{s:s,s:s}]", "reference", b->study_url, "type", "ImagingStudy"));
    if (json_array_size(b->observations) > 0)
        json_object_set(resource, "result", b->observations);
    set_text(resource, "conclusion", "Computed without human review. Not for clinical use.");
    add_entry(b, b->report_url, resource);
    json_decref(b->observations);
}

lam_status lam_fhir_bundle(const json_t *study, const json_t *results, json_t **out, lam_error *err)
{
    bundle b = {.study = study, .entries = json_array()};
    const json_t *list = json_object_get(results, "results");
    add_study(&b);
    for (size_t i = 0; i < json_array_size(list); i++) {
        b.result = json_array_get(list, i);
        const char *state = text_of(b.result, "state");
        if (!state || strcmp(state, "superseded") != 0)
            add_report(&b);
    }
    json_t *document =
        json_pack("{s:s,s:s,s:o}", "resourceType", "Bundle", "type", "collection", "entry", b.entries);
    if (!document)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a FHIR bundle");
    *out = document;
    return LAM_OK;
}
