/* conv: convolution along 1 to 3 axes with stride, zero padding and dilation, as a product with gathered
 * patches. Parameters as PyTorch's ConvNd: weight [channels out, channels in, kernel…], bias [channels out].
 *
 * Patches ("columns") are gathered for a tile of output positions at a time, in the order (tap, channel), so
 * that runs along the last axis are contiguous; the weights are reordered to match. */
#include <math.h>
#include <string.h>

#include "core/rnn/kernels/gemm.h"
#include "core/rnn/layers/activate.h"
#include "core/rnn/layers/kinds.h"
#include "core/rnn/options.h"

enum { WEIGHT, BIAS, TILE_FLOATS = 1 << 17, MAX_KERNEL = 64 };

struct conv_options {
    int axes;
    int64_t kernel[3], stride[3], padding[3],
        dilation[3]; /* depth, height, width; 1, 1, 0, 1 where no axis is */
    int64_t taps;
    lam_activation activation;
    bool bias;
};

struct conv_packed {
    lam_dense *dense;
    float kernel[]; /* [channels out, taps, channels in] */
};

/* ---- options and shapes ---- */

static lam_status read_padding(const lam_jv *json, struct conv_options *options, lam_error *err)
{
    int first = 3 - options->axes;
    const char *word = lam_jv_text(lam_jv_get(json, "padding"), NULL);
    if (!word)
        return lam_options_integers(json, "padding", 0, 0, MAX_KERNEL, options->axes,
                                    options->padding + first, err);
    if (strcmp(word, "same") != 0)
        return lam_fail(err, LAM_E_INVALID, "`padding` must be integers or \"same\"");
    for (int i = first; i < 3; i++) {
        int64_t reach = options->dilation[i] * (options->kernel[i] - 1);
        if (reach % 2 != 0 || options->stride[i] != 1)
            return lam_fail(err, LAM_E_INVALID, "`padding` \"same\" needs odd kernels and stride 1");
        options->padding[i] = reach / 2;
    }
    return LAM_OK;
}

static lam_status read_options(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    struct conv_options *options = layer->options;
    options->axes = layer->in[0].shape.rank - 2;
    int first = 3 - options->axes;
    lam_status status;
    if (first < 0 || first > 2)
        return lam_fail(err, LAM_E_INVALID, "works on 1 to 3 axes, not %d", options->axes);
    for (int i = 0; i < 3; i++)
        options->kernel[i] = options->stride[i] = options->dilation[i] = 1;
    if ((status = lam_options_integers(json, "kernel", 3, 1, MAX_KERNEL, options->axes,
                                       options->kernel + first, err)) ||
        (status = lam_options_integers(json, "stride", 1, 1, MAX_KERNEL, options->axes,
                                       options->stride + first, err)) ||
        (status = lam_options_integers(json, "dilation", 1, 1, MAX_KERNEL, options->axes,
                                       options->dilation + first, err)) ||
        (status = read_padding(json, options, err)) ||
        (status = lam_options_bool(json, "bias", true, &options->bias, err)))
        return status;
    options->taps = options->kernel[0] * options->kernel[1] * options->kernel[2];
    return lam_activation_read(json, "activation", &options->activation, err);
}

/* Positions along one axis of the result; 0 when the kernel does not fit. */
static int64_t extent(const struct conv_options *options, int axis, int64_t size)
{
    int64_t reach = options->dilation[axis] * (options->kernel[axis] - 1) + 1;
    int64_t room = size + 2 * options->padding[axis] - reach;
    return room < 0 ? 0 : room / options->stride[axis] + 1;
}

static lam_status setup(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    struct conv_options *options = layer->options;
    int64_t channels, inputs = lam_shape_channels(&layer->in[0].shape);
    lam_status status;
    if ((status = lam_jv_need_integer(json, "channels", 1, LAM_MAX_CHANNELS, &channels, err)) ||
        (status = read_options(layer, json, err)))
        return status;
    if (options->taps * inputs > LAM_MAX_CHANNELS)
        return lam_fail(err, LAM_E_LIMIT, "a patch has more than %d values", LAM_MAX_CHANNELS);
    double bound = 1 / sqrt((double)(inputs * options->taps));
    lam_shape *out = &layer->out.shape;
    int weight = lam_layer_declare(layer, "weight", LAM_INIT_UNIFORM, bound, 2, channels, inputs);
    for (int i = 0; i < options->axes; i++) {
        lam_shape *shape = &layer->parameters[weight].shape;
        int axis = 3 - options->axes + i;
        shape->dim[shape->rank++] = options->kernel[axis];
        if (out->dim[1 + i])
            out->dim[1 + i] = extent(options, axis, out->dim[1 + i]);
    }
    out->dim[out->rank - 1] = channels;
    if (options->bias)
        lam_layer_declare(layer, "bias", LAM_INIT_UNIFORM, bound, 1, channels);
    return LAM_OK;
}

static lam_status shape(const lam_layer *layer, const lam_shape *const *in, lam_shape *out, lam_error *err)
{
    const struct conv_options *options = layer->options;
    char text[LAM_SHAPE_TEXT];
    lam_shape result = *in[0];
    for (int i = 0; i < options->axes; i++) {
        result.dim[1 + i] = extent(options, 3 - options->axes + i, in[0]->dim[1 + i]);
        if (result.dim[1 + i] < 1)
            return lam_fail(err, LAM_E_INVALID, "an input of shape %s is smaller than the kernel",
                            lam_shape_text(in[0], text));
    }
    result.dim[result.rank - 1] = lam_shape_channels(&layer->out.shape);
    *out = result;
    return LAM_OK;
}

/* ---- weights ---- */

static void reorder(const struct conv_options *options, int64_t outputs, int64_t inputs, const float *weight,
                    float *kernel)
{
    for (int64_t o = 0; o < outputs; o++)
        for (int64_t c = 0; c < inputs; c++)
            for (int64_t t = 0; t < options->taps; t++)
                kernel[(o * options->taps + t) * inputs + c] = weight[(o * inputs + c) * options->taps + t];
}

static void repack(const lam_layer *layer, const float *const *parameters, void *packed)
{
    struct conv_packed *conv = packed;
    const lam_shape *weight = &layer->parameters[WEIGHT].shape;
    reorder(layer->options, weight->dim[0], weight->dim[1], parameters[WEIGHT], conv->kernel);
    lam_dense_update(conv->dense, conv->kernel, parameters[BIAS]);
}

static void discard(void *packed)
{
    struct conv_packed *conv = packed;
    lam_dense_free(conv->dense);
    free(conv);
}

static lam_status pack(const lam_layer *layer, const float *const *parameters, void **packed, lam_error *err)
{
    const struct conv_options *options = layer->options;
    const lam_shape *weight = &layer->parameters[WEIGHT].shape;
    struct conv_packed *conv = calloc(1, sizeof *conv + (size_t)lam_shape_count(weight) * sizeof(float));
    if (!conv)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    reorder(options, weight->dim[0], weight->dim[1], parameters[WEIGHT], conv->kernel);
    lam_status status = lam_dense_create((size_t)weight->dim[0], (size_t)(weight->dim[1] * options->taps),
                                         conv->kernel, parameters[BIAS], &conv->dense, err);
    if (status) {
        free(conv);
        return status;
    }
    *packed = conv;
    return LAM_OK;
}

/* ---- patches ---- */

/* Output positions in one tile. */
static int64_t tile_rows(int64_t width)
{
    int64_t rows = TILE_FLOATS / width;
    return rows < 1 ? 1 : rows;
}

struct position {
    int64_t batch, at[3]; /* of the patch's first tap in the input; may lie outside */
};

static struct position locate(const struct conv_options *options, const lam_grid *out, int64_t row)
{
    struct position p;
    for (int i = 2; i >= 0; i--) {
        p.at[i] = row % out->size[i] * options->stride[i] - options->padding[i];
        row /= out->size[i];
    }
    p.batch = row;
    return p;
}

/* Calls `piece` for each tap row (fixed depth and height) of a patch that lies inside the input: the part of
 * `column` and of `image` from tap `begin` to `end` along the width. */
typedef void piece_function(const struct conv_options *options, int64_t channels, int64_t begin, int64_t end,
                            float *column, float *image);

static void visit_patch(const struct conv_options *options, const lam_grid *in, struct position p,
                        float *column, float *image, piece_function *piece)
{
    const int64_t *k = options->kernel, *d = options->dilation;
    int64_t begin = 0, end = k[2];
    while (begin < end && p.at[2] + begin * d[2] < 0)
        begin++;
    while (end > begin && p.at[2] + (end - 1) * d[2] >= in->size[2])
        end--;
    for (int64_t i = 0; i < k[0]; i++)
        for (int64_t j = 0; j < k[1]; j++, column += k[2] * in->channels) {
            int64_t z = p.at[0] + i * d[0], y = p.at[1] + j * d[1];
            if (begin == end || z < 0 || z >= in->size[0] || y < 0 || y >= in->size[1])
                continue;
            int64_t line = (p.batch * in->size[0] + z) * in->size[1] + y;
            piece(options, in->channels, begin, end, column,
                  image + (line * in->size[2] + p.at[2]) * in->channels);
        }
}

static void gather_piece(const struct conv_options *options, int64_t channels, int64_t begin, int64_t end,
                         float *column, float *image)
{
    if (options->dilation[2] == 1) {
        memcpy(column + begin * channels, image + begin * channels,
               (size_t)((end - begin) * channels) * sizeof(float));
        return;
    }
    for (int64_t t = begin; t < end; t++)
        memcpy(column + t * channels, image + t * options->dilation[2] * channels,
               (size_t)channels * sizeof(float));
}

static void scatter_piece(const struct conv_options *options, int64_t channels, int64_t begin, int64_t end,
                          float *column, float *image)
{
    for (int64_t t = begin; t < end; t++)
        for (int64_t c = 0; c < channels; c++)
            image[t * options->dilation[2] * channels + c] += column[t * channels + c];
}

static void gather(const lam_layer_run *run, int64_t first, int64_t rows, float *columns)
{
    const struct conv_options *options = run->layer->options;
    lam_grid in = lam_grid_of(run->in_shape[0]), out = lam_grid_of(run->out_shape);
    int64_t width = options->taps * in.channels;
    memset(columns, 0, (size_t)(rows * width) * sizeof *columns);
    for (int64_t r = 0; r < rows; r++)
        visit_patch(options, &in, locate(options, &out, first + r), columns + r * width, (float *)run->in[0],
                    gather_piece);
}

static void scatter(const lam_layer_run *run, int64_t first, int64_t rows, float *columns)
{
    const struct conv_options *options = run->layer->options;
    lam_grid in = lam_grid_of(run->in_shape[0]), out = lam_grid_of(run->out_shape);
    int64_t width = options->taps * in.channels;
    for (int64_t r = 0; r < rows; r++)
        visit_patch(options, &in, locate(options, &out, first + r), columns + r * width, run->d_in[0],
                    scatter_piece);
}

/* ---- running ---- */

static void measure(const lam_layer *layer, const void *packed, const lam_shape *const *in,
                    const lam_shape *out, lam_mode mode, const lam_pool *pool, lam_layer_needs *needs)
{
    const struct conv_options *options = layer->options;
    (void)packed, (void)mode;
    size_t width = (size_t)(options->taps * lam_shape_channels(in[0]));
    size_t tile = (size_t)tile_rows((int64_t)width) * width * sizeof(float);
    needs->forward = lam_pool_threads(pool) * tile;
    needs->backward = 2 * tile + (size_t)lam_shape_channels(out) * width * sizeof(float);
}

static void forward_tile(void *context, size_t tile, size_t worker)
{
    const lam_layer_run *run = context;
    const struct conv_options *options = run->layer->options;
    const struct conv_packed *conv = run->packed;
    int64_t width = options->taps * lam_shape_channels(run->in_shape[0]);
    int64_t channels = lam_shape_channels(run->out_shape), all = lam_shape_rows(run->out_shape);
    int64_t first = (int64_t)tile * tile_rows(width), rows = tile_rows(width);
    float *columns = (float *)run->scratch + worker * (size_t)(tile_rows(width) * width);
    float *out = run->out + first * channels;
    if (rows > all - first)
        rows = all - first;
    gather(run, first, rows, columns);
    lam_dense_forward(conv->dense, (size_t)rows, (lam_matrix_in){columns, (size_t)width}, false,
                      LAM_DENSE_LINEAR, (lam_matrix){out, (size_t)channels}, NULL);
    if (options->activation != LAM_ACTIVATION_LINEAR)
        lam_activation_forward(options->activation, rows, channels, out, out);
}

static size_t tile_count(const lam_layer_run *run, int64_t width)
{
    int64_t tile = tile_rows(width);
    return (size_t)((lam_shape_rows(run->out_shape) + tile - 1) / tile);
}

static void forward(const lam_layer_run *run)
{
    const struct conv_options *options = run->layer->options;
    int64_t width = options->taps * lam_shape_channels(run->in_shape[0]);
    lam_pool_run(run->pool, tile_count(run, width), forward_tile, (void *)run);
}

static void add_weight_gradient(const lam_layer_run *run, const float *kernel)
{
    const struct conv_options *options = run->layer->options;
    int64_t outputs = lam_shape_channels(run->out_shape), inputs = lam_shape_channels(run->in_shape[0]);
    float *weight = run->d_parameters[WEIGHT];
    for (int64_t o = 0; o < outputs; o++)
        for (int64_t c = 0; c < inputs; c++)
            for (int64_t t = 0; t < options->taps; t++)
                weight[(o * inputs + c) * options->taps + t] += kernel[(o * options->taps + t) * inputs + c];
}

static void backward_tile(const lam_layer_run *run, int64_t first, int64_t rows, float *columns,
                          float *d_columns, float *d_kernel)
{
    const struct conv_options *options = run->layer->options;
    const struct conv_packed *conv = run->packed;
    size_t channels = (size_t)lam_shape_channels(run->out_shape);
    size_t width = (size_t)(options->taps * lam_shape_channels(run->in_shape[0]));
    lam_matrix_in dy = {run->d_out + (size_t)first * channels, channels};
    gather(run, first, rows, columns);
    lam_gemm_tn(channels, width, (size_t)rows, dy, (lam_matrix_in){columns, width}, true,
                (lam_matrix){d_kernel, width}, run->pool);
    if (!run->d_in[0])
        return;
    lam_gemm_nn((size_t)rows, width, channels, dy, (lam_matrix_in){conv->kernel, width}, false,
                (lam_matrix){d_columns, width}, run->pool);
    scatter(run, first, rows, d_columns);
}

static void backward(const lam_layer_run *run)
{
    const struct conv_options *options = run->layer->options;
    int64_t width = options->taps * lam_shape_channels(run->in_shape[0]), tile = tile_rows(width);
    int64_t channels = lam_shape_channels(run->out_shape), all = lam_shape_rows(run->out_shape);
    float *columns = run->scratch, *d_columns = columns + tile * width, *d_kernel = d_columns + tile * width;
    lam_activation_backward(options->activation, all, channels, run->out, run->d_out, run->d_out);
    memset(d_kernel, 0, (size_t)(channels * width) * sizeof *d_kernel);
    if (run->d_in[0] && !run->add[0])
        memset(run->d_in[0], 0, (size_t)lam_shape_count(run->in_shape[0]) * sizeof(float));
    for (int64_t first = 0; first < all; first += tile)
        backward_tile(run, first, tile < all - first ? tile : all - first, columns, d_columns, d_kernel);
    add_weight_gradient(run, d_kernel);
    if (options->bias)
        lam_gemm_add_columns((size_t)all, (size_t)channels, (lam_matrix_in){run->d_out, (size_t)channels},
                             run->d_parameters[BIAS], run->pool);
}

static const char *const members[] = {"channels", "kernel", "stride",     "padding",
                                      "dilation", "bias",   "activation", NULL};

const lam_layer_kind lam_layer_conv = {
    .name = "conv",
    .members = members,
    .minimum_inputs = 1,
    .maximum_inputs = 1,
    .options_size = sizeof(struct conv_options),
    .adds = true,
    .setup = setup,
    .shape = shape,
    .measure = measure,
    .pack = pack,
    .repack = repack,
    .discard = discard,
    .forward = forward,
    .backward = backward,
};
