/* STOW-RS (PS3.18 section 10.5). The body is handed to the backend as it arrives; what arrived is submitted
 * only when the body proved whole, so a request that breaks off stores nothing. A part that cannot be stored
 * fails alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/dicom_xml.h"
#include "api/handlers.h"
#include "api/multipart.h"
#include "api/negotiate.h"
#include "api/reply.h"
#include "api/store_response.h"
#include "api/urls.h"
#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "core/base/text.h"

enum {
    OUT_OF_RESOURCES = 0xA700, /* failure reasons: PS3.18 table I.2-2 */
    PROCESSING_FAILURE = 0x0110,
    CANNOT_UNDERSTAND = 0xC000,
    MAX_XML = 64 * 1024 * 1024
};

typedef struct stow_part {
    lam_upload *upload;        /* NULL once refused */
    lam_store_result *refused; /* why; owned */
    int64_t bytes;
} stow_part;

typedef struct stow {
    lam_request *request;
    lam_multipart *reader;  /* NULL for a single part */
    const char *media_type; /* of the answer */
    stow_part *parts;
    size_t count;
    size_t capacity;
} stow;

static const lam_offer answers[] = {
    {.type = "application/dicom+json"},
    {.type = "application/dicom+xml"},
    {.type = "application/json"},
};

/* ---- parts ---- */

static lam_status refuse(stow_part *part, uint16_t reason, const char *text, lam_error *err)
{
    part->refused = calloc(1, sizeof *part->refused);
    if (!part->refused)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    part->refused->status = LAM_E_INVALID;
    part->refused->dicom_status = reason;
    lam_text_copy(part->refused->reason, sizeof part->refused->reason, text);
    return LAM_OK;
}

static lam_status refuse_upload(const stow *store, stow_part *part, const lam_error *why, lam_error *err)
{
    if (part->upload)
        store->request->backend->upload_discard(part->upload);
    part->upload = NULL;
    bool resources = why->status == LAM_E_NO_SPACE || why->status == LAM_E_LIMIT ||
                     why->status == LAM_E_NO_MEMORY || why->status == LAM_E_BUSY;
    return refuse(part, resources ? OUT_OF_RESOURCES : PROCESSING_FAILURE, why->message, err);
}

static lam_status add_part(stow *store, stow_part **out, lam_error *err)
{
    if (store->count == store->capacity) {
        size_t capacity = store->capacity ? store->capacity * 2 : 16;
        stow_part *parts = realloc(store->parts, capacity * sizeof *parts);
        if (!parts)
            return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
        store->parts = parts;
        store->capacity = capacity;
    }
    stow_part *part = &store->parts[store->count++];
    *part = (stow_part){0};
    lam_error why = {0};
    const lam_backend *backend = store->request->backend;
    lam_status status = backend->upload_open(backend->context, store->request->client, &part->upload, &why);
    *out = part;
    return status == LAM_OK ? LAM_OK : refuse_upload(store, part, &why, err);
}

/* Why a part with these headers is not taken; NULL when it is. A part without a type is what the whole body
 * says. */
static const char *refuse_headers(const char *headers)
{
    char value[256];
    lam_media_type media;
    if (lam_multipart_header(headers, "Content-Type", value, sizeof value) &&
        (!lam_media_type_parse(value, &media, NULL) || strcmp(media.type, "application/dicom") != 0))
        return "the part is not of type application/dicom";
    if (lam_multipart_header(headers, "Content-Transfer-Encoding", value, sizeof value) &&
        strcasecmp(value, "binary") != 0 && strcasecmp(value, "8bit") != 0 && strcasecmp(value, "7bit") != 0)
        return "the part has a Content-Transfer-Encoding other than binary";
    return NULL;
}

static lam_status on_part_begin(void *context, const char *headers, lam_error *err)
{
    stow *store = context;
    stow_part *part = NULL;
    lam_status status = add_part(store, &part, err);
    const char *why = refuse_headers(headers);
    if (status != LAM_OK || part->refused || !why)
        return status;
    store->request->backend->upload_discard(LAM_TAKE_PTR(part->upload));
    return refuse(part, CANNOT_UNDERSTAND, why, err);
}

static lam_status on_part_data(void *context, const char *bytes, size_t length, lam_error *err)
{
    stow *store = context;
    stow_part *part = &store->parts[store->count - 1];
    part->bytes += (int64_t)length;
    if (part->refused)
        return LAM_OK;
    lam_error why = {0};
    if (store->request->backend->upload_write(part->upload, bytes, length, &why) == LAM_OK)
        return LAM_OK;
    return refuse_upload(store, part, &why, err);
}

static lam_status on_part_end(void *context, lam_error *err)
{
    stow *store = context;
    stow_part *part = &store->parts[store->count - 1];
    if (part->refused)
        return LAM_OK;
    store->request->backend->upload_end(part->upload);
    if (part->bytes > 0)
        return LAM_OK;
    store->request->backend->upload_discard(LAM_TAKE_PTR(part->upload));
    return refuse(part, CANNOT_UNDERSTAND, "the part is empty", err);
}

/* ---- the request ---- */

static bool choose_answer(stow *store)
{
    LAM_AUTO(lam_buffer_done) lam_buffer scratch = {0};
    int chosen = lam_negotiate(lam_request_accept(store->request, &scratch), answers, LAM_COUNT(answers));
    if (chosen < 0) {
        lam_reply_problem(store->request, MHD_HTTP_NOT_ACCEPTABLE,
                          "on offer here: application/dicom+json, application/dicom+xml, application/json");
        return false;
    }
    store->media_type = answers[chosen].type;
    return true;
}

static void open_multipart(stow *store, const lam_media_type *media)
{
    static const lam_multipart_events events = {on_part_begin, on_part_data, on_part_end};
    const char *type = lam_media_type_get(media, "type");
    const char *boundary = lam_media_type_get(media, "boundary");
    if (type && strcasecmp(type, "application/dicom") != 0) {
        lam_reply_problem(
            store->request, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
            "parts of type %.60s are not taken; send multipart/related; type=\"application/dicom\"", type);
        return;
    }
    if (!boundary) {
        lam_reply_problem(store->request, MHD_HTTP_BAD_REQUEST,
                          "Content-Type: multipart/related needs the parameter boundary");
        return;
    }
    lam_error error = {0};
    if (lam_multipart_create(boundary, store->request->options->max_parts, &events, store, &store->reader,
                             &error) != LAM_OK)
        lam_reply_error(store->request, &error);
}

static void open_single(stow *store)
{
    stow_part *part = NULL;
    lam_error error = {0};
    if (add_part(store, &part, &error) != LAM_OK)
        lam_reply_error(store->request, &error);
}

static void open_body(stow *store)
{
    lam_request *request = store->request;
    const char *text =
        MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE);
    lam_media_type media;
    bool known = text && lam_media_type_parse(text, &media, NULL);
    if (known && strcmp(media.type, "multipart/related") == 0)
        open_multipart(store, &media);
    else if (known && strcmp(media.type, "application/dicom") == 0)
        open_single(store);
    else
        lam_reply_problem(
            request, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
            "send multipart/related; type=\"application/dicom\"; boundary=…, or application/dicom");
}

static bool check_length(lam_request *request)
{
    int64_t length;
    if (!lam_request_has_body(request, &length)) {
        lam_reply_problem(request, MHD_HTTP_LENGTH_REQUIRED, "send the body with Content-Length, or chunked");
        return false;
    }
    if (length == 0) {
        lam_reply_problem(request, MHD_HTTP_BAD_REQUEST, "the body is empty; nothing to store");
        return false;
    }
    return true;
}

static void stow_begin(lam_request *request)
{
    stow *store = calloc(1, sizeof *store);
    if (!store) {
        lam_reply_problem(request, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
        return;
    }
    store->request = request;
    request->body = store;
    if (choose_answer(store) && check_length(request))
        open_body(store);
}

static void discard_uploads(stow *store)
{
    for (size_t i = 0; i < store->count; i++)
        if (store->parts[i].upload)
            store->request->backend->upload_discard(LAM_TAKE_PTR(store->parts[i].upload));
}

static void stow_data(lam_request *request, const char *bytes, size_t length)
{
    stow *store = request->body;
    lam_error error = {0};
    lam_status status = store->reader ? lam_multipart_feed(store->reader, bytes, length, &error)
                                      : on_part_data(store, bytes, length, &error);
    if (status == LAM_OK)
        return;
    lam_reply_error(request, &error);
    discard_uploads(store);
}

static void stow_discard(lam_request *request)
{
    stow *store = LAM_TAKE_PTR(request->body);
    if (!store)
        return;
    discard_uploads(store);
    for (size_t i = 0; i < store->count; i++)
        free(store->parts[i].refused);
    free(store->parts);
    lam_multipart_free(store->reader);
    free(store);
}

const lam_body_functions lam_stow_body = {stow_begin, stow_data, stow_discard,
                                          "multipart/related; type=\"application/dicom\", application/dicom",
                                          true};

/* ---- the answer ---- */

/* All are handed over before the first is waited for, so that they share a commit. */
static void commit(stow *store, lam_store_response *response, const char *root)
{
    lam_request *request = store->request;
    const char *study = request->parameters[0][0] ? request->parameters[0] : NULL;
    lam_request_wait_begin(request);
    for (size_t i = 0; i < store->count; i++)
        if (store->parts[i].upload)
            request->backend->upload_submit(store->parts[i].upload, study);
    for (size_t i = 0; i < store->count; i++) {
        lam_store_result result = {0};
        if (store->parts[i].upload)
            request->backend->upload_wait(LAM_TAKE_PTR(store->parts[i].upload), &result);
        else
            result = *store->parts[i].refused;
        lam_store_response_add(response, &result, root);
        lam_request_note_stored(request, &result);
    }
    lam_request_wait_end(request);
}

/* The response module has numbers only; the words go into a Warning header (RFC 7234 section 5.5, as PS3.18
 * section 8.4.3 uses it). */
static void add_warning(lam_request *request, const lam_store_response *response)
{
    char text[384];
    snprintf(text, sizeof text, "299 lamina \"%zu of %zu not stored: ", response->failed_count,
             response->failed_count + response->stored_count);
    size_t used = strlen(text);
    for (const char *c = response->first_reason; *c && used + 2 < sizeof text; c++)
        text[used++] = *c < 0x20 || *c == 0x7f ? ' ' : *c == '"' || *c == '\\' ? '\'' : *c;
    text[used++] = '"';
    text[used] = '\0';
    lam_reply_header(request, MHD_HTTP_HEADER_WARNING, text);
}

static void reply_response(stow *store, const lam_store_response *response, const char *root)
{
    lam_request *request = store->request;
    unsigned status = lam_store_response_status(response);
    json_t *data_set = lam_store_response_json(response, root);
    if (strcmp(store->media_type, "application/dicom+xml") == 0) {
        LAM_AUTO(lam_buffer_done) lam_buffer xml;
        lam_buffer_init(&xml, MAX_XML);
        lam_dicom_xml_write(data_set, &xml);
        size_t length = xml.length;
        lam_reply_text(request, status, store->media_type, lam_buffer_take(&xml), length);
    } else {
        char *text = json_dumps(data_set, JSON_COMPACT);
        lam_reply_text(request, status, store->media_type, text, text ? strlen(text) : 0);
    }
    json_decref(data_set);
    if (response->failed_count)
        add_warning(request, response);
    lam_log(response->failed_count ? LAM_LOG_WARNING : LAM_LOG_INFO, "stow",
            "client=%s stored=%zu warnings=%zu failed=%zu reason=%s", request->client, response->stored_count,
            response->warning_count, response->failed_count, LAM_QUOTE(response->first_reason));
}

static bool body_is_whole(stow *store)
{
    lam_error error = {0};
    lam_status status = LAM_OK;
    if (store->reader)
        status = lam_multipart_finish(store->reader, &error);
    else if (store->parts[0].bytes == 0)
        status = lam_fail(&error, LAM_E_INVALID, "the body is empty; nothing to store");
    if (status == LAM_OK)
        return true;
    lam_reply_error(store->request, &error);
    discard_uploads(store);
    return false;
}

void lam_stow_handle(lam_request *request)
{
    stow *store = request->body;
    if (!body_is_whole(store))
        return;
    char root[LAM_URL_TEXT];
    lam_url_root(request->options, root);
    lam_store_response response;
    lam_store_response_init(&response);
    commit(store, &response, root);
    reply_response(store, &response, root);
    lam_store_response_done(&response);
}
