/* An RGB image in memory: filling, text, PNG and JPEG. */
#ifndef LAMINA_DICOM_CANVAS_H
#define LAMINA_DICOM_CANVAS_H

#include <stdint.h>

#include "core/base/buffer.h"
#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lam_canvas {
    int width, height;
    uint8_t *rgb; /* [height, width, 3] */
} lam_canvas;

lam_status lam_canvas_init(lam_canvas *canvas, int width, int height, lam_error *err); /* black */
void lam_canvas_done(lam_canvas *canvas);

/* Drawing outside is cut off. */
void lam_canvas_set(lam_canvas *canvas, int x, int y, const uint8_t rgb[3]);
void lam_canvas_fill(lam_canvas *canvas, int x, int y, int width, int height, const uint8_t rgb[3]);

/* Text in capitals, each dot `scale` pixels wide; (x, y) is its top left. Returns the x after it. */
int lam_canvas_text(lam_canvas *canvas, int x, int y, int scale, const uint8_t rgb[3], const char *text);
int lam_canvas_text_width(const char *text, int scale);

/* Both append to `out`. LAM_E_LIMIT: more than it takes; LAM_E_NO_MEMORY; what was appended till then is of
 * no use. The same canvas gives the same bytes. */
lam_status lam_canvas_png(const lam_canvas *canvas, lam_buffer *out, lam_error *err);
/* Baseline, of a quality from 1 to 100. */
lam_status lam_canvas_jpeg(const lam_canvas *canvas, int quality, lam_buffer *out, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
