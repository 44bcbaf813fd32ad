/* norm_lstm: an LSTM with layer normalisation as its authors have it (Ba, Kiros, Hinton 2016, equations 20 to
 * 22), their three shifts of the gates being one bias:
 *
 *   [i f g o] = N(W_x x_t; gain_ih) + N(W_h h_{t-1}; gain_hh) + bias     N over all 4·H sums
 *   c = σ(f)·c + σ(i)·tanh(g)      h = σ(o)·tanh(N(c; gain_c) + bias_c)
 *
 * with N(z; a) = a·(z - mean)/√(variance + epsilon). Parameters, D directions: weight_ih [D, 4·H, channels],
 * weight_hh [D, 4·H, H], gain_ih, gain_hh, bias [D, 4·H], gain_c, bias_c [D, H].
 *
 * What training keeps of a step is the gates, c and the h before; products and their statistics are made
 * again on the way back. */
#include <math.h>
#include <string.h>

#include "core/rnn/kernels/layernorm.h"
#include "core/rnn/kernels/vecmath.h"
#include "core/rnn/layers/kinds.h"
#include "core/rnn/layers/linear.h"
#include "core/rnn/layers/steps.h"
#include "core/rnn/options.h"

enum { W_IH, W_HH, GAIN_IH, GAIN_HH, BIAS, GAIN_C, BIAS_C, KEPT = 6 };

struct norm_lstm_options {
    lam_steps_options steps;
    double epsilon;
};

struct norm_lstm_packed {
    lam_linear x[LAM_STEPS_DIRECTIONS], h[LAM_STEPS_DIRECTIONS];
};

static lam_status setup(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    struct norm_lstm_options *options = layer->options;
    lam_status status;
    if ((status = lam_steps_read(layer, json, &options->steps, err)) ||
        (status = lam_options_number(json, "epsilon", 1e-5, 1e-12, 1, &options->epsilon, err)))
        return status;
    int64_t d = options->steps.directions, units = options->steps.units, inputs = options->steps.inputs;
    lam_layer_declare(layer, "weight_ih", LAM_INIT_NORMAL, 1 / sqrt((double)inputs), 3, d, 4 * units, inputs);
    lam_layer_declare(layer, "weight_hh", LAM_INIT_ORTHOGONAL, 1, 3, d, 4 * units, units);
    lam_layer_declare(layer, "gain_ih", LAM_INIT_ONE, 0, 2, d, 4 * units);
    lam_layer_declare(layer, "gain_hh", LAM_INIT_ONE, 0, 2, d, 4 * units);
    lam_layer_declare(layer, "bias", LAM_INIT_FORGET, 0, 2, d, 4 * units);
    lam_layer_declare(layer, "gain_c", LAM_INIT_ONE, 0, 2, d, units);
    lam_layer_declare(layer, "bias_c", LAM_INIT_ZERO, 0, 2, d, units);
    return LAM_OK;
}

static lam_status shape(const lam_layer *layer, const lam_shape *const *in, lam_shape *out, lam_error *err)
{
    const struct norm_lstm_options *options = layer->options;
    return lam_steps_shape(layer, &options->steps, in, out, err);
}

/* ---- weights ---- */

/* The parameter's part for a direction. */
static const float *part_of(const lam_layer *layer, const float *const *parameters, int number, int direction)
{
    const lam_shape *shape = &layer->parameters[number].shape;
    return parameters[number] + direction * (lam_shape_count(shape) / shape->dim[0]);
}

static void repack(const lam_layer *layer, const float *const *parameters, void *memory)
{
    const struct norm_lstm_options *options = layer->options;
    struct norm_lstm_packed *packed = memory;
    for (int d = 0; d < options->steps.directions; d++) {
        lam_linear_update(&packed->x[d], part_of(layer, parameters, W_IH, d), NULL);
        lam_linear_update(&packed->h[d], part_of(layer, parameters, W_HH, d), NULL);
    }
}

static void discard(void *memory)
{
    struct norm_lstm_packed *packed = memory;
    for (int d = 0; d < LAM_STEPS_DIRECTIONS; d++) {
        lam_linear_done(&packed->x[d]);
        lam_linear_done(&packed->h[d]);
    }
    free(packed);
}

static lam_status pack(const lam_layer *layer, const float *const *parameters, void **out, lam_error *err)
{
    const struct norm_lstm_options *options = layer->options;
    size_t units = (size_t)options->steps.units, inputs = (size_t)options->steps.inputs;
    struct norm_lstm_packed *packed = calloc(1, sizeof *packed);
    if (!packed)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_status status = LAM_OK;
    for (int d = 0; d < options->steps.directions && status == LAM_OK; d++) {
        status =
            lam_linear_init(&packed->x[d], 4 * units, inputs, part_of(layer, parameters, W_IH, d), NULL, err);
        if (status == LAM_OK)
            status = lam_linear_init(&packed->h[d], 4 * units, units, part_of(layer, parameters, W_HH, d),
                                     NULL, err);
    }
    if (status)
        discard(packed);
    else
        *out = packed;
    return status;
}

/* ---- memory ---- */

/* One direction on its way. A kept row is [i f g o | c | h before]. */
struct walk {
    lam_steps at;
    const struct norm_lstm_options *options;
    const lam_linear *linear_x, *linear_h;
    size_t rows, units, inputs, kept_floats; /* kept_floats: of a direction */
    float *kept;
    float *x, *zx, *zh, *cn;            /* of a step: input, products, normalised c */
    float *stats_x, *stats_h, *stats_c; /* of a step, backward: mean and 1/deviation of each row */
    float *h, *c;                       /* forward: states */
    float *d_h, *d_c, *d_z, *d_x,
        *d_cn; /* backward: gradients of the states, the gates' sums, x, normalised c */
};

static size_t round_up(size_t floats)
{
    return (floats + 15) / 16 * 16;
}

static struct walk begin(const struct norm_lstm_options *options, const lam_shape *in,
                         const lam_layer_run *run, int direction)
{
    struct walk w = {.at = lam_steps_begin(&options->steps, in, run, direction), .options = options};
    w.rows = (size_t)w.at.rows;
    w.units = (size_t)options->steps.units;
    w.inputs = (size_t)options->steps.inputs;
    w.kept_floats = round_up((size_t)w.at.steps * w.rows * KEPT * w.units);
    if (run) {
        const struct norm_lstm_packed *packed = run->packed;
        w.linear_x = &packed->x[direction];
        w.linear_h = &packed->h[direction];
    }
    return w;
}

/* Divides the scratch; returns its floats. With NULL only measures. */
static size_t lay_out(struct walk *w, float *scratch, bool training)
{
    const struct {
        float **array;
        size_t columns;
    } parts[] = {{&w->x, w->inputs},      {&w->zx, 4 * w->units}, {&w->zh, 4 * w->units},
                 {&w->cn, w->units},      {&w->stats_x, 2},       {&w->stats_h, 2},
                 {&w->stats_c, 2},        {&w->h, w->units},      {&w->c, w->units},
                 {&w->d_h, w->units},     {&w->d_c, w->units},    {&w->d_cn, w->units},
                 {&w->d_z, 4 * w->units}, {&w->d_x, w->inputs},   {&w->kept, training ? 0 : KEPT * w->units}};
    size_t used = 0;
    for (size_t i = 0; i < LAM_COUNT(parts); i++) {
        *parts[i].array = scratch ? scratch + used : NULL;
        used += round_up(w->rows * parts[i].columns);
    }
    return used;
}

static void measure(const lam_layer *layer, const void *packed, const lam_shape *const *in,
                    const lam_shape *out, lam_mode mode, const lam_pool *pool, lam_layer_needs *needs)
{
    const struct norm_lstm_options *options = layer->options;
    struct walk w = begin(options, in[0], NULL, 0);
    (void)packed, (void)out, (void)pool;
    needs->saved = (size_t)options->steps.directions * w.kept_floats * sizeof(float);
    needs->forward = needs->backward = lay_out(&w, NULL, mode == LAM_MODE_TRAIN) * sizeof(float);
}

static struct walk begin_run(const lam_layer_run *run, int direction)
{
    struct walk w = begin(run->layer->options, run->in_shape[0], run, direction);
    lay_out(&w, run->scratch, run->training);
    if (run->training)
        w.kept = (float *)run->saved + (size_t)direction * w.kept_floats;
    return w;
}

static float *kept_row(const struct walk *w, int64_t t, size_t row)
{
    return w->kept + ((w->at.run->training ? (size_t)t * w->rows : 0) + row) * KEPT * w->units;
}

static const float *parameter(const struct walk *w, int number)
{
    return part_of(w->at.run->layer, w->at.run->parameters, number, w->at.direction);
}

static float *gradient(const struct walk *w, int number)
{
    const lam_shape *shape = &w->at.run->layer->parameters[number].shape;
    return w->at.run->d_parameters[number] + w->at.direction * (lam_shape_count(shape) / shape->dim[0]);
}

/* ---- forward ---- */

/* x of this step, and both products: zx = W_x x, zh = W_h h. */
static void make_products(const struct walk *w, const float *h)
{
    size_t gates = 4 * w->units;
    for (size_t r = 0; r < w->rows; r++)
        memcpy(w->x + r * w->inputs, w->at.run->in[0] + (size_t)lam_steps_row(&w->at, (int64_t)r) * w->inputs,
               w->inputs * sizeof *w->x);
    lam_dense_forward(w->linear_x->forward, w->rows, (lam_matrix_in){w->x, w->inputs}, false,
                      LAM_DENSE_LINEAR, (lam_matrix){w->zx, gates}, w->at.run->pool);
    lam_dense_forward(w->linear_h->forward, w->rows, (lam_matrix_in){h, w->units}, false, LAM_DENSE_LINEAR,
                      (lam_matrix){w->zh, gates}, w->at.run->pool);
}

static void normalise(const struct walk *w, size_t columns, const float *z, int gain, int bias, float *out,
                      float *stats)
{
    lam_layernorm_forward(w->rows, columns, (lam_matrix_in){z, columns}, parameter(w, gain),
                          bias < 0 ? NULL : parameter(w, bias), (float)w->options->epsilon,
                          (lam_matrix){out, columns}, stats, w->at.run->pool);
}

/* The gates and the new c of a row, kept; an ended row keeps c. */
static void gates_forward(const struct walk *w, size_t row)
{
    size_t n = w->units;
    float *kept = kept_row(w, w->at.t, row), *c = w->c + row * n;
    for (size_t i = 0; i < 4 * n; i++)
        kept[i] = w->zx[row * 4 * n + i] + w->zh[row * 4 * n + i];
    lam_vec_sigmoid(2 * n, kept, kept);
    lam_vec_tanh(n, kept + 2 * n, kept + 2 * n);
    lam_vec_sigmoid(n, kept + 3 * n, kept + 3 * n);
    for (size_t u = 0; u < n && !lam_steps_ended(&w->at, (int64_t)row); u++)
        c[u] = kept[n + u] * c[u] + kept[u] * kept[2 * n + u];
    memcpy(kept + 4 * n, c, n * sizeof *c);
    memcpy(kept + 5 * n, w->h + row * n, n * sizeof *c);
}

static void output_forward(const struct walk *w, size_t row)
{
    size_t n = w->units;
    bool ended = lam_steps_ended(&w->at, (int64_t)row);
    const float *o = kept_row(w, w->at.t, row) + 3 * n;
    float *h = w->h + row * n, *out = w->at.run->out + lam_steps_output(&w->at, (int64_t)row);
    for (size_t u = 0; u < n && !ended; u++)
        h[u] = o[u] * w->cn[row * n + u];
    for (size_t u = 0; u < n && !w->at.options->last; u++)
        out[u] = ended ? 0 : h[u];
}

static void forward(const lam_layer_run *run)
{
    const struct norm_lstm_options *options = run->layer->options;
    for (int d = 0; d < options->steps.directions; d++) {
        struct walk w = begin_run(run, d);
        lam_steps_load(&w.at, 1, w.h);
        lam_steps_load(&w.at, 2, w.c);
        for (int64_t step = 0; step < w.at.steps; step++) {
            lam_steps_to(&w.at, step);
            make_products(&w, w.h);
            normalise(&w, 4 * w.units, w.zx, GAIN_IH, BIAS, w.zx, NULL);
            normalise(&w, 4 * w.units, w.zh, GAIN_HH, -1, w.zh, NULL);
            for (size_t r = 0; r < w.rows; r++)
                gates_forward(&w, r);
            normalise(&w, w.units, w.c, GAIN_C, BIAS_C, w.cn, NULL);
            lam_vec_tanh(w.rows * w.units, w.cn, w.cn);
            for (size_t r = 0; r < w.rows; r++)
                output_forward(&w, r);
        }
        for (size_t r = 0; r < w.rows && options->steps.last; r++)
            memcpy(run->out + lam_steps_state(&w.at, (int64_t)r), w.h + r * w.units, w.units * sizeof(float));
    }
}

/* ---- backward ---- */

/* From the gradient of h to those of o's sum and of the normalised c; no gradient through ended rows. */
static void output_backward(const struct walk *w, size_t row)
{
    size_t n = w->units;
    bool ended = lam_steps_ended(&w->at, (int64_t)row);
    const float *o = kept_row(w, w->at.t, row) + 3 * n, *tc = w->cn + row * n;
    const float *dy = w->at.options->last ? NULL : w->at.run->d_out + lam_steps_output(&w->at, (int64_t)row);
    float *d_o = w->d_z + row * 4 * n + 3 * n, *d_cn = w->d_cn + row * n;
    for (size_t u = 0; u < n; u++) {
        float dh = ended ? 0 : w->d_h[row * n + u] + (dy ? dy[u] : 0);
        d_o[u] = dh * tc[u] * o[u] * (1 - o[u]);
        d_cn[u] = dh * o[u] * (1 - tc[u] * tc[u]);
    }
}

/* From the gradient of c to those of the sums of i, f, g and of the c before. */
static void gates_backward(const struct walk *w, size_t row)
{
    size_t n = w->units;
    const float *kept = kept_row(w, w->at.t, row), *before = NULL;
    float *d_z = w->d_z + row * 4 * n, *d_c = w->d_c + row * n;
    if (w->at.before >= 0)
        before = kept_row(w, w->at.before, row) + 4 * n;
    else if (w->at.run->layer->inputs > 2)
        before = w->at.run->in[2] + lam_steps_state(&w->at, (int64_t)row);
    if (lam_steps_ended(&w->at, (int64_t)row)) {
        memset(d_z, 0, 3 * n * sizeof *d_z);
        return;
    }
    for (size_t u = 0; u < n; u++) {
        float i = kept[u], f = kept[n + u], g = kept[2 * n + u], dc = d_c[u] + w->d_cn[row * n + u];
        d_z[u] = dc * g * i * (1 - i);
        d_z[n + u] = dc * (before ? before[u] : 0) * f * (1 - f);
        d_z[2 * n + u] = dc * i * (1 - g * g);
        d_c[u] = dc * f;
    }
}

/* Through one normalised product: the gradients of its gain and its weights, and d_in = d(product)·W. */
static void product_backward(const struct walk *w, const lam_linear *linear, int weight, int gain,
                             const float *z, float *d_product, const float *stats, const float *in,
                             float *d_in)
{
    size_t gates = 4 * w->units, columns = linear->inputs;
    lam_layernorm_backward(w->rows, gates, (lam_matrix_in){z, gates}, parameter(w, gain), stats,
                           (lam_matrix_in){w->d_z, gates}, (lam_matrix){d_product, gates}, gradient(w, gain),
                           NULL, w->at.run->pool);
    lam_gemm_tn(gates, columns, w->rows, (lam_matrix_in){d_product, gates}, (lam_matrix_in){in, columns},
                true, (lam_matrix){gradient(w, weight), columns}, w->at.run->pool);
    lam_linear_back(linear, w->rows, d_product, false, d_in, w->at.run->pool);
}

static void give_input(const struct walk *w)
{
    bool add = w->at.run->add[0] || w->at.direction > 0;
    for (size_t r = 0; r < w->rows && w->at.run->d_in[0]; r++) {
        float *to = w->at.run->d_in[0] + (size_t)lam_steps_row(&w->at, (int64_t)r) * w->inputs;
        for (size_t k = 0; k < w->inputs; k++)
            to[k] = (add ? to[k] : 0) + w->d_x[r * w->inputs + k];
    }
}

/* One step: from d_h, d_c of this step's states to those of the states before. */
static void step_backward(const struct walk *w)
{
    size_t n = w->units, gates = 4 * n;
    for (size_t r = 0; r < w->rows; r++) {
        memcpy(w->c + r * n, kept_row(w, w->at.t, r) + 4 * n, n * sizeof *w->c);
        memcpy(w->h + r * n, kept_row(w, w->at.t, r) + 5 * n, n * sizeof *w->h);
    }
    make_products(w, w->h);
    normalise(w, n, w->c, GAIN_C, BIAS_C, w->cn, w->stats_c);
    lam_vec_tanh(w->rows * n, w->cn, w->cn);
    for (size_t r = 0; r < w->rows; r++)
        output_backward(w, r);
    lam_layernorm_backward(w->rows, n, (lam_matrix_in){w->c, n}, parameter(w, GAIN_C), w->stats_c,
                           (lam_matrix_in){w->d_cn, n}, (lam_matrix){w->d_cn, n}, gradient(w, GAIN_C),
                           gradient(w, BIAS_C), w->at.run->pool);
    for (size_t r = 0; r < w->rows; r++)
        gates_backward(w, r);
    lam_gemm_add_columns(w->rows, gates, (lam_matrix_in){w->d_z, gates}, gradient(w, BIAS), w->at.run->pool);
    /* The kept gates have been read: their place takes the gradient of the products, after the statistics. */
    float *spare = w->cn; /* h's gradient, for rows that have not ended */
    normalise(w, gates, w->zx, GAIN_IH, BIAS, kept_row(w, w->at.t, 0), w->stats_x);
    normalise(w, gates, w->zh, GAIN_HH, -1, kept_row(w, w->at.t, 0), w->stats_h);
    product_backward(w, w->linear_x, W_IH, GAIN_IH, w->zx, kept_row(w, w->at.t, 0), w->stats_x, w->x, w->d_x);
    product_backward(w, w->linear_h, W_HH, GAIN_HH, w->zh, kept_row(w, w->at.t, 0), w->stats_h, w->h, spare);
    for (size_t r = 0; r < w->rows; r++)
        if (!lam_steps_ended(&w->at, (int64_t)r))
            memcpy(w->d_h + r * n, spare + r * n, n * sizeof *spare);
    give_input(w);
}

static void backward(const lam_layer_run *run)
{
    const struct norm_lstm_options *options = run->layer->options;
    for (int d = 0; d < options->steps.directions; d++) {
        struct walk w = begin_run(run, d);
        memset(w.d_h, 0, w.rows * w.units * sizeof(float));
        memset(w.d_c, 0, w.rows * w.units * sizeof(float));
        for (size_t r = 0; r < w.rows && options->steps.last; r++)
            memcpy(w.d_h + r * w.units, run->d_out + lam_steps_state(&w.at, (int64_t)r),
                   w.units * sizeof(float));
        for (int64_t step = w.at.steps - 1; step >= 0; step--) {
            lam_steps_to(&w.at, step);
            step_backward(&w);
        }
        lam_steps_give(&w.at, 1, w.d_h);
        lam_steps_give(&w.at, 2, w.d_c);
    }
}

static const char *const members[] = {"units", "directions", "return", "epsilon", NULL};

const lam_layer_kind lam_layer_norm_lstm = {
    .name = "norm_lstm",
    .members = members,
    .minimum_inputs = 1,
    .maximum_inputs = 3,
    .options_size = sizeof(struct norm_lstm_options),
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
