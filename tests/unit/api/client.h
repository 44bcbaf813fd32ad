/* A plain HTTP/1.1 client over a loopback socket that sends exactly the bytes it is told, also wrong ones, in
 * pieces, or only some. Tests only. */
#ifndef LAMINA_TESTS_API_CLIENT_H
#define LAMINA_TESTS_API_CLIENT_H

#include <jansson.h>
#include <stddef.h>

#include "core/base/buffer.h"

typedef struct answer {
    int status;        /* of the last response read; 0 when the connection closed without one */
    int informational; /* the 1xx response before it, or 0 */
    lam_buffer head;   /* status line and headers */
    lam_buffer body;   /* chunks joined */
} answer;

int client_connect(unsigned port);
void client_send(int fd, const void *bytes, size_t length);
/* Until there is something to read. */
void client_wait(int fd);
/* Reads one response; `head_only` after HEAD. */
answer client_read(int fd, int head_only);

/* One request with "Connection: close". `headers` are lines ended by CRLF, or "". */
answer client_ask(unsigned port, const char *method, const char *path, const char *headers, const void *body,
                  size_t length);
answer client_get(unsigned port, const char *path, const char *headers);

/* A response header's value in a static buffer, or "". */
const char *answer_header(const answer *a, const char *name);
/* The body as JSON (json_decref), NULL when it is not. */
json_t *answer_json(const answer *a);
void answer_done(answer *a);

#endif
