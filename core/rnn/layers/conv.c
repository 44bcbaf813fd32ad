/* conv and conv_transpose: convolution along 1 to 3 axes with stride, zero padding and dilation, and its
 * transpose. Parameters as PyTorch's ConvNd and ConvTransposeNd: weight [channels out, channels in, kernel…],
 * transposed [channels in, channels out, kernel…]; bias [channels out].
 *
 * Both are a product with patches ("columns") in the order (tap, channel), a tile of positions at a time:
 * conv gathers patches of its input and multiplies, conv_transpose multiplies and scatters patches into its
 * result. In either the matrix has a row for each channel on the side of the positions ("deep") and taps ×
 * channels of the side of the patches
 * ("wide"). */
#include <math.h>
#include <string.h>

#include "core/rnn/layers/activate.h"
#include "core/rnn/layers/kinds.h"
#include "core/rnn/layers/linear.h"
#include "core/rnn/layers/patches.h"
#include "core/rnn/options.h"

enum { WEIGHT, BIAS, TILE_FLOATS = 1 << 17 };

struct conv_options {
    lam_window window;
    bool transposed;
    lam_activation activation;
    bool bias;
    int64_t output_padding[3]; /* transposed: extra positions at the end of each axis */
};

struct conv_packed {
    lam_linear linear; /* conv: [deep, taps × wide]; transposed: its transpose */
    float matrix[];    /* [deep, taps, wide] */
};

/* ---- shapes ---- */

static int64_t transposed_extent(const struct conv_options *options, int axis, int64_t size)
{
    const lam_window *w = &options->window;
    return (size - 1) * w->stride[axis] - 2 * w->padding[axis] + w->dilation[axis] * (w->kernel[axis] - 1) +
           1 + options->output_padding[axis];
}

static int64_t extent(const struct conv_options *options, int axis, int64_t size)
{
    int64_t result = options->transposed ? transposed_extent(options, axis, size)
                                         : lam_window_extent(&options->window, axis, size);
    return result < 0 ? 0 : result;
}

static lam_status read_options(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    struct conv_options *options = layer->options;
    lam_status status;
    if ((status = lam_window_read(layer, json, 3, 1, &options->window, err)) ||
        (status = lam_options_bool(json, "bias", true, &options->bias, err)) ||
        (status = lam_activation_read(json, "activation", &options->activation, err)))
        return status;
    layer->probabilities = options->activation == LAM_ACTIVATION_SOFTMAX;
    int axes = options->window.axes;
    return lam_options_integers(json, "output_padding", 0, 0, LAM_MAX_KERNEL, axes,
                                options->output_padding + 3 - axes, err);
}

static lam_status setup(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    struct conv_options *options = layer->options;
    const lam_window *window = &options->window;
    int64_t channels, inputs = lam_shape_channels(&layer->in[0].shape);
    lam_status status;
    if ((status = lam_jv_need_integer(json, "channels", 1, LAM_MAX_CHANNELS, &channels, err)) ||
        (status = read_options(layer, json, err)))
        return status;
    if (window->taps * inputs > LAM_MAX_CHANNELS || window->taps * channels > LAM_MAX_CHANNELS)
        return lam_fail(err, LAM_E_LIMIT, "a patch has more than %d values", LAM_MAX_CHANNELS);
    double bound = 1 / sqrt((double)(inputs * window->taps));
    bool transposed = options->transposed;
    int weight = lam_layer_declare(layer, "weight", LAM_INIT_UNIFORM, bound, 2,
                                   transposed ? inputs : channels, transposed ? channels : inputs);
    lam_shape *shape = &layer->parameters[weight].shape, *out = &layer->out.shape;
    for (int i = 0; i < window->axes; i++) {
        int axis = 3 - window->axes + i;
        shape->dim[shape->rank++] = window->kernel[axis];
        if (out->dim[1 + i])
            out->dim[1 + i] = extent(options, axis, out->dim[1 + i]);
    }
    out->dim[out->rank - 1] = channels;
    if (options->bias)
        lam_layer_declare(layer, "bias", LAM_INIT_UNIFORM, bound, 1, channels);
    return LAM_OK;
}

static lam_status setup_transposed(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    struct conv_options *options = layer->options;
    options->transposed = true;
    return setup(layer, json, err);
}

static lam_status shape(const lam_layer *layer, const lam_shape *const *in, lam_shape *out, lam_error *err)
{
    const struct conv_options *options = layer->options;
    char text[LAM_SHAPE_TEXT];
    lam_shape result = *in[0];
    for (int i = 0; i < options->window.axes; i++) {
        result.dim[1 + i] = extent(options, 3 - options->window.axes + i, in[0]->dim[1 + i]);
        if (result.dim[1 + i] < 1)
            return lam_fail(err, LAM_E_INVALID, "an input of shape %s is smaller than the kernel",
                            lam_shape_text(in[0], text));
    }
    result.dim[result.rank - 1] = lam_shape_channels(&layer->out.shape);
    *out = result;
    return LAM_OK;
}

/* ---- weights ---- */

static void reorder_weights(const lam_layer *layer, const float *weight, float *matrix)
{
    const struct conv_options *options = layer->options;
    const lam_shape *dims = &layer->parameters[WEIGHT].shape;
    lam_kernel_to_matrix(dims->dim[0], dims->dim[1], options->window.taps, weight, matrix);
}

static void repack(const lam_layer *layer, const float *const *parameters, void *packed)
{
    const struct conv_options *options = layer->options;
    struct conv_packed *conv = packed;
    reorder_weights(layer, parameters[WEIGHT], conv->matrix);
    lam_linear_update(&conv->linear, conv->matrix, options->transposed ? NULL : parameters[BIAS]);
}

static void discard(void *packed)
{
    struct conv_packed *conv = packed;
    lam_linear_done(&conv->linear);
    free(conv);
}

static lam_status pack(const lam_layer *layer, const float *const *parameters, void **packed, lam_error *err)
{
    const struct conv_options *options = layer->options;
    const lam_shape *dims = &layer->parameters[WEIGHT].shape;
    struct conv_packed *conv = calloc(1, sizeof *conv + (size_t)lam_shape_count(dims) * sizeof(float));
    if (!conv)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    reorder_weights(layer, parameters[WEIGHT], conv->matrix);
    lam_status status =
        lam_linear_init(&conv->linear, (size_t)dims->dim[0], (size_t)(dims->dim[1] * options->window.taps),
                        conv->matrix, options->transposed ? NULL : parameters[BIAS], err);
    if (status)
        free(conv);
    else
        *packed = conv;
    return status;
}

/* ---- running ---- */

/* The side that patches are taken from (or put into), the side of the positions, and the tiles. */
struct sides {
    lam_grid wide, deep;
    int64_t width; /* of a column */
    int64_t rows, tile;
};

static struct sides sides_of(const struct conv_options *options, const lam_shape *in, const lam_shape *out)
{
    struct sides s = {.wide = lam_grid_of(options->transposed ? out : in),
                      .deep = lam_grid_of(options->transposed ? in : out)};
    s.width = options->window.taps * s.wide.channels;
    s.rows = lam_shape_rows(options->transposed ? in : out);
    s.tile = TILE_FLOATS / s.width < 1 ? 1 : TILE_FLOATS / s.width;
    return s;
}

static void measure(const lam_layer *layer, const void *packed, const lam_shape *const *in,
                    const lam_shape *out, lam_mode mode, const lam_pool *pool, lam_layer_needs *needs)
{
    const struct conv_options *options = layer->options;
    struct sides s = sides_of(options, in[0], out);
    size_t tile = (size_t)(s.tile * s.width) * sizeof(float);
    (void)packed, (void)mode;
    needs->forward = lam_pool_threads(pool) * tile;
    needs->backward = 2 * tile + (size_t)(s.deep.channels * s.width) * sizeof(float);
}

static int64_t rows_of_tile(const struct sides *s, int64_t first)
{
    return s->tile < s->rows - first ? s->tile : s->rows - first;
}

static void conv_tile(void *context, size_t tile, size_t worker)
{
    const lam_layer_run *run = context;
    const struct conv_options *options = run->layer->options;
    const struct conv_packed *conv = run->packed;
    struct sides s = sides_of(options, run->in_shape[0], run->out_shape);
    int64_t first = (int64_t)tile * s.tile, rows = rows_of_tile(&s, first), channels = s.deep.channels;
    float *columns = (float *)run->scratch + (int64_t)worker * s.tile * s.width,
          *out = run->out + first * channels;
    lam_window_gather(&options->window, &s.wide, &s.deep, first, rows, run->in[0], columns);
    lam_dense_forward(conv->linear.forward, (size_t)rows, (lam_matrix_in){columns, (size_t)s.width}, false,
                      LAM_DENSE_LINEAR, (lam_matrix){out, (size_t)channels}, NULL);
    if (options->activation != LAM_ACTIVATION_LINEAR)
        lam_activation_forward(options->activation, rows, channels, out, out);
}

static void conv_forward(const lam_layer_run *run)
{
    struct sides s = sides_of(run->layer->options, run->in_shape[0], run->out_shape);
    lam_pool_run(run->pool, (size_t)((s.rows + s.tile - 1) / s.tile), conv_tile, (void *)run);
}

static void transposed_forward(const lam_layer_run *run)
{
    const struct conv_options *options = run->layer->options;
    const struct conv_packed *conv = run->packed;
    struct sides s = sides_of(options, run->in_shape[0], run->out_shape);
    int64_t all = lam_shape_rows(run->out_shape), channels = s.wide.channels;
    float *columns = run->scratch;
    for (int64_t r = 0; r < all; r++)
        for (int64_t c = 0; c < channels; c++)
            run->out[r * channels + c] = options->bias ? run->parameters[BIAS][c] : 0;
    for (int64_t first = 0; first < s.rows; first += s.tile) {
        int64_t rows = rows_of_tile(&s, first);
        lam_linear_back(&conv->linear, (size_t)rows, run->in[0] + first * s.deep.channels, false, columns,
                        run->pool);
        lam_window_scatter(&options->window, &s.wide, &s.deep, first, rows, columns, run->out);
    }
    lam_activation_forward(options->activation, all, channels, run->out, run->out);
}

/* One tile of either kind: patches of the wide side (the input or the result's gradient) against positions of
 * the deep side. */
static void backward_tile(const lam_layer_run *run, const struct sides *s, int64_t first, float *columns,
                          float *d_columns, float *d_matrix)
{
    const struct conv_options *options = run->layer->options;
    const struct conv_packed *conv = run->packed;
    int64_t rows = rows_of_tile(s, first);
    size_t deep = (size_t)s->deep.channels, width = (size_t)s->width, at = (size_t)first * deep;
    const float *positions = (options->transposed ? run->in[0] : run->d_out) + at;
    lam_window_gather(&options->window, &s->wide, &s->deep, first, rows,
                      options->transposed ? run->d_out : run->in[0], columns);
    lam_gemm_tn(deep, width, (size_t)rows, (lam_matrix_in){positions, deep}, (lam_matrix_in){columns, width},
                true, (lam_matrix){d_matrix, width}, run->pool);
    if (!run->d_in[0])
        return;
    if (options->transposed) {
        lam_gemm_nt((size_t)rows, deep, width, (lam_matrix_in){columns, width},
                    (lam_matrix_in){conv->matrix, width}, NULL, (lam_matrix){run->d_in[0] + at, deep},
                    run->pool);
        return;
    }
    lam_linear_back(&conv->linear, (size_t)rows, positions, false, d_columns, run->pool);
    lam_window_scatter(&options->window, &s->wide, &s->deep, first, rows, d_columns, run->d_in[0]);
}

static void backward(const lam_layer_run *run)
{
    const struct conv_options *options = run->layer->options;
    struct sides s = sides_of(options, run->in_shape[0], run->out_shape);
    int64_t channels = lam_shape_channels(run->out_shape), all = lam_shape_rows(run->out_shape);
    float *columns = run->scratch, *d_columns = columns + s.tile * s.width,
          *d_matrix = d_columns + s.tile * s.width;
    lam_activation_backward(options->activation, all, channels, run->out, run->d_out, run->d_out);
    memset(d_matrix, 0, (size_t)(s.deep.channels * s.width) * sizeof *d_matrix);
    if (run->d_in[0] && !options->transposed)
        memset(run->d_in[0], 0, (size_t)lam_shape_count(run->in_shape[0]) * sizeof(float));
    for (int64_t first = 0; first < s.rows; first += s.tile)
        backward_tile(run, &s, first, columns, d_columns, d_matrix);
    lam_kernel_add_gradient(s.deep.channels, s.wide.channels, options->window.taps, d_matrix,
                            run->d_parameters[WEIGHT]);
    if (options->bias)
        lam_gemm_add_columns((size_t)all, (size_t)channels, (lam_matrix_in){run->d_out, (size_t)channels},
                             run->d_parameters[BIAS], run->pool);
}

static lam_reach reach(const lam_layer *layer, int axis)
{
    const struct conv_options *options = layer->options;
    const lam_window *w = &options->window;
    int i = 3 - w->axes + axis;
    if (axis == w->axes)
        return lam_layer_reach_here(layer, axis);
    if (w->stride[i] != 1)
        return (lam_reach){-LAM_REACH_END, LAM_REACH_END};
    return (lam_reach){-w->padding[i], w->dilation[i] * (w->kernel[i] - 1) - w->padding[i]};
}

static const char *const members[] = {"channels", "kernel", "stride",     "padding",
                                      "dilation", "bias",   "activation", NULL};
static const char *const transposed_members[] = {
    "channels", "kernel", "stride", "padding", "dilation", "bias", "activation", "output_padding", NULL};

const lam_layer_kind lam_layer_conv = {
    .name = "conv",
    .members = members,
    .minimum_inputs = 1,
    .maximum_inputs = 1,
    .options_size = sizeof(struct conv_options),
    .setup = setup,
    .shape = shape,
    .measure = measure,
    .pack = pack,
    .repack = repack,
    .discard = discard,
    .forward = conv_forward,
    .backward = backward,
    .reach = reach,
};

const lam_layer_kind lam_layer_conv_transpose = {
    .name = "conv_transpose",
    .members = transposed_members,
    .minimum_inputs = 1,
    .maximum_inputs = 1,
    .options_size = sizeof(struct conv_options),
    .setup = setup_transposed,
    .shape = shape,
    .measure = measure,
    .pack = pack,
    .repack = repack,
    .discard = discard,
    .forward = transposed_forward,
    .backward = backward,
};
