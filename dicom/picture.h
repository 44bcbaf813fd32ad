/* A picture for people: slices side by side with the segments drawn on them, as PNG. For looking at in a
 * terminal or a browser; not a DICOM object. */
#ifndef LAMINA_DICOM_PICTURE_H
#define LAMINA_DICOM_PICTURE_H

#include "core/base/buffer.h"
#include "dicom/canvas.h"
#include "dicom/result.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LAM_PICTURE_MAX_TILES = 24,
    LAM_PICTURE_MAX_BYTES = 64 * 1024 * 1024,
};

/* Draws the picture into `canvas`, which is made (release with lam_canvas_done). `voxels` is [z, y, x] in the
 * grid of the result's series. Slices with segments or detections are shown, evenly chosen where there are
 * many; where there are none, slices of the whole series, each with the result's notice. Under them a legend
 * with volumes, the best scores and probabilities, the notice, and "synthetic" where the source says that it
 * is. */
lam_status lam_picture_draw(const lam_result *result, const float *voxels, lam_canvas *canvas,
                            lam_error *err);

/* Appends the PNG to `png`. See lam_picture_draw. */
lam_status lam_picture_montage(const lam_result *result, const float *voxels, lam_buffer *png,
                               lam_error *err);

/* The same slices with findings.heat drawn on them: warm where a voxel speaks for the answer, cold where it
 * speaks against it. LAM_E_STATE: there is no heat map. */
lam_status lam_picture_heat(const lam_result *result, const float *voxels, lam_buffer *png, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
