/* How good detections are: average precision and FROC. Pure functions. */
#ifndef LAMINA_RNN_TRAIN_DETECTION_METRICS_H
#define LAMINA_RNN_TRAIN_DETECTION_METRICS_H

#include <stddef.h>

#include "core/base/status.h"
#include "core/rnn/rect.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A box in image number `image`; the score of a true box is not read. */
typedef struct lam_marked_box {
    size_t image;
    lam_rect box;
    double score;
} lam_marked_box;

/* Marks what was found as right (1) or wrong (0) in `hit` [found_count]: in order of scores (ties by
 * position), each takes the true box of its image, not yet taken, that it overlaps most, if that is at least
 * `iou`. Scores must be numbers. LAM_E_INVALID, LAM_E_NO_MEMORY. */
lam_status lam_metric_match(const lam_marked_box *found, size_t found_count, const lam_marked_box *truth,
                            size_t truth_count, double iou, unsigned char *hit, lam_error *err);

/* Area under the interpolated curve of precision over recall, all points (Everingham 2010): 0 … 1; NaN
 * without a true box. */
lam_status lam_metric_average_precision(const lam_marked_box *found, size_t found_count,
                                        const lam_marked_box *truth, size_t truth_count, double iou,
                                        double *out, lam_error *err);

/* Free-response ROC (Chakraborty 1989): the greatest share of true boxes found at no more than each of
 * `rates` wrong boxes an image, to `sensitivity` [rate_count]; NaN without a true box. */
lam_status lam_metric_froc(const lam_marked_box *found, size_t found_count, const lam_marked_box *truth,
                           size_t truth_count, size_t images, double iou, const double *rates,
                           size_t rate_count, double *sensitivity, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
