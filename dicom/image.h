/* Pixels of grey images as numbers: what the Image Pixel module (PS3.3 C.7.6.3) says about them, and one
 * frame at a time as modality values. */
#ifndef LAMINA_DICOM_IMAGE_H
#define LAMINA_DICOM_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"
#include "dicom/dataset.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lam_image {
    int64_t rows, columns, frames;
    int bits_allocated; /* 8, 16 or 32 */
    int bits_stored;
    int high_bit;
    bool is_signed;
    bool inverted; /* MONOCHROME1: the smallest stored value is the brightest */
} lam_image;

/* What a data set's pixel module says. Errors: LAM_E_INVALID (not an image, contradictions),
 * LAM_E_UNSUPPORTED (colour, floating point, depths other than 8, 16 and 32 bits); the message says what was
 * found. */
lam_status lam_image_describe(lam_dataset *dataset, lam_image *out, lam_error *err);

/* Modality values (PS3.3 C.11.1): stored × slope + intercept. */
typedef struct lam_rescale {
    double slope, intercept;
} lam_rescale;

/* Decodes frame `frame` (from 0) into out [rows, columns]. Stored values of MONOCHROME1 images are mirrored
 * in their range first, so that larger is brighter in every volume. */
lam_status lam_image_frame(lam_dataset *dataset, const lam_image *image, int64_t frame, lam_rescale rescale,
                           float *out, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
