/* A volume's way into the network, as the manifest's preprocessing says: intensities, then padding. Used for
 * prediction and for training alike. Internal to core/rnn. */
#ifndef LAMINA_RNN_PREPARE_H
#define LAMINA_RNN_PREPARE_H

#include <stdint.h>

#include "core/rnn/manifest.h"
#include "core/rnn/tensor.h"

/* Side lengths after padding to the manifest's multiples, and how much of it lies before the volume. */
typedef struct lam_padding {
    int64_t size[3], before[3]; /* z, y, x */
} lam_padding;

lam_padding lam_prepare_padding(const lam_model_preprocessing *preprocessing, const int64_t size[3]);

/* Clips and normalises `count` voxels into `out` (may be `in`); `scratch` has room for `count` floats.
 * Non-finite values are read as 0. */
void lam_prepare_intensities(const lam_model_preprocessing *preprocessing, const float *in, int64_t count,
                             float *scratch, float *out);

/* The input shape of a network with so many axes: [batch, the last axes of the padded size…, channels]. */
lam_shape lam_prepare_shape(const lam_padding *padding, int axes, int64_t batch, int64_t channels);

/* Copies [z, y, x, channels] into the middle of zeros of the padded size. */
void lam_prepare_pad(const lam_padding *padding, const int64_t size[3], int64_t channels, const float *in,
                     float *out);

/* The percentile (0 … 100) of `count` >= 1 values, interpolated linearly between ranks as NumPy does.
 * Reorders `values`. */
float lam_prepare_percentile(float *values, int64_t count, double percentile);

#endif
