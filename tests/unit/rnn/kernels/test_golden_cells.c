/* Cells against PyTorch: outputs, last states and all gradients of bidirectional RNN, LSTM and GRU layers, as
 * stored by tests/golden/make_rnn_cells.py. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/rnn/kernels/cell.h"
#include "tests/unit/rnn/kernels/every_isa.h"

static const char golden[] = "tests/golden/rnn_cells.bin";

static void check(const char *what, size_t n, const float *ours, const float *theirs)
{
    for (size_t i = 0; i < n; i++) {
        if (!(fabsf(ours[i] - theirs[i]) <= 1e-5f * (1 + fabsf(theirs[i]))))
            fail_msg("%s[%zu] is %.8g, PyTorch has %.8g", what, i, (double)ours[i], (double)theirs[i]);
    }
}

/* Parameters of one direction, or their gradients, in the file's order. */
typedef struct parameters {
    float *w_x, *w_h, *b_x, *b_h;
} parameters;

typedef struct golden_case {
    int32_t kind, steps, batch, input, hidden;
    float *x, *h0, *c0, *y, *h, *c, *dy, *dx;
    parameters w[2], dw[2];
} golden_case;

static float *take(FILE *f, size_t n)
{
    float *v = malloc(n * sizeof *v);
    assert_int_equal(fread(v, sizeof *v, n, f), n);
    return v;
}

static parameters take_parameters(FILE *f, size_t n, size_t input, size_t hidden)
{
    parameters p;
    p.w_x = take(f, n * input);
    p.w_h = take(f, n * hidden);
    p.b_x = take(f, n);
    p.b_h = take(f, n);
    return p;
}

static int read_case(FILE *f, golden_case *g)
{
    memset(g, 0, sizeof *g);
    if (fread(&g->kind, sizeof(int32_t), 5, f) != 5)
        return 0;
    bool lstm = g->kind == 2;
    size_t rows = (size_t)g->steps * (size_t)g->batch, hidden = (size_t)g->hidden, input = (size_t)g->input;
    size_t states = 2 * (size_t)g->batch * hidden, n = (lstm ? 4 : g->kind == 3 ? 3 : 1) * hidden;
    g->x = take(f, rows * input);
    g->h0 = take(f, states);
    g->c0 = lstm ? take(f, states) : NULL;
    for (int d = 0; d < 2; d++)
        g->w[d] = take_parameters(f, n, input, hidden);
    g->y = take(f, rows * 2 * hidden);
    g->h = take(f, states);
    g->c = lstm ? take(f, states) : NULL;
    g->dy = take(f, rows * 2 * hidden);
    g->dx = take(f, rows * input);
    for (int d = 0; d < 2; d++)
        g->dw[d] = take_parameters(f, n, input, hidden);
    return 1;
}

static void free_case(golden_case *g)
{
    void *all[] = {g->x,         g->h0,        g->c0,        g->y,         g->h,         g->c,
                   g->dy,        g->dx,        g->w[0].w_x,  g->w[0].w_h,  g->w[0].b_x,  g->w[0].b_h,
                   g->w[1].w_x,  g->w[1].w_h,  g->w[1].b_x,  g->w[1].b_h,  g->dw[0].w_x, g->dw[0].w_h,
                   g->dw[0].b_x, g->dw[0].b_h, g->dw[1].w_x, g->dw[1].w_h, g->dw[1].b_x, g->dw[1].b_h};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
}

static void check_case(const golden_case *g)
{
    size_t hidden = (size_t)g->hidden, input = (size_t)g->input, rows = (size_t)g->steps * (size_t)g->batch;
    size_t states = (size_t)g->batch * hidden;
    lam_cell_spec spec = {.kind = g->kind == 2   ? LAM_CELL_LSTM
                                  : g->kind == 3 ? LAM_CELL_GRU
                                                 : LAM_CELL_ELMAN,
                          .activation = g->kind == 1 ? LAM_CELL_RELU : LAM_CELL_TANH,
                          .input = input,
                          .hidden = hidden,
                          .trainable = true};
    size_t n = lam_cell_gates(spec.kind) * hidden;
    float *y = calloc(rows * 2 * hidden, 4), *h = calloc(2 * states, 4), *c = calloc(2 * states, 4);
    float *dx = calloc(rows * input, 4), *trace[2], *dw[2];
    lam_sweep sweeps[2];
    lam_sweep_grad grads[2];
    for (int d = 0; d < 2; d++) {
        lam_cell *cell;
        lam_cell_weights weights = {g->w[d].w_x, g->w[d].w_h, g->w[d].b_x, g->w[d].b_h, NULL};
        assert_int_equal(lam_cell_create(&spec, &weights, &cell, NULL), LAM_OK);
        float *at = dw[d] = calloc(n * (input + hidden + 2), 4);
        bool lstm = spec.kind == LAM_CELL_LSTM;
        sweeps[d] = (lam_sweep){.cell = cell,
                                .lines = {1, (size_t)g->steps, (size_t)g->batch},
                                .reverse = d == 1,
                                .x = g->x,
                                .ldx = input,
                                .y = y + (size_t)d * hidden,
                                .ldy = 2 * hidden,
                                .h0 = g->h0 + (size_t)d * states,
                                .c0 = lstm ? g->c0 + (size_t)d * states : NULL,
                                .h_last = h + (size_t)d * states,
                                .c_last = lstm ? c + (size_t)d * states : NULL};
        sweeps[d].trace = trace[d] = calloc(lam_sweep_trace_floats(&sweeps[d]), 4);
        grads[d] = (lam_sweep_grad){.dy = g->dy + (size_t)d * hidden,
                                    .lddy = 2 * hidden,
                                    .dx = dx,
                                    .lddx = input,
                                    .add_dx = d == 1,
                                    .dw_x = at,
                                    .dw_h = at + n * input,
                                    .db_x = at + n * (input + hidden),
                                    .db_h = at + n * (input + hidden + 1)};
    }
    void *workspace = aligned_alloc(64, lam_sweeps_workspace(sweeps, 2, NULL, true));
    lam_sweeps_forward(sweeps, 2, NULL, workspace);
    check("y", rows * 2 * hidden, y, g->y);
    check("h_n", 2 * states, h, g->h);
    if (g->c)
        check("c_n", 2 * states, c, g->c);
    lam_sweeps_backward(sweeps, grads, 2, NULL, workspace);
    check("dx", rows * input, dx, g->dx);
    for (int d = 0; d < 2; d++) {
        check("dw_ih", n * input, grads[d].dw_x, g->dw[d].w_x);
        check("dw_hh", n * hidden, grads[d].dw_h, g->dw[d].w_h);
        check("db_ih", n, grads[d].db_x, g->dw[d].b_x);
        check("db_hh", n, grads[d].db_h, g->dw[d].b_h);
        lam_cell_free((lam_cell *)sweeps[d].cell);
        free(trace[d]);
        free(dw[d]);
    }
    free(workspace);
    free(y);
    free(h);
    free(c);
    free(dx);
}

static void test_pytorch(void **state)
{
    FILE *f = fopen(golden, "rb");
    golden_case g;
    int cases = 0;
    (void)state;
    assert_non_null(f);
    for (; read_case(f, &g); cases++) {
        check_case(&g);
        free_case(&g);
    }
    fclose(f);
    assert_int_equal(cases, 4);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pytorch)};
    return cmocka_run_group_tests_name("golden cells", tests, NULL, NULL);
}

int main(void)
{
    return every_isa(run);
}
