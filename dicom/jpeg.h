/* What a JPEG or JPEG-LS code stream says of its image (ISO 10918-1 B.2.2, ISO 14495-1 C.2.2): looked at
 * before it is decoded, since decoders leave alone what a smaller image does not fill. Decodes nothing. */
#ifndef LAMINA_DICOM_JPEG_H
#define LAMINA_DICOM_JPEG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lam_jpeg_shape {
    int64_t rows; /* 0: said later, in the stream */
    int64_t columns, samples;
    int precision; /* bits of a sample */
} lam_jpeg_shape;

/* False where there is no frame header before the first scan. */
bool lam_jpeg_read(const unsigned char *stream, size_t length, lam_jpeg_shape *out);

#ifdef __cplusplus
}
#endif
#endif
