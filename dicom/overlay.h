/* A segmentation (PS3.3 A.51, A.86) drawn over the image that it was made from: each segment in its colour,
 * its outline solid, its inside light. */
#ifndef LAMINA_DICOM_OVERLAY_H
#define LAMINA_DICOM_OVERLAY_H

#include "dicom/canvas.h"
#include "dicom/frames.h"

#ifdef __cplusplus
extern "C" {
#endif

bool lam_overlay_is_segmentation(const lam_frames *frames);

/* The image that frame `index` (from 0) of a segmentation refers to: its SOP instance UID, borrowed, and the
 * frame of it (from 0; 0 where none is named). NULL when it refers to none. */
const char *lam_overlay_source(lam_frames *segmentation, int64_t index, int64_t *frame);

/* The colour of a CIELab value as objects recommend it: scaled to 16 bits (PS3.3 C.10.7.1.1). */
void lam_overlay_rgb_of_lab(const double lab[3], uint8_t rgb[3]);

/* Draws on `canvas`, which shows frame `frame` of the image `sop_uid`, all segments that lie on it, or, with
 * `only` >= 0, that frame of the segmentation. Nothing lies on it: nothing is drawn, and LAM_OK.
 * LAM_E_INVALID when the segmentation has another size. */
lam_status lam_overlay_draw(lam_frames *segmentation, const char *sop_uid, int64_t frame, int64_t only,
                            lam_canvas *canvas, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
