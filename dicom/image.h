/* Grey images as modality values, one frame at a time: what is analysed. */
#ifndef LAMINA_DICOM_IMAGE_H
#define LAMINA_DICOM_IMAGE_H

#include <stdint.h>

#include "core/base/status.h"
#include "dicom/frames.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Whether the object's frames are grey images that can be analysed. Errors: LAM_E_INVALID (bits that do not
 * fit), LAM_E_CORRUPT (a file cut short), LAM_E_UNSUPPORTED (colour, floating point, depths other than 8, 16
 * and 32 bits); the message says what was found. */
lam_status lam_image_check(const lam_frames *frames, lam_error *err);

/* Modality values (PS3.3 C.11.1): stored × slope + intercept, where no Modality LUT gives them. */
typedef struct lam_rescale {
    double slope, intercept;
} lam_rescale;

/* Decodes frame `index` (from 0) of an object that was checked into out [rows, columns]. Stored values of
 * MONOCHROME1 images are mirrored in their range first, so that larger is brighter in every volume. NaN where
 * there is padding instead of image. Errors: those of lam_pixels_read, LAM_E_INVALID (a Modality LUT that is
 * none). */
lam_status lam_image_frame(lam_frames *frames, int64_t index, lam_rescale rescale, float *out,
                           lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
