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

enum { LAM_MAX_ELASTIC_GRID = 16, LAM_MAX_CROPS = 8 };

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

/* Triples are z, y, x. */
typedef struct lam_augmentation {
    double rotate_degrees[3]; /* uniform within ± about each axis (only about z for images) */
    double scale_log[3];      /* all axes together: exp of one number, uniform within -1 … 1, times these */
    double stretch_log[3];    /* the same with a number for each axis */
    double shift[3];          /* voxels, uniform within ± along each axis */
    bool flip[3];             /* with probability 1/2 */
    double jitter_probability, jitter_voxels;      /* each slice is moved in its plane: normal deviation */
    double elastic_probability, elastic_voxels[3]; /* normal deviations at elastic_grid */
    int64_t elastic_grid[3];
    double bias_probability, bias_log; /* a smooth field multiplies: exp of normal deviations at bias_grid */
    int64_t bias_grid[3];
    double gain_log, offset; /* normal deviations */
    double gamma_probability, gamma_log;
    double noise_probability, noise_deviation;
    double blur_probability;
    bool blur[3];                    /* along which axes: thick slices are not blurred into each other */
    bool spatial;                    /* any of the geometric ones */
    int64_t crops[LAM_MAX_CROPS][3]; /* one of these is drawn instead of the manifest's crop */
    int crop_count;
} lam_augmentation;

typedef struct lam_recipe {
    int64_t epochs;
    int64_t batch; /* samples a step */
    int64_t shard; /* of them computed together, as one array; gradients of shards are summed in order */
    bool shuffle;  /* a new order every epoch */
    lam_optimiser optimiser;
    lam_schedule schedule;
    double clip_norm; /* 0: none */
    double average;   /* decay of the moving average of the weights; 0: none */
    lam_augmentation augmentation;
    int64_t validate_every; /* epochs */
    int64_t patience;       /* validations without improvement before stopping; 0: never */
    bool fit_temperature;
    const lam_jv *leave_out; /* names of patients or samples that are not trained on; NULL: none */
    bool cross_validate; /* member i of the ensemble trains without part i of the data and is judged on it */
} lam_recipe;

/* Reads and checks the manifest's `training` but for its loss, which is the task's (task.h); defaults where
 * members are absent. LAM_E_INVALID names the member; LAM_E_NOT_FOUND when the manifest has none. */
lam_status lam_recipe_parse(const lam_manifest *manifest, lam_recipe *out, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
