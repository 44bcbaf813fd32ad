/* Dense products, row-major, float32: what layers need forward and backward.
 *
 * The three general forms go to OpenBLAS, which is held to one thread; parallelism is ours, over fixed tiles
 * of the result, so that the bits do not depend on the number of threads. Weights that do not change between
 * calls are better packed once (lam_dense): small products run from panels in the recurrent kernels' format.
 *
 * Every function is safe from any thread. `pool` may be NULL. Sizes of 0 are allowed and do nothing (K = 0
 * gives bias or zero). Matrices must not overlap the result. NaN and infinity propagate. */
#ifndef LAMINA_RNN_KERNELS_GEMM_H
#define LAMINA_RNN_KERNELS_GEMM_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/status.h"
#include "core/rnn/kernels/pool.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A row-major matrix inside a larger one: element (r, c) is data[r * stride + c]. */
typedef struct lam_matrix {
    float *data;
    size_t stride;
} lam_matrix;
typedef struct lam_matrix_in {
    const float *data;
    size_t stride;
} lam_matrix_in;

/* c [m,n] = a [m,k] · b [n,k]ᵀ + bias [n] (bias may be NULL): the forward product y = x·Wᵀ + b. */
void lam_gemm_nt(size_t m, size_t n, size_t k, lam_matrix_in a, lam_matrix_in b, const float *bias,
                 lam_matrix c, lam_pool *pool);

/* c [m,n] = a [m,k] · b [k,n], added to c when `add`: the gradient of the input, dx = dy·W. */
void lam_gemm_nn(size_t m, size_t n, size_t k, lam_matrix_in a, lam_matrix_in b, bool add, lam_matrix c,
                 lam_pool *pool);

/* c [m,n] = a [k,m]ᵀ · b [k,n], added to c when `add`: the gradient of the weights, dW = dyᵀ·x. */
void lam_gemm_tn(size_t m, size_t n, size_t k, lam_matrix_in a, lam_matrix_in b, bool add, lam_matrix c,
                 lam_pool *pool);

/* sums [n] += column sums of a [m,n], rows added in a fixed order: the gradient of a bias. */
void lam_gemm_add_columns(size_t m, size_t n, lam_matrix_in a, float *sums, lam_pool *pool);

/* What a dense layer applies to its result on the way out. */
typedef enum lam_dense_end { LAM_DENSE_LINEAR, LAM_DENSE_RELU } lam_dense_end;

/* Weights of y = end(x·Wᵀ + b), packed for this processor; immutable, shared freely between threads. */
typedef struct lam_dense lam_dense;

/* Packs w [outputs, inputs] (row-major, dense) and bias [outputs] (NULL: zero). Copies both. */
lam_status lam_dense_create(size_t outputs, size_t inputs, const float *w, const float *bias,
                            lam_dense **dense, lam_error *err);
void lam_dense_free(lam_dense *dense);

/* Packs new weights of the same shape in place; nobody may be using `dense` meanwhile. Does not allocate. */
void lam_dense_update(lam_dense *dense, const float *w, const float *bias);

/* y [rows, outputs] = end(x [rows, inputs] · Wᵀ + b), added to y before `end` when `add` (a residual). */
void lam_dense_forward(const lam_dense *dense, size_t rows, lam_matrix_in x, bool add, lam_dense_end end,
                       lam_matrix y, lam_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
