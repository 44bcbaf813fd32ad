/* Whether a generator repeats what it was trained on: how near drawn images come to training images, beside
 * how near held-out images of others come. */
#ifndef LAMINA_RNN_TRAIN_NOVELTY_H
#define LAMINA_RNN_TRAIN_NOVELTY_H

#include "core/rnn/bundle.h"
#include "core/rnn/kernels/pool.h"
#include "core/rnn/train/samples.h"
#include "core/rnn/train/scores.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Adds to `scores`: nearest_drawn.least, .median and nearest_held.least, .median, distances from an image to
 * the nearest of `training`. A distance is the root of the mean squared difference of levels over the box in
 * the middle that all images have. As many images as `held` has are drawn, of their classes in turn and at
 * the size the manifest states, else that of the first held one. A drawn image that repeats one of the
 * training set has a distance near 0, where held-out images have none. Errors: those of lam_generate. */
lam_status lam_novelty_measure(const lam_bundle *bundle, const lam_samples *training, const lam_samples *held,
                               lam_pool *pool, lam_scores *scores, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
