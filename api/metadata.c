/* The metadata of a study, a series or an instance (PS3.18 section 10.4.1.1.2): the headers that the intake
 * stored, one after the other. What is large leaves piece by piece as it is read, so that a thousand series
 * take no more memory than one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/conditional.h"
#include "api/data_sets.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "api/urls.h"
#include "core/base/cleanup.h"
#include "core/base/log.h"

enum {
    WHOLE = 4 * 1024 * 1024, /* sent at once, with its length; more than that goes in pieces */
    PIECE = 512 * 1024,
    LARGEST = 64 * 1024 * 1024, /* what one piece may come to: the header of one object has a limit */
    MAX_XML_SOURCE = 256 * 1024 * 1024
};

typedef struct metadata_stream {
    const lam_backend *backend;
    char root[LAM_URL_TEXT];
    char uids[3][LAM_UID_TEXT];
    lam_place place;
    lam_metadata_cursor cursor;
    lam_buffer piece;
    size_t sent;
    bool closed; /* the last bracket is in the piece */
} metadata_stream;

static void free_stream(void *context)
{
    metadata_stream *stream = context;
    if (stream)
        lam_buffer_done(&stream->piece);
    free(stream);
}

static metadata_stream *open_stream(const lam_request *request)
{
    metadata_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return NULL;
    stream->backend = request->backend;
    lam_url_root(request->options, stream->root);
    const char **places[] = {&stream->place.study_uid, &stream->place.series_uid, &stream->place.sop_uid};
    for (size_t i = 0; i < LAM_COUNT(places); i++) {
        snprintf(stream->uids[i], LAM_UID_TEXT, "%.64s", request->parameters[i]);
        *places[i] = stream->uids[i][0] ? stream->uids[i] : NULL;
    }
    lam_buffer_init(&stream->piece, LARGEST);
    return stream;
}

static lam_status read_piece(metadata_stream *stream, size_t enough, lam_error *err)
{
    lam_status status = stream->backend->metadata(stream->backend->context, &stream->place, stream->root,
                                                  &stream->cursor, enough, &stream->piece, err);
    if (status == LAM_OK && stream->cursor.end) {
        lam_buffer_append_text(&stream->piece, "]");
        stream->closed = true;
    }
    return status == LAM_OK ? stream->piece.status : status;
}

static ssize_t read_stream(void *context, uint64_t position, char *bytes, size_t size)
{
    (void)position; /* always where the last call ended */
    metadata_stream *stream = context;
    if (stream->sent == stream->piece.length) {
        if (stream->closed)
            return 0;
        lam_error error = {0};
        lam_buffer_clear(&stream->piece);
        stream->sent = 0;
        lam_status status = read_piece(stream, PIECE, &error);
        if (status != LAM_OK) {
            lam_log(LAM_LOG_ERROR, "metadata", "error=%s reason=%s", lam_status_name(status),
                    LAM_QUOTE(error.message));
            return -1;
        }
    }
    size_t left = stream->piece.length - stream->sent, take = left < size ? left : size;
    memcpy(bytes, stream->piece.data + stream->sent, take);
    stream->sent += take;
    return (ssize_t)take;
}

/* An XML document is made from the whole. */
static lam_status read_rest(metadata_stream *stream, lam_error *err)
{
    stream->piece.maximum = MAX_XML_SOURCE;
    lam_status status = LAM_OK;
    while (status == LAM_OK && !stream->closed)
        status = read_piece(stream, MAX_XML_SOURCE, err);
    return status;
}

static void send_metadata(lam_request *request, metadata_stream **stream, int chosen)
{
    static const char *const types[] = {"application/dicom+json", "application/json"};
    if ((*stream)->closed || chosen > 1)
        lam_data_sets_reply(request, chosen, &(*stream)->piece);
    else
        lam_reply_stream(request, types[chosen], -1, read_stream, LAM_TAKE_PTR(*stream), free_stream);
}

void lam_metadata_retrieve(lam_request *request)
{
    int chosen = lam_data_sets_choose(request);
    if (chosen < 0)
        return;
    metadata_stream *stream = open_stream(request);
    if (!stream) {
        lam_reply_problem(request, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
        return;
    }
    char version[64] = "", etag[160];
    lam_error error = {0};
    const lam_backend *backend = stream->backend;
    lam_status status = backend->metadata_version(backend->context, &stream->place, version, &error);
    snprintf(etag, sizeof etag, "W/\"%s-%s\"", version, chosen == 2 ? "xml" : "json");
    if (status == LAM_OK && lam_reply_if_unchanged(request, etag)) {
        lam_reply_validator(request, etag);
        free_stream(stream);
        return;
    }
    lam_buffer_append_text(&stream->piece, "[");
    if (status == LAM_OK)
        status = read_piece(stream, WHOLE, &error);
    if (status == LAM_OK && chosen == 2)
        status = read_rest(stream, &error);
    if (status == LAM_OK) {
        send_metadata(request, &stream, chosen);
        lam_reply_validator(request, etag);
    } else {
        lam_reply_error(request, &error);
    }
    free_stream(stream);
}
