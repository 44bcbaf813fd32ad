#include "core/rnn/layers/activate.h"

#include <string.h>

#include "core/rnn/kernels/vecmath.h"
#include "core/rnn/options.h"

#define LEAKY_SLOPE 0.01f

static const char *const names[] = {
    [LAM_ACTIVATION_LINEAR] = "linear",
    [LAM_ACTIVATION_RELU] = "relu",
    [LAM_ACTIVATION_LEAKY_RELU] = "leaky_relu",
    [LAM_ACTIVATION_TANH] = "tanh",
    [LAM_ACTIVATION_SIGMOID] = "sigmoid",
    [LAM_ACTIVATION_SOFTMAX] = "softmax",
    [LAM_ACTIVATION_COUNT] = NULL,
};

lam_status lam_activation_read(const lam_jv *json, const char *key, lam_activation *out, lam_error *err)
{
    int choice = LAM_ACTIVATION_LINEAR;
    lam_status status = lam_options_choice(json, key, names, LAM_ACTIVATION_LINEAR, &choice, err);
    *out = (lam_activation)choice;
    return status;
}

void lam_activation_forward(lam_activation activation, int64_t rows, int64_t channels, const float *x,
                            float *y)
{
    size_t n = (size_t)(rows * channels);
    switch (activation) {
    case LAM_ACTIVATION_RELU:
        lam_vec_relu(n, x, y);
        break;
    case LAM_ACTIVATION_LEAKY_RELU:
        for (size_t i = 0; i < n; i++)
            y[i] = x[i] < 0 ? LEAKY_SLOPE * x[i] : x[i];
        break;
    case LAM_ACTIVATION_TANH:
        lam_vec_tanh(n, x, y);
        break;
    case LAM_ACTIVATION_SIGMOID:
        lam_vec_sigmoid(n, x, y);
        break;
    case LAM_ACTIVATION_SOFTMAX:
        lam_softmax_rows((size_t)rows, (size_t)channels, (lam_matrix_in){x, (size_t)channels},
                         (lam_matrix){y, (size_t)channels});
        break;
    default:
        if (x != y)
            memcpy(y, x, n * sizeof *y);
    }
}

void lam_activation_backward(lam_activation activation, int64_t rows, int64_t channels, const float *y,
                             const float *dy, float *dx)
{
    size_t n = (size_t)(rows * channels), c = (size_t)channels;
    switch (activation) {
    case LAM_ACTIVATION_RELU:
        lam_vec_relu_backward(n, y, dy, dx);
        break;
    case LAM_ACTIVATION_LEAKY_RELU:
        for (size_t i = 0; i < n; i++)
            dx[i] = y[i] < 0 ? LEAKY_SLOPE * dy[i] : dy[i];
        break;
    case LAM_ACTIVATION_TANH:
        lam_vec_tanh_backward(n, y, dy, dx);
        break;
    case LAM_ACTIVATION_SIGMOID:
        lam_vec_sigmoid_backward(n, y, dy, dx);
        break;
    case LAM_ACTIVATION_SOFTMAX:
        lam_softmax_rows_backward((size_t)rows, c, (lam_matrix_in){y, c}, (lam_matrix_in){dy, c},
                                  (lam_matrix){dx, c});
        break;
    default:
        if (dx != dy)
            memcpy(dx, dy, n * sizeof *dx);
    }
}
