/* Random deformation and intensity changes of one sample. Internal to the training side of core/rnn. */
#ifndef LAMINA_RNN_TRAIN_AUGMENT_H
#define LAMINA_RNN_TRAIN_AUGMENT_H

#include "core/rnn/prepare.h"
#include "core/rnn/random.h"
#include "core/rnn/train/recipe.h"
#include "core/rnn/train/samples.h"

/* What is drawn of a sample: memory of the caller, for the part that the frame takes. */
typedef struct lam_augmented {
    float *image;          /* [taken…, channels] */
    uint8_t *map;          /* [taken…]; used when the sample has one */
    lam_sample_box *boxes; /* room for the sample's; in pixels of the part taken */
    float *scratch;        /* room for an image */
} lam_augmented;

/* The part of its area that a box must show to be an object still (min_visibility of Albumentations: Buslaev
 * et al., Information 11:125, 2020). */
#define LAM_LEAST_VISIBLE 0.25

/* Fills `out` from the sample's prepared image and its truth; gives the number of boxes. Values from outside
 * the image are the border's, labels from outside 0; what lies in the image but outside the frame's part can
 * be turned or moved into it. What is drawn depends on `random` alone. Boxes become the boxes around their
 * turned selves' inner ellipses, and are not bent by `elastic` nor `slice_jitter`; a box that the part's edge
 * cuts becomes what is left of it, and none if that is less than LAM_LEAST_VISIBLE. Geometry is for images of
 * one channel. */
size_t lam_augment(const lam_augmentation *augmentation, lam_random random, const lam_sample *sample,
                   int64_t channels, const lam_frame *frame, const lam_augmented *out);

#endif
