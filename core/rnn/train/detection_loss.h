/* The loss of a detector's head (core/rnn/detect.h) against the boxes of one image, with its gradient.
 * Internal to the training side of core/rnn. */
#ifndef LAMINA_RNN_TRAIN_DETECTION_LOSS_H
#define LAMINA_RNN_TRAIN_DETECTION_LOSS_H

#include "core/rnn/detect.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lam_true_box {
    lam_rect box; /* pixels of the input image; sides above 0 */
    int label;
} lam_true_box;

/* Weights of the terms, each a mean over the image's objects:
 *
 *   object   focal loss on the map of centres: target 1 in the cell of a centre, a Gaussian of a sixth of the
 *            box about it (Law and Deng 2018: (1-p)²·log p, and p²·(1-target)⁴·log(1-p) elsewhere)
 *   overlap  1 - GIoU
 *   smooth   smooth L1 of the four box numbers (Girshick 2015), quadratic within ±0.3
 *   quality  cross-entropy of the fit against the IoU that the predicted box has (no gradient into the box)
 *   classes  cross-entropy of the classes, smoothed
 *
 * All but the first are means over the up to 3 × 3 cells about an object's centre. */
typedef struct lam_detection_loss {
    double object, overlap, smooth, quality, classes;
    double label_smoothing;
} lam_detection_loss;

/* The loss of one image; scores [rows, columns, 6 + classes]. Writes scale × gradient to `gradient` (the same
 * shape). Sums run in a fixed order. An image without boxes has the first term alone. `labels` at or above
 * the head's classes count as 0. */
double lam_detection_loss_evaluate(const lam_detection_loss *loss, const lam_head *head, const float *scores,
                                   const lam_true_box *boxes, size_t box_count, double scale,
                                   float *gradient);

/* Smooth L1: x²/2/beta within ±beta, |x| - beta/2 outside; its derivative to `slope`. */
double lam_smooth_l1(double x, double beta, double *slope);

#ifdef __cplusplus
}
#endif
#endif
