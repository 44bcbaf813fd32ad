/* Scoring weights on a labelled set, through the same path that predicts in production. */
#ifndef LAMINA_RNN_TRAIN_EVALUATE_H
#define LAMINA_RNN_TRAIN_EVALUATE_H

#include "core/rnn/kernels/pool.h"
#include "core/rnn/train/samples.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LAM_MAX_SCORES = 1024, LAM_SCORE_NAME = 96 };

typedef struct lam_score {
    char name[LAM_SCORE_NAME]; /* "dice_mean", "dice.anterior", "hd95_mm.anterior", "accuracy", "auc", "ece",
                                  … */
    double value;
} lam_score;

typedef struct lam_scores {
    lam_score items[LAM_MAX_SCORES];
    size_t count;
} lam_scores;

/* NaN when there is none of that name. */
double lam_scores_get(const lam_scores *scores, const char *name);

/* Segmentation: dice_mean, dice.<name>, and with `thorough` hd95_mm.<name> (over cases that have both
 * surfaces), volume_error_ml.<name> (mean absolute), ece (over the box around all foreground,
 * predicted or true, and 2 voxels around it). Classification: accuracy, auc (mean of one against the rest),
 * ece; for two classes sensitivity, specificity, f1 of class 1. Cases run on the pool's threads; sums run in
 * their order. */
lam_status lam_evaluate(const lam_manifest *manifest, const lam_weights *weights, const lam_samples *dataset,
                        lam_pool *pool, bool thorough, lam_scores *out, lam_error *err);

/* The temperature that makes the probabilities fit the labels best (least negative log-likelihood; Guo 2017),
 * over what counts for ece. Between 0.1 and 10. */
lam_status lam_evaluate_temperature(const lam_manifest *manifest, const lam_weights *weights,
                                    const lam_samples *dataset, lam_pool *pool, double *out, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
