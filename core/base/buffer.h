/* A growable byte buffer that knows how large it may become. Always NUL-terminated, so its data can be read
 * as a string. */
#ifndef LAMINA_BASE_BUFFER_H
#define LAMINA_BASE_BUFFER_H

#include <stddef.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lam_buffer {
    char *data; /* NULL until something is appended */
    size_t length;
    size_t capacity;
    size_t maximum;
    lam_status status; /* sticky: after the first failure appends do nothing; check once at the end */
} lam_buffer;

/* An empty buffer that refuses to grow past `maximum` bytes. No allocation yet. */
void lam_buffer_init(lam_buffer *buffer, size_t maximum);
void lam_buffer_done(lam_buffer *buffer);

/* Appending fails with LAM_E_LIMIT or LAM_E_NO_MEMORY and then leaves the content as it was. The same status
 * is kept in `buffer->status`. */
lam_status lam_buffer_append(lam_buffer *buffer, const void *bytes, size_t length);
lam_status lam_buffer_append_text(lam_buffer *buffer, const char *text);
lam_status lam_buffer_printf(lam_buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Makes room for `extra` more bytes and returns where they go (then raise `length` yourself), or NULL. */
char *lam_buffer_reserve(lam_buffer *buffer, size_t extra);

/* Removes `length` bytes from the front. */
void lam_buffer_consume(lam_buffer *buffer, size_t length);
void lam_buffer_clear(lam_buffer *buffer);

/* The content as a string, "" when empty; borrowed until the next change. */
const char *lam_buffer_text(const lam_buffer *buffer);

/* Gives the content away as a malloc'd string (NULL on out of memory); the buffer is empty afterwards. */
char *lam_buffer_take(lam_buffer *buffer);

#ifdef __cplusplus
}
#endif
#endif
