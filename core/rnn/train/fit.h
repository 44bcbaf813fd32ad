/* `lamina train` without its command line: trains the network that a bundle's model.json describes and writes
 * the result into the bundle's folder:
 *
 *   checkpoint.safetensors   after every epoch; removed at the end
 *   kept.safetensors         the weights that validated best so far (the last ones without a validation set)
 *   member-N.safetensors     those of the members of an ensemble that are done; removed at the end
 *   curve.csv, curve.svg     loss, rate and validation metric by epoch; curve-N.* of an ensemble
 *   weights.safetensors      the weights of all members
 *   model.json               metrics, date, hash of the weights, temperature
 *
 * Members of an ensemble are trained one after another, each with a seed of its own; with `cross_validate`
 * member i leaves out part i of the data and is judged on it, and the metrics are those of all parts, each
 * scored by the one member that has not seen it.
 *
 * Each file is written aside, synced and renamed, so that a kill at any moment leaves whole files; `resume`
 * then goes on from the last epoch with the same result. */
#ifndef LAMINA_RNN_TRAIN_FIT_H
#define LAMINA_RNN_TRAIN_FIT_H

#include "core/rnn/train/evaluate.h"
#include "core/rnn/train/trainer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lam_fit_settings {
    const char *bundle; /* folder that holds model.json */
    const char *const *data;
    size_t data_count;
    const char *const *validation; /* none: `folds` or no validation */
    size_t validation_count;
    int fold, folds;  /* folds > 1: validate on this one of so many parts of `data`, train on the others */
    const char *init; /* another bundle's folder to start from, or NULL: parameters of the same name and shape
                         are taken over, others (a new head) are fresh */
    int64_t epochs;   /* 0: the recipe's */
    uint64_t seed;
    int threads; /* 0: all */
    bool resume;
} lam_fit_settings;

typedef struct lam_fit_progress {
    const lam_epoch *epoch;
    int64_t epochs;
    int member, members; /* of the ensemble; from 0 */
    bool finished;       /* the epoch is over, validated and saved */
    const char *metric;  /* its name */
    double value, best;  /* NaN: not known (yet) */
    double eta_s;
} lam_fit_progress;

/* Called after every step and after every epoch; returning false stops (LAM_E_CANCELLED), the last checkpoint
 * stays. */
typedef bool lam_fit_report(void *context, const lam_fit_progress *progress);

/* `out` gets the scores of the kept weights on the validation set (count 0 without one). */
lam_status lam_fit(const lam_fit_settings *settings, lam_fit_report *report, void *context, lam_scores *out,
                   lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
