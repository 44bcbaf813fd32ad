/* A weight matrix packed for both passes: y = x·Wᵀ + b forward, dx = dy·W back. Internal to core/rnn. */
#ifndef LAMINA_RNN_LAYERS_LINEAR_H
#define LAMINA_RNN_LAYERS_LINEAR_H

#include "core/rnn/kernels/gemm.h"
#include "core/rnn/layer.h"

typedef struct lam_linear {
    lam_dense *forward;
    lam_dense *back;   /* Wᵀ, without bias */
    float *transposed; /* [inputs, outputs] */
    size_t outputs, inputs;
} lam_linear;

/* w [outputs, inputs], bias [outputs] (NULL: zero), both copied. LAM_E_NO_MEMORY; then nothing is held. */
lam_status lam_linear_init(lam_linear *linear, size_t outputs, size_t inputs, const float *w,
                           const float *bias, lam_error *err);
void lam_linear_done(lam_linear *linear);
void lam_linear_update(lam_linear *linear, const float *w, const float *bias);

/* pack, repack and discard of a layer kind whose first two parameters are such a weight [outputs, inputs] and
 * its bias, and which keeps a lam_linear and nothing else. */
lam_status lam_linear_pack(const lam_layer *layer, const float *const *parameters, void **packed,
                           lam_error *err);
void lam_linear_repack(const lam_layer *layer, const float *const *parameters, void *packed);
void lam_linear_discard(void *packed);

/* dx [rows, inputs] = dy [rows, outputs]·W, or added to dx. Both dense. */
void lam_linear_back(const lam_linear *linear, size_t rows, const float *dy, bool add, float *dx,
                     lam_pool *pool);

#endif
