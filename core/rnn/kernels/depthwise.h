/* Depthwise convolution in one to three dimensions, channels last, stride 1, zero padding ("same"), forward
 * and backward: each channel is filtered by its own small kernel.
 *
 * Layout: x, y [batch, depth, height, width, channels] dense; w [taps, channels] with
 * taps = kernel depth · height · width in that order; one-dimensional: depth = height = 1 and so their
 * kernels. Safe from any thread; `pool` may be NULL; results do not depend on its size. */
#ifndef LAMINA_RNN_KERNELS_DEPTHWISE_H
#define LAMINA_RNN_KERNELS_DEPTHWISE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/rnn/kernels/pool.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lam_depthwise {
    size_t batch, depth, height, width, channels;
    size_t kernel_depth, kernel_height, kernel_width; /* odd, e.g. 3, 3, 3 */
} lam_depthwise;

/* y[p,c] = bias[c] + Σ_taps w[tap,c] · x[p+tap,c]. bias NULL: zero. With `add_input` the input is added: the
 * residual form x + conv(x). y must not be x. */
void lam_depthwise_forward(const lam_depthwise *shape, const float *x, const float *w, const float *bias,
                           bool add_input, float *y, lam_pool *pool);

/* dx = correlation of dy with the mirrored kernel (plus dy with `add_input`). dx must not be dy. */
void lam_depthwise_backward_input(const lam_depthwise *shape, const float *dy, const float *w, bool add_input,
                                  float *dx, lam_pool *pool);

/* dw [taps, channels] += Σ dy[p]·x[p+tap]; dbias [channels] += Σ dy (NULL: not wanted). */
void lam_depthwise_backward_weights(const lam_depthwise *shape, const float *x, const float *dy, float *dw,
                                    float *dbias, lam_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
