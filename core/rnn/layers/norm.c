/* layer_norm: normalises the channels of every position (Ba, Kiros, Hinton 2016). Parameters: weight, bias
 * [channels]. */
#include "core/rnn/kernels/layernorm.h"
#include "core/rnn/layers/kinds.h"
#include "core/rnn/options.h"

enum { WEIGHT, BIAS };

struct norm_options {
    double epsilon;
};

static lam_status setup(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    struct norm_options *options = layer->options;
    int64_t channels = lam_shape_channels(&layer->in[0].shape);
    lam_status status = lam_options_number(json, "epsilon", 1e-5, 1e-12, 1, &options->epsilon, err);
    lam_layer_declare(layer, "weight", LAM_INIT_ONE, 0, 1, channels);
    lam_layer_declare(layer, "bias", LAM_INIT_ZERO, 0, 1, channels);
    return status;
}

static void measure(const lam_layer *layer, const void *packed, const lam_shape *const *in,
                    const lam_shape *out, lam_mode mode, const lam_pool *pool, lam_layer_needs *needs)
{
    (void)layer, (void)packed, (void)in, (void)mode, (void)pool;
    needs->saved = (size_t)lam_shape_rows(out) * 2 * sizeof(float); /* mean and 1/deviation of each row */
}

static void forward(const lam_layer_run *run)
{
    const struct norm_options *options = run->layer->options;
    size_t rows = (size_t)lam_shape_rows(run->out_shape),
           channels = (size_t)lam_shape_channels(run->out_shape);
    lam_layernorm_forward(rows, channels, (lam_matrix_in){run->in[0], channels}, run->parameters[WEIGHT],
                          run->parameters[BIAS], (float)options->epsilon, (lam_matrix){run->out, channels},
                          run->saved, run->pool);
}

static void backward(const lam_layer_run *run)
{
    size_t rows = (size_t)lam_shape_rows(run->out_shape),
           channels = (size_t)lam_shape_channels(run->out_shape);
    /* Without a reader of d_in the result goes over d_out, which is spent. */
    float *dx = run->d_in[0] ? run->d_in[0] : run->d_out;
    lam_layernorm_backward(rows, channels, (lam_matrix_in){run->in[0], channels}, run->parameters[WEIGHT],
                           run->saved, (lam_matrix_in){run->d_out, channels}, (lam_matrix){dx, channels},
                           run->d_parameters[WEIGHT], run->d_parameters[BIAS], run->pool);
}

static const char *const members[] = {"epsilon", NULL};

const lam_layer_kind lam_layer_layer_norm = {
    .name = "layer_norm",
    .members = members,
    .minimum_inputs = 1,
    .maximum_inputs = 1,
    .options_size = sizeof(struct norm_options),
    .setup = setup,
    .measure = measure,
    .forward = forward,
    .backward = backward,
    .reach = lam_layer_reach_here,
};
