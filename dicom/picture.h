/* A picture for people: slices side by side with the segments drawn on them, as PNG. For looking at in a
 * terminal or a browser; not a DICOM object. */
#ifndef LAMINA_DICOM_PICTURE_H
#define LAMINA_DICOM_PICTURE_H

#include "core/base/buffer.h"
#include "dicom/result.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LAM_PICTURE_MAX_TILES = 24,
    LAM_PICTURE_MAX_BYTES = 64 * 1024 * 1024,
};

/* Appends the PNG to `png`. `voxels` is [z, y, x] in the grid of the result's series. Slices with segments
 * are shown, evenly chosen where there are many; where no segment has voxels, slices of the whole series.
 * Under them a legend with volumes, "not for diagnosis", and "synthetic" where the source says that it is. */
lam_status lam_picture_montage(const lam_result *result, const float *voxels, lam_buffer *png,
                               lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
