/* POST /api/v1/upload: a zip archive of DICOM files, as people have them. The backend unpacks it when it is
 * here as a whole, so one that breaks off stores nothing; a file that cannot be stored fails alone. The
 * answer tells of each file that was not stored, and has the Store Instances Response of STOW-RS for the
 * others. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/negotiate.h"
#include "api/reply.h"
#include "api/store_response.h"
#include "api/urls.h"
#include "core/base/cleanup.h"
#include "core/base/log.h"

/* What the answer is made of. */
typedef struct tally {
    lam_request *request;
    char root[LAM_URL_TEXT];
    lam_store_response response;
    json_t *failures, *ignored, *studies;
    size_t ignored_count;
} tally;

/* ---- the body ---- */

static bool is_zip(lam_request *request)
{
    const char *text =
        MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE);
    lam_media_type media;
    return text && lam_media_type_parse(text, &media, NULL) &&
           (strcmp(media.type, "application/zip") == 0 ||
            strcmp(media.type, "application/x-zip-compressed") == 0); /* what Windows calls it */
}

static void upload_begin(lam_request *request)
{
    int64_t length;
    lam_error error = {0};
    lam_archive *archive = NULL;
    if (!is_zip(request))
        lam_reply_problem(request, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
                          "send a zip archive as application/zip; single objects go to /dicom-web/studies");
    else if (!lam_request_has_body(request, &length))
        lam_reply_problem(request, MHD_HTTP_LENGTH_REQUIRED, "send the body with Content-Length, or chunked");
    else if (request->backend->archive_open(request->backend->context, request->client, &archive, &error) !=
             LAM_OK)
        lam_reply_error(request, &error);
    request->body = archive;
}

static void upload_data(lam_request *request, const char *bytes, size_t length)
{
    lam_error error = {0};
    if (request->backend->archive_write(request->body, bytes, length, &error) != LAM_OK)
        lam_reply_error(request, &error);
}

static void upload_discard(lam_request *request)
{
    request->backend->archive_close(LAM_TAKE_PTR(request->body));
}

const lam_body_functions lam_upload_body = {upload_begin, upload_data, upload_discard, "application/zip",
                                            true};

/* ---- the answer ---- */

static void add_failure(tally *t, const lam_archive_file *file)
{
    char status[8];
    snprintf(status, sizeof status, "%04X", file->result->dicom_status);
    json_t *failure =
        json_pack("{s:s, s:s, s:s}", "file", file->name, "status", status, "reason", file->result->reason);
    if (failure && file->result->sop_instance_uid[0])
        json_object_set_new(failure, "sop_uid", json_string(file->result->sop_instance_uid));
    json_array_append_new(t->failures, failure);
}

static void add_file(void *context, const lam_archive_file *file)
{
    tally *t = context;
    if (file->ignored) {
        t->ignored_count++;
        json_array_append_new(t->ignored,
                              json_pack("{s:s, s:s}", "file", file->name, "reason", file->ignored));
        return;
    }
    lam_store_response_add(&t->response, file->result, t->root);
    lam_request_note_stored(t->request, file->result);
    if (file->result->status == LAM_OK)
        json_object_set_new(t->studies, file->result->study_uid, json_true());
    else
        add_failure(t, file);
}

static void reply_tally(lam_request *request, const tally *t)
{
    const lam_store_response *response = &t->response;
    json_t *studies = json_array();
    const char *uid;
    json_t *value;
    json_object_foreach(t->studies, uid, value) json_array_append_new(studies, json_string(uid));
    lam_reply_json(request, lam_store_response_status(response),
                   json_pack("{s:I, s:I, s:I, s:o, s:O, s:O, s:o}", "stored",
                             (json_int_t)response->stored_count, "failed", (json_int_t)response->failed_count,
                             "ignored", (json_int_t)t->ignored_count, "studies", studies, "failures",
                             t->failures, "ignored_files", t->ignored, "response",
                             lam_store_response_json(response, t->root)));
    lam_log(response->failed_count ? LAM_LOG_WARNING : LAM_LOG_INFO, "upload",
            "client=%s bytes=%lld stored=%zu failed=%zu ignored=%zu reason=%s", request->client,
            (long long)request->body_bytes, response->stored_count, response->failed_count, t->ignored_count,
            LAM_QUOTE(response->first_reason));
}

void lam_upload_handle(lam_request *request)
{
    lam_error error = {0};
    tally t = {
        .request = request, .failures = json_array(), .ignored = json_array(), .studies = json_object()};
    lam_url_root(request->options, t.root);
    lam_store_response_init(&t.response);
    lam_request_wait_begin(request);
    lam_status status = request->backend->archive_store(request->body, add_file, &t, &error);
    lam_request_wait_end(request);
    if (status == LAM_OK)
        reply_tally(request, &t);
    else
        lam_reply_error(request, &error);
    lam_store_response_done(&t.response);
    json_decref(t.failures);
    json_decref(t.ignored);
    json_decref(t.studies);
}
