/* WADO-RS retrieval of whole objects (PS3.18 section 10.4): the stored bytes, unchanged (promise 3). One
 * instance goes from the file to the socket in the kernel; several are streamed as
 * multipart/related through one block of memory, with their exact length announced, since the index knows
 * every size. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/handlers.h"
#include "api/negotiate.h"
#include "api/parts.h"
#include "api/reply.h"
#include "api/urls.h"
#include "core/base/cleanup.h"
#include "core/base/log.h"

#define EXPLICIT_LITTLE "1.2.840.10008.1.2.1"
#define MIXED           "mixed"

enum { PART_HEADER = 1024, BOUNDARY = LAM_BOUNDARY };

typedef struct wado_object {
    char series_uid[LAM_UID_TEXT];
    char sop_uid[LAM_UID_TEXT];
    char transfer_syntax[LAM_UID_TEXT];
    int64_t bytes;
} wado_object;

/* A multipart body on its way out. */
typedef struct wado_stream {
    const lam_backend *backend;
    char root[LAM_URL_TEXT];
    char study_uid[LAM_UID_TEXT];
    char boundary[BOUNDARY + 1];
    wado_object *objects;
    size_t count;
    size_t next;              /* object after the one being sent */
    char header[PART_HEADER]; /* what goes before an object, or the end */
    size_t header_length;
    size_t header_sent;
    int fd;
    int64_t offset; /* in the object being sent */
    int64_t left;
    bool transcode; /* into Explicit VR Little Endian what is stored otherwise */
} wado_stream;

static void free_stream(void *context)
{
    wado_stream *stream = context;
    if (!stream)
        return;
    if (stream->fd >= 0)
        close(stream->fd);
    free(stream->objects);
    free(stream);
}

/* ---- what there is ---- */

static bool copy_uid(const json_t *object, const char *key, char uid[LAM_UID_TEXT])
{
    const char *text = json_string_value(json_object_get(object, key));
    if (!text || strlen(text) >= LAM_UID_TEXT)
        return false;
    memcpy(uid, text, strlen(text) + 1);
    return true;
}

static bool read_object(const json_t *from, wado_object *object)
{
    const json_t *bytes = json_object_get(from, "bytes");
    object->bytes = json_integer_value(bytes);
    return json_is_integer(bytes) && object->bytes >= 0 && copy_uid(from, "series_uid", object->series_uid) &&
           copy_uid(from, "sop_uid", object->sop_uid) &&
           copy_uid(from, "transfer_syntax_uid", object->transfer_syntax);
}

static lam_status read_objects(wado_stream *stream, const json_t *list, lam_error *err)
{
    stream->count = json_array_size(list);
    if (stream->count == 0)
        return lam_fail(err, LAM_E_NOT_FOUND, "nothing is stored under this URL");
    stream->objects = calloc(stream->count, sizeof *stream->objects);
    if (!stream->objects)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < stream->count; i++)
        if (!read_object(json_array_get(list, i), &stream->objects[i]))
            return lam_fail(err, LAM_E_INTERNAL, "the index gave an incomplete description of an object");
    return LAM_OK;
}

/* Series and instance are "" where the URL does not name them. */
static lam_status find_objects(const lam_request *request, wado_stream *stream, lam_error *err)
{
    const char *series = request->parameters[1][0] ? request->parameters[1] : NULL;
    const char *instance = request->parameters[2][0] ? request->parameters[2] : NULL;
    const lam_backend *backend = request->backend;
    json_t *list = NULL;
    lam_status status =
        backend->instances(backend->context, request->parameters[0], series, instance, &list, err);
    if (status == LAM_OK)
        status = read_objects(stream, list, err);
    json_decref(list);
    return status;
}

/* The transfer syntax that all have; MIXED fits no request for a particular one. */
static const char *common_syntax(const wado_stream *stream)
{
    for (size_t i = 1; i < stream->count; i++)
        if (strcmp(stream->objects[i].transfer_syntax, stream->objects[0].transfer_syntax) != 0)
            return MIXED;
    return stream->objects[0].transfer_syntax;
}

static bool to_transcode(const wado_stream *stream, const wado_object *object)
{
    return stream->transcode && strcmp(object->transfer_syntax, EXPLICIT_LITTLE) != 0;
}

/* The object in Explicit VR Little Endian, from a worker. */
static lam_status open_transcoded(const wado_stream *stream, const wado_object *object, lam_pixels *out,
                                  lam_error *err)
{
    const lam_pixel_request request = {.study_uid = stream->study_uid,
                                       .series_uid = object->series_uid,
                                       .sop_uid = object->sop_uid,
                                       .form = LAM_PIXELS_OBJECT};
    return stream->backend->pixels(stream->backend->context, &request, out, err);
}

/* ---- one ---- */

static void reply_transcoded(lam_request *request, const wado_stream *stream)
{
    lam_pixels pixels = {.fd = -1};
    lam_error error = {0};
    lam_request_wait_begin(request);
    lam_status status = open_transcoded(stream, &stream->objects[0], &pixels, &error);
    lam_request_wait_end(request);
    if (status == LAM_OK)
        lam_reply_pixels(request, "application/dicom; transfer-syntax=" EXPLICIT_LITTLE, &pixels, false);
    else
        lam_reply_pixels_error(request, &error);
}

static void reply_single(lam_request *request, const wado_stream *stream)
{
    const wado_object *object = &stream->objects[0];
    if (to_transcode(stream, object)) {
        reply_transcoded(request, stream);
        return;
    }
    lam_stored_object stored = {.fd = -1};
    lam_error error = {0};
    lam_status status = stream->backend->instance_open(stream->backend->context, stream->study_uid,
                                                       object->series_uid, object->sop_uid, &stored, &error);
    if (status != LAM_OK) {
        lam_reply_error(request, &error);
        return;
    }
    char media_type[128];
    snprintf(media_type, sizeof media_type, "application/dicom; transfer-syntax=%s",
             stored.transfer_syntax_uid);
    lam_reply_file(request, media_type, stored.fd, stored.bytes);
}

/* ---- several ---- */

static void write_header(wado_stream *stream, size_t index)
{
    const char *line = index ? "\r\n" : "";
    const wado_object *object = &stream->objects[index];
    int length;
    if (index == stream->count)
        length = snprintf(stream->header, sizeof stream->header, "\r\n--%s--\r\n", stream->boundary);
    else
        length =
            snprintf(stream->header, sizeof stream->header,
                     "%s--%s\r\nContent-Type: application/dicom; transfer-syntax=%s\r\nContent-Location: "
                     "%s/studies/%s/series/%s/instances/%s\r\n\r\n",
                     line, stream->boundary, stream->transcode ? EXPLICIT_LITTLE : object->transfer_syntax,
                     stream->root, stream->study_uid, object->series_uid, object->sop_uid);
    stream->header_length = (size_t)length;
    stream->header_sent = 0;
}

static int64_t total_length(wado_stream *stream)
{
    int64_t total = 0;
    for (size_t i = 0; i <= stream->count; i++) {
        write_header(stream, i);
        total += (int64_t)stream->header_length + (i < stream->count ? stream->objects[i].bytes : 0);
    }
    return total;
}

static bool open_next(wado_stream *stream)
{
    const wado_object *object = &stream->objects[stream->next];
    lam_stored_object stored = {.fd = -1};
    lam_pixels pixels = {.fd = -1};
    lam_error error = {0};
    lam_status status;
    if (to_transcode(stream, object)) {
        status = open_transcoded(stream, object, &pixels, &error);
        if (status == LAM_OK) {
            stored.bytes = pixels.pieces[0].length;
            stored.fd = LAM_TAKE_FD(pixels.fd);
            lam_pixels_done(&pixels);
        }
    } else {
        status = stream->backend->instance_open(stream->backend->context, stream->study_uid,
                                                object->series_uid, object->sop_uid, &stored, &error);
    }
    if (status == LAM_OK && !to_transcode(stream, object) && stored.bytes != object->bytes) {
        close(stored.fd);
        status = lam_fail(&error, LAM_E_CORRUPT, "a stored file has %lld bytes, its index row %lld",
                          (long long)stored.bytes, (long long)object->bytes);
    }
    if (status != LAM_OK) {
        lam_log(LAM_LOG_ERROR, "wado", "error=%s reason=%s", lam_status_name(status),
                LAM_QUOTE(error.message));
        return false;
    }
    stream->fd = stored.fd;
    stream->left = stored.bytes;
    stream->offset = 0;
    stream->next++;
    return true;
}

/* Fills from the header, then from the object after it. 0: a step without bytes. */
static ssize_t read_some(wado_stream *stream, char *bytes, size_t size)
{
    if (stream->header_sent < stream->header_length) {
        size_t left = stream->header_length - stream->header_sent;
        size_t take = left < size ? left : size;
        memcpy(bytes, stream->header + stream->header_sent, take);
        stream->header_sent += take;
        return (ssize_t)take;
    }
    if (stream->fd < 0)
        return open_next(stream) ? 0 : -1;
    if (stream->left == 0) {
        close(stream->fd);
        stream->fd = -1;
        write_header(stream, stream->next);
        return 0;
    }
    ssize_t got =
        pread(stream->fd, bytes, (int64_t)size < stream->left ? size : (size_t)stream->left, stream->offset);
    if (got <= 0) {
        lam_log(LAM_LOG_ERROR, "wado", "error=io reason=\"a stored file cannot be read to its end\"");
        return -1;
    }
    stream->left -= got;
    stream->offset += got;
    return got;
}

static bool at_end(const wado_stream *stream)
{
    return stream->next == stream->count && stream->fd < 0 && stream->header_sent == stream->header_length;
}

static ssize_t read_stream(void *context, uint64_t position, char *bytes, size_t size)
{
    (void)position; /* always where the last call ended */
    wado_stream *stream = context;
    size_t used = 0;
    while (used < size && !at_end(stream)) {
        ssize_t got = read_some(stream, bytes + used, size - used);
        if (got < 0)
            return -1;
        used += (size_t)got;
    }
    return (ssize_t)used;
}

/* A part that is stored as it goes leaves from its file, like a frame. False when that is not to be had. */
static bool reply_from_file(lam_request *request, wado_stream *stream)
{
    const wado_object *object = &stream->objects[0];
    lam_stored_object stored = {.fd = -1};
    struct stat info;
    if (stream->count != 1 || object->bytes == 0 || to_transcode(stream, object) ||
        stream->backend->instance_open(stream->backend->context, stream->study_uid, object->series_uid,
                                       object->sop_uid, &stored, NULL) != LAM_OK)
        return false;
    lam_pixels pixels = {stored.fd, calloc(1, sizeof *pixels.pieces), 1};
    if (!pixels.pieces || fstat(stored.fd, &info) != 0 || info.st_size != object->bytes) {
        lam_pixels_done(&pixels);
        return false;
    }
    static const int64_t no_frame[] = {0};
    char type[128], location[LAM_URL_TEXT + 512];
    pixels.pieces[0].length = object->bytes;
    snprintf(type, sizeof type, "application/dicom; transfer-syntax=%s", object->transfer_syntax);
    snprintf(location, sizeof location, "%s/studies/%s/series/%s/instances/%s", stream->root,
             stream->study_uid, object->series_uid, object->sop_uid);
    lam_reply_pixels_multipart(request, "application/dicom", type, location, no_frame, &pixels);
    return true;
}

static void reply_several(lam_request *request, wado_stream **stream)
{
    if (reply_from_file(request, *stream))
        return;
    if (!lam_parts_boundary((*stream)->boundary)) {
        lam_reply_problem(request, MHD_HTTP_SERVICE_UNAVAILABLE, "no random numbers from the system");
        return;
    }
    int64_t length = (*stream)->transcode ? -1 : total_length(*stream);
    write_header(*stream, 0);
    char media_type[160];
    snprintf(media_type, sizeof media_type, "multipart/related; type=\"application/dicom\"; boundary=%s",
             (*stream)->boundary);
    lam_reply_stream(request, media_type, length, read_stream, LAM_TAKE_PTR(*stream), free_stream);
}

/* ---- the request ---- */

/* 0: multipart, 1: single part, -1: answered with 406. Without a transfer syntax in Accept objects go as they
 * are stored. */
static int choose(lam_request *request, wado_stream *stream)
{
    LAM_AUTO(lam_buffer_done) lam_buffer scratch = {0};
    const char *syntax = common_syntax(stream);
    bool single = request->parameters[2][0] != '\0';
    const lam_offer offers[] = {{"multipart/related", "application/dicom", syntax, false},
                                {"multipart/related", "application/dicom", EXPLICIT_LITTLE, true},
                                {"application/dicom", NULL, syntax, false},
                                {"application/dicom", NULL, EXPLICIT_LITTLE, true}};
    int chosen = lam_negotiate(lam_request_accept(request, &scratch), offers, single ? 4 : 2);
    bool own = strcmp(syntax, MIXED) != 0 && strcmp(syntax, EXPLICIT_LITTLE) != 0;
    if (chosen < 0)
        lam_reply_problem(
            request, MHD_HTTP_NOT_ACCEPTABLE,
            "on offer here: multipart/related; type=\"application/dicom\"%s, in transfer syntax "
            "%s%s" EXPLICIT_LITTLE " or * (as stored)",
            single ? ", application/dicom" : "", own ? syntax : "", own ? ", " : "");
    stream->transcode = chosen >= 0 && chosen % 2 == 1;
    return chosen < 0 ? -1 : chosen / 2;
}

void lam_wado_retrieve(lam_request *request)
{
    wado_stream *stream = calloc(1, sizeof *stream);
    lam_error error = {0};
    if (!stream) {
        lam_reply_problem(request, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
        return;
    }
    stream->fd = -1;
    stream->backend = request->backend;
    lam_url_root(request->options, stream->root);
    snprintf(stream->study_uid, sizeof stream->study_uid, "%.64s", request->parameters[0]);
    if (find_objects(request, stream, &error) != LAM_OK) {
        lam_reply_error(request, &error);
    } else {
        int chosen = choose(request, stream);
        if (chosen == 0)
            reply_several(request, &stream);
        else if (chosen == 1)
            reply_single(request, stream);
    }
    free_stream(stream);
}
