/* A bundle's training recipe: the manifest's `training` object as a struct. Internal to the training side of
 * core/rnn. */
#ifndef LAMINA_RNN_TRAIN_RECIPE_H
#define LAMINA_RNN_TRAIN_RECIPE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/rnn/manifest.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LAM_MAX_LOSS_TERMS = 4, LAM_MAX_LOSS_CLASSES = 64, LAM_MAX_ELASTIC_GRID = 16 };

typedef enum lam_loss_kind {
    LAM_LOSS_CROSS_ENTROPY,        /* of softmax probabilities against one class a row; mean over rows */
    LAM_LOSS_BINARY_CROSS_ENTROPY, /* each channel its own sigmoid, target 1 for the row's class; mean over
                                      all */
    LAM_LOSS_FOCAL,                /* cross-entropy × (1 - p)^gamma (Lin 2017) */
    LAM_LOSS_DICE, /* mean over classes >= 1 of 1 - (2·Σpt + 1) / (Σp + Σt + 1), a sample */
} lam_loss_kind;

typedef struct lam_loss_term {
    lam_loss_kind kind;
    double weight;
    double label_smoothing; /* cross_entropy: t → t·(1-s) + s/classes */
    double gamma;           /* focal */
} lam_loss_term;

typedef struct lam_loss {
    lam_loss_term terms[LAM_MAX_LOSS_TERMS];
    int count;
    bool probabilities; /* the network's result is a probability already, not a logit */
    bool weighted;      /* class_weights are given */
    float class_weights[LAM_MAX_LOSS_CLASSES]; /* of cross_entropy and focal; the mean divides by their sum
                                                  over rows */
} lam_loss;

typedef enum lam_optimiser_kind {
    LAM_OPTIMISER_SGD,
    LAM_OPTIMISER_ADAM,
    LAM_OPTIMISER_ADAMW
} lam_optimiser_kind;
typedef enum lam_schedule_kind {
    LAM_SCHEDULE_CONSTANT,
    LAM_SCHEDULE_STEP,
    LAM_SCHEDULE_COSINE
} lam_schedule_kind;

typedef struct lam_optimiser {
    lam_optimiser_kind kind;
    double rate;
    double momentum;     /* sgd */
    double beta1, beta2; /* adam, adamw */
    double epsilon;
    double decay; /* adamw: decoupled (Loshchilov, Hutter 2019); else added to the gradient. Matrices only */
} lam_optimiser;

typedef struct lam_schedule {
    lam_schedule_kind kind;
    int64_t warm_up; /* steps over which the rate rises linearly */
    double floor;    /* cosine: the last rate, as a fraction of the first */
    int64_t every;   /* step: epochs between falls */
    double factor;   /* step: what each fall multiplies by */
} lam_schedule;

typedef struct lam_augmentation {
    double rotate_degrees; /* uniform within ± about each axis (about z alone for images) */
    double scale_log;      /* isotropic: exp of uniform within ± */
    double stretch_log;    /* the same for each axis by itself */
    double shift;          /* voxels, uniform within ± along each axis */
    bool flip[3];          /* z, y, x: with probability 1/2 */
    double elastic_probability, elastic_voxels;
    int64_t elastic_grid[3];
    double gain_log, offset; /* normal deviations */
    double gamma_probability, gamma_log;
    double noise_probability, noise_deviation;
    double blur_probability;
    bool spatial; /* any of the geometric ones */
} lam_augmentation;

typedef struct lam_recipe {
    int64_t epochs;
    int64_t batch; /* samples a step */
    int64_t shard; /* of them computed together, as one array; gradients of shards are summed in order */
    bool shuffle;  /* a new order every epoch */
    lam_optimiser optimiser;
    lam_schedule schedule;
    lam_loss loss;
    double clip_norm; /* 0: none */
    double average;   /* decay of the moving average of the weights; 0: none */
    lam_augmentation augmentation;
    int64_t validate_every; /* epochs */
    int64_t patience;       /* validations without improvement before stopping; 0: never */
    bool fit_temperature;
} lam_recipe;

/* Reads and checks the manifest's `training`; defaults where members are absent. LAM_E_INVALID names the
 * member; LAM_E_NOT_FOUND when the manifest has none. */
lam_status lam_recipe_parse(const lam_manifest *manifest, lam_recipe *out, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
