/* Layers without parameters that work on each position alone: activation, softmax, add, concat. */
#include <string.h>

#include "core/rnn/kernels/vecmath.h"
#include "core/rnn/layers/activate.h"
#include "core/rnn/layers/kinds.h"
#include "core/rnn/options.h"

/* ---- activation, softmax ---- */

struct activation_options {
    lam_activation activation;
};

static lam_status activation_setup(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    struct activation_options *options = layer->options;
    lam_status status = lam_activation_read(json, "function", &options->activation, err);
    layer->probabilities = options->activation == LAM_ACTIVATION_SOFTMAX;
    return status;
}

static lam_status softmax_setup(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    struct activation_options *options = layer->options;
    (void)json, (void)err;
    options->activation = LAM_ACTIVATION_SOFTMAX;
    layer->probabilities = true;
    return LAM_OK;
}

static void activation_forward(const lam_layer_run *run)
{
    const struct activation_options *options = run->layer->options;
    lam_activation_forward(options->activation, lam_shape_rows(run->out_shape),
                           lam_shape_channels(run->out_shape), run->in[0], run->out);
}

static void activation_backward(const lam_layer_run *run)
{
    const struct activation_options *options = run->layer->options;
    if (run->d_in[0])
        lam_activation_backward(options->activation, lam_shape_rows(run->out_shape),
                                lam_shape_channels(run->out_shape), run->out, run->d_out, run->d_in[0]);
}

static const char *const activation_members[] = {"function", NULL};

const lam_layer_kind lam_layer_activation = {
    .name = "activation",
    .members = activation_members,
    .minimum_inputs = 1,
    .maximum_inputs = 1,
    .options_size = sizeof(struct activation_options),
    .setup = activation_setup,
    .forward = activation_forward,
    .backward = activation_backward,
    .reach = lam_layer_reach_here,
};

const lam_layer_kind lam_layer_softmax = {
    .name = "softmax",
    .minimum_inputs = 1,
    .maximum_inputs = 1,
    .options_size = sizeof(struct activation_options),
    .setup = softmax_setup,
    .forward = activation_forward,
    .backward = activation_backward,
    .reach = lam_layer_reach_here,
};

/* ---- add, concat ---- */

/* Inputs agree in everything but, where `channels_differ`, the channels. */
static lam_status check_alike(const lam_layer *layer, const lam_shape *const *in, bool channels_differ,
                              lam_error *err)
{
    char first[LAM_SHAPE_TEXT], other[LAM_SHAPE_TEXT];
    (void)layer;
    for (int k = 1; k < layer->inputs; k++) {
        lam_shape shape = *in[k];
        if (channels_differ && shape.rank == in[0]->rank)
            shape.dim[shape.rank - 1] = lam_shape_channels(in[0]);
        if (!lam_shape_equal(&shape, in[0]))
            return lam_fail(err, LAM_E_INVALID, "its inputs have shapes %s and %s",
                            lam_shape_text(in[0], first), lam_shape_text(in[k], other));
    }
    return LAM_OK;
}

/* Before sizes are known: the number of axes, and the channels. */
static lam_status check_signatures(const lam_layer *layer, bool channels_differ, lam_error *err)
{
    for (int k = 1; k < layer->inputs; k++)
        if (layer->in[k].shape.rank != layer->in[0].shape.rank ||
            (!channels_differ &&
             lam_shape_channels(&layer->in[k].shape) != lam_shape_channels(&layer->in[0].shape)))
            return lam_fail(err, LAM_E_INVALID, "its inputs differ in axes or channels");
    return LAM_OK;
}

static lam_status add_setup(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    (void)json;
    return check_signatures(layer, false, err);
}

static lam_status add_shape(const lam_layer *layer, const lam_shape *const *in, lam_shape *out,
                            lam_error *err)
{
    *out = *in[0];
    return check_alike(layer, in, false, err);
}

static void add_forward(const lam_layer_run *run)
{
    size_t count = (size_t)lam_shape_count(run->out_shape);
    const float *a = run->in[0], *b = run->in[1];
    for (size_t i = 0; i < count; i++)
        run->out[i] = a[i] + b[i];
    for (int k = 2; k < run->layer->inputs; k++)
        lam_vec_axpy(count, 1.0f, run->in[k], run->out);
}

static void add_backward(const lam_layer_run *run)
{
    size_t count = (size_t)lam_shape_count(run->out_shape);
    for (int k = 0; k < run->layer->inputs; k++) {
        if (!run->d_in[k])
            continue;
        if (run->add[k])
            lam_vec_axpy(count, 1.0f, run->d_out, run->d_in[k]);
        else
            memcpy(run->d_in[k], run->d_out, count * sizeof(float));
    }
}

const lam_layer_kind lam_layer_add = {
    .name = "add",
    .minimum_inputs = 2,
    .maximum_inputs = LAM_MAX_INPUTS,
    .adds = true,
    .setup = add_setup,
    .shape = add_shape,
    .forward = add_forward,
    .backward = add_backward,
    .reach = lam_layer_reach_here,
};

static lam_status concat_setup(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    int64_t channels = 0;
    (void)json;
    for (int k = 0; k < layer->inputs; k++)
        channels += lam_shape_channels(&layer->in[k].shape);
    if (channels > LAM_MAX_CHANNELS)
        return lam_fail(err, LAM_E_LIMIT, "more than %d channels", LAM_MAX_CHANNELS);
    layer->out.shape.dim[layer->out.shape.rank - 1] = channels;
    return check_signatures(layer, true, err);
}

static lam_status concat_shape(const lam_layer *layer, const lam_shape *const *in, lam_shape *out,
                               lam_error *err)
{
    *out = *in[0];
    out->dim[out->rank - 1] = lam_shape_channels(&layer->out.shape);
    return check_alike(layer, in, true, err);
}

static void concat_forward(const lam_layer_run *run)
{
    size_t rows = (size_t)lam_shape_rows(run->out_shape), width = (size_t)lam_shape_channels(run->out_shape);
    size_t column = 0;
    for (int k = 0; k < run->layer->inputs; k++) {
        size_t channels = (size_t)lam_shape_channels(run->in_shape[k]);
        for (size_t r = 0; r < rows; r++)
            memcpy(run->out + r * width + column, run->in[k] + r * channels, channels * sizeof(float));
        column += channels;
    }
}

static void concat_backward(const lam_layer_run *run)
{
    size_t rows = (size_t)lam_shape_rows(run->out_shape), width = (size_t)lam_shape_channels(run->out_shape);
    size_t column = 0;
    for (int k = 0; k < run->layer->inputs; k++) {
        size_t channels = (size_t)lam_shape_channels(run->in_shape[k]);
        for (size_t r = 0; r < rows && run->d_in[k]; r++) {
            const float *from = run->d_out + r * width + column;
            float *to = run->d_in[k] + r * channels;
            for (size_t c = 0; c < channels; c++)
                to[c] = run->add[k] ? to[c] + from[c] : from[c];
        }
        column += channels;
    }
}

const lam_layer_kind lam_layer_concat = {
    .name = "concat",
    .minimum_inputs = 1,
    .maximum_inputs = LAM_MAX_INPUTS,
    .adds = true,
    .setup = concat_setup,
    .shape = concat_shape,
    .forward = concat_forward,
    .backward = concat_backward,
    .reach = lam_layer_reach_here,
};
