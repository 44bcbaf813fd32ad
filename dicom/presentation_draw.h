/* A Grayscale Softcopy Presentation State (PS3.3 A.33.1), whoever made it, drawn with an image it refers to:
 * which image, in which window, and what is written and drawn on it. What would change how the image is to be
 * understood and is not done here (shutters, turning, tables) is refused, not left out. Made they are by
 * presentation_state.h. */
#ifndef LAMINA_DICOM_PRESENTATION_DRAW_H
#define LAMINA_DICOM_PRESENTATION_DRAW_H

#include "dicom/canvas.h"
#include "dicom/dataset.h"
#include "dicom/render.h"

#ifdef __cplusplus
extern "C" {
#endif

bool lam_presentation_is_state(lam_dataset *object);

/* The SOP instance UID of image `index` (from 0) that it refers to, borrowed; of one that represents it, the
 * first with an annotation, when `index` is -1. *frame is from 0. NULL when there is none. */
const char *lam_presentation_source(lam_dataset *state, int64_t index, int64_t *frame);

/* The window it gives an image. False, and *out untouched, when it gives none. */
bool lam_presentation_window(lam_dataset *state, const char *sop_uid, int64_t frame, lam_window *out);

/* Draws on `canvas`, which shows that frame of that image at its own size, `inverted` or not: the polarity is
 * that of the state. LAM_E_UNSUPPORTED names what is not done here. */
lam_status lam_presentation_draw(lam_dataset *state, const char *sop_uid, int64_t frame, bool inverted,
                                 lam_canvas *canvas, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
