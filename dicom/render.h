/* A frame as people look at it: stored values through modality and VOI transformation, palette or colour
 * model to an RGB canvas (PS3.3 C.7.6.3, C.11; PS3.4 N.2), then cut and scaled to a viewport (PS3.18 8.3.5).
 * Not for measuring. */
#ifndef LAMINA_DICOM_RENDER_H
#define LAMINA_DICOM_RENDER_H

#include "dicom/canvas.h"
#include "dicom/frames.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lam_voi_function { LAM_VOI_LINEAR, LAM_VOI_LINEAR_EXACT, LAM_VOI_SIGMOID } lam_voi_function;

/* False when the name is none of PS3.3 C.11.2.1.2. */
bool lam_voi_function_of(const char *name, lam_voi_function *out);

typedef struct lam_window {
    double centre, width; /* of modality values */
    lam_voi_function function;
} lam_window;

/* Draws frame `index` (from 0) at its own size. `window` NULL: the object's own VOI LUT or window, else one
 * from the smallest to the largest value of the frame; colour images have none. Errors: those of
 * lam_frames_decode, LAM_E_UNSUPPORTED naming the photometric interpretation, LAM_E_LIMIT. */
lam_status lam_render_frame(lam_frames *frames, int64_t index, const lam_window *window, lam_canvas *out,
                            lam_error *err);

/* Whether a grey image is drawn with its least value white: MONOCHROME1, or as its Presentation LUT Shape
 * says. */
bool lam_render_inverts(const lam_frames *frames);

typedef struct lam_viewport {
    int width, height; /* the picture fits in, keeping its proportions; 0: as large as the region */
    bool has_region;
    double x, y, region_width, region_height; /* of the image; a negative size mirrors it */
} lam_viewport;

/* Replaces the canvas by what the viewport shows of it: averaged when smaller, interpolated when larger.
 * LAM_E_INVALID for a region outside of the image. */
lam_status lam_render_fit(lam_canvas *canvas, const lam_viewport *viewport, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
