/* The functions that layers apply to their result, with derivatives taken from the result. Internal to
 * core/rnn. */
#ifndef LAMINA_RNN_LAYERS_ACTIVATE_H
#define LAMINA_RNN_LAYERS_ACTIVATE_H

#include <stdint.h>

#include "core/base/json.h"
#include "core/base/status.h"

typedef enum lam_activation {
    LAM_ACTIVATION_LINEAR,
    LAM_ACTIVATION_RELU,
    LAM_ACTIVATION_LEAKY_RELU, /* slope 0.01 below 0 */
    LAM_ACTIVATION_TANH,
    LAM_ACTIVATION_SIGMOID,
    LAM_ACTIVATION_SOFTMAX, /* over the channels */
    LAM_ACTIVATION_COUNT
} lam_activation;

/* The option `activation`; linear when absent. */
lam_status lam_activation_read(const lam_jv *json, const char *key, lam_activation *out, lam_error *err);

/* y = f(x) on rows × channels dense floats; y may be x. */
void lam_activation_forward(lam_activation activation, int64_t rows, int64_t channels, const float *x,
                            float *y);

/* dx = dy · f'(x), from y = f(x); dx may be dy. */
void lam_activation_backward(lam_activation activation, int64_t rows, int64_t channels, const float *y,
                             const float *dy, float *dx);

#endif
