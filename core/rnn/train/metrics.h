/* How good predictions are: measures of overlap, distance, ranking and calibration. Pure functions. */
#ifndef LAMINA_RNN_TRAIN_METRICS_H
#define LAMINA_RNN_TRAIN_METRICS_H

#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Overlap of `label` in two maps of `count` voxels, 2·|A∩B| / (|A|+|B|); 1 when both are empty. */
double lam_metric_dice(const uint8_t *predicted, const uint8_t *truth, int64_t count, uint8_t label);

/* The 95th percentile of the distances, in mm, from each map's surface voxels (6-connected) to the other's
 * surface; the larger of the two directions. NaN when either map has no voxel of `label`. maps [z, y, x];
 * spacing z, y, x. */
lam_status lam_metric_hd95(const uint8_t *predicted, const uint8_t *truth, const int64_t size[3],
                           const double spacing_mm[3], uint8_t label, double *out, lam_error *err);

/* Area under the ROC curve of `scores` for `positive` (nonzero) against the rest; ties count half; 0.5 when
 * one side is empty. Reorders nothing. */
lam_status lam_metric_auc(const double *scores, const uint8_t *positive, int64_t count, double *out,
                          lam_error *err);

/* Expected calibration error (Guo 2017), summed up with lam_calibration_add: 15 equal bins of the top
 * probability. */
typedef struct lam_calibration {
    double confidence[15], correct[15], count[15];
} lam_calibration;
void lam_calibration_add(lam_calibration *calibration, double top_probability, int correct);
/* Adds the counts of `from`. */
void lam_calibration_join(lam_calibration *calibration, const lam_calibration *from);
double lam_calibration_error(const lam_calibration *calibration);

/* Counts of a two-class decision, and what follows from them; 0 where a denominator is 0. */
typedef struct lam_confusion {
    int64_t true_positive, false_positive, true_negative, false_negative;
} lam_confusion;
double lam_metric_sensitivity(const lam_confusion *confusion);
double lam_metric_specificity(const lam_confusion *confusion);
double lam_metric_f1(const lam_confusion *confusion);

#ifdef __cplusplus
}
#endif
#endif
