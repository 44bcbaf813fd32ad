/* conv_lstm: an LSTM along one axis whose products are convolutions over the other axes (Shi 2015, without
 * peepholes): [i f g o] = W * [x_t, h_{t-1}] + b, c = σ(f)·c + σ(i)·tanh(g), h = σ(o)·tanh(c). Kernels are
 * odd and padded with zeros, so that every step has the size of the input. Several directions along the axis
 * stand side by side in the channels.
 *
 * Parameters, D directions, H units: weight [D, 4·H, channels + H, kernel…], as a PyTorch convolution of the
 * concatenation [x, h]; bias [D, 4·H].
 *
 * What training keeps of a step is the gates and c; the state h and the patches are made again on the way
 * back. */
#include <math.h>
#include <string.h>

#include "core/rnn/kernels/vecmath.h"
#include "core/rnn/layers/kinds.h"
#include "core/rnn/layers/linear.h"
#include "core/rnn/layers/patches.h"
#include "core/rnn/layers/steps.h"

enum { WEIGHT, BIAS, TILE_FLOATS = 1 << 17 };

struct conv_lstm_options {
    lam_steps_options steps;
    lam_window window; /* over all axes but the swept one */
};

struct conv_lstm_packed {
    lam_linear linear[LAM_STEPS_DIRECTIONS]; /* [4·H, taps × (channels + H)] */
    int directions;
    float matrix[]; /* of one direction */
};

/* ---- options ---- */

static lam_status read_window(const lam_layer *layer, struct conv_lstm_options *options, const lam_jv *json,
                              lam_error *err)
{
    lam_layer step = *layer;
    lam_signature_drop_axis(&step.in[0], options->steps.axis);
    lam_status status = lam_window_read(&step, json, 3, 1, &options->window, err);
    for (int i = 0; i < 3 && status == LAM_OK; i++) {
        if (options->window.kernel[i] % 2 == 0)
            return lam_fail(err, LAM_E_INVALID, "`kernel` must be odd");
        options->window.padding[i] = options->window.dilation[i] * (options->window.kernel[i] / 2);
    }
    return status;
}

/* Uniform as PyTorch's convolution; bias 0 but 1 for the forget gate. */
static void declare_parameters(lam_layer *layer, const struct conv_lstm_options *options)
{
    int64_t wide = options->steps.inputs + options->steps.units, directions = options->steps.directions;
    double bound = 1 / sqrt((double)(wide * options->window.taps));
    lam_layer_declare(layer, "weight", LAM_INIT_UNIFORM, bound, 3, directions, 4 * options->steps.units,
                      wide);
    lam_shape *shape = &layer->parameters[WEIGHT].shape;
    for (int i = 3 - options->window.axes; i < 3; i++)
        shape->dim[shape->rank++] = options->window.kernel[i];
    lam_layer_declare(layer, "bias", LAM_INIT_FORGET, 0, 2, directions, 4 * options->steps.units);
}

static lam_status setup(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    struct conv_lstm_options *options = layer->options;
    lam_status status;
    if ((status = lam_steps_read(layer, json, &options->steps, err)) ||
        (status = read_window(layer, options, json, err)))
        return status;
    if ((options->steps.inputs + options->steps.units) * options->window.taps > LAM_MAX_CHANNELS)
        return lam_fail(err, LAM_E_LIMIT, "a patch has more than %d values", LAM_MAX_CHANNELS);
    declare_parameters(layer, options);
    return LAM_OK;
}

static lam_status shape(const lam_layer *layer, const lam_shape *const *in, lam_shape *out, lam_error *err)
{
    const struct conv_lstm_options *options = layer->options;
    return lam_steps_shape(layer, &options->steps, in, out, err);
}

/* ---- weights ---- */

static int64_t matrix_floats(const struct conv_lstm_options *options)
{
    return 4 * options->steps.units * (options->steps.inputs + options->steps.units) * options->window.taps;
}

static const float *order_weights(const struct conv_lstm_options *options, const float *const *parameters,
                                  int d, float *matrix)
{
    lam_kernel_to_matrix(4 * options->steps.units, options->steps.inputs + options->steps.units,
                         options->window.taps, parameters[WEIGHT] + d * matrix_floats(options), matrix);
    return parameters[BIAS] + d * 4 * options->steps.units;
}

static void repack(const lam_layer *layer, const float *const *parameters, void *memory)
{
    const struct conv_lstm_options *options = layer->options;
    struct conv_lstm_packed *packed = memory;
    for (int d = 0; d < options->steps.directions; d++) {
        const float *bias = order_weights(options, parameters, d, packed->matrix);
        lam_linear_update(&packed->linear[d], packed->matrix, bias);
    }
}

static void discard(void *memory)
{
    struct conv_lstm_packed *packed = memory;
    for (int d = 0; d < packed->directions; d++)
        lam_linear_done(&packed->linear[d]);
    free(packed);
}

static lam_status pack(const lam_layer *layer, const float *const *parameters, void **out, lam_error *err)
{
    const struct conv_lstm_options *options = layer->options;
    size_t wide = (size_t)((options->steps.inputs + options->steps.units) * options->window.taps);
    struct conv_lstm_packed *packed =
        calloc(1, sizeof *packed + (size_t)matrix_floats(options) * sizeof(float));
    if (!packed)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (int d = 0; d < options->steps.directions; d++) {
        const float *bias = order_weights(options, parameters, d, packed->matrix);
        lam_status status = lam_linear_init(&packed->linear[d], 4 * (size_t)options->steps.units, wide,
                                            packed->matrix, bias, err);
        if (status) {
            discard(packed);
            return status;
        }
        packed->directions++;
    }
    *out = packed;
    return LAM_OK;
}

/* ---- memory ---- */

/* One direction on its way. A kept row is [i f g o c]. */
struct walk {
    lam_steps at;
    const struct conv_lstm_options *options;
    const lam_linear *linear;
    lam_grid grid; /* of a step, with the channels of [x, h] */
    int64_t rows, tile, width, inputs, units;
    float *kept;                    /* training: of the direction, all steps; else of one step */
    float *frame, *columns, *h, *c; /* [x, h] of a step; patches; states */
    float *d_frame, *d_columns, *d_matrix, *dz, *d_h, *d_c; /* backward only */
};

static int64_t round_up(int64_t floats)
{
    return (floats + 15) / 16 * 16;
}

/* The next part of a scratch. An address is a number here, so that a scratch can be measured before there is
 * one. */
static float *take(const float *scratch, int64_t *used, int64_t floats)
{
    float *part = (float *)((uintptr_t)scratch + (size_t)*used * sizeof(float));
    *used += round_up(floats);
    return part;
}

static struct walk measure_walk(const struct conv_lstm_options *options, const lam_shape *in,
                                const lam_layer_run *run, int direction)
{
    struct walk w = {.at = lam_steps_begin(&options->steps, in, run, direction),
                     .options = options,
                     .inputs = options->steps.inputs,
                     .units = options->steps.units};
    lam_shape frame = w.at.frame;
    frame.dim[frame.rank - 1] = w.inputs + w.units;
    w.grid = lam_grid_of(&frame);
    w.rows = w.at.rows;
    w.width = options->window.taps * w.grid.channels;
    w.tile = TILE_FLOATS / w.width < 1 ? 1 : TILE_FLOATS / w.width;
    w.tile = w.tile < w.rows ? w.tile : w.rows;
    return w;
}

/* Divides the scratch; returns its floats. With NULL only measures. */
static int64_t lay_out(struct walk *w, float *scratch, bool training, bool backward, size_t threads)
{
    int64_t used = 0;
    w->frame = take(scratch, &used, w->rows * w->grid.channels);
    w->columns = take(scratch, &used, (int64_t)(backward ? 1 : threads) * w->tile * w->width);
    if (backward) {
        w->d_frame = take(scratch, &used, w->rows * w->grid.channels);
        w->d_columns = take(scratch, &used, w->tile * w->width);
        w->d_matrix = take(scratch, &used, 4 * w->units * w->width);
        w->dz = take(scratch, &used, w->rows * 4 * w->units);
        w->d_h = take(scratch, &used, w->rows * w->units);
        w->d_c = take(scratch, &used, w->rows * w->units);
    } else {
        w->h = take(scratch, &used, w->rows * w->units);
        w->c = take(scratch, &used, w->rows * w->units);
        w->kept = training ? NULL : take(scratch, &used, w->rows * 5 * w->units);
    }
    return used;
}

static void measure(const lam_layer *layer, const void *packed, const lam_shape *const *in,
                    const lam_shape *out, lam_mode mode, const lam_pool *pool, lam_layer_needs *needs)
{
    const struct conv_lstm_options *options = layer->options;
    struct walk w = measure_walk(options, in[0], NULL, 0);
    bool training = mode == LAM_MODE_TRAIN;
    (void)packed, (void)out;
    needs->saved =
        (size_t)(options->steps.directions * round_up(w.at.steps * w.rows * 5 * w.units)) * sizeof(float);
    needs->forward = (size_t)lay_out(&w, NULL, training, false, lam_pool_threads(pool)) * sizeof(float);
    needs->backward = (size_t)lay_out(&w, NULL, training, true, 1) * sizeof(float);
}

static struct walk begin(const lam_layer_run *run, int direction, bool backward)
{
    const struct conv_lstm_options *options = run->layer->options;
    const struct conv_lstm_packed *packed = run->packed;
    struct walk w = measure_walk(options, run->in_shape[0], run, direction);
    lay_out(&w, run->scratch, run->training, backward, lam_pool_threads(run->pool));
    w.linear = &packed->linear[direction];
    if (run->training)
        w.kept = (float *)run->saved + direction * round_up(w.at.steps * w.rows * 5 * w.units);
    return w;
}

static float *kept_row(const struct walk *w, int64_t t, int64_t row)
{
    return w->kept + ((w->at.run->training ? t * w->rows : 0) + row) * 5 * w->units;
}

/* ---- forward ---- */

static void fill_frame(const struct walk *w, const float *h)
{
    for (int64_t r = 0; r < w->rows; r++) {
        float *to = w->frame + r * w->grid.channels;
        memcpy(to, w->at.run->in[0] + lam_steps_row(&w->at, r) * w->inputs, (size_t)w->inputs * sizeof *to);
        memcpy(to + w->inputs, h + r * w->units, (size_t)w->units * sizeof *to);
    }
}

static void gates_forward(const struct walk *w, int64_t row)
{
    size_t units = (size_t)w->units;
    float *kept = kept_row(w, w->at.t, row), *c = w->c + row * w->units, *h = w->h + row * w->units;
    const float *i = kept, *f = kept + units, *g = kept + 2 * units, *o = kept + 3 * units;
    lam_vec_sigmoid(2 * units, kept, kept);
    lam_vec_tanh(units, kept + 2 * units, kept + 2 * units);
    lam_vec_sigmoid(units, kept + 3 * units, kept + 3 * units);
    for (size_t u = 0; u < units; u++)
        c[u] = f[u] * c[u] + i[u] * g[u];
    memcpy(kept + 4 * units, c, units * sizeof *c);
    lam_vec_tanh(units, c, h);
    for (size_t u = 0; u < units; u++)
        h[u] *= o[u];
    if (!w->options->steps.last)
        memcpy(w->at.run->out + lam_steps_output(&w->at, row), h, units * sizeof *h);
}

static void forward_tile(void *context, size_t tile, size_t worker)
{
    const struct walk *w = context;
    int64_t first = (int64_t)tile * w->tile, left = w->rows - first, rows = left < w->tile ? left : w->tile;
    float *columns = w->columns + (int64_t)worker * w->tile * w->width;
    lam_window_gather(&w->options->window, &w->grid, &w->grid, first, rows, w->frame, columns);
    lam_dense_forward(w->linear->forward, (size_t)rows, (lam_matrix_in){columns, (size_t)w->width}, false,
                      LAM_DENSE_LINEAR, (lam_matrix){kept_row(w, w->at.t, first), 5 * (size_t)w->units},
                      NULL);
    for (int64_t r = first; r < first + rows; r++)
        gates_forward(w, r);
}

static void forward(const lam_layer_run *run)
{
    const struct conv_lstm_options *options = run->layer->options;
    for (int d = 0; d < options->steps.directions; d++) {
        struct walk w = begin(run, d, false);
        lam_steps_load(&w.at, 1, w.h);
        lam_steps_load(&w.at, 2, w.c);
        for (int64_t step = 0; step < w.at.steps; step++) {
            lam_steps_to(&w.at, step);
            fill_frame(&w, w.h);
            lam_pool_run(run->pool, (size_t)((w.rows + w.tile - 1) / w.tile), forward_tile, &w);
        }
        for (int64_t r = 0; r < w.rows && options->steps.last; r++)
            memcpy(run->out + lam_steps_state(&w.at, r), w.h + r * w.units, (size_t)w.units * sizeof(float));
    }
}

/* ---- backward ---- */

/* [x, h] of this step: h of the step before from what was kept of it. */
static void fill_frame_again(const struct walk *w)
{
    size_t units = (size_t)w->units;
    for (int64_t r = 0; r < w->rows; r++) {
        float *to = w->frame + r * w->grid.channels, *h = to + w->inputs;
        memcpy(to, w->at.run->in[0] + lam_steps_row(&w->at, r) * w->inputs, (size_t)w->inputs * sizeof *to);
        if (w->at.before >= 0) {
            const float *kept = kept_row(w, w->at.before, r);
            lam_vec_tanh(units, kept + 4 * units, h);
            for (size_t u = 0; u < units; u++)
                h[u] *= kept[3 * units + u];
        } else if (w->at.run->layer->inputs > 1) {
            memcpy(h, w->at.run->in[1] + lam_steps_state(&w->at, r), units * sizeof *h);
        } else {
            memset(h, 0, units * sizeof *h);
        }
    }
}

/* From the gradients of h and c to those of the gates' sums (dz) and of the c before. */
static void gates_backward(const struct walk *w, int64_t row)
{
    int64_t n = w->units;
    const float *kept = kept_row(w, w->at.t, row), *before = NULL;
    float *dz = w->dz + row * 4 * n, *d_h = w->d_h + row * n, *d_c = w->d_c + row * n;
    if (w->at.before >= 0)
        before = kept_row(w, w->at.before, row) + 4 * n;
    else if (w->at.run->layer->inputs > 2)
        before = w->at.run->in[2] + lam_steps_state(&w->at, row);
    lam_vec_tanh((size_t)n, kept + 4 * n, dz + 3 * n);
    for (int64_t u = 0; u < n; u++) {
        float i = kept[u], f = kept[n + u], g = kept[2 * n + u], o = kept[3 * n + u], tc = dz[3 * n + u];
        float dh =
            d_h[u] + (w->options->steps.last ? 0 : w->at.run->d_out[lam_steps_output(&w->at, row) + u]);
        float dc = d_c[u] + dh * o * (1 - tc * tc);
        dz[u] = dc * g * i * (1 - i);
        dz[n + u] = dc * (before ? before[u] : 0) * f * (1 - f);
        dz[2 * n + u] = dc * i * (1 - g * g);
        dz[3 * n + u] = dh * tc * o * (1 - o);
        d_c[u] = dc * f;
    }
}

static void through_products(const struct walk *w)
{
    size_t gates = 4 * (size_t)w->units, width = (size_t)w->width;
    memset(w->d_frame, 0, (size_t)(w->rows * w->grid.channels) * sizeof(float));
    for (int64_t first = 0; first < w->rows; first += w->tile) {
        int64_t left = w->rows - first, rows = left < w->tile ? left : w->tile;
        const float *dz = w->dz + first * 4 * w->units;
        lam_window_gather(&w->options->window, &w->grid, &w->grid, first, rows, w->frame, w->columns);
        lam_gemm_tn(gates, width, (size_t)rows, (lam_matrix_in){dz, gates},
                    (lam_matrix_in){w->columns, width}, true, (lam_matrix){w->d_matrix, width},
                    w->at.run->pool);
        lam_linear_back(w->linear, (size_t)rows, dz, false, w->d_columns, w->at.run->pool);
        lam_window_scatter(&w->options->window, &w->grid, &w->grid, first, rows, w->d_columns, w->d_frame);
    }
    lam_gemm_add_columns((size_t)w->rows, gates, (lam_matrix_in){w->dz, gates},
                         w->at.run->d_parameters[BIAS] + (size_t)w->at.direction * gates, w->at.run->pool);
}

/* Shares out the gradient of [x, h]. */
static void give_frame(const struct walk *w)
{
    bool add = w->at.run->add[0] || w->at.direction > 0;
    for (int64_t r = 0; r < w->rows; r++) {
        const float *from = w->d_frame + r * w->grid.channels;
        float *dx = w->at.run->d_in[0] ? w->at.run->d_in[0] + lam_steps_row(&w->at, r) * w->inputs : NULL;
        for (int64_t k = 0; k < w->inputs && dx; k++)
            dx[k] = (add ? dx[k] : 0) + from[k];
        memcpy(w->d_h + r * w->units, from + w->inputs, (size_t)w->units * sizeof *from);
    }
}

static void backward(const lam_layer_run *run)
{
    const struct conv_lstm_options *options = run->layer->options;
    for (int d = 0; d < options->steps.directions; d++) {
        struct walk w = begin(run, d, true);
        memset(w.d_matrix, 0, (size_t)(4 * w.units * w.width) * sizeof(float));
        memset(w.d_c, 0, (size_t)(w.rows * w.units) * sizeof(float));
        memset(w.d_h, 0, (size_t)(w.rows * w.units) * sizeof(float));
        for (int64_t r = 0; r < w.rows && options->steps.last; r++)
            memcpy(w.d_h + r * w.units, run->d_out + lam_steps_state(&w.at, r),
                   (size_t)w.units * sizeof(float));
        for (int64_t step = w.at.steps - 1; step >= 0; step--) {
            lam_steps_to(&w.at, step);
            for (int64_t r = 0; r < w.rows; r++)
                gates_backward(&w, r);
            fill_frame_again(&w);
            through_products(&w);
            give_frame(&w);
        }
        lam_kernel_add_gradient(4 * w.units, w.grid.channels, options->window.taps, w.d_matrix,
                                run->d_parameters[WEIGHT] + d * matrix_floats(options));
        lam_steps_give(&w.at, 1, w.d_h);
        lam_steps_give(&w.at, 2, w.d_c);
    }
}

static const char *const members[] = {"units", "directions", "kernel", "dilation", "return", NULL};

const lam_layer_kind lam_layer_conv_lstm = {
    .name = "conv_lstm",
    .members = members,
    .minimum_inputs = 1,
    .maximum_inputs = 3,
    .options_size = sizeof(struct conv_lstm_options),
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
