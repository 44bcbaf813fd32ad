#include "api/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/coding.h"
#include "api/conditional.h"
#include "api/routes.h"
#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "core/base/text.h"

enum { STREAM_BLOCK = 128 * 1024, WORTH_CODING = 1024, MAX_INSTANCE = 1024 };

static const unsigned http_status[LAM_STATUS_COUNT] = {
    [LAM_OK] = 500, /* an error without a status is a bug */
    [LAM_E_INVALID] = MHD_HTTP_BAD_REQUEST,
    [LAM_E_CORRUPT] = MHD_HTTP_INTERNAL_SERVER_ERROR,
    [LAM_E_UNSUPPORTED] = MHD_HTTP_UNPROCESSABLE_CONTENT,
    [LAM_E_LIMIT] = MHD_HTTP_CONTENT_TOO_LARGE,
    [LAM_E_NOT_FOUND] = MHD_HTTP_NOT_FOUND,
    [LAM_E_EXISTS] = MHD_HTTP_CONFLICT,
    [LAM_E_STATE] = MHD_HTTP_CONFLICT,
    [LAM_E_BUSY] = MHD_HTTP_SERVICE_UNAVAILABLE,
    [LAM_E_TIMEOUT] = MHD_HTTP_GATEWAY_TIMEOUT,
    [LAM_E_CANCELLED] = MHD_HTTP_CONFLICT,
    [LAM_E_DENIED] = MHD_HTTP_FORBIDDEN,
    [LAM_E_PEER] = MHD_HTTP_BAD_GATEWAY,
    [LAM_E_NO_SPACE] = MHD_HTTP_INSUFFICIENT_STORAGE,
    [LAM_E_NO_MEMORY] = MHD_HTTP_SERVICE_UNAVAILABLE,
    [LAM_E_IO] = MHD_HTTP_INTERNAL_SERVER_ERROR,
    [LAM_E_INTERNAL] = MHD_HTTP_INTERNAL_SERVER_ERROR,
};

/* The answer when there is no memory for an answer. */
static struct MHD_Response *last_resort(void)
{
    return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
}

static void set_reply(lam_request *request, unsigned status, struct MHD_Response *reply,
                      const char *media_type, int64_t bytes)
{
    if (request->reply) {
        if (reply)
            MHD_destroy_response(reply);
        return;
    }
    if (!reply) {
        status = MHD_HTTP_SERVICE_UNAVAILABLE;
        bytes = 0;
        reply = last_resort();
        media_type = NULL;
    }
    request->reply = reply;
    request->status = status;
    request->reply_bytes = bytes;
    if (media_type)
        lam_reply_header(request, MHD_HTTP_HEADER_CONTENT_TYPE, media_type);
}

void lam_reply_header(lam_request *request, const char *name, const char *value)
{
    if (request->reply)
        MHD_add_response_header(request->reply, name, value);
}

void lam_reply_vary(lam_request *request)
{
    if (request->reply && !MHD_get_response_header(request->reply, MHD_HTTP_HEADER_VARY))
        lam_reply_header(request, MHD_HTTP_HEADER_VARY, "Accept, Accept-Encoding");
}

/* What this text goes coded with. */
static lam_coding wanted_coding(const lam_request *request, const char *media_type)
{
    LAM_AUTO(lam_buffer_done) lam_buffer scratch = {0};
    return lam_coding_helps(media_type)
               ? lam_coding_choose(lam_request_header(request, "Accept-Encoding", &scratch))
               : LAM_CODING_NONE;
}

/* Says in any case that it might have been coded. */
static void add_coding(lam_request *request, const char *media_type, lam_coding coding)
{
    if (coding != LAM_CODING_NONE)
        lam_reply_header(request, MHD_HTTP_HEADER_CONTENT_ENCODING, lam_coding_name(coding));
    if (lam_coding_helps(media_type))
        lam_reply_vary(request);
}

void lam_reply_text(lam_request *request, unsigned status, const char *media_type, char *text, size_t length)
{
    lam_coding coding = text && length >= WORTH_CODING ? wanted_coding(request, media_type) : LAM_CODING_NONE;
    lam_buffer packed;
    lam_buffer_init(&packed, SIZE_MAX / 2);
    if (coding != LAM_CODING_NONE && lam_coding_text(coding, text, length, &packed) == LAM_OK) {
        free(text);
        length = packed.length;
        text = lam_buffer_take(&packed);
    } else {
        coding = LAM_CODING_NONE;
    }
    lam_buffer_done(&packed);
    struct MHD_Response *reply =
        text ? MHD_create_response_from_buffer_with_free_callback(length, text, free) : NULL;
    if (!reply)
        free(text);
    set_reply(request, status, reply, media_type, (int64_t)length);
    add_coding(request, media_type, reply ? coding : LAM_CODING_NONE);
}

static void reply_json_as(lam_request *request, unsigned status, const char *media_type, json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(value);
    lam_reply_text(request, status, media_type, text, text ? strlen(text) : 0);
}

void lam_reply_json(lam_request *request, unsigned status, json_t *value)
{
    reply_json_as(request, status, "application/json", value);
}

static void reply_problem(lam_request *request, unsigned status, const char *code, const char *detail)
{
    const char *instance = strlen(request->path) <= MAX_INSTANCE ? request->path : NULL;
    json_t *problem = json_pack("{s:s, s:s, s:i, s:s, s:s*}", "type", "about:blank", "title",
                                MHD_get_reason_phrase_for(status), "status", (int)status, "detail", detail,
                                "instance", instance);
    if (!problem) /* a path that is not UTF-8 */
        problem = json_pack("{s:s, s:s, s:i}", "type", "about:blank", "title",
                            MHD_get_reason_phrase_for(status), "status", (int)status);
    if (problem && code)
        json_object_set_new(problem, "code", json_string(code));
    reply_json_as(request, status, "application/problem+json", problem);
    if (status == MHD_HTTP_SERVICE_UNAVAILABLE)
        lam_reply_header(request, MHD_HTTP_HEADER_RETRY_AFTER, "5");
}

void lam_reply_problem(lam_request *request, unsigned status, const char *format, ...)
{
    char detail[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    lam_text_end_whole(detail);
    reply_problem(request, status, NULL, detail);
}

void lam_reply_error(lam_request *request, const lam_error *error)
{
    unsigned status = (unsigned)error->status < LAM_STATUS_COUNT ? http_status[error->status] : 500;
    if (status >= 500)
        lam_log(LAM_LOG_WARNING, "http_failed", "route=%s status=%u error=%s reason=%s",
                request->route ? request->route->path : "-", status, lam_status_name(error->status),
                LAM_QUOTE(error->message));
    reply_problem(request, status, lam_status_name(error->status), error->message);
}

static const char *request_header(const lam_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

bool lam_reply_if_unchanged(lam_request *request, const char *etag)
{
    const char *known = request_header(request, MHD_HTTP_HEADER_IF_NONE_MATCH);
    if (!known || !lam_etag_matches(known, etag))
        return false;
    lam_reply_empty(request, MHD_HTTP_NOT_MODIFIED);
    return true;
}

void lam_reply_validator(lam_request *request, const char *etag)
{
    lam_reply_header(request, MHD_HTTP_HEADER_ETAG, etag);
    lam_reply_header(request, MHD_HTTP_HEADER_CACHE_CONTROL, "private, no-cache");
}

void lam_reply_constant(lam_request *request, const char *media_type, const void *bytes, size_t length)
{
    char etag[LAM_SHA256_TEXT + 2] = "\"";
    lam_sha256_text(bytes, length, etag + 1);
    memcpy(etag + 17, "\"", 2);
    if (!lam_reply_if_unchanged(request, etag))
        set_reply(request, MHD_HTTP_OK,
                  MHD_create_response_from_buffer(length, (void *)bytes, MHD_RESPMEM_PERSISTENT), media_type,
                  (int64_t)length);
    lam_reply_validator(request, etag);
}

/* Stored files are written once, so inode, size and time of change tell one from another. */
static void etag_of_file(int fd, char etag[64])
{
    struct stat info = {0};
    fstat(fd, &info);
    snprintf(
        etag, 64, "\"%llx-%llx-%llx\"", (unsigned long long)info.st_ino, (unsigned long long)info.st_size,
        (unsigned long long)info.st_mtim.tv_sec * 1000000000ULL + (unsigned long long)info.st_mtim.tv_nsec);
}

/* RFC 9110 section 13.1.5: a range only of the version that the client has the rest of. */
static lam_range_kind wanted_range(const lam_request *request, const char *etag, int64_t bytes,
                                   int64_t *first, int64_t *length)
{
    const char *condition = request_header(request, MHD_HTTP_HEADER_IF_RANGE);
    if (strcmp(request->method, "GET") != 0 || (condition && strcmp(condition, etag) != 0))
        return LAM_RANGE_ALL;
    return lam_range_parse(request_header(request, MHD_HTTP_HEADER_RANGE), bytes, first, length);
}

static void send_file(lam_request *request, const char *media_type, int fd, int64_t offset, int64_t bytes,
                      const char *etag)
{
    int64_t first = 0, length = bytes;
    char content_range[96];
    lam_range_kind range = wanted_range(request, etag, bytes, &first, &length);
    if (range == LAM_RANGE_NONE) {
        close(fd);
        lam_reply_problem(request, MHD_HTTP_RANGE_NOT_SATISFIABLE, "the object has %lld bytes",
                          (long long)bytes);
        snprintf(content_range, sizeof content_range, "bytes */%lld", (long long)bytes);
    } else {
        struct MHD_Response *reply =
            MHD_create_response_from_fd_at_offset64((uint64_t)length, fd, (uint64_t)(offset + first));
        if (!reply)
            close(fd);
        set_reply(request, range == LAM_RANGE_PART ? MHD_HTTP_PARTIAL_CONTENT : MHD_HTTP_OK, reply,
                  media_type, length);
        snprintf(content_range, sizeof content_range, "bytes %lld-%lld/%lld", (long long)first,
                 (long long)(first + length - 1), (long long)bytes);
    }
    if (range != LAM_RANGE_ALL)
        lam_reply_header(request, MHD_HTTP_HEADER_CONTENT_RANGE, content_range);
    lam_reply_header(request, MHD_HTTP_HEADER_ACCEPT_RANGES, "bytes");
}

void lam_reply_file(lam_request *request, const char *media_type, int fd, int64_t bytes)
{
    lam_reply_file_part(request, media_type, fd, 0, bytes, true);
}

void lam_reply_file_part(lam_request *request, const char *media_type, int fd, int64_t offset, int64_t bytes,
                         bool stored)
{
    char etag[64], part[96];
    etag_of_file(fd, etag);
    snprintf(part, sizeof part, "%.*s-%llx-%llx\"", (int)strlen(etag) - 1, etag, (unsigned long long)offset,
             (unsigned long long)bytes);
    const char *name = offset ? part : etag;
    if (stored && lam_reply_if_unchanged(request, name))
        close(fd);
    else
        send_file(request, media_type, fd, offset, bytes, name);
    if (stored)
        lam_reply_validator(request, name);
}

void lam_reply_made(lam_request *request, unsigned status, const char *media_type, struct MHD_Response *reply,
                    int64_t bytes)
{
    set_reply(request, status, reply, media_type, bytes);
}

typedef struct stream {
    lam_reply_reader read;
    void (*done)(void *context);
    void *context;
    lam_encoder *encoder; /* NULL: as it is */
    uint64_t position;
} stream;

/* What the compressor reads. */
static ssize_t read_plain(void *context, char *bytes, size_t size)
{
    stream *from = context;
    ssize_t got = from->read(from->context, from->position, bytes, size);
    if (got > 0)
        from->position += (uint64_t)got;
    return got;
}

static ssize_t read_stream(void *context, uint64_t position, char *bytes, size_t size)
{
    stream *from = context;
    ssize_t got = from->encoder ? lam_encoder_read(from->encoder, bytes, size)
                                : from->read(from->context, position, bytes, size);
    if (got > 0)
        return got;
    return got == 0 ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void free_stream(void *context)
{
    stream *from = context;
    from->done(from->context);
    lam_encoder_free(from->encoder);
    free(from);
}

void lam_reply_stream(lam_request *request, const char *media_type, int64_t length, lam_reply_reader read,
                      void *context, void (*done)(void *context))
{
    struct MHD_Response *reply = NULL;
    lam_coding coding = length < 0 ? wanted_coding(request, media_type) : LAM_CODING_NONE;
    stream *from = malloc(sizeof *from);
    if (from) {
        *from = (stream){.read = read, .done = done, .context = context};
        if (coding != LAM_CODING_NONE)
            from->encoder = lam_encoder_create(coding, read_plain, from);
        reply = MHD_create_response_from_callback(length < 0 ? MHD_SIZE_UNKNOWN : (uint64_t)length,
                                                  STREAM_BLOCK, read_stream, from, free_stream);
    }
    if (!from || !from->encoder)
        coding = LAM_CODING_NONE;
    if (!reply) {
        if (from)
            lam_encoder_free(from->encoder);
        free(from);
        done(context);
    }
    set_reply(request, MHD_HTTP_OK, reply, media_type, length);
    if (length < 0)
        add_coding(request, media_type, reply ? coding : LAM_CODING_NONE);
}

void lam_reply_empty(lam_request *request, unsigned status)
{
    set_reply(request, status, last_resort(), NULL, 0);
}
