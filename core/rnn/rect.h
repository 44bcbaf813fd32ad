/* Axis-parallel boxes in an image: overlap, and how it changes with the sides. Pure functions, safe from any
 * thread. Not for finding boxes: that is detect.h. */
#ifndef LAMINA_RNN_RECT_H
#define LAMINA_RNN_RECT_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* In pixels from the top-left corner of the image: pixel i covers i … i + 1, so the box around pixels 3 and 4
 * of a row has x 3 and width 2. Sides are not negative. */
typedef struct lam_rect {
    float x, y, width, height;
} lam_rect;

/* Intersection over union, 0 … 1; 0 when both are empty. */
double lam_rect_iou(const lam_rect *a, const lam_rect *b);

/* Generalised intersection over union (Rezatofighi, CVPR 2019), -1 … 1: IoU less the share of the smallest
 * common box that neither covers, so that boxes apart still attract each other. `gradient` (NULL: not wanted)
 * gets the derivatives with respect to the left, top, right and bottom side of `a`. Both boxes must have an
 * area. */
double lam_rect_giou(const lam_rect *a, const lam_rect *b, double gradient[4]);

/* The part of a box inside an image of this size. */
lam_rect lam_rect_clip(const lam_rect *box, double width, double height);

#ifdef __cplusplus
}
#endif
#endif
