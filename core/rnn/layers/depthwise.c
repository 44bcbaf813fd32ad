/* depthwise: each channel is filtered by its own small kernel, stride 1, zero padding, size unchanged;
 * optionally added to the input. Parameters: weight [channels, 1, kernel…] (as PyTorch's Conv with groups =
 * channels), bias [channels]. The kernels want [taps, channels]. */
#include "core/rnn/kernels/depthwise.h"

#include <math.h>
#include <string.h>

#include "core/rnn/layers/kinds.h"
#include "core/rnn/options.h"

enum { WEIGHT, BIAS };

struct depthwise_options {
    int64_t kernel[3]; /* depth, height, width */
    int64_t taps;
    bool residual;
};

static lam_status setup(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    struct depthwise_options *options = layer->options;
    int axes = layer->in[0].shape.rank - 2;
    int64_t channels = lam_shape_channels(&layer->in[0].shape), kernel[3] = {1, 1, 1};
    lam_status status;
    if (axes < 1 || axes > 3)
        return lam_fail(err, LAM_E_INVALID, "works on 1 to 3 axes, not %d", axes);
    if ((status = lam_options_integers(json, "kernel", 3, 1, 31, axes, kernel + 3 - axes, err)) ||
        (status = lam_options_bool(json, "residual", false, &options->residual, err)))
        return status;
    options->taps = kernel[0] * kernel[1] * kernel[2];
    if (options->taps % 2 == 0)
        return lam_fail(err, LAM_E_INVALID, "`kernel` must be odd along every axis");
    memcpy(options->kernel, kernel, sizeof kernel);
    double bound = 1 / sqrt((double)options->taps);
    int weight = lam_layer_declare(layer, "weight", LAM_INIT_UNIFORM, bound, 2, channels, (int64_t)1);
    for (int i = 0; i < axes; i++) {
        lam_shape *shape = &layer->parameters[weight].shape;
        shape->dim[shape->rank++] = kernel[3 - axes + i];
    }
    lam_layer_declare(layer, "bias", LAM_INIT_UNIFORM, bound, 1, channels);
    return LAM_OK;
}

static void repack(const lam_layer *layer, const float *const *parameters, void *packed)
{
    const struct depthwise_options *options = layer->options;
    int64_t channels = lam_shape_channels(&layer->out.shape);
    float *taps = packed;
    for (int64_t c = 0; c < channels; c++)
        for (int64_t t = 0; t < options->taps; t++)
            taps[t * channels + c] = parameters[WEIGHT][c * options->taps + t];
}

static lam_status pack(const lam_layer *layer, const float *const *parameters, void **packed, lam_error *err)
{
    const struct depthwise_options *options = layer->options;
    *packed = calloc((size_t)(options->taps * lam_shape_channels(&layer->out.shape)), sizeof(float));
    if (!*packed)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    repack(layer, parameters, *packed);
    return LAM_OK;
}

static void discard(void *packed)
{
    free(packed);
}

static void measure(const lam_layer *layer, const void *packed, const lam_shape *const *in,
                    const lam_shape *out, lam_mode mode, const lam_pool *pool, lam_layer_needs *needs)
{
    const struct depthwise_options *options = layer->options;
    (void)packed, (void)in, (void)mode, (void)pool;
    needs->backward = (size_t)(options->taps * lam_shape_channels(out)) * sizeof(float);
}

static lam_depthwise describe(const lam_layer_run *run)
{
    const struct depthwise_options *options = run->layer->options;
    lam_grid grid = lam_grid_of(run->out_shape);
    return (lam_depthwise){
        .batch = (size_t)grid.batch,
        .depth = (size_t)grid.size[0],
        .height = (size_t)grid.size[1],
        .width = (size_t)grid.size[2],
        .channels = (size_t)grid.channels,
        .kernel_depth = (size_t)options->kernel[0],
        .kernel_height = (size_t)options->kernel[1],
        .kernel_width = (size_t)options->kernel[2],
    };
}

static void forward(const lam_layer_run *run)
{
    const struct depthwise_options *options = run->layer->options;
    lam_depthwise shape = describe(run);
    lam_depthwise_forward(&shape, run->in[0], run->packed, run->parameters[BIAS], options->residual, run->out,
                          run->pool);
}

static void backward(const lam_layer_run *run)
{
    const struct depthwise_options *options = run->layer->options;
    lam_depthwise shape = describe(run);
    float *taps = run->scratch, *weight = run->d_parameters[WEIGHT];
    memset(taps, 0, (size_t)options->taps * shape.channels * sizeof *taps);
    lam_depthwise_backward_weights(&shape, run->in[0], run->d_out, taps, run->d_parameters[BIAS], run->pool);
    for (size_t c = 0; c < shape.channels; c++)
        for (size_t t = 0; t < (size_t)options->taps; t++)
            weight[c * (size_t)options->taps + t] += taps[t * shape.channels + c];
    if (run->d_in[0])
        lam_depthwise_backward_input(&shape, run->d_out, run->packed, options->residual, run->d_in[0],
                                     run->pool);
}

static lam_reach reach(const lam_layer *layer, int axis)
{
    const struct depthwise_options *options = layer->options;
    int axes = layer->in[0].shape.rank - 2;
    int64_t half = axis == axes ? 0 : options->kernel[3 - axes + axis] / 2;
    return (lam_reach){-half, half};
}

static const char *const members[] = {"kernel", "residual", NULL};

const lam_layer_kind lam_layer_depthwise = {
    .name = "depthwise",
    .members = members,
    .minimum_inputs = 1,
    .maximum_inputs = 1,
    .options_size = sizeof(struct depthwise_options),
    .setup = setup,
    .measure = measure,
    .pack = pack,
    .repack = repack,
    .discard = discard,
    .forward = forward,
    .backward = backward,
    .reach = reach,
};
