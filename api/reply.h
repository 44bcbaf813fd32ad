/* Answers: what a handler ends with. Exactly one of these is called a request; the first one counts. They
 * cannot fail: without memory the client gets 503. Internal to api/. */
#ifndef LAMINA_API_REPLY_H
#define LAMINA_API_REPLY_H

#include <jansson.h>

#include "api/request.h"
#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* RFC 9457 application/problem+json. The format makes `detail`: what is wrong and what to do. */
void lam_reply_problem(lam_request *request, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same from an error of the backend; its status decides the HTTP status. */
void lam_reply_error(lam_request *request, const lam_error *error);

/* `value` is taken. */
void lam_reply_json(lam_request *request, unsigned status, json_t *value);

/* `text` is malloc'd and taken. `media_type` may be short-lived. Text that is worth it goes compressed to a
 * client that takes gzip. */
void lam_reply_text(lam_request *request, unsigned status, const char *media_type, char *text, size_t length);

/* Bytes that live as long as the program. With an ETag; 304 where the client has them. */
void lam_reply_constant(lam_request *request, const char *media_type, const void *bytes, size_t length);

/* The first `bytes` of `fd`, which is taken, sent by the kernel without a copy through this process. With an
 * ETag: 304 where the client has it, 206 or 416 where it asks for a range. */
void lam_reply_file(lam_request *request, const char *media_type, int fd, int64_t bytes);

/* `bytes` from `offset` of a file, the same way. `stored`: of one that never changes; others have no ETag. */
void lam_reply_file_part(lam_request *request, const char *media_type, int fd, int64_t offset, int64_t bytes,
                         bool stored);

/* A response of libmicrohttpd's that is made already (taken; NULL: there was no memory). */
void lam_reply_made(lam_request *request, unsigned status, const char *media_type, struct MHD_Response *reply,
                    int64_t bytes);

/* `length` bytes from `read`, -1 when not known: then text goes compressed to who takes that, and `read`
 * gives 0 at the end. It is called with a buffer to fill and gives back how much it wrote, or -1 to break off
 * the connection. `context` goes to `done` in the end, whatever happens. */
typedef ssize_t (*lam_reply_reader)(void *context, uint64_t position, char *bytes, size_t size);
void lam_reply_stream(lam_request *request, const char *media_type, int64_t length, lam_reply_reader read,
                      void *context, void (*done)(void *context));

/* True when the client has what `etag` (with its quotes, W/ before them if weak) names: then 304 is the
 * answer. Followed by lam_reply_validator in either case. */
bool lam_reply_if_unchanged(lam_request *request, const char *etag);
/* The ETag of an answer that is kept by the client alone, and asked about each time. */
void lam_reply_validator(lam_request *request, const char *etag);

/* 204, or another status without content. */
void lam_reply_empty(lam_request *request, unsigned status);

/* Adds a header to the answer just made. */
void lam_reply_header(lam_request *request, const char *name, const char *value);

/* Says that the answer depends on what the client accepts, unless it says so already. */
void lam_reply_vary(lam_request *request);

#ifdef __cplusplus
}
#endif
#endif
