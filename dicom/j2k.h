/* JPEG 2000 code streams (ISO 15444-1, and 15444-15: HTJ2K) to pixels, by OpenJPEG; DCMTK has no codec for
 * them. */
#ifndef LAMINA_DICOM_J2K_H
#define LAMINA_DICOM_J2K_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Whether a transfer syntax is one of JPEG 2000 or HTJ2K (PS3.5 A.4.4). */
bool lam_j2k_is(const char *transfer_syntax);

/* What the image is said to be; the code stream has to agree. */
typedef struct lam_j2k_shape {
    int64_t rows, columns, samples;
    int bytes_allocated; /* of a sample */
    bool is_signed;      /* what the header says counts, where the code stream says otherwise */
} lam_j2k_shape;

/* Decodes one frame into out [rows, columns, samples], little endian, signed values sign-extended. Errors:
 * LAM_E_CORRUPT (damaged, or of another shape than said), LAM_E_UNSUPPORTED (components of different sizes,
 * samples of more than 4 bytes), LAM_E_NO_MEMORY. */
lam_status lam_j2k_decode(const void *bytes, size_t length, const lam_j2k_shape *shape, void *out,
                          lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
