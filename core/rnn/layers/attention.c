/* attention_pool: a weighted mean over the last axes, which are then gone, with weights that the values
 * themselves give (Ilse, Tomczak, Welling 2018): a = softmax over positions of q·tanh(W x + b). Parameters:
 * weight [units, channels], bias [units], query [units]. The weights `a` of the last pass stay in the saved
 * state. */
#include <math.h>
#include <string.h>

#include "core/rnn/kernels/gemm.h"
#include "core/rnn/kernels/vecmath.h"
#include "core/rnn/layers/kinds.h"
#include "core/rnn/layers/linear.h"
#include "core/rnn/options.h"

enum { WEIGHT, BIAS, QUERY };

struct attention_options {
    int64_t units;
    int kept; /* the first axes that stay */
};

static lam_status setup(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    struct attention_options *options = layer->options;
    int64_t channels = lam_shape_channels(&layer->in[0].shape);
    double bound = 1 / sqrt((double)channels);
    lam_status status;
    if ((status = lam_jv_need_integer(json, "units", 1, LAM_MAX_CHANNELS, &options->units, err)) ||
        (status = lam_layer_read_over(layer, json, &options->kept, err)))
        return status;
    lam_layer_declare(layer, "weight", LAM_INIT_UNIFORM, bound, 2, options->units, channels);
    lam_layer_declare(layer, "bias", LAM_INIT_UNIFORM, bound, 1, options->units);
    lam_layer_declare(layer, "query", LAM_INIT_UNIFORM, 1 / sqrt((double)options->units), 1, options->units);
    layer->out.shape.dim[options->kept + 1] = channels;
    layer->out.shape.rank = options->kept + 2;
    return LAM_OK;
}

static lam_status shape(const lam_layer *layer, const lam_shape *const *in, lam_shape *out, lam_error *err)
{
    const struct attention_options *options = layer->options;
    (void)err;
    lam_shape result = *in[0];
    result.dim[options->kept + 1] = lam_shape_channels(in[0]);
    result.rank = options->kept + 2;
    *out = result;
    return LAM_OK;
}

/* Saved (or scratch): weights [rows], then tanh values [rows, units]. Backward's scratch: gradient of the
 * latter, and of the scores. */
static void measure(const lam_layer *layer, const void *packed, const lam_shape *const *in,
                    const lam_shape *out, lam_mode mode, const lam_pool *pool, lam_layer_needs *needs)
{
    const struct attention_options *options = layer->options;
    (void)packed, (void)out, (void)mode, (void)pool;
    size_t bytes = (size_t)(lam_shape_rows(in[0]) * (options->units + 1)) * sizeof(float);
    needs->saved = needs->forward = needs->backward = bytes;
}

static void forward(const lam_layer_run *run)
{
    const struct attention_options *options = run->layer->options;
    int64_t rows = lam_shape_rows(run->in_shape[0]), groups = lam_shape_rows(run->out_shape),
            members = rows / groups;
    int64_t channels = lam_shape_channels(run->out_shape), units = options->units;
    float *weights = run->saved ? run->saved : run->scratch, *hidden = weights + rows;
    lam_dense_forward(((const lam_linear *)run->packed)->forward, (size_t)rows,
                      (lam_matrix_in){run->in[0], (size_t)channels}, false, LAM_DENSE_LINEAR,
                      (lam_matrix){hidden, (size_t)units}, run->pool);
    lam_vec_tanh((size_t)(rows * units), hidden, hidden);
    for (int64_t r = 0; r < rows; r++) {
        weights[r] = 0;
        for (int64_t u = 0; u < units; u++)
            weights[r] += run->parameters[QUERY][u] * hidden[r * units + u];
    }
    lam_softmax_rows((size_t)groups, (size_t)members, (lam_matrix_in){weights, (size_t)members},
                     (lam_matrix){weights, (size_t)members});
    memset(run->out, 0, (size_t)(groups * channels) * sizeof(float));
    for (int64_t r = 0; r < rows; r++)
        lam_vec_axpy((size_t)channels, weights[r], run->in[0] + r * channels,
                     run->out + r / members * channels);
}

static void backward(const lam_layer_run *run)
{
    const struct attention_options *options = run->layer->options;
    size_t rows = (size_t)lam_shape_rows(run->in_shape[0]), groups = (size_t)lam_shape_rows(run->out_shape);
    size_t channels = (size_t)lam_shape_channels(run->out_shape), units = (size_t)options->units,
           members = rows / groups;
    const float *weights = run->saved, *hidden = weights + rows;
    float *d_scores = run->scratch, *d_hidden = d_scores + rows;
    for (size_t r = 0; r < rows; r++) {
        const float *dy = run->d_out + r / members * channels, *x = run->in[0] + r * channels;
        d_scores[r] = 0;
        for (size_t c = 0; c < channels; c++)
            d_scores[r] += dy[c] * x[c];
    }
    lam_softmax_rows_backward(groups, members, (lam_matrix_in){weights, members},
                              (lam_matrix_in){d_scores, members}, (lam_matrix){d_scores, members});
    for (size_t r = 0; r < rows; r++)
        for (size_t u = 0; u < units; u++) {
            run->d_parameters[QUERY][u] += d_scores[r] * hidden[r * units + u];
            d_hidden[r * units + u] = d_scores[r] * run->parameters[QUERY][u];
        }
    lam_vec_tanh_backward(rows * units, hidden, d_hidden, d_hidden);
    lam_gemm_tn(units, channels, rows, (lam_matrix_in){d_hidden, units},
                (lam_matrix_in){run->in[0], channels}, true,
                (lam_matrix){run->d_parameters[WEIGHT], channels}, run->pool);
    lam_gemm_add_columns(rows, units, (lam_matrix_in){d_hidden, units}, run->d_parameters[BIAS], run->pool);
    if (!run->d_in[0])
        return;
    lam_linear_back(run->packed, rows, d_hidden, run->add[0], run->d_in[0], run->pool);
    for (size_t r = 0; r < rows; r++)
        lam_vec_axpy(channels, weights[r], run->d_out + r / members * channels, run->d_in[0] + r * channels);
}

static const char *const members_of[] = {"units", "over", NULL};

const lam_layer_kind lam_layer_attention_pool = {
    .name = "attention_pool",
    .members = members_of,
    .minimum_inputs = 1,
    .maximum_inputs = 1,
    .options_size = sizeof(struct attention_options),
    .adds = true,
    .setup = setup,
    .shape = shape,
    .measure = measure,
    .pack = lam_linear_pack,
    .repack = lam_linear_repack,
    .discard = lam_linear_discard,
    .forward = forward,
    .backward = backward,
};
