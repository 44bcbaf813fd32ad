/* Overlay planes of an image (PS3.3 C.9.2, groups 6000 to 601E): graphics and regions of one bit a pixel that
 * lie in attributes of their own. Those in unused bits of the pixels are retired and not drawn. */
#ifndef LAMINA_DICOM_OVERLAY_PLANE_H
#define LAMINA_DICOM_OVERLAY_PLANE_H

#include "dicom/canvas.h"
#include "dicom/dataset.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Draws on `canvas`, which shows frame `frame` (from 0) of the image at its own size, all planes that
 * `object` has for it. Planes that make no sense are passed over: what is shown of the image is right without
 * them. */
void lam_overlay_planes_draw(lam_dataset *object, int64_t frame, lam_canvas *canvas);

#ifdef __cplusplus
}
#endif
#endif
