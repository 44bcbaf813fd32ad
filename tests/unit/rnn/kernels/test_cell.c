/* Recurrent cells: forward against a reference in double precision, backward against its numerical gradients,
 * on every instruction set, along every axis, with sizes that leave odd tails, masks, states and threads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/rnn/kernels/cell.h"
#include "tests/unit/rnn/kernels/every_isa.h"

/* A problem: one sweep and everything it reads, in float (ours) and double (reference). */
typedef struct problem {
    lam_cell_spec spec;
    lam_lines lines;
    bool reverse, given_state, masked, projected, dropped;
    size_t checkpoint;
    size_t rows, count, gates;
    double *w_x, *w_h, *b_x, *b_h, *peep, *x, *h0, *c0;
    float *factors; /* of recurrent dropout */
    uint32_t *lengths;
    float *seed_y, *seed_h, *seed_c; /* the loss is Σ seed·output */
    double *y, *h, *c;
} problem;

static double *doubles(unsigned *seed, size_t n, float scale)
{
    double *d = malloc((n ? n : 1) * sizeof *d);
    for (size_t i = 0; i < n; i++)
        d[i] = random_float(seed, scale);
    return d;
}

static float *floats_of(const double *d, size_t n)
{
    float *f = malloc((n ? n : 1) * sizeof *f);
    for (size_t i = 0; i < n; i++)
        f[i] = (float)d[i];
    return f;
}

static void problem_init(problem *p, unsigned seed)
{
    size_t hidden = p->spec.hidden, input = p->spec.input;
    p->gates = lam_cell_gates(p->spec.kind);
    p->count = p->lines.outer * p->lines.inner;
    p->rows = p->count * p->lines.steps;
    float scale = 1.2f / sqrtf((float)hidden);
    p->w_x = doubles(&seed, p->gates * hidden * input, 1.0f / sqrtf((float)input));
    p->w_h = doubles(&seed, p->gates * hidden * hidden, scale);
    p->b_x = doubles(&seed, p->gates * hidden, 0.5f);
    p->b_h = doubles(&seed, p->gates * hidden, 0.5f);
    p->peep = doubles(&seed, 3 * hidden, 0.5f);
    p->x = doubles(&seed, p->rows * input, 1.0f);
    p->h0 = doubles(&seed, p->count * hidden, 1.0f);
    p->c0 = doubles(&seed, p->count * hidden, 1.0f);
    p->lengths = malloc(p->count * sizeof *p->lengths);
    for (size_t i = 0; i < p->count; i++)
        p->lengths[i] = (uint32_t)((i * 7 + 3) % (p->lines.steps + 1));
    p->factors = malloc(p->count * hidden * sizeof *p->factors);
    for (size_t i = 0; i < p->count * hidden; i++)
        p->factors[i] = i * 5 % 8 < 3 ? 0 : 1.6f;
    p->seed_y = random_floats(&seed, p->rows * hidden, 1.0f);
    p->seed_h = random_floats(&seed, p->count * hidden, 1.0f);
    p->seed_c = random_floats(&seed, p->count * hidden, 1.0f);
    p->y = calloc(p->rows * hidden, sizeof(double));
    p->h = calloc(p->count * hidden, sizeof(double));
    p->c = calloc(p->count * hidden, sizeof(double));
}

static void problem_done(problem *p)
{
    void *all[] = {p->w_x,     p->w_h,    p->b_x,    p->b_h,    p->peep, p->x, p->h0, p->c0,
                   p->lengths, p->seed_y, p->seed_h, p->seed_c, p->y,    p->h, p->c,  p->factors};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
}

static double sigmoid(double v)
{
    return 1 / (1 + exp(-v));
}

/* Sum of one gate's x part (with b_x) or h part (with b_h). */
static double part_x(const problem *p, size_t gate, size_t unit, const double *x)
{
    size_t row = gate * p->spec.hidden + unit;
    double sum = p->b_x[row];
    for (size_t k = 0; k < p->spec.input; k++)
        sum += p->w_x[row * p->spec.input + k] * x[k];
    return sum;
}

static double part_h(const problem *p, size_t gate, size_t unit, const double *h)
{
    size_t row = gate * p->spec.hidden + unit;
    double sum = p->b_h[row];
    for (size_t k = 0; k < p->spec.hidden && p->spec.kind != LAM_CELL_LIGHT; k++)
        sum += p->w_h[row * p->spec.hidden + k] * h[k];
    return sum;
}

static double activation(lam_cell_activation f, double v)
{
    switch (f) {
    case LAM_CELL_TANH:
        return tanh(v);
    case LAM_CELL_RELU:
        return v > 0 ? v : 0;
    case LAM_CELL_SIGMOID:
        return sigmoid(v);
    default:
        return v;
    }
}

static void soften(size_t n, double *values)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += values[i] = exp(values[i]);
    for (size_t i = 0; i < n; i++)
        values[i] /= sum;
}

static void reference_lstm(const problem *p, const double *x, const double *h, double *c, size_t u,
                           double *out)
{
    size_t hidden = p->spec.hidden;
    double a[4];
    for (size_t g = 0; g < 4; g++)
        a[g] = part_x(p, g, u, x) + part_h(p, g, u, h);
    if (p->spec.peephole) {
        a[0] += p->peep[u] * c[u];
        a[1] += p->peep[hidden + u] * c[u];
    }
    c[u] = sigmoid(a[1]) * c[u] + sigmoid(a[0]) * tanh(a[2]);
    if (p->spec.peephole)
        a[3] += p->peep[2 * hidden + u] * c[u];
    *out = sigmoid(a[3]) * tanh(c[u]);
}

/* `seen` is h as the recurrent product sees it. */
static void reference_step(const problem *p, const double *x, const double *h, const double *seen, double *c,
                           double *out)
{
    size_t hidden = p->spec.hidden;
    double *rh = calloc(hidden, sizeof *rh);
    for (size_t u = 0; u < hidden; u++)
        rh[u] = p->spec.kind == LAM_CELL_GRU ? sigmoid(part_x(p, 0, u, x) + part_h(p, 0, u, seen)) * h[u] : 0;
    for (size_t u = 0; u < hidden; u++) {
        switch (p->spec.kind) {
        case LAM_CELL_ELMAN:
            out[u] = activation(p->spec.activation, part_x(p, 0, u, x) + part_h(p, 0, u, seen));
            break;
        case LAM_CELL_LSTM:
            reference_lstm(p, x, seen, c, u, &out[u]);
            break;
        case LAM_CELL_GRU: {
            double r = sigmoid(part_x(p, 0, u, x) + part_h(p, 0, u, seen));
            double z = sigmoid(part_x(p, 1, u, x) + part_h(p, 1, u, seen));
            double n = p->spec.reset_before ? tanh(part_x(p, 2, u, x) + part_h(p, 2, u, rh))
                                            : tanh(part_x(p, 2, u, x) + r * part_h(p, 2, u, seen));
            out[u] = (1 - z) * n + z * h[u];
            break;
        }
        case LAM_CELL_LIGHT: {
            double z = sigmoid(part_x(p, 1, u, x) + part_h(p, 1, u, seen));
            out[u] = h[u] + z * (part_x(p, 0, u, x) + part_h(p, 0, u, seen) - h[u]);
            break;
        }
        }
    }
    if (p->spec.activation == LAM_CELL_SOFTMAX)
        soften(hidden, out);
    free(rh);
}

/* Runs the reference; returns the loss. */
static double reference(problem *p)
{
    size_t hidden = p->spec.hidden, steps = p->lines.steps, inner = p->lines.inner;
    double loss = 0, *out = calloc(hidden, sizeof *out), *seen = calloc(hidden, sizeof *seen);
    for (size_t line = 0; line < p->count; line++) {
        double *h = p->h + line * hidden, *c = p->c + line * hidden;
        for (size_t u = 0; u < hidden; u++) {
            h[u] = p->given_state ? p->h0[line * hidden + u] : 0;
            c[u] = p->given_state ? p->c0[line * hidden + u] : 0;
        }
        for (size_t s = 0; s < steps; s++) {
            size_t t = p->reverse ? steps - 1 - s : s,
                   row = (line / inner * steps + t) * inner + line % inner;
            bool ended = p->masked && t >= p->lengths[line];
            if (!ended) {
                for (size_t u = 0; u < hidden; u++)
                    seen[u] = p->dropped ? h[u] * p->factors[line * hidden + u] : h[u];
                reference_step(p, p->x + row * p->spec.input, h, seen, c, out);
                memcpy(h, out, hidden * sizeof *h);
            }
            for (size_t u = 0; u < hidden; u++) {
                p->y[row * hidden + u] = ended ? 0 : h[u];
                loss += p->y[row * hidden + u] * p->seed_y[row * hidden + u];
            }
        }
        for (size_t u = 0; u < hidden; u++) {
            loss += h[u] * p->seed_h[line * hidden + u];
            if (p->spec.kind == LAM_CELL_LSTM)
                loss += c[u] * p->seed_c[line * hidden + u];
        }
    }
    free(out);
    free(seen);
    return loss;
}

/* Fails for NaN on either side. */
static void check_close(const char *what, const float *ours, const double *theirs, size_t n, double tolerance)
{
    for (size_t i = 0; i < n; i++) {
        double error = fabs(ours[i] - theirs[i]);
        if (!(error <= tolerance * (1 + fabs(theirs[i]))))
            fail_msg("%s[%zu] is %.9g, should be %.9g", what, i, (double)ours[i], theirs[i]);
    }
}

/* Our side of a problem. */
typedef struct ours {
    lam_cell *cell;
    lam_sweep sweep;
    float *w_x, *w_h, *b_x, *b_h, *peep, *x, *h0, *c0, *g, *y, *h, *c, *trace, *workspace;
} ours;

static void ours_project(const problem *p, ours *o)
{
    size_t n = p->gates * p->spec.hidden;
    const float *bias = lam_cell_get_input_bias(o->cell);
    o->g = malloc(p->rows * n * sizeof(float));
    for (size_t r = 0; r < p->rows; r++) {
        for (size_t i = 0; i < n; i++) {
            double sum = bias[i];
            for (size_t k = 0; k < p->spec.input; k++)
                sum += p->w_x[i * p->spec.input + k] * p->x[r * p->spec.input + k];
            o->g[r * n + i] = (float)sum;
        }
    }
    o->sweep.g = o->g;
    o->sweep.ldg = n;
    o->sweep.x = NULL;
}

static void ours_init(const problem *p, ours *o, lam_pool *pool, bool train)
{
    size_t hidden = p->spec.hidden, input = p->spec.input, n = p->gates * hidden;
    memset(o, 0, sizeof *o);
    o->w_x = floats_of(p->w_x, n * input);
    o->w_h = floats_of(p->w_h, n * hidden);
    o->b_x = floats_of(p->b_x, n);
    o->b_h = floats_of(p->b_h, n);
    o->peep = floats_of(p->peep, 3 * hidden);
    o->x = floats_of(p->x, p->rows * input);
    o->h0 = floats_of(p->h0, p->count * hidden);
    o->c0 = floats_of(p->c0, p->count * hidden);
    o->y = malloc((p->rows * hidden + 1) * sizeof(float));
    o->h = malloc(p->count * hidden * sizeof(float));
    o->c = malloc(p->count * hidden * sizeof(float));
    lam_cell_spec spec = p->spec;
    spec.trainable = train;
    lam_cell_weights weights = {o->w_x, o->w_h, o->b_x, o->b_h, o->peep};
    lam_error err;
    assert_int_equal(lam_cell_create(&spec, &weights, &o->cell, &err), LAM_OK);
    bool lstm = spec.kind == LAM_CELL_LSTM;
    o->sweep = (lam_sweep){.cell = o->cell,
                           .lines = p->lines,
                           .reverse = p->reverse,
                           .x = o->x,
                           .ldx = input,
                           .y = o->y,
                           .ldy = hidden,
                           .h_last = o->h,
                           .c_last = lstm ? o->c : NULL,
                           .h0 = p->given_state ? o->h0 : NULL,
                           .c0 = p->given_state && lstm ? o->c0 : NULL,
                           .mask = p->dropped ? p->factors : NULL,
                           .lengths = p->masked ? p->lengths : NULL,
                           .checkpoint = p->checkpoint};
    if (p->projected)
        ours_project(p, o);
    if (train)
        o->trace = o->sweep.trace = malloc(lam_sweep_trace_floats(&o->sweep) * sizeof(float) + 1);
    o->workspace = aligned_alloc(64, lam_sweeps_workspace(&o->sweep, 1, pool, train));
    lam_sweeps_forward(&o->sweep, 1, pool, o->workspace);
}

static void ours_done(ours *o)
{
    void *all[] = {o->w_x, o->w_h, o->b_x, o->b_h, o->peep, o->x,     o->h0,
                   o->c0,  o->g,   o->y,   o->h,   o->c,    o->trace, o->workspace};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
    lam_cell_free(o->cell);
}

static void check_forward(problem p, lam_pool *pool)
{
    ours o;
    problem_init(&p, 42);
    reference(&p);
    ours_init(&p, &o, pool, false);
    check_close("y", o.y, p.y, p.rows * p.spec.hidden, 3e-5);
    check_close("h", o.h, p.h, p.count * p.spec.hidden, 3e-5);
    if (p.spec.kind == LAM_CELL_LSTM)
        check_close("c", o.c, p.c, p.count * p.spec.hidden, 3e-5);
    ours_done(&o);
    problem_done(&p);
}

static const lam_cell_spec specs[] = {
    {.kind = LAM_CELL_ELMAN, .activation = LAM_CELL_TANH},
    {.kind = LAM_CELL_ELMAN, .activation = LAM_CELL_RELU},
    {.kind = LAM_CELL_ELMAN, .activation = LAM_CELL_SIGMOID},
    {.kind = LAM_CELL_ELMAN, .activation = LAM_CELL_IDENTITY},
    {.kind = LAM_CELL_ELMAN, .activation = LAM_CELL_SOFTMAX},
    {.kind = LAM_CELL_LSTM},
    {.kind = LAM_CELL_LSTM, .peephole = true},
    {.kind = LAM_CELL_GRU},
    {.kind = LAM_CELL_GRU, .reset_before = true},
    {.kind = LAM_CELL_LIGHT},
};
enum { SPECS = sizeof specs / sizeof specs[0] };

static problem problem_of(size_t spec, size_t input, size_t hidden, lam_lines lines)
{
    problem p = {.spec = specs[spec], .lines = lines};
    p.spec.input = input;
    p.spec.hidden = hidden;
    return p;
}

static void test_forward_sizes(void **state)
{
    static const size_t hidden[] = {1, 5, 15, 16, 17, 32, 47, 64, 100, 130};
    (void)state;
    for (size_t spec = 0; spec < SPECS; spec++) {
        for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++) {
            check_forward(problem_of(spec, 1 + i * 3, hidden[i], (lam_lines){1, 7, 9}), NULL);
            check_forward(problem_of(spec, 40, hidden[i], (lam_lines){1, 5, 1}), NULL);
        }
    }
}

static void test_forward_line_counts(void **state)
{
    (void)state;
    for (size_t spec = 0; spec < SPECS; spec++) {
        for (size_t lines = 1; lines < 15; lines++)
            check_forward(problem_of(spec, 8, 20, (lam_lines){1, 3, lines}), NULL);
        check_forward(problem_of(spec, 3, 16, (lam_lines){1, 4, 131}), NULL);
    }
}

static void test_forward_axes_masks_states(void **state)
{
    static const lam_lines axes[] = {{1, 4, 15}, {3, 4, 5}, {15, 4, 1}, {1, 25, 17}};
    (void)state;
    for (size_t spec = 0; spec < SPECS; spec++) {
        for (size_t i = 0; i < 4 * 16; i++) {
            problem p = problem_of(spec, 6, 18, axes[i / 16]);
            p.reverse = i & 1;
            p.masked = i & 2;
            p.given_state = i & 4;
            p.projected = i & 8;
            check_forward(p, NULL);
        }
    }
}

/* Tensors that do not stay in a cache are computed in portions, with what follows asked for ahead. */
static void test_forward_far(void **state)
{
    (void)state;
    for (size_t spec = 0; spec < SPECS; spec++)
        check_forward(problem_of(spec, 60, 5, (lam_lines){1, 4, 4101}), NULL);
}

/* A large output goes past the caches where its rows lie on whole vectors; its bits are the same. */
static void test_forward_streamed(void **state)
{
    lam_pool *pool;
    (void)state;
    assert_int_equal(lam_pool_create(2, &pool, NULL), LAM_OK);
    for (size_t spec = 0; spec < SPECS; spec++) {
        problem p = problem_of(spec, 4, 64, (lam_lines){1, 8, 4101});
        size_t floats = p.lines.steps * p.lines.inner * p.spec.hidden;
        float *y = aligned_alloc(64, floats * sizeof(float));
        ours o;
        problem_init(&p, 11);
        ours_init(&p, &o, pool, false);
        memset(y, 0xff, floats * sizeof(float));
        o.sweep.y = y;
        lam_sweeps_forward(&o.sweep, 1, pool, o.workspace);
        o.sweep.y = o.y + 1;
        lam_sweeps_forward(&o.sweep, 1, pool, o.workspace);
        assert_memory_equal(y, o.y + 1, floats * sizeof(float));
        ours_done(&o);
        problem_done(&p);
        free(y);
    }
    lam_pool_free(pool);
}

static void test_threads_give_the_same_bits(void **state)
{
    lam_pool *pool;
    (void)state;
    assert_int_equal(lam_pool_create(3, &pool, NULL), LAM_OK);
    for (size_t spec = 0; spec < SPECS; spec++) {
        problem problems[] = {problem_of(spec, 9, 33, (lam_lines){2, 6, 50}),
                              problem_of(spec, 9, 33, (lam_lines){1, 6, 59}),
                              problem_of(spec, 60, 5, (lam_lines){1, 4, 4101})};
        for (size_t i = 0; i < sizeof problems / sizeof problems[0]; i++) {
            problem p = problems[i];
            ours one, many;
            problem_init(&p, 7);
            ours_init(&p, &one, NULL, false);
            ours_init(&p, &many, pool, false);
            assert_memory_equal(one.y, many.y, p.rows * p.spec.hidden * sizeof(float));
            ours_done(&one);
            ours_done(&many);
            problem_done(&p);
        }
    }
    lam_pool_free(pool);
}

/* NaN in one line must reach that line's output from there on, and no other line. */
static void test_nan_stays_in_its_line(void **state)
{
    (void)state;
    for (size_t spec = 0; spec < SPECS; spec++) {
        problem p = problem_of(spec, 4, 16, (lam_lines){1, 5, 8});
        ours o;
        problem_init(&p, 3);
        p.x[(2 * 8 + 3) * 4 + 1] = NAN;
        ours_init(&p, &o, NULL, false);
        for (size_t r = 0; r < p.rows; r++) {
            bool poisoned = r % 8 == 3 && r / 8 >= 2;
            for (size_t u = 0; u < 16; u++)
                assert_int_equal(isnan(o.y[r * 16 + u]) != 0, poisoned);
        }
        ours_done(&o);
        problem_done(&p);
    }
}

/* d loss / d value by central differences on the reference. */
static void check_numeric(problem *p, const char *what, double *value, size_t n, const float *gradient)
{
    for (size_t i = 0; i < n; i++) {
        double old = value[i], step = 1e-5;
        value[i] = old + step;
        double up = reference(p);
        value[i] = old - step;
        double down = reference(p);
        value[i] = old;
        double expected = (up - down) / (2 * step), error = fabs(gradient[i] - expected);
        if (!(error <= 2e-4 * (1 + fabs(expected))))
            fail_msg("kind %d: %s[%zu] is %.9g, should be %.9g", (int)p->spec.kind, what, i,
                     (double)gradient[i], expected);
    }
}

typedef struct gradients {
    float *w_x, *w_h, *b_x, *b_h, *peep, *x, *g, *h0, *c0;
} gradients;

/* Forward and backward of a problem that is set up. */
static gradients gradients_of(const problem *p, lam_pool *pool)
{
    ours o;
    size_t hidden = p->spec.hidden, input = p->spec.input, n = p->gates * hidden;
    bool lstm = p->spec.kind == LAM_CELL_LSTM, light = p->spec.kind == LAM_CELL_LIGHT;
    ours_init(p, &o, pool, true);
    gradients d = {calloc(n * input, 4),   calloc(n * hidden, 4),        calloc(n, 4),
                   calloc(n, 4),           calloc(3 * hidden, 4),        calloc(p->rows * input, 4),
                   calloc(p->rows * n, 4), calloc(p->count * hidden, 4), calloc(p->count * hidden, 4)};
    lam_sweep_grad grad = {.dy = p->seed_y,
                           .lddy = hidden,
                           .dh_last = p->seed_h,
                           .dc_last = lstm ? p->seed_c : NULL,
                           .dx = p->projected ? NULL : d.x,
                           .lddx = input,
                           .dg = d.g,
                           .lddg = n,
                           .dw_x = p->projected ? NULL : d.w_x,
                           .dw_h = light ? NULL : d.w_h,
                           .db_x = d.b_x,
                           .db_h = d.b_h,
                           .dpeephole = p->spec.peephole ? d.peep : NULL,
                           .dh0 = d.h0,
                           .dc0 = lstm ? d.c0 : NULL};
    lam_sweeps_backward(&o.sweep, &grad, 1, pool, o.workspace);
    ours_done(&o);
    return d;
}

static void gradients_done(gradients *d)
{
    void *all[] = {d->w_x, d->w_h, d->b_x, d->b_h, d->peep, d->x, d->g, d->h0, d->c0};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
}

static void check_backward(problem p, lam_pool *pool)
{
    problem_init(&p, 11);
    size_t hidden = p.spec.hidden, input = p.spec.input, n = p.gates * hidden;
    bool lstm = p.spec.kind == LAM_CELL_LSTM, light = p.spec.kind == LAM_CELL_LIGHT;
    gradients d = gradients_of(&p, pool);
    check_numeric(&p, "b_x", p.b_x, n, d.b_x);
    check_numeric(&p, "b_h", p.b_h, n, d.b_h);
    if (!light)
        check_numeric(&p, "w_h", p.w_h, n * hidden, d.w_h);
    if (p.spec.peephole)
        check_numeric(&p, "peephole", p.peep, 3 * hidden, d.peep);
    if (!p.projected) {
        check_numeric(&p, "w_x", p.w_x, n * input, d.w_x);
        check_numeric(&p, "x", p.x, p.rows * input, d.x);
    }
    if (p.given_state) {
        check_numeric(&p, "h0", p.h0, p.count * hidden, d.h0);
        if (lstm)
            check_numeric(&p, "c0", p.c0, p.count * hidden, d.c0);
    }
    gradients_done(&d);
    problem_done(&p);
}

static void test_backward(void **state)
{
    (void)state;
    for (size_t spec = 0; spec < SPECS; spec++) {
        check_backward(problem_of(spec, 3, 5, (lam_lines){1, 4, 3}), NULL);
        check_backward(problem_of(spec, 2, 16, (lam_lines){1, 3, 2}), NULL);
        check_backward(problem_of(spec, 1, 1, (lam_lines){1, 1, 1}), NULL);
    }
}

static void test_backward_options(void **state)
{
    (void)state;
    for (size_t spec = 0; spec < SPECS; spec++) {
        for (size_t i = 1; i < 16; i++) {
            problem p = problem_of(spec, 2, 3, (lam_lines){2, 4, 3});
            p.reverse = i & 1;
            p.masked = i & 2;
            p.given_state = i & 4;
            p.projected = i & 8;
            check_backward(p, NULL);
        }
    }
}

static void test_recurrent_dropout(void **state)
{
    (void)state;
    for (size_t spec = 0; spec < SPECS; spec++) {
        for (size_t i = 0; i < 16 && specs[spec].kind != LAM_CELL_LIGHT && !specs[spec].reset_before; i++) {
            problem p = problem_of(spec, 2, 3 + i, (lam_lines){1, 4, 3});
            p.dropped = true;
            p.reverse = i & 1;
            p.masked = i & 2;
            p.given_state = i & 4;
            p.projected = i & 8;
            check_forward(p, NULL);
            p.spec.hidden = 3;
            check_backward(p, NULL);
        }
    }
}

/* Sums in another order: the same but for rounding. */
static void check_sums(const char *what, const float *again, const float *plain, size_t n)
{
    double largest = 1;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs((double)plain[i]));
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)again[i] - plain[i]) <= 1e-6 * largest))
            fail_msg("%s[%zu] is %.9g, without checkpoint %.9g", what, i, (double)again[i], (double)plain[i]);
}

static void check_checkpoint(problem p, size_t checkpoint, lam_pool *pool)
{
    problem_init(&p, 11);
    size_t hidden = p.spec.hidden, n = p.gates * hidden;
    gradients plain = gradients_of(&p, NULL);
    p.checkpoint = checkpoint;
    gradients again = gradients_of(&p, pool);
    assert_memory_equal(plain.x, again.x, p.rows * p.spec.input * sizeof(float));
    assert_memory_equal(plain.g, again.g, p.rows * n * sizeof(float));
    assert_memory_equal(plain.h0, again.h0, p.count * hidden * sizeof(float));
    assert_memory_equal(plain.c0, again.c0, p.count * hidden * sizeof(float));
    check_sums("w_x", again.w_x, plain.w_x, n * p.spec.input);
    check_sums("w_h", again.w_h, plain.w_h, n * hidden);
    check_sums("b_x", again.b_x, plain.b_x, n);
    check_sums("b_h", again.b_h, plain.b_h, n);
    check_sums("peephole", again.peep, plain.peep, 3 * hidden);
    gradients_done(&plain);
    gradients_done(&again);
    problem_done(&p);
}

/* Running forward again from kept states gives the gradients of the plain way. */
static void test_checkpoints(void **state)
{
    static const size_t checkpoints[] = {1, 4, 13, 100};
    lam_pool *pool;
    (void)state;
    assert_int_equal(lam_pool_create(3, &pool, NULL), LAM_OK);
    for (size_t spec = 0; spec < SPECS; spec++) {
        bool drops = specs[spec].kind != LAM_CELL_LIGHT && !specs[spec].reset_before;
        for (size_t i = 0; i < 32; i++) {
            problem p = problem_of(spec, 5, 18, (lam_lines){2, 13, i % 3 ? 29 : 1});
            p.reverse = i & 1;
            p.masked = i & 2;
            p.given_state = i & 4;
            p.projected = i & 8;
            p.dropped = (i & 16) && drops;
            check_checkpoint(p, checkpoints[i % 4], i % 2 ? pool : NULL);
        }
        check_checkpoint(problem_of(spec, 5, 18, (lam_lines){1, 30, 1}), 7, NULL);
    }
    lam_pool_free(pool);
}

/* bfloat16 products: 8 bits of mantissa in weights, inputs and states, so 2e-2 on outputs of order 1. */
static void check_bf16(problem p)
{
    ours o;
    p.spec.bf16 = true;
    problem_init(&p, 42);
    reference(&p);
    ours_init(&p, &o, NULL, false);
    check_close("y", o.y, p.y, p.rows * p.spec.hidden, 4e-2);
    check_close("h", o.h, p.h, p.count * p.spec.hidden, 4e-2);
    ours_done(&o);
    problem_done(&p);
}

static void test_bf16(void **state)
{
    static const size_t hidden[] = {1, 16, 17, 33, 64, 100};
    (void)state;
    for (size_t spec = 0; spec < SPECS; spec++) {
        if (specs[spec].activation == LAM_CELL_IDENTITY || specs[spec].activation == LAM_CELL_RELU)
            continue; /* unbounded: rounding errors grow with the outputs */
        for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++) {
            for (size_t option = 0; option < 16; option++) {
                problem p = problem_of(spec, 1 + 5 * i, hidden[i], (lam_lines){1, 14, option < 8 ? 33 : 1});
                p.reverse = option & 1;
                p.masked = option & 2;
                p.given_state = option & 4;
                check_bf16(p);
            }
        }
    }
}

static void test_bad_specs_are_refused(void **state)
{
    float w[64] = {0};
    lam_cell_weights weights = {w, w, NULL, NULL, NULL};
    lam_cell *cell = NULL;
    lam_error err;
    static const lam_cell_spec bad[] = {
        {.kind = LAM_CELL_LSTM, .input = 0, .hidden = 2},
        {.kind = LAM_CELL_LSTM, .input = 2, .hidden = 0},
        {.kind = LAM_CELL_LSTM, .input = 1 << 20, .hidden = 2},
        {.kind = LAM_CELL_LSTM, .input = 2, .hidden = 2, .peephole = true},
        {.kind = LAM_CELL_LSTM, .input = 2, .hidden = 2, .reset_before = true},
        {.kind = LAM_CELL_GRU, .input = 2, .hidden = 2, .peephole = true},
        {.kind = LAM_CELL_GRU, .input = 2, .hidden = 2, .activation = LAM_CELL_RELU},
        {.kind = LAM_CELL_GRU, .input = 2, .hidden = 2, .bf16 = true, .trainable = true},
        {.kind = (lam_cell_kind)9, .input = 2, .hidden = 2},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(lam_cell_create(&bad[i], &weights, &cell, &err), LAM_E_INVALID);
        assert_null(cell);
    }
    lam_cell_free(NULL);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward_sizes),
        cmocka_unit_test(test_forward_line_counts),
        cmocka_unit_test(test_forward_axes_masks_states),
        cmocka_unit_test(test_forward_far),
        cmocka_unit_test(test_forward_streamed),
        cmocka_unit_test(test_threads_give_the_same_bits),
        cmocka_unit_test(test_nan_stays_in_its_line),
        cmocka_unit_test(test_backward),
        cmocka_unit_test(test_backward_options),
        cmocka_unit_test(test_recurrent_dropout),
        cmocka_unit_test(test_checkpoints),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_bad_specs_are_refused),
    };
    return cmocka_run_group_tests_name("cell", tests, NULL, NULL);
}

int main(void)
{
    return every_isa(run);
}
