/* dense: y = f(x·Wᵀ + b) on the channels of every position. Parameters: weight [units, channels], bias
 * [units]. */
#include <math.h>

#include "core/rnn/layers/activate.h"
#include "core/rnn/layers/kinds.h"
#include "core/rnn/layers/linear.h"
#include "core/rnn/options.h"

enum { WEIGHT, BIAS };

struct dense_options {
    lam_activation activation;
    bool bias;
};

static lam_status setup(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    struct dense_options *options = layer->options;
    int64_t units, inputs = lam_shape_channels(&layer->in[0].shape);
    lam_status status;
    if ((status = lam_jv_need_integer(json, "units", 1, LAM_MAX_CHANNELS, &units, err)) ||
        (status = lam_options_bool(json, "bias", true, &options->bias, err)) ||
        (status = lam_activation_read(json, "activation", &options->activation, err)))
        return status;
    layer->probabilities = options->activation == LAM_ACTIVATION_SOFTMAX;
    double bound = 1 / sqrt((double)inputs);
    layer->out.shape.dim[layer->out.shape.rank - 1] = units;
    lam_layer_declare(layer, "weight", LAM_INIT_UNIFORM, bound, 2, units, inputs);
    if (options->bias)
        lam_layer_declare(layer, "bias", LAM_INIT_UNIFORM, bound, 1, units);
    return LAM_OK;
}

static void forward(const lam_layer_run *run)
{
    const struct dense_options *options = run->layer->options;
    int64_t rows = lam_shape_rows(run->out_shape), units = lam_shape_channels(run->out_shape);
    bool relu = options->activation == LAM_ACTIVATION_RELU;
    lam_matrix_in x = {run->in[0], (size_t)lam_shape_channels(run->in_shape[0])};
    lam_matrix y = {run->out, (size_t)units};
    lam_dense_forward(((const lam_linear *)run->packed)->forward, (size_t)rows, x, false,
                      relu ? LAM_DENSE_RELU : LAM_DENSE_LINEAR, y, run->pool);
    if (!relu && options->activation != LAM_ACTIVATION_LINEAR)
        lam_activation_forward(options->activation, rows, units, run->out, run->out);
}

static void backward(const lam_layer_run *run)
{
    const struct dense_options *options = run->layer->options;
    size_t rows = (size_t)lam_shape_rows(run->out_shape), units = (size_t)lam_shape_channels(run->out_shape);
    size_t inputs = (size_t)lam_shape_channels(run->in_shape[0]);
    lam_activation_backward(options->activation, (int64_t)rows, (int64_t)units, run->out, run->d_out,
                            run->d_out);
    lam_matrix_in dy = {run->d_out, units};
    lam_gemm_tn(units, inputs, rows, dy, (lam_matrix_in){run->in[0], inputs}, true,
                (lam_matrix){run->d_parameters[WEIGHT], inputs}, run->pool);
    if (options->bias)
        lam_gemm_add_columns(rows, units, dy, run->d_parameters[BIAS], run->pool);
    if (run->d_in[0])
        lam_linear_back(run->packed, rows, run->d_out, run->add[0], run->d_in[0], run->pool);
}

static const char *const members[] = {"units", "activation", "bias", NULL};

const lam_layer_kind lam_layer_dense = {
    .name = "dense",
    .members = members,
    .minimum_inputs = 1,
    .maximum_inputs = 1,
    .options_size = sizeof(struct dense_options),
    .adds = true,
    .setup = setup,
    .pack = lam_linear_pack,
    .repack = lam_linear_repack,
    .discard = lam_linear_discard,
    .forward = forward,
    .backward = backward,
    .reach = lam_layer_reach_here,
};
