/* Where a network looked, and how sure it is: maps of an answer on the input's grid, the spread of answers,
 * and whether a map points at what matters. For single cases, after the answer; not on the way of every
 * prediction. */
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

/* "gradient", "integrated" or "attention"; false when it is none of them. */
bool lam_explain_method_find(const char *name, lam_explain_method *out);

typedef struct lam_explain_options {
    lam_explain_method method;
    int target; /* class, of a segmentation label; -1: that of the answer, or all labels; not for detectors */
    int steps;  /* of the integral, 1 … 1000; 0: lam_explain_steps */
    void (*tick)(void *context, size_t done, size_t total); /* after each of them; NULL: nobody listens */
    void *context;
} lam_explain_options;

/* Steps of the integral that bound its time on any input: 32, and fewer (at least 8) for an input of many
 * voxels, a function of sizes alone so that a repeated job gives the same map. */
int lam_explain_steps(const lam_bundle *bundle, const int64_t size[3]);

typedef struct lam_explanation {
    float *map; /* [z, y, x] of the volume; 0 where the network does not look. Owned */
    int64_t size[3];
    int target;             /* class that is explained; of a segmentation the label; of a detector -1 */
    double score, baseline; /* F of the input and, with LAM_EXPLAIN_INTEGRATED, of zeros */
} lam_explanation;

/* F is the network's score (logit; logarithm of a probability) of the target, of a segmentation summed over
 * the voxels that it gives that label, of a detector the scores of an object in the cells where it finds one,
 * slice by slice. Ensembles are averaged. Errors: LAM_E_UNSUPPORTED (the task, or no attention in the
 * network), LAM_E_INVALID (no such class), those of planning. */
lam_status lam_explain(const lam_bundle *bundle, lam_pool *pool, const lam_volume *volume,
                       const lam_explain_options *options, lam_explanation *out, lam_error *err);
void lam_explanation_done(lam_explanation *explanation);

/* How much the probabilities of a classification vary: their mean and standard deviation [class_count] over
 * the members of an ensemble and `samples` passes of each with dropout left on (Monte Carlo dropout: Gal,
 * Ghahramani, ICML 2016). LAM_E_UNSUPPORTED when there is nothing to vary: one member, no dropout. */
lam_status lam_explain_spread(const lam_bundle *bundle, lam_pool *pool, const lam_volume *volume, int samples,
                              uint64_t seed, double *mean, double *deviation, lam_error *err);

/* Areas under two curves (Petsiuk, Das, Saenko, BMVC 2018): what becomes of the mean probability of the
 * answer when voxels are taken out of the image (set to zero, the mean of normalised images), those first
 * that the map holds for most important; and when they are put into an empty one in that order. A good map
 * has a small deletion and a large insertion area. 0 … 1. */
typedef struct lam_explain_areas {
    double deletion, insertion;
} lam_explain_areas;

/* Of an answer (of a volume; of a detector of one slice) by the first weight set: the areas of `map` [z, y,
 * x], and of `orders` random orders of the voxels in the mean. LAM_E_NOT_FOUND: nothing was found that could
 * be asked about. */
lam_status lam_explain_curves(const lam_bundle *bundle, lam_pool *pool, const lam_volume *volume,
                              const float *map, int points, int orders, uint64_t seed,
                              lam_explain_areas *of_map, lam_explain_areas *of_chance, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
