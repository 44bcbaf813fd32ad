/* RLE frames (PS3.5 annex G) to pixels. Not DCMTK's codec: that one takes frames that end early for whole
 * ones, reads only the first of several fragments, and crashes on an empty one. */
#ifndef LAMINA_DICOM_RLE_H
#define LAMINA_DICOM_RLE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lam_rle_shape {
    size_t pixels, samples;
    size_t bytes_allocated; /* of a sample */
    bool by_plane;          /* all samples of one kind together, else those of a pixel */
} lam_rle_shape;

/* Decodes one frame into out [pixels, samples] or [samples, pixels], little endian. LAM_E_CORRUPT: a stream
 * that ends early, or of other segments than the shape has. What follows the last pixel of a segment is
 * padding. */
lam_status lam_rle_decode(const unsigned char *stream, size_t length, const lam_rle_shape *shape,
                          unsigned char *out, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
