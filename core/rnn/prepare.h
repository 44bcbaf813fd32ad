/* A volume's way into the network, as the manifest's preprocessing says: the part that is used, intensities,
 * padding. Used for prediction and for training alike. Internal to core/rnn. */
#ifndef LAMINA_RNN_PREPARE_H
#define LAMINA_RNN_PREPARE_H

#include <stdint.h>

#include "core/rnn/manifest.h"
#include "core/rnn/tensor.h"

/* The part of a volume that the network sees, and where it lies in the network's input. All z, y, x. */
typedef struct lam_frame {
    int64_t from[3], taken[3];  /* of the volume: first voxel and size; its middle where the manifest crops */
    int64_t before[3], size[3]; /* of the input: zeros before that part, and the size, padding included */
} lam_frame;

lam_frame lam_prepare_frame(const lam_model_preprocessing *preprocessing, const int64_t size[3]);
/* The same with another crop (0: none along that axis) than the manifest's. */
lam_frame lam_prepare_frame_cropped(const lam_model_preprocessing *preprocessing, const int64_t size[3],
                                    const int64_t crop[3]);

/* Clips and normalises a volume [z, y, x, channels] into `out` (may be `in`). Percentile, mean and deviation
 * are those of the part that the frame takes; what lies outside is changed alike. `scratch` has room for as
 * many floats as the volume. Non-finite values are read as 0. */
void lam_prepare_intensities(const lam_model_preprocessing *preprocessing, const int64_t size[3],
                             int64_t channels, const float *in, float *scratch, float *out);

/* The input shape of a network with so many axes: [batch, the last axes of the frame's size…, channels]. */
lam_shape lam_prepare_shape(const lam_frame *frame, int axes, int64_t batch, int64_t channels);

/* Copies the part that the frame takes out of a volume [size…, channels] into the middle of zeros. */
void lam_prepare_pad(const lam_frame *frame, const int64_t size[3], int64_t channels, const float *in,
                     float *out);
/* The same for a map of labels. */
void lam_prepare_pad_map(const lam_frame *frame, const int64_t size[3], const uint8_t *in, uint8_t *out);

/* The percentile (0 … 100) of `count` >= 1 values, interpolated linearly between ranks as NumPy does.
 * Reorders `values`. */
float lam_prepare_percentile(float *values, int64_t count, double percentile);

#endif
