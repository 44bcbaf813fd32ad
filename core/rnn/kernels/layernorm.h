/* Layer normalisation over the channels of each row (Ba, Kiros, Hinton 2016), forward and backward.
 *
 * y = (x - mean) · rstd · gamma + beta with rstd = 1/sqrt(variance + epsilon), the variance dividing by the
 * number of channels. Safe from any thread; `pool` may be NULL; results do not depend on its size. */
#ifndef LAMINA_RNN_KERNELS_LAYERNORM_H
#define LAMINA_RNN_KERNELS_LAYERNORM_H

#include <stddef.h>

#include "core/rnn/kernels/gemm.h"
#include "core/rnn/kernels/pool.h"

#ifdef __cplusplus
extern "C" {
#endif

/* x [rows, channels] -> y; gamma, beta [channels] (NULL: 1 and 0). `stats` [rows, 2] gets mean and rstd of
 * each row for the backward pass, or is NULL. y may be x. channels >= 1. */
void lam_layernorm_forward(size_t rows, size_t channels, lam_matrix_in x, const float *gamma,
                           const float *beta, float epsilon, lam_matrix y, float *stats, lam_pool *pool);

/* From x and stats of the forward pass and dy: dx (overwritten; may be dy), dgamma += Σ dy·x̂, dbeta += Σ dy
 * (either may be NULL). Sums run over fixed blocks of rows, added in order. */
void lam_layernorm_backward(size_t rows, size_t channels, lam_matrix_in x, const float *gamma,
                            const float *stats, lam_matrix_in dy, lam_matrix dx, float *dgamma, float *dbeta,
                            lam_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
