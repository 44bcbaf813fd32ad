/* The content coding gzip (RFC 9110 section 8.4.1.3) for texts: whether a client takes it, a text at once,
 * and a stream of pieces. Internal to api/. */
#ifndef LAMINA_API_GZIP_H
#define LAMINA_API_GZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "core/base/buffer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Reads an Accept-Encoding value: NULL takes nothing but the text itself. */
bool lam_gzip_accepted(const char *accept_encoding);

/* Whether a media type is text that becomes shorter: JSON, XML, text. */
bool lam_gzip_helps(const char *media_type);

/* Appends `text` compressed. */
lam_status lam_gzip_text(const char *text, size_t length, lam_buffer *out);

/* A stream that is compressed on its way. `read` gives bytes, 0 at the end, -1 on failure. */
typedef struct lam_gzip lam_gzip;
typedef ssize_t (*lam_gzip_reader)(void *context, char *bytes, size_t size);

lam_gzip *lam_gzip_create(lam_gzip_reader read, void *context); /* NULL without memory */
void lam_gzip_free(lam_gzip *gzip);
/* As a reader: bytes, 0 at the end, -1. */
ssize_t lam_gzip_read(lam_gzip *gzip, char *bytes, size_t size);

#ifdef __cplusplus
}
#endif
#endif
