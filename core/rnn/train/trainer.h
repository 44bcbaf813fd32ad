/* Gradient descent on a data set, an epoch at a time.
 *
 * Every random number is a function of (seed, epoch, sample), every sum runs in a fixed order, and shards of
 * a batch are computed each by one thread: the same seed gives the same bits whatever the number of threads,
 * and a trainer restored from what it saved goes on as if it had not stopped. */
#ifndef LAMINA_RNN_TRAIN_TRAINER_H
#define LAMINA_RNN_TRAIN_TRAINER_H

#include "core/rnn/kernels/pool.h"
#include "core/rnn/train/recipe.h"
#include "core/rnn/train/samples.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lam_trainer lam_trainer;

/* What an epoch did; `loss` and `norm` (of the gradient, before clipping) are means over its steps. */
typedef struct lam_epoch {
    int64_t epoch; /* from 1 */
    int64_t step;  /* steps done in all */
    int64_t steps_an_epoch;
    double loss, norm, rate;
    double samples_per_s;
} lam_epoch;

/* Called after every step with the means so far; returning false stops the epoch (LAM_E_CANCELLED). */
typedef bool lam_trainer_report(void *context, const lam_epoch *so_far);

/* Trains `weights` in place. All but the recipe (copied) must outlive the trainer. Errors: LAM_E_INVALID (the
 * samples of a shard differ in size, the loss does not fit the task), LAM_E_NO_MEMORY. */
lam_status lam_trainer_create(const lam_manifest *manifest, const lam_recipe *recipe,
                              const lam_samples *dataset, lam_weights *weights, lam_pool *pool, uint64_t seed,
                              lam_trainer **out, lam_error *err);
void lam_trainer_free(lam_trainer *trainer);
LAM_DEFINE_AUTO(lam_trainer, lam_trainer_free)

/* Runs the next epoch. Errors: LAM_E_CANCELLED, LAM_E_LIMIT, LAM_E_NO_MEMORY, LAM_E_INVALID when the loss is
 * no longer finite. After an error only freeing is of use. */
lam_status lam_trainer_run_epoch(lam_trainer *trainer, lam_trainer_report *report, void *context,
                                 lam_epoch *out, lam_error *err);

/* Epochs and steps done. */
int64_t lam_trainer_epochs(const lam_trainer *trainer);
int64_t lam_trainer_steps(const lam_trainer *trainer);

/* The losses of each step of the last epoch; borrowed. */
const double *lam_trainer_losses(const lam_trainer *trainer, size_t *count);

/* The weights to judge and keep: the moving average where the recipe has one, else the weights themselves.
 * Borrowed, valid until the next epoch. */
const lam_weights *lam_trainer_kept_weights(lam_trainer *trainer);

/* Everything that the next epoch depends on, as a safetensors file; `note` is a text kept with it. Writes to
 * `fd` and does not sync. */
lam_status lam_trainer_save(const lam_trainer *trainer, int fd, const char *note, lam_error *err);
/* Into a trainer made with the same arguments. `*note` is malloc'd. Errors: LAM_E_CORRUPT, LAM_E_STATE
 * (another network, seed or data set). */
lam_status lam_trainer_restore(lam_trainer *trainer, int fd, char **note, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
