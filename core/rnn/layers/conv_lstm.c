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
#include "core/rnn/options.h"

enum { WEIGHT, BIAS, MAX_UNITS = 4096, DIRECTIONS = 2, TILE_FLOATS = 1 << 17 };

struct conv_lstm_options {
    lam_window window; /* over all axes but the swept one */
    int axis;          /* swept; 0: the first after the batch */
    int directions;
    bool reverse[DIRECTIONS];
    bool last;
    int64_t inputs, units;
};

struct conv_lstm_packed {
    lam_linear linear[DIRECTIONS]; /* [4·H, taps × (channels + H)] */
    int directions;
    float matrix[]; /* of one direction */
};

/* ---- options ---- */

/* Without the swept axis. */
static void drop_axis(lam_signature *signature, int axis)
{
    for (int i = axis; i < signature->shape.rank - 2; i++) {
        signature->shape.dim[i + 1] = signature->shape.dim[i + 2];
        memcpy(signature->axis[i], signature->axis[i + 1], LAM_AXIS_NAME);
    }
    signature->shape.rank--;
}

static lam_status read_directions(const lam_layer *layer, struct conv_lstm_options *options,
                                  const lam_jv *json, lam_error *err)
{
    const lam_jv *list = lam_jv_get(json, "directions");
    size_t count = lam_jv_count(list);
    if (!lam_jv_is(list, LAM_JSON_ARRAY) || count < 1 || count > DIRECTIONS)
        return lam_fail(err, LAM_E_INVALID, "`directions` must be a list of 1 or 2, such as \"t+\", \"t-\"");
    for (size_t i = 0; i < count; i++) {
        const char *text = lam_jv_text(lam_jv_at(list, i), "");
        size_t length = strlen(text);
        char sign = length ? text[length - 1] : 0;
        int axis = sign == '+' || sign == '-' ? lam_signature_axis(&layer->in[0], text, length - 1) : -1;
        if (axis < 0)
            return lam_fail(err, LAM_E_INVALID,
                            "`directions`: '%.16s' is not an axis name followed by + or -", text);
        options->reverse[i] = sign == '-';
        if (i > 0 && (axis != options->axis || options->reverse[i] == options->reverse[0]))
            return lam_fail(err, LAM_E_INVALID, "two `directions` must be the two of one axis");
        options->axis = axis;
    }
    options->directions = (int)count;
    return LAM_OK;
}

static lam_status read_window(const lam_layer *layer, struct conv_lstm_options *options, const lam_jv *json,
                              lam_error *err)
{
    lam_layer step = *layer;
    drop_axis(&step.in[0], options->axis);
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
    int64_t wide = options->inputs + options->units, directions = options->directions;
    double bound = 1 / sqrt((double)(wide * options->window.taps));
    lam_layer_declare(layer, "weight", LAM_INIT_UNIFORM, bound, 3, directions, 4 * options->units, wide);
    lam_shape *shape = &layer->parameters[WEIGHT].shape;
    for (int i = 3 - options->window.axes; i < 3; i++)
        shape->dim[shape->rank++] = options->window.kernel[i];
    lam_layer_declare(layer, "bias", LAM_INIT_FORGET, 0, 2, directions, 4 * options->units);
}

static lam_status setup(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    static const char *const returns[] = {"sequence", "last", NULL};
    struct conv_lstm_options *options = layer->options;
    int result;
    lam_status status;
    options->inputs = lam_shape_channels(&layer->in[0].shape);
    if ((status = read_directions(layer, options, json, err)) ||
        (status = read_window(layer, options, json, err)) ||
        (status = lam_jv_need_integer(json, "units", 1, MAX_UNITS, &options->units, err)) ||
        (status = lam_options_choice(json, "return", returns, 0, &result, err)))
        return status;
    if ((options->inputs + options->units) * options->window.taps > LAM_MAX_CHANNELS)
        return lam_fail(err, LAM_E_LIMIT, "a patch has more than %d values", LAM_MAX_CHANNELS);
    for (int k = 1; k < layer->inputs; k++)
        if (layer->in[k].shape.rank != layer->in[0].shape.rank - 1 ||
            lam_shape_channels(&layer->in[k].shape) != options->directions * options->units)
            return lam_fail(
                err, LAM_E_INVALID,
                "an initial state has one axis less than the input, and directions × units channels");
    options->last = result == 1;
    declare_parameters(layer, options);
    layer->out.shape.dim[layer->out.shape.rank - 1] = options->directions * options->units;
    if (options->last)
        drop_axis(&layer->out, options->axis);
    return LAM_OK;
}

static lam_status shape(const lam_layer *layer, const lam_shape *const *in, lam_shape *out, lam_error *err)
{
    const struct conv_lstm_options *options = layer->options;
    char want[LAM_SHAPE_TEXT], have[LAM_SHAPE_TEXT];
    lam_signature sequence = {.shape = *in[0]}, state;
    sequence.shape.dim[sequence.shape.rank - 1] = options->directions * options->units;
    state = sequence;
    drop_axis(&state, options->axis);
    for (int k = 1; k < layer->inputs; k++)
        if (!lam_shape_equal(in[k], &state.shape))
            return lam_fail(err, LAM_E_INVALID, "an initial state is %s, it must be %s",
                            lam_shape_text(in[k], have), lam_shape_text(&state.shape, want));
    *out = options->last ? state.shape : sequence.shape;
    return LAM_OK;
}

/* ---- weights ---- */

static int64_t matrix_floats(const struct conv_lstm_options *options)
{
    return 4 * options->units * (options->inputs + options->units) * options->window.taps;
}

static const float *order_weights(const struct conv_lstm_options *options, const float *const *parameters,
                                  int d, float *matrix)
{
    lam_kernel_to_matrix(4 * options->units, options->inputs + options->units, options->window.taps,
                         parameters[WEIGHT] + d * matrix_floats(options), matrix);
    return parameters[BIAS] + d * 4 * options->units;
}

static void repack(const lam_layer *layer, const float *const *parameters, void *memory)
{
    const struct conv_lstm_options *options = layer->options;
    struct conv_lstm_packed *packed = memory;
    for (int d = 0; d < options->directions; d++) {
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
    size_t wide = (size_t)((options->inputs + options->units) * options->window.taps);
    struct conv_lstm_packed *packed =
        calloc(1, sizeof *packed + (size_t)matrix_floats(options) * sizeof(float));
    if (!packed)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (int d = 0; d < options->directions; d++) {
        const float *bias = order_weights(options, parameters, d, packed->matrix);
        lam_status status =
            lam_linear_init(&packed->linear[d], 4 * (size_t)options->units, wide, packed->matrix, bias, err);
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

/* One direction on its way. A step is all rows of one position of the swept axis; row r of it lies at
 * step_row() of the input. A kept row is [i f g o c]. */
struct walk {
    const lam_layer_run *run;
    const struct conv_lstm_options *options;
    const lam_linear *linear;
    lam_grid grid; /* of a step, with the channels of [x, h] */
    int64_t steps, inner, rows, tile, width, inputs, units;
    int direction;
    int64_t t, before;              /* positions of this step and of the one before, -1: none */
    float *kept;                    /* training: of the direction, all steps; else of one step */
    float *frame, *columns, *h, *c; /* [x, h] of a step; patches; states */
    float *d_frame, *d_columns, *d_matrix, *dz, *d_h, *d_c; /* backward only */
};

static int64_t round_up(int64_t floats)
{
    return (floats + 15) / 16 * 16;
}

static float *take(float **at, int64_t floats)
{
    float *part = *at;
    *at += round_up(floats);
    return part;
}

static struct walk measure_walk(const struct conv_lstm_options *options, const lam_shape *in)
{
    struct walk w = {.options = options, .inputs = options->inputs, .units = options->units};
    lam_signature step = {.shape = *in};
    w.steps = in->dim[1 + options->axis];
    w.inner = 1;
    for (int i = options->axis + 2; i < in->rank - 1; i++)
        w.inner *= in->dim[i];
    drop_axis(&step, options->axis);
    step.shape.dim[step.shape.rank - 1] = w.inputs + w.units;
    w.grid = lam_grid_of(&step.shape);
    w.rows = lam_shape_rows(&step.shape);
    w.width = options->window.taps * w.grid.channels;
    w.tile = TILE_FLOATS / w.width < 1 ? 1 : TILE_FLOATS / w.width;
    w.tile = w.tile < w.rows ? w.tile : w.rows;
    return w;
}

/* Divides the scratch; returns its floats. With NULL only measures. */
static int64_t lay_out(struct walk *w, float *scratch, bool training, bool backward, size_t threads)
{
    float *at = scratch;
    w->frame = take(&at, w->rows * w->grid.channels);
    w->columns = take(&at, (int64_t)(backward ? 1 : threads) * w->tile * w->width);
    if (backward) {
        w->d_frame = take(&at, w->rows * w->grid.channels);
        w->d_columns = take(&at, w->tile * w->width);
        w->d_matrix = take(&at, 4 * w->units * w->width);
        w->dz = take(&at, w->rows * 4 * w->units);
        w->d_h = take(&at, w->rows * w->units);
        w->d_c = take(&at, w->rows * w->units);
    } else {
        w->h = take(&at, w->rows * w->units);
        w->c = take(&at, w->rows * w->units);
        w->kept = training ? NULL : take(&at, w->rows * 5 * w->units);
    }
    return at - scratch;
}

static void measure(const lam_layer *layer, const void *packed, const lam_shape *const *in,
                    const lam_shape *out, lam_mode mode, const lam_pool *pool, lam_layer_needs *needs)
{
    const struct conv_lstm_options *options = layer->options;
    struct walk w = measure_walk(options, in[0]);
    bool training = mode == LAM_MODE_TRAIN;
    static float origin[1]; /* only differences are taken */
    (void)packed, (void)out;
    needs->saved = (size_t)(options->directions * round_up(w.steps * w.rows * 5 * w.units)) * sizeof(float);
    needs->forward = (size_t)lay_out(&w, origin, training, false, lam_pool_threads(pool)) * sizeof(float);
    needs->backward = (size_t)lay_out(&w, origin, training, true, 1) * sizeof(float);
}

static struct walk begin(const lam_layer_run *run, int direction, bool backward)
{
    const struct conv_lstm_options *options = run->layer->options;
    const struct conv_lstm_packed *packed = run->packed;
    struct walk w = measure_walk(options, run->in_shape[0]);
    lay_out(&w, run->scratch, run->training, backward, lam_pool_threads(run->pool));
    w.run = run;
    w.direction = direction;
    w.linear = &packed->linear[direction];
    if (run->training)
        w.kept = (float *)run->saved + direction * round_up(w.steps * w.rows * 5 * w.units);
    return w;
}

static void at_step(struct walk *w, int64_t step)
{
    bool reverse = w->options->reverse[w->direction];
    w->t = reverse ? w->steps - 1 - step : step;
    w->before = step == 0 ? -1 : reverse ? w->t + 1 : w->t - 1;
}

static int64_t step_row(const struct walk *w, int64_t row)
{
    return (row / w->inner * w->steps + w->t) * w->inner + row % w->inner;
}

static float *kept_row(const struct walk *w, int64_t t, int64_t row)
{
    return w->kept + ((w->run->training ? t * w->rows : 0) + row) * 5 * w->units;
}

/* A row of a state (or of its gradient) in an array of all directions' states. */
static int64_t column(const struct walk *w, int64_t row)
{
    return (row * w->options->directions + w->direction) * w->units;
}

/* A row of the output: of this step, or the last state. */
static int64_t output_row(const struct walk *w, int64_t row)
{
    return column(w, w->options->last ? row : step_row(w, row));
}

/* ---- forward ---- */

static void load_state(const struct walk *w, int input, float *state)
{
    size_t bytes = (size_t)w->units * sizeof(float);
    for (int64_t r = 0; r < w->rows; r++)
        if (w->run->layer->inputs > input)
            memcpy(state + r * w->units, w->run->in[input] + column(w, r), bytes);
        else
            memset(state + r * w->units, 0, bytes);
}

static void fill_frame(const struct walk *w, const float *h)
{
    for (int64_t r = 0; r < w->rows; r++) {
        float *to = w->frame + r * w->grid.channels;
        memcpy(to, w->run->in[0] + step_row(w, r) * w->inputs, (size_t)w->inputs * sizeof *to);
        memcpy(to + w->inputs, h + r * w->units, (size_t)w->units * sizeof *to);
    }
}

static void gates_forward(const struct walk *w, int64_t row)
{
    size_t units = (size_t)w->units;
    float *kept = kept_row(w, w->t, row), *c = w->c + row * w->units, *h = w->h + row * w->units;
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
    if (!w->options->last)
        memcpy(w->run->out + output_row(w, row), h, units * sizeof *h);
}

static void forward_tile(void *context, size_t tile, size_t worker)
{
    const struct walk *w = context;
    int64_t first = (int64_t)tile * w->tile, left = w->rows - first, rows = left < w->tile ? left : w->tile;
    float *columns = w->columns + (int64_t)worker * w->tile * w->width;
    lam_window_gather(&w->options->window, &w->grid, &w->grid, first, rows, w->frame, columns);
    lam_dense_forward(w->linear->forward, (size_t)rows, (lam_matrix_in){columns, (size_t)w->width}, false,
                      LAM_DENSE_LINEAR, (lam_matrix){kept_row(w, w->t, first), 5 * (size_t)w->units}, NULL);
    for (int64_t r = first; r < first + rows; r++)
        gates_forward(w, r);
}

static void forward(const lam_layer_run *run)
{
    const struct conv_lstm_options *options = run->layer->options;
    for (int d = 0; d < options->directions; d++) {
        struct walk w = begin(run, d, false);
        load_state(&w, 1, w.h);
        load_state(&w, 2, w.c);
        for (int64_t step = 0; step < w.steps; step++) {
            at_step(&w, step);
            fill_frame(&w, w.h);
            lam_pool_run(run->pool, (size_t)((w.rows + w.tile - 1) / w.tile), forward_tile, &w);
        }
        for (int64_t r = 0; r < w.rows && options->last; r++)
            memcpy(run->out + column(&w, r), w.h + r * w.units, (size_t)w.units * sizeof(float));
    }
}

/* ---- backward ---- */

/* [x, h] of this step: h of the step before from what was kept of it. */
static void fill_frame_again(const struct walk *w)
{
    size_t units = (size_t)w->units;
    for (int64_t r = 0; r < w->rows; r++) {
        float *to = w->frame + r * w->grid.channels, *h = to + w->inputs;
        memcpy(to, w->run->in[0] + step_row(w, r) * w->inputs, (size_t)w->inputs * sizeof *to);
        if (w->before >= 0) {
            const float *kept = kept_row(w, w->before, r);
            lam_vec_tanh(units, kept + 4 * units, h);
            for (size_t u = 0; u < units; u++)
                h[u] *= kept[3 * units + u];
        } else if (w->run->layer->inputs > 1) {
            memcpy(h, w->run->in[1] + column(w, r), units * sizeof *h);
        } else {
            memset(h, 0, units * sizeof *h);
        }
    }
}

/* From the gradients of h and c to those of the gates' sums (dz) and of the c before. */
static void gates_backward(const struct walk *w, int64_t row)
{
    int64_t n = w->units;
    const float *kept = kept_row(w, w->t, row), *before = NULL;
    float *dz = w->dz + row * 4 * n, *d_h = w->d_h + row * n, *d_c = w->d_c + row * n;
    if (w->before >= 0)
        before = kept_row(w, w->before, row) + 4 * n;
    else if (w->run->layer->inputs > 2)
        before = w->run->in[2] + column(w, row);
    lam_vec_tanh((size_t)n, kept + 4 * n, dz + 3 * n);
    for (int64_t u = 0; u < n; u++) {
        float i = kept[u], f = kept[n + u], g = kept[2 * n + u], o = kept[3 * n + u], tc = dz[3 * n + u];
        float dh = d_h[u] + (w->options->last ? 0 : w->run->d_out[output_row(w, row) + u]);
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
                    (lam_matrix_in){w->columns, width}, true, (lam_matrix){w->d_matrix, width}, w->run->pool);
        lam_linear_back(w->linear, (size_t)rows, dz, false, w->d_columns, w->run->pool);
        lam_window_scatter(&w->options->window, &w->grid, &w->grid, first, rows, w->d_columns, w->d_frame);
    }
    lam_gemm_add_columns((size_t)w->rows, gates, (lam_matrix_in){w->dz, gates},
                         w->run->d_parameters[BIAS] + (size_t)w->direction * gates, w->run->pool);
}

/* Shares out the gradient of [x, h]. */
static void give_frame(const struct walk *w)
{
    bool add = w->run->add[0] || w->direction > 0;
    for (int64_t r = 0; r < w->rows; r++) {
        const float *from = w->d_frame + r * w->grid.channels;
        float *dx = w->run->d_in[0] ? w->run->d_in[0] + step_row(w, r) * w->inputs : NULL;
        for (int64_t k = 0; k < w->inputs && dx; k++)
            dx[k] = (add ? dx[k] : 0) + from[k];
        memcpy(w->d_h + r * w->units, from + w->inputs, (size_t)w->units * sizeof *from);
    }
}

static void give_initial(const struct walk *w)
{
    for (int k = 1; k < w->run->layer->inputs; k++)
        for (int64_t r = 0; r < w->rows && w->run->d_in[k]; r++) {
            const float *from = (k == 1 ? w->d_h : w->d_c) + r * w->units;
            float *to = w->run->d_in[k] + column(w, r);
            for (int64_t u = 0; u < w->units; u++)
                to[u] = (w->run->add[k] ? to[u] : 0) + from[u];
        }
}

static void backward(const lam_layer_run *run)
{
    const struct conv_lstm_options *options = run->layer->options;
    for (int d = 0; d < options->directions; d++) {
        struct walk w = begin(run, d, true);
        memset(w.d_matrix, 0, (size_t)(4 * w.units * w.width) * sizeof(float));
        memset(w.d_c, 0, (size_t)(w.rows * w.units) * sizeof(float));
        memset(w.d_h, 0, (size_t)(w.rows * w.units) * sizeof(float));
        for (int64_t r = 0; r < w.rows && options->last; r++)
            memcpy(w.d_h + r * w.units, run->d_out + column(&w, r), (size_t)w.units * sizeof(float));
        for (int64_t step = w.steps - 1; step >= 0; step--) {
            at_step(&w, step);
            for (int64_t r = 0; r < w.rows; r++)
                gates_backward(&w, r);
            fill_frame_again(&w);
            through_products(&w);
            give_frame(&w);
        }
        lam_kernel_add_gradient(4 * w.units, w.grid.channels, options->window.taps, w.d_matrix,
                                run->d_parameters[WEIGHT] + d * matrix_floats(options));
        give_initial(&w);
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
