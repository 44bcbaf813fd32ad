/* Random deformation and intensity changes of one sample. Internal to the training side of core/rnn. */
#ifndef LAMINA_RNN_TRAIN_AUGMENT_H
#define LAMINA_RNN_TRAIN_AUGMENT_H

#include "core/rnn/random.h"
#include "core/rnn/train/recipe.h"

/* image [z, y, x] -> image_out, and the label map (NULL: none) with it; sizes do not change. Values from
 * outside are the border's, labels from outside 0. What is drawn depends on `random` alone. `scratch` has
 * room for one image. In and out must differ. */
void lam_augment(const lam_augmentation *augmentation, lam_random random, const int64_t size[3],
                 const float *image, const uint8_t *labels, float *image_out, uint8_t *labels_out,
                 float *scratch);

#endif
