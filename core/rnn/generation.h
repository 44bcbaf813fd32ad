/* What a generative network reads: the image so far and what is known of it beforehand, position by position.
 * Pure functions, safe from any thread. Drawing images is generate.h's.
 *
 * Channels of the input, with A axes and K classes:
 *
 *   0              the pixel: levels 0 … 255 as -1 … 1
 *   1              1, so that a shift or a border shows where the image ends
 *   2 … 1+6A       for each axis the position, -1 … 1, and five waves: cosine and sine of the periods 8 and
 *                  4, cosine of 2. They tell where in a block of 8 it lies, as JPEG divides an image
 *   2+6A …         1 for the image's class, else 0
 *
 * Only channel 0 is of the image: the others are known beforehand, and a `slice` of them reads nothing of it.
 *
 * The result has 3·components channels a position: the scores of logistic.h for the pixel there. The network
 * must be strictly causal: they may depend on pixels before it in memory order alone. */
#ifndef LAMINA_RNN_GENERATION_H
#define LAMINA_RNN_GENERATION_H

#include "core/rnn/network.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Channels of the input. */
int64_t lam_generation_channels(int axes, int64_t classes);

/* Whether a network reads and gives that many channels; `*components` of each pixel's distribution.
 * LAM_E_INVALID. */
lam_status lam_generation_check(const lam_network *network, int64_t classes, int *components, lam_error *err);

/* Fills `input` [size…, channels] for an image of `size` z, y, x (1 for axes the network does not have), of
 * class `label` (-1: none). `levels` [size…] are whole numbers 0 … 255; NULL: the pixels are left at 0. */
void lam_generation_fill(const int64_t size[3], int axes, int64_t classes, int label, const float *levels,
                         float *input);

#ifdef __cplusplus
}
#endif
#endif
