/* Losses of rows of class scores, such as pixels or whole images, and their gradients. */
#ifndef LAMINA_RNN_TRAIN_LOSS_H
#define LAMINA_RNN_TRAIN_LOSS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/rnn/manifest.h"
#include "core/rnn/train/task.h"

enum { LAM_MAX_LOSS_TERMS = 4, LAM_MAX_LOSS_CLASSES = 64 };

typedef enum lam_loss_kind {
    LAM_LOSS_CROSS_ENTROPY,        /* of softmax probabilities against one class a row; mean over rows */
    LAM_LOSS_BINARY_CROSS_ENTROPY, /* each channel its own sigmoid, target 1 for the row's class; mean over
                                      all */
    LAM_LOSS_FOCAL,                /* cross-entropy × (1 - p)^gamma (Lin 2017) */
    LAM_LOSS_DICE,        /* mean over classes >= 1 of 1 - (2·Σpt + s) / (Σp + Σt + s), over all rows */
    LAM_LOSS_DICE_SLICES, /* the same over the rows of each step of the first axis; the mean of them */
} lam_loss_kind;

typedef struct lam_loss_term {
    lam_loss_kind kind;
    double weight;
    double label_smoothing; /* cross_entropy: t → t·(1-s) + s/classes */
    double gamma;           /* focal */
    double smooth;          /* s of dice */
} lam_loss_term;

typedef struct lam_loss {
    lam_loss_term terms[LAM_MAX_LOSS_TERMS];
    int count;
    bool probabilities; /* the network's result is a probability already, not a logit */
    bool weighted;      /* class_weights are given */
    float class_weights[LAM_MAX_LOSS_CLASSES]; /* of cross_entropy and focal; the mean divides by their sum
                                                  over rows */
} lam_loss;

/* `loss` (a list of terms; cross-entropy alone when absent) and `class_weights` of the manifest's `training`.
 * LAM_E_INVALID names the member. */
lam_status lam_loss_parse(const lam_manifest *manifest, size_t classes, lam_loss *out, lam_error *err);

/* The loss of one sample: scores [rows, classes], the class of each row; the rows are `slices` equal runs.
 * Writes scale × gradient with respect to the scores to `gradient` [rows, classes]. `scratch` has room for
 * rows × classes floats. Sums run in row order in double precision. Classes at or above `classes` count as 0.
 */
double lam_loss_evaluate(const lam_loss *loss, int64_t slices, int64_t rows, int classes, const float *scores,
                         const uint8_t *labels, double scale, float *gradient, float *scratch);

/* The three functions of a task whose criterion is a lam_loss. */
lam_status lam_loss_create(const lam_manifest *manifest, const lam_network *network, void **out,
                           lam_error *err);
void lam_loss_free(void *loss);
double lam_loss_run(const void *loss, const lam_loss_case *at);

#endif
