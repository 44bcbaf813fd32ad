#include "api/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/routes.h"
#include "core/base/log.h"

enum { STREAM_BLOCK = 128 * 1024 };

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

void lam_reply_text(lam_request *request, unsigned status, const char *media_type, char *text, size_t length)
{
    struct MHD_Response *reply =
        text ? MHD_create_response_from_buffer_with_free_callback(length, text, free) : NULL;
    if (!reply)
        free(text);
    set_reply(request, status, reply, media_type, (int64_t)length);
}

static void reply_json_as(lam_request *request, unsigned status, const char *media_type, json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    json_decref(value);
    lam_reply_text(request, status, media_type, text, text ? strlen(text) : 0);
}

void lam_reply_json(lam_request *request, unsigned status, json_t *value)
{
    reply_json_as(request, status, "application/json", value);
}

static void reply_problem(lam_request *request, unsigned status, const char *code, const char *detail)
{
    json_t *problem = json_pack("{s:s, s:s, s:i, s:s, s:s}", "type", "about:blank", "title",
                                MHD_get_reason_phrase_for(status), "status", (int)status, "detail", detail,
                                "instance", request->path);
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

void lam_reply_constant(lam_request *request, const char *media_type, const void *bytes, size_t length)
{
    set_reply(request, MHD_HTTP_OK,
              MHD_create_response_from_buffer(length, (void *)bytes, MHD_RESPMEM_PERSISTENT), media_type,
              (int64_t)length);
}

void lam_reply_file(lam_request *request, const char *media_type, int fd, int64_t bytes)
{
    struct MHD_Response *reply = MHD_create_response_from_fd64((uint64_t)bytes, fd);
    if (!reply)
        close(fd);
    set_reply(request, MHD_HTTP_OK, reply, media_type, bytes);
}

typedef struct stream {
    lam_reply_reader read;
    void (*done)(void *context);
    void *context;
} stream;

static ssize_t read_stream(void *context, uint64_t position, char *bytes, size_t size)
{
    stream *from = context;
    ssize_t got = from->read(from->context, position, bytes, size);
    return got > 0 ? got : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void free_stream(void *context)
{
    stream *from = context;
    from->done(from->context);
    free(from);
}

void lam_reply_stream(lam_request *request, const char *media_type, int64_t length, lam_reply_reader read,
                      void *context, void (*done)(void *context))
{
    struct MHD_Response *reply = NULL;
    stream *from = malloc(sizeof *from);
    if (from) {
        *from = (stream){.read = read, .done = done, .context = context};
        reply =
            MHD_create_response_from_callback((uint64_t)length, STREAM_BLOCK, read_stream, from, free_stream);
    }
    if (!reply) {
        free(from);
        done(context);
    }
    set_reply(request, MHD_HTTP_OK, reply, media_type, length);
}

void lam_reply_empty(lam_request *request, unsigned status)
{
    set_reply(request, status, last_resort(), NULL, 0);
}
