/* Where a network looked, and how sure it is: maps of an answer on the input's grid, and the spread of
 * answers. For single cases, after the answer; not on the way of every prediction. */
#ifndef LAMINA_RNN_EXPLAIN_H
#define LAMINA_RNN_EXPLAIN_H

#include "core/base/cleanup.h"
#include "core/base/status.h"
#include "core/rnn/bundle.h"
#include "core/rnn/predict.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lam_explain_method {
    LAM_EXPLAIN_GRADIENT,   /* sum over channels of |dF/dx| (Simonyan 2014) */
    LAM_EXPLAIN_INTEGRATED, /* integrated gradients from an input of zeros, the mean of normalised images:
                               signed, and in sum F(x) - F(0) (Sundararajan, Taly, Yan, ICML 2017) */
    LAM_EXPLAIN_ATTENTION,  /* mean of the weights of all attention_pool layers, each spread over the axes it
                               does not pool */
    LAM_EXPLAIN_COUNT
} lam_explain_method;

/* "gradient", "integrated", "attention"; never NULL. */
const char *lam_explain_method_name(lam_explain_method method);

typedef struct lam_explanation {
    float *map; /* [z, y, x] of the volume; 0 where the network does not look. Owned */
    int64_t size[3];
    int target;             /* class that is explained; of a segmentation the label */
    double score, baseline; /* F of the input and, with LAM_EXPLAIN_INTEGRATED, of zeros */
} lam_explanation;

/* F is the network's score (logit; logarithm of a probability) of class `target`, of a segmentation summed
 * over the voxels that it gives that label; -1: the class of the answer, or all labels. `steps` (1 … 1000)
 * are of the integral; ignored by others. Ensembles are averaged. Errors: LAM_E_UNSUPPORTED (the task, or no
 * attention in the network), LAM_E_INVALID (no such class), those of planning. */
lam_status lam_explain(const lam_bundle *bundle, lam_pool *pool, const lam_volume *volume,
                       lam_explain_method method, int target, int steps, lam_explanation *out,
                       lam_error *err);
void lam_explanation_done(lam_explanation *explanation);

/* How much the probabilities of a classification vary: their mean and standard deviation [class_count] over
 * the members of an ensemble and `samples` passes of each with dropout left on (Monte Carlo dropout: Gal,
 * Ghahramani, ICML 2016). LAM_E_UNSUPPORTED when there is nothing to vary: one member, no dropout. */
lam_status lam_explain_spread(const lam_bundle *bundle, lam_pool *pool, const lam_volume *volume, int samples,
                              uint64_t seed, double *mean, double *deviation, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
