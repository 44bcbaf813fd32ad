/* Elementwise functions and row softmax over float32 arrays, vectorised.
 *
 * exp, tanh and sigmoid are within 4 ulp of the exact value over the whole range of float (denormal results
 * included), and give NaN for NaN. Arrays may be the same (in place) but must not overlap partially. No
 * alignment is required. Every function is safe from any thread. */
#ifndef LAMINA_RNN_KERNELS_VECMATH_H
#define LAMINA_RNN_KERNELS_VECMATH_H

#include <stddef.h>

#include "core/rnn/kernels/gemm.h"

#ifdef __cplusplus
extern "C" {
#endif

/* y[i] = f(x[i]), i < n. */
void lam_vec_exp(size_t n, const float *x, float *y);
void lam_vec_tanh(size_t n, const float *x, float *y);
void lam_vec_sigmoid(size_t n, const float *x, float *y); /* 1 / (1 + exp(-x)) */
void lam_vec_relu(size_t n, const float *x, float *y);    /* x > 0 ? x : 0; NaN stays NaN */

/* dx[i] = dy[i] · f'(x[i]) from the function's own result y = f(x). */
void lam_vec_tanh_backward(size_t n, const float *y, const float *dy, float *dx);
void lam_vec_sigmoid_backward(size_t n, const float *y, const float *dy, float *dx);
void lam_vec_relu_backward(size_t n, const float *y, const float *dy, float *dx);

/* y += a·x. */
void lam_vec_axpy(size_t n, float a, const float *x, float *y);

/* Over each row of x [rows, columns]: y = exp(x - max) / Σ, and y = x - max - log Σ. A row that holds a NaN
 * or +infinity becomes NaN; -infinity is probability 0. columns >= 1. */
void lam_softmax_rows(size_t rows, size_t columns, lam_matrix_in x, lam_matrix y);
void lam_log_softmax_rows(size_t rows, size_t columns, lam_matrix_in x, lam_matrix y);

/* dx = y·(dy - Σ y·dy) for y = softmax(x); dx = dy - exp(y)·Σ dy for y = log_softmax(x). */
void lam_softmax_rows_backward(size_t rows, size_t columns, lam_matrix_in y, lam_matrix_in dy, lam_matrix dx);
void lam_log_softmax_rows_backward(size_t rows, size_t columns, lam_matrix_in y, lam_matrix_in dy,
                                   lam_matrix dx);

#ifdef __cplusplus
}
#endif
#endif
