/* dropout: in training each value is 0 with probability `rate`, else divided by 1 - rate (Srivastava 2014).
 * With `whole_channels` a channel of a sample is kept or dropped as one; along a recurrent layer's lines that
 * is the dropout whose mask does not change with time (Gal, Ghahramani 2016). What is dropped is a function
 * of the pass's key, so backward finds it again without a mask. */
#include <string.h>

#include "core/rnn/layers/kinds.h"
#include "core/rnn/options.h"
#include "core/rnn/random.h"

struct dropout_options {
    double rate;
    bool whole_channels;
};

static lam_status setup(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    struct dropout_options *options = layer->options;
    lam_status status = lam_options_number(json, "rate", 0.5, 0, 0.99, &options->rate, err);
    return status ? status : lam_options_bool(json, "whole_channels", false, &options->whole_channels, err);
}

/* out = in × mask. */
static void apply(const lam_layer_run *run, const float *in, float *out)
{
    const struct dropout_options *options = run->layer->options;
    int64_t count = lam_shape_count(run->out_shape), channels = lam_shape_channels(run->out_shape);
    int64_t sample = count / run->out_shape->dim[0];
    uint32_t threshold = (uint32_t)(options->rate * 4294967295.0);
    float scale = (float)(1 / (1 - options->rate));
    for (int64_t i = 0; i < count; i++) {
        uint64_t number = (uint64_t)(options->whole_channels ? i / sample * channels + i % channels : i);
        bool kept = (uint32_t)(lam_random_mix(run->key, number) >> 32) >= threshold;
        out[i] = kept ? scale * in[i] : 0;
    }
}

static void forward(const lam_layer_run *run)
{
    if (run->dropout)
        apply(run, run->in[0], run->out);
    else
        memcpy(run->out, run->in[0], (size_t)lam_shape_count(run->out_shape) * sizeof(float));
}

static void backward(const lam_layer_run *run)
{
    if (run->d_in[0] && run->dropout)
        apply(run, run->d_out, run->d_in[0]);
    else if (run->d_in[0])
        memcpy(run->d_in[0], run->d_out, (size_t)lam_shape_count(run->out_shape) * sizeof(float));
}

static const char *const members[] = {"rate", "whole_channels", NULL};

const lam_layer_kind lam_layer_dropout = {
    .name = "dropout",
    .members = members,
    .minimum_inputs = 1,
    .maximum_inputs = 1,
    .options_size = sizeof(struct dropout_options),
    .setup = setup,
    .forward = forward,
    .backward = backward,
    .reach = lam_layer_reach_here,
};
