/* Steps of gradient descent on the flat parameter buffer. Internal to the training side of core/rnn. */
#ifndef LAMINA_RNN_TRAIN_OPTIMISER_H
#define LAMINA_RNN_TRAIN_OPTIMISER_H

#include "core/rnn/network.h"
#include "core/rnn/train/recipe.h"

/* The learning rate of step `step` (from 1) of `steps` in all, `steps_an_epoch` of them an epoch. */
double lam_schedule_rate(const lam_schedule *schedule, double rate, int64_t step, int64_t steps,
                         int64_t steps_an_epoch);

/* Scales the gradient to at most this Euclidean norm over the trainable parameters; returns the norm it had.
 * 0: no limit. */
double lam_optimiser_clip(const lam_network *network, float *gradient, double norm);

/* One step, in place. `first` and `second` are the running moments (second unused by SGD), all in the flat
 * layout, zero before step 1. */
void lam_optimiser_step(const lam_optimiser *optimiser, const lam_network *network, double rate, int64_t step,
                        const float *gradient, float *first, float *second, float *parameters);

/* Running statistics move a tenth of the way to what the batch says, the mean of `shards` shards. */
void lam_optimiser_move_statistics(const lam_network *network, int64_t shards, const float *gradient,
                                   float *parameters);

/* average += (1 - decay)·(parameters - average); the decay is smaller in the first steps: step / (step + 20).
 */
void lam_optimiser_average(const lam_network *network, double decay, int64_t step, const float *parameters,
                           float *average);

#endif
