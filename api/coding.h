/* Content codings of texts (RFC 9110 section 8.4): gzip, and zstd (RFC 8878). Which of them a client takes, a
 * text coded at once, and a stream of pieces. Internal to api/. */
#ifndef LAMINA_API_CODING_H
#define LAMINA_API_CODING_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "core/base/buffer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lam_coding { LAM_CODING_NONE, LAM_CODING_ZSTD, LAM_CODING_GZIP, LAM_CODINGS } lam_coding;

/* As in Content-Encoding; NULL for none. */
const char *lam_coding_name(lam_coding coding);

/* The coding that an Accept-Encoding value prefers (RFC 9110 section 12.5.3), zstd among equals. NULL takes
 * nothing but the text itself. */
lam_coding lam_coding_choose(const char *accept_encoding);

/* Whether a media type is text that becomes shorter: JSON, XML, text. */
bool lam_coding_helps(const char *media_type);

/* Appends `text` coded, by gzip or zstd. */
lam_status lam_coding_text(lam_coding coding, const char *text, size_t length, lam_buffer *out);

/* A stream that is coded on its way. `read` gives bytes, 0 at the end, -1 on failure. */
typedef struct lam_encoder lam_encoder;
typedef ssize_t (*lam_encoder_source)(void *context, char *bytes, size_t size);

/* NULL without memory. */
lam_encoder *lam_encoder_create(lam_coding coding, lam_encoder_source read, void *context);
void lam_encoder_free(lam_encoder *encoder);
/* As a source: bytes, 0 at the end, -1. */
ssize_t lam_encoder_read(lam_encoder *encoder, char *bytes, size_t size);

#ifdef __cplusplus
}
#endif
#endif
