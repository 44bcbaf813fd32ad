/* Scoring weights on labelled sets, through the same path that predicts in production. Knows no task: what a
 * case's scores are is its task's (task.h). */
#ifndef LAMINA_RNN_TRAIN_EVALUATE_H
#define LAMINA_RNN_TRAIN_EVALUATE_H

#include "core/rnn/kernels/pool.h"
#include "core/rnn/train/samples.h"
#include "core/rnn/train/scores.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Cases and what predictions of them were like. One thread's. */
typedef struct lam_evaluation lam_evaluation;

/* `thorough`: scores that take long, too. `calibrate`: for lam_evaluation_temperature; keeps probabilities,
 * of a segmentation all those in the box around the foreground. Errors: LAM_E_UNSUPPORTED (the task). */
lam_status lam_evaluation_create(const lam_manifest *manifest, bool thorough, bool calibrate,
                                 lam_evaluation **out, lam_error *err);
void lam_evaluation_free(lam_evaluation *evaluation);
LAM_DEFINE_AUTO(lam_evaluation, lam_evaluation_free)

/* Predicts each sample with the mean of `members` and measures it; on the pool's threads, the result does not
 * depend on their number. `dataset` must outlive the evaluation; may be called again, with parts of the same
 * data. The error names the sample. */
lam_status lam_evaluation_add(lam_evaluation *evaluation, const lam_weights *const *members,
                              size_t member_count, const lam_samples *dataset, lam_pool *pool,
                              lam_error *err);

/* The task's scores over all cases. With `rounds` > 0 their 95 % intervals: the percentiles over so many
 * bootstrap samples (Efron 1979), which draw patients, not images, with replacement.
 *
 * Classification: accuracy, auc (mean of one against the rest), ece; for two classes sensitivity,
 * specificity, f1 of class 1. Segmentation: dice_mean, dice.<name>, and thoroughly hd95_mm.<name> (over cases
 * that have both surfaces), volume_error_ml.<name> (mean absolute), ece (over the box around all foreground,
 * predicted or true, and 2 voxels around it); of stacks dice_slice (mean over slices where there is
 * anything), dice_least (of all stacks), ef_error (mean absolute, in percentage points). */
lam_status lam_evaluation_scores(const lam_evaluation *evaluation, int rounds, lam_scores *out,
                                 lam_error *err);

/* The temperature that makes the probabilities fit the labels best (least negative log-likelihood; Guo 2017).
 * Between 0.1 and 10. The manifest's where the task has none. */
lam_status lam_evaluation_temperature(const lam_evaluation *evaluation, double *out, lam_error *err);

typedef struct lam_case_quality {
    const lam_sample *sample;
    double quality; /* larger is better; the mean Dice of a segmentation, the probability of the true class,
                       the overlap of an image's best box, minus the bits a pixel of a generator */
} lam_case_quality;

/* Up to `room` cases, the worst first; returns how many. 0 when the task does not say. */
size_t lam_evaluation_worst(const lam_evaluation *evaluation, size_t room, lam_case_quality *out);

size_t lam_evaluation_count(const lam_evaluation *evaluation);

#ifdef __cplusplus
}
#endif
#endif
