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
    lam_sample_box *boxes; /* room for the sample's; in pixels of the part taken, cut at its edges */
    float *scratch;        /* room for an image */
} lam_augmented;

/* Fills `out` from the sample's prepared image and its truth. Values from outside the image are the border's,
 * labels from outside 0; what lies in the image but outside the frame's part can be turned or moved into it.
 * What is drawn depends on `random` alone. Boxes become the boxes around their turned selves' inner ellipses,
 * and are not bent by `elastic` nor `slice_jitter`. Geometry is for images of one channel. */
void lam_augment(const lam_augmentation *augmentation, lam_random random, const lam_sample *sample,
                 int64_t channels, const lam_frame *frame, const lam_augmented *out);

#endif
