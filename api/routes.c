#include "api/routes.h"

#include <string.h>

#include "api/data_sets.h"
#include "api/handlers.h"
#include "core/base/cleanup.h"

#define JSON     "application/json"
#define INSTANCE "multipart/related; type=\"application/dicom\", application/dicom"
#define FRAMES   "multipart/related; type=\"application/octet-stream\""
#define VALUE    "application/octet-stream, multipart/related; type=\"application/octet-stream\""
#define PICTURE  "image/jpeg, image/png"

static const lam_query_parameter page_of_studies[] = {
    {"state", "string", "only studies in this state", "receiving queued running done failed no_model"},
    {"limit", "integer", "at most so many, 1 to 1000; 100 when absent", NULL},
    {"offset", "integer", "after passing over so many", NULL},
    {0},
};
static const lam_query_parameter page_of_jobs[] = {
    {"state", "string", "only jobs in this state", "queued running done failed cancelled"},
    {"limit", "integer", "at most so many, 1 to 1000; 100 when absent", NULL},
    {"offset", "integer", "after passing over so many", NULL},
    {0},
};
static const lam_query_parameter form_of_results[] = {
    {"format", "string",
     "json, or fhir for a FHIR R4 Bundle (application/fhir+json); what Accept says when absent", "json fhir"},
    {0},
};
static const lam_query_parameter page_of_deliveries[] = {
    {"state", "string", "only deliveries in this state", "queued sending sent delivered failed superseded"},
    {"destination", "string", "only those to this destination", NULL},
    {"limit", "integer", "at most so many, 1 to 1000; 100 when absent", NULL},
    {"offset", "integer", "after passing over so many", NULL},
    {0},
};
static const lam_query_parameter one_model[] = {
    {"model", "string", "only this model, instead of all that apply", NULL},
    {0},
};
static const lam_query_parameter searched[] = {
    {"limit", "integer", "at most so many; at most 10000, also when absent", NULL},
    {"offset", "integer", "after passing over so many", NULL},
    {"fuzzymatching", "boolean", "names by words, in any order, as beginnings", NULL},
    {"includefield", "string", "attributes to be returned besides, by commas, or all", NULL},
    {"PatientID", "string", "an attribute to be matched; others by keyword or tag in the same way", NULL},
    {"accept", "string", "a media type, in place of the Accept header (PS3.18 section 8.3.3.1)", NULL},
    {0},
};
static const lam_query_parameter created_workitem[] = {
    {"workitem", "string",
     "SOP Instance UID of the workitem; also as AffectedSOPInstanceUID, or without a name", NULL},
    {0},
};
static const lam_query_parameter updated_workitem[] = {
    {"transaction-uid", "string", "of who performs the workitem; also as transaction, or without a name",
     NULL},
    {0},
};
static const lam_query_parameter accepted[] = {
    {"accept", "string", "a media type, in place of the Accept header (PS3.18 section 8.3.3.1)", NULL},
    {0},
};
static const lam_query_parameter pictured[] = {
    {"viewport", "string", "width,height that the picture fits in, and x,y,width,height of the part shown",
     NULL},
    {"window", "string", "centre,width and linear, linear-exact or sigmoid", NULL},
    {"quality", "integer", "of JPEG, 1 to 100", NULL},
    {"annotation", "string", "what is written into it: patient, technique", NULL},
    {"overlay", "string", "SOP Instance UID of a segmentation of the same study that is drawn over it", NULL},
    {"accept", "string", "a media type, in place of the Accept header (PS3.18 section 8.3.3.1)", NULL},
    {0},
};
static const lam_query_parameter small_picture[] = {
    {"viewport", "string", "width,height that the picture fits in; 160,160 when absent", NULL},
    {"accept", "string", "a media type, in place of the Accept header (PS3.18 section 8.3.3.1)", NULL},
    {0},
};

enum {
    OPEN = LAM_ROUTE_OPEN,
    QUIET = LAM_ROUTE_QUIET,
    FREE = LAM_ROUTE_FREE_QUERY,
    CHOOSES = LAM_ROUTE_NEGOTIATES
};

/* The last column is what PS3.15 section A.5 has a message for. Workitems are only searched for in its sense,
 * and DELETE is noted by the backend, which knows the patient while there is one. */
/* clang-format off */
const lam_route lam_routes[] = {
    {"OPTIONS", "/dicom-web", lam_capabilities,
     "Says what can be done here (PS3.18 section 8.9)", "application/vnd.sun.wadl+xml", NULL, 200, NULL, NULL, OPEN | FREE, LAM_DEED_NONE},
    {"POST", "/dicom-web/studies", lam_stow_handle,
     "Stores instances (STOW-RS, PS3.18 section 10.5)", NULL, "StoreResponse", 200, accepted, &lam_stow_body, FREE, LAM_DEED_STORE},
    {"POST", "/dicom-web/studies/{study}", lam_stow_handle,
     "Stores instances of this study", NULL, "StoreResponse", 200, accepted, &lam_stow_body, FREE, LAM_DEED_STORE},
    {"GET", "/dicom-web/studies", lam_qido_studies,
     "Searches for studies (QIDO-RS, PS3.18 section 10.6)", LAM_DATA_SETS_TYPES, "DataSets", 200, searched, NULL, FREE | CHOOSES, LAM_DEED_QUERY},
    {"GET", "/dicom-web/series", lam_qido_series,
     "Searches for series", LAM_DATA_SETS_TYPES, "DataSets", 200, searched, NULL, FREE | CHOOSES, LAM_DEED_QUERY},
    {"GET", "/dicom-web/studies/{study}/series", lam_qido_series,
     "Searches the series of a study", LAM_DATA_SETS_TYPES, "DataSets", 200, searched, NULL, FREE | CHOOSES, LAM_DEED_QUERY},
    {"GET", "/dicom-web/instances", lam_qido_instances,
     "Searches for instances", LAM_DATA_SETS_TYPES, "DataSets", 200, searched, NULL, FREE | CHOOSES, LAM_DEED_QUERY},
    {"GET", "/dicom-web/studies/{study}/instances", lam_qido_instances,
     "Searches the instances of a study", LAM_DATA_SETS_TYPES, "DataSets", 200, searched, NULL, FREE | CHOOSES, LAM_DEED_QUERY},
    {"GET", "/dicom-web/studies/{study}/series/{series}/instances", lam_qido_instances,
     "Searches the instances of a series", LAM_DATA_SETS_TYPES, "DataSets", 200, searched, NULL, FREE | CHOOSES, LAM_DEED_QUERY},
    {"GET", "/dicom-web/studies/{study}/metadata", lam_metadata_retrieve,
     "The headers of a study, without bulk data", LAM_DATA_SETS_TYPES, "DataSets", 200, accepted, NULL, FREE | CHOOSES, LAM_DEED_ACCESS},
    {"GET", "/dicom-web/studies/{study}/series/{series}/metadata", lam_metadata_retrieve,
     "The headers of a series", LAM_DATA_SETS_TYPES, "DataSets", 200, accepted, NULL, FREE | CHOOSES, LAM_DEED_ACCESS},
    {"GET", "/dicom-web/studies/{study}/series/{series}/instances/{instance}/metadata", lam_metadata_retrieve,
     "The header of an instance", LAM_DATA_SETS_TYPES, "DataSets", 200, accepted, NULL, FREE | CHOOSES, LAM_DEED_ACCESS},
    {"GET", "/dicom-web/studies/{study}", lam_wado_retrieve,
     "Retrieves a study (WADO-RS, PS3.18 section 10.4)", NULL, NULL, 200, accepted, NULL, FREE | CHOOSES, LAM_DEED_ACCESS},
    {"GET", "/dicom-web/studies/{study}/series/{series}", lam_wado_retrieve,
     "Retrieves a series", NULL, NULL, 200, accepted, NULL, FREE | CHOOSES, LAM_DEED_ACCESS},
    {"GET", "/dicom-web/studies/{study}/series/{series}/instances/{instance}", lam_wado_retrieve,
     "Retrieves an instance, byte for byte as it was stored", INSTANCE, NULL, 200, accepted, NULL, FREE | CHOOSES, LAM_DEED_ACCESS},
    {"DELETE", "/dicom-web/studies/{study}", lam_remove_handle,
     "Removes a study with its results, if that is allowed", NULL, NULL, 204, NULL, NULL, 0, LAM_DEED_NONE},
    {"DELETE", "/dicom-web/studies/{study}/series/{series}", lam_remove_handle,
     "Removes a series, if that is allowed", NULL, NULL, 204, NULL, NULL, 0, LAM_DEED_NONE},
    {"DELETE", "/dicom-web/studies/{study}/series/{series}/instances/{instance}", lam_remove_handle,
     "Removes an instance, if that is allowed", NULL, NULL, 204, NULL, NULL, 0, LAM_DEED_NONE},
    {"GET", "/dicom-web/studies/{study}/series/{series}/instances/{instance}/frames/{frames}", lam_wado_frames,
     "Frames, as they are stored or as plain pixels", FRAMES, NULL, 200, accepted, NULL, FREE | CHOOSES, LAM_DEED_ACCESS},
    {"GET", "/dicom-web/studies/{study}/series/{series}/instances/{instance}/bulkdata/{path}", lam_wado_bulkdata,
     "A value that the metadata leave out, by its path", VALUE, NULL, 200, accepted, NULL, FREE | CHOOSES, LAM_DEED_ACCESS},
    {"GET", "/dicom-web/studies/{study}/rendered", lam_wado_rendered,
     "A picture of a study; of a segmentation, drawn over its image", PICTURE, NULL, 200, pictured, NULL, FREE | CHOOSES, LAM_DEED_ACCESS},
    {"GET", "/dicom-web/studies/{study}/series/{series}/rendered", lam_wado_rendered,
     "A picture of a series; of a segmentation, drawn over its image", PICTURE, NULL, 200, pictured, NULL, FREE | CHOOSES, LAM_DEED_ACCESS},
    {"GET", "/dicom-web/studies/{study}/series/{series}/instances/{instance}/rendered", lam_wado_rendered,
     "A picture of an instance; of a segmentation, drawn over its image", PICTURE, NULL, 200, pictured, NULL, FREE | CHOOSES, LAM_DEED_ACCESS},
    {"GET", "/dicom-web/studies/{study}/series/{series}/instances/{instance}/frames/{frames}/rendered", lam_wado_rendered,
     "Pictures of frames; of a segmentation, drawn over its image", PICTURE, NULL, 200, pictured, NULL, FREE | CHOOSES, LAM_DEED_ACCESS},
    {"GET", "/dicom-web/studies/{study}/thumbnail", lam_wado_thumbnail,
     "A small picture of a study", PICTURE, NULL, 200, small_picture, NULL, FREE | CHOOSES, LAM_DEED_ACCESS},
    {"GET", "/dicom-web/studies/{study}/series/{series}/thumbnail", lam_wado_thumbnail,
     "A small picture of a series", PICTURE, NULL, 200, small_picture, NULL, FREE | CHOOSES, LAM_DEED_ACCESS},
    {"GET", "/dicom-web/studies/{study}/series/{series}/instances/{instance}/thumbnail", lam_wado_thumbnail,
     "A small picture of an instance", PICTURE, NULL, 200, small_picture, NULL, FREE | CHOOSES, LAM_DEED_ACCESS},
    {"GET", "/dicom-web/studies/{study}/series/{series}/instances/{instance}/frames/{frames}/thumbnail", lam_wado_thumbnail,
     "A small picture of a frame", PICTURE, NULL, 200, small_picture, NULL, FREE | CHOOSES, LAM_DEED_ACCESS},
    {"POST", "/dicom-web/workitems", lam_workitem_create,
     "Creates a workitem (UPS-RS, PS3.18 section 11.4)", "", NULL, 201, created_workitem, &lam_workitem_body, FREE | CHOOSES, LAM_DEED_NONE},
    {"GET", "/dicom-web/workitems", lam_qido_workitems,
     "Searches for workitems", LAM_DATA_SETS_TYPES, "DataSets", 200, searched, NULL, FREE | CHOOSES, LAM_DEED_QUERY},
    {"GET", "/dicom-web/workitems/{workitem}", lam_workitem_retrieve,
     "A workitem", LAM_DATA_SETS_TYPES, "DataSets", 200, accepted, NULL, FREE | CHOOSES, LAM_DEED_QUERY},
    {"POST", "/dicom-web/workitems/{workitem}", lam_workitem_update,
     "Changes attributes of a workitem", "", NULL, 200, updated_workitem, &lam_workitem_body, FREE | CHOOSES, LAM_DEED_NONE},
    {"PUT", "/dicom-web/workitems/{workitem}/state", lam_workitem_change_state,
     "Claims, completes or cancels a workitem", "", NULL, 200, NULL, &lam_workitem_body, FREE | CHOOSES, LAM_DEED_NONE},
    {"POST", "/dicom-web/workitems/{workitem}/cancelrequest", lam_workitem_request_cancel,
     "Asks that a workitem be canceled", "", NULL, 202, NULL, &lam_cancel_body, FREE | CHOOSES, LAM_DEED_NONE},

    {"POST", "/api/v1/upload", lam_upload_handle,
     "Stores the DICOM files of a zip archive", JSON, "UploadResponse", 200, NULL, &lam_upload_body, 0, LAM_DEED_STORE},
    {"GET", "/api/v1/studies", lam_rest_studies,
     "Lists studies, the newest first", JSON, "Studies", 200, page_of_studies, NULL, QUIET, LAM_DEED_QUERY},
    {"GET", "/api/v1/studies/{study}", lam_rest_study,
     "A study, its series and jobs", JSON, "Study", 200, NULL, NULL, 0, LAM_DEED_ACCESS},
    {"GET", "/api/v1/studies/{study}/results", lam_rest_results,
     "What the models found in a study", JSON ", application/fhir+json", "Results", 200, form_of_results, NULL, CHOOSES, LAM_DEED_ACCESS},
    {"POST", "/api/v1/studies/{study}/analyze", lam_rest_analyze,
     "Queues the study's series now, without waiting for quiet", JSON, "Study", 202, one_model, NULL, 0, LAM_DEED_NONE},
    {"GET", "/api/v1/jobs", lam_rest_jobs,
     "Lists jobs, the newest first", JSON, "Jobs", 200, page_of_jobs, NULL, QUIET, LAM_DEED_NONE},
    {"GET", "/api/v1/jobs/{job}", lam_rest_job,
     "A job with its attempts, timings and reason", JSON, "Job", 200, NULL, NULL, 0, LAM_DEED_NONE},
    {"POST", "/api/v1/jobs/{job}/retry", lam_rest_job_retry,
     "Queues a failed job again", JSON, "Job", 202, NULL, NULL, 0, LAM_DEED_NONE},
    {"POST", "/api/v1/jobs/{job}/cancel", lam_rest_job_cancel,
     "Cancels a job; final", JSON, "Job", 202, NULL, NULL, 0, LAM_DEED_NONE},
    {"GET", "/api/v1/jobs/{job}/pictures/{name}", lam_rest_picture,
     "A picture of a job's result, such as montage", "image/png", NULL, 200, NULL, NULL, 0, LAM_DEED_ACCESS},
    {"GET", "/api/v1/deliveries", lam_rest_deliveries,
     "Lists what is on its way to other nodes, the newest first", JSON, "Deliveries", 200, page_of_deliveries, NULL, QUIET, LAM_DEED_NONE},
    {"GET", "/api/v1/deliveries/{delivery}", lam_rest_delivery,
     "A delivery with its attempts and last error", JSON, "Delivery", 200, NULL, NULL, 0, LAM_DEED_NONE},
    {"POST", "/api/v1/deliveries/{delivery}/retry", lam_rest_delivery_retry,
     "Queues a failed delivery again", JSON, "Delivery", 202, NULL, NULL, 0, LAM_DEED_NONE},
    {"GET", "/api/v1/destinations", lam_rest_destinations,
     "Lists the nodes that results are delivered to, with counts", JSON, "Destinations", 200, NULL, NULL, QUIET, LAM_DEED_NONE},
    {"POST", "/api/v1/destinations/{name}/pause", lam_rest_destination_pause,
     "Keeps what is for this destination in the queue", JSON, "Destinations", 202, NULL, NULL, 0, LAM_DEED_NONE},
    {"POST", "/api/v1/destinations/{name}/resume", lam_rest_destination_resume,
     "Ends a pause", JSON, "Destinations", 202, NULL, NULL, 0, LAM_DEED_NONE},
    {"GET", "/api/v1/models", lam_rest_models,
     "Lists the installed models", JSON, "Models", 200, NULL, NULL, 0, LAM_DEED_NONE},
    {"GET", "/api/v1/models/{name}", lam_rest_model,
     "A model's manifest, card and hashes", JSON, "Model", 200, NULL, NULL, 0, LAM_DEED_NONE},
    {"GET", "/api/v1/status", lam_rest_status,
     "The state of the daemon", JSON, "Status", 200, NULL, NULL, QUIET, LAM_DEED_NONE},
    {"GET", "/api/v1/events", lam_rest_events,
     "Follows what changes: studies, jobs, deliveries, workitems, as server-sent events", "text/event-stream", NULL, 200, NULL, NULL, 0, LAM_DEED_NONE},
    {"GET", "/api/v1/openapi.json", lam_rest_openapi,
     "This document", JSON, "OpenAPI", 200, NULL, NULL, OPEN, LAM_DEED_NONE},

    {"GET", "/healthz", lam_rest_healthz,
     "200 while the process answers", "text/plain", NULL, 200, NULL, NULL, OPEN | QUIET, LAM_DEED_NONE},
    {"GET", "/readyz", lam_rest_readyz,
     "200 when objects can be taken, else 503 and why", "text/plain", NULL, 200, NULL, NULL, OPEN | QUIET, LAM_DEED_NONE},
    {"GET", "/metrics", lam_rest_metrics,
     "Metrics in the Prometheus text format", "text/plain", NULL, 200, NULL, NULL, QUIET, LAM_DEED_NONE},

    {"GET", "/ohif", lam_ohif_file, "The viewer OHIF, where it is installed", NULL, NULL, 200, NULL, NULL, OPEN | QUIET | FREE, LAM_DEED_NONE},
    {"GET", "/ohif/{path}", lam_ohif_file, "A part of it", NULL, NULL, 200, NULL, NULL, OPEN | QUIET | FREE, LAM_DEED_NONE},
    {"GET", "/", lam_ui_page, "The web page", "text/html", NULL, 200, NULL, NULL, OPEN | QUIET | FREE, LAM_DEED_NONE},
    {"GET", "/ui/{name}", lam_ui_file, "A part of the web page", NULL, NULL, 200, NULL, NULL, OPEN | QUIET | FREE, LAM_DEED_NONE},
};
/* clang-format on */
const size_t lam_route_count = LAM_COUNT(lam_routes);

static bool is_job(const char *value)
{
    size_t length = strlen(value);
    return length >= 1 && length <= 18 && strspn(value, "0123456789") == length;
}

static bool is_name(const char *value)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t length = strlen(value);
    return length >= 1 && length <= 64 && value[0] != '.' && strspn(value, allowed) == length;
}

/* Read by the handler, which says more about what is wrong. */
static bool is_any(const char *value)
{
    return value[0] != '\0';
}

#define UID_PATTERN "^[0-9]+([.][0-9]+)*$"

static const lam_parameter_kind parameter_kinds[] = {
    {"study", "Study Instance UID", "string", UID_PATTERN, lam_uid_is_valid},
    {"series", "Series Instance UID", "string", UID_PATTERN, lam_uid_is_valid},
    {"instance", "SOP Instance UID", "string", UID_PATTERN, lam_uid_is_valid},
    {"workitem", "SOP Instance UID of the workitem", "string", UID_PATTERN, lam_uid_is_valid},
    {"job", "number of the job", "integer", NULL, is_job},
    {"delivery", "number of the delivery", "integer", NULL, is_job},
    {"frames", "list of frame numbers, from 1", "string", NULL, is_any},
    {"path", "path of a value: tags and items, by slashes", "string", NULL, is_any},
    {"name", "name", "string", "^[A-Za-z0-9_-][A-Za-z0-9._-]*$", is_name},
};

const lam_parameter_kind *lam_parameter_kind_of(const char *name, size_t length)
{
    for (size_t i = 0; i < LAM_COUNT(parameter_kinds); i++)
        if (strlen(parameter_kinds[i].name) == length && memcmp(parameter_kinds[i].name, name, length) == 0)
            return &parameter_kinds[i];
    return NULL;
}

typedef struct segment {
    const char *text;
    size_t length;
} segment;

/* A {path} is all that is left, slashes and all. */
static bool takes_rest(segment wanted)
{
    return wanted.length == 6 && memcmp(wanted.text, "{path}", 6) == 0;
}

static segment next_segment(const char **path)
{
    const char *from = **path == '/' ? *path + 1 : *path;
    size_t length = strcspn(from, "/");
    *path = from + length;
    return (segment){from, length};
}

static bool template_fits(const char *template, const char *path)
{
    while (*template && *path) {
        segment wanted = next_segment(&template);
        segment given = next_segment(&path);
        bool parameter = wanted.length && wanted.text[0] == '{';
        if (takes_rest(wanted))
            return given.length > 0;
        if (parameter ? given.length == 0
                      : wanted.length != given.length || memcmp(wanted.text, given.text, given.length) != 0)
            return false;
    }
    return *template == '\0' && (*path == '\0' || strcmp(path, "/") == 0);
}

static bool method_fits(const lam_route *route, const char *method)
{
    return strcmp(route->method, method) == 0 ||
           (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

static lam_status take_parameters(const char *template, const char *path,
                                  char parameters[LAM_PATH_PARAMETERS][LAM_PARAMETER_TEXT], lam_error *err)
{
    for (int count = 0; *template;) {
        segment wanted = next_segment(&template);
        segment given = next_segment(&path);
        if (wanted.length == 0 || wanted.text[0] != '{')
            continue;
        if (takes_rest(wanted))
            given.length = strlen(given.text);
        const lam_parameter_kind *kind = lam_parameter_kind_of(wanted.text + 1, wanted.length - 2);
        char *value = parameters[count++];
        if (given.length >= LAM_PARAMETER_TEXT)
            return lam_fail(err, LAM_E_INVALID, "the %s in the URL is too long", kind->summary);
        memcpy(value, given.text, given.length);
        value[given.length] = '\0';
        if (!kind->valid(value))
            return lam_fail(err, LAM_E_INVALID, "\"%.80s\" in the URL is not a valid %s", value,
                            kind->summary);
    }
    return LAM_OK;
}

static void add_method(lam_buffer *allow, const char *method)
{
    if (strstr(lam_buffer_text(allow), method))
        return;
    lam_buffer_printf(allow, "%s%s", allow->length ? ", " : "", method);
    if (strcmp(method, "GET") == 0)
        lam_buffer_append_text(allow, ", HEAD");
}

lam_status lam_route_find(const char *method, const char *path, const lam_route **route,
                          char parameters[LAM_PATH_PARAMETERS][LAM_PARAMETER_TEXT], lam_buffer *allow,
                          lam_error *err)
{
    for (size_t i = 0; i < lam_route_count; i++) {
        if (!template_fits(lam_routes[i].path, path))
            continue;
        if (!method_fits(&lam_routes[i], method)) {
            add_method(allow, lam_routes[i].method);
            continue;
        }
        *route = &lam_routes[i];
        return take_parameters(lam_routes[i].path, path, parameters, err);
    }
    if (allow->length == 0)
        return lam_fail(err, LAM_E_NOT_FOUND, "nothing is here; /api/v1/openapi.json lists what is");
    if (!strstr(lam_buffer_text(allow), "OPTIONS"))
        lam_buffer_append_text(allow, ", OPTIONS");
    return lam_fail(err, LAM_E_STATE, "%.16s is not possible here; allowed: %s", method,
                    lam_buffer_text(allow));
}
