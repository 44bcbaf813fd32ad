/* Losses and their gradients on rows of class scores. Internal to the training side of core/rnn. */
#ifndef LAMINA_RNN_TRAIN_LOSS_H
#define LAMINA_RNN_TRAIN_LOSS_H

#include "core/rnn/train/recipe.h"

/* The loss of one sample: scores [rows, classes], the class of each row. Writes scale × gradient with respect
 * to the scores to `gradient` [rows, classes]. `scratch` has room for rows × classes floats. Sums run in row
 * order in double precision. Classes at or above `classes` count as 0. */
double lam_loss_evaluate(const lam_loss *loss, int64_t rows, int classes, const float *scores,
                         const uint8_t *labels, double scale, float *gradient, float *scratch);

#endif
