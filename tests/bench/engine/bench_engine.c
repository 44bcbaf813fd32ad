/* bench-engine THREADS [FILTER]: the speed of the engine, a line a case.
 *
 * Forward passes of the classic shapes come in the form that the peers' programs print, so that one table
 * takes both:  ours t1 LSTM/64,1,64,64/uni  12.3 us [12..13]  99.9 GFLOP/s  (median [least..most] of five
 * rounds). More sets have their name before the cell's: `sweep` (volume axes: many short lines, both
 * directions) and `sweep-train`, `train` (forward and backward with all gradients), `long` and `checkpoint`
 * (the same of a long sequence, plainly and from states kept every 32 steps), `bf16` (products in bfloat16);
 * and whole networks (bench_networks.c). FILTER is a part of the case's name, such as LSTM, /64,1, train or
 * sweep-GRU. Not a test: it judges nothing. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rnn/arena.h"
#include "core/rnn/kernels/cell.h"
#include "core/rnn/kernels/cpu.h"
#include "tests/bench/engine/bench.h"

static const struct {
    const char *name;
    lam_cell_kind kind;
} kinds[] = {
    {"LSTM", LAM_CELL_LSTM}, {"GRU", LAM_CELL_GRU}, {"RNN", LAM_CELL_ELMAN}, {"LIGHT", LAM_CELL_LIGHT}};
enum { KINDS = sizeof kinds / sizeof kinds[0], CHECKPOINT = 32 };

typedef struct shape {
    size_t steps, batch, input, hidden;
} shape;

static const shape classic[] = {{64, 1, 64, 64},    {128, 1, 128, 128},   {28, 32, 28, 64},
                                {64, 64, 64, 64},   {128, 128, 128, 128}, {256, 32, 256, 256},
                                {512, 256, 64, 64}, {48, 1024, 32, 64}};
static const shape sweeps[] = {
    {25, 324, 16, 16}, {25, 324, 64, 16}, {25, 324, 32, 32}, {25, 324, 64, 32}, {25, 324, 64, 64}};
static const shape training[] = {{28, 32, 28, 64}, {64, 32, 64, 64}, {128, 32, 128, 64}, {64, 64, 64, 64}};
static const shape lasting[] = {{2048, 32, 64, 64}};

/* A kind of case. */
typedef struct case_set {
    const char *name;
    const shape *shapes;
    size_t count;
    size_t least_directions, most_directions;
    bool train, bf16;
    size_t checkpoint;
} case_set;

#define SHAPES(list) list, sizeof list / sizeof list[0]
static const case_set sets[] = {
    {"", SHAPES(classic), 1, 2, false, false, 0},
    {"sweep-", SHAPES(sweeps), 2, 2, false, false, 0},
    {"sweep-train-", SHAPES(sweeps), 2, 2, true, false, 0},
    {"train-", SHAPES(training), 1, 1, true, false, 0},
    {"long-", SHAPES(lasting), 1, 1, true, false, 0},
    {"checkpoint-", SHAPES(lasting), 1, 1, true, false, CHECKPOINT},
    {"bf16-", SHAPES(classic), 1, 1, false, true, 0},
};

/* What is measured. */
typedef struct layer {
    const case_set *set;
    shape shape;
    size_t directions;
    lam_cell *cells[2];
    lam_sweep sweeps[2];
    lam_sweep_grad grads[2];
    float *x, *y, *dy, *dx, *trace[2], *gradients[2], *w;
    void *workspace;
    lam_pool *pool;
} layer;

/* As a session has it. */
static void *memory(size_t bytes)
{
    void *p = lam_arena_allocate(bytes + LAM_ARENA_ALIGNMENT);
    if (!p) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    memset(p, 0, bytes);
    return p;
}

static float *noise(size_t count, float scale)
{
    static unsigned state = 1;
    float *p = memory(count * sizeof *p);
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        p[i] = ((float)(state >> 8) / 16777216.0f - 0.5f) * scale;
    }
    return p;
}

static void layer_init_training(layer *l, size_t d)
{
    const lam_cell_spec *spec = lam_cell_get_spec(l->cells[d]);
    size_t n = lam_cell_gates(spec->kind) * spec->hidden;
    float *g = l->gradients[d] = memory((n * (spec->input + spec->hidden) + 2 * n) * sizeof *g);
    l->trace[d] = memory(lam_sweep_trace_floats(&l->sweeps[d]) * sizeof(float));
    l->sweeps[d].trace = l->trace[d];
    l->grads[d] = (lam_sweep_grad){.dy = l->dy + d * spec->hidden,
                                   .lddy = l->directions * spec->hidden,
                                   .dx = l->dx,
                                   .lddx = spec->input,
                                   .add_dx = d > 0,
                                   .dw_x = g,
                                   .dw_h = g + n * spec->input,
                                   .db_x = g + n * (spec->input + spec->hidden),
                                   .db_h = g + n * (spec->input + spec->hidden + 1)};
}

static void layer_init(layer *l, const case_set *set, lam_cell_kind kind, shape s, size_t directions,
                       lam_pool *pool)
{
    size_t rows = s.steps * s.batch, n = lam_cell_gates(kind) * s.hidden;
    memset(l, 0, sizeof *l);
    l->shape = s;
    l->set = set;
    l->directions = directions;
    l->pool = pool;
    l->x = noise(rows * s.input, 2.0f);
    l->y = memory(rows * s.hidden * directions * sizeof(float));
    l->dy = noise(set->train ? rows * s.hidden * directions : 1, 1.0f);
    l->dx = memory(set->train ? rows * s.input * sizeof(float) : 1);
    l->w = noise(n * (s.input + s.hidden + 2), 0.2f);
    lam_cell_spec spec = {
        .kind = kind, .input = s.input, .hidden = s.hidden, .trainable = set->train, .bf16 = set->bf16};
    lam_cell_weights weights = {l->w, l->w + n * s.input, l->w + n * (s.input + s.hidden),
                                l->w + n * (s.input + s.hidden + 1), NULL};
    for (size_t d = 0; d < directions; d++) {
        lam_error err;
        bench_need(lam_cell_create(&spec, &weights, &l->cells[d], &err), &err);
        l->sweeps[d] = (lam_sweep){.cell = l->cells[d],
                                   .lines = {1, s.steps, s.batch},
                                   .reverse = d > 0,
                                   .checkpoint = set->checkpoint,
                                   .x = l->x,
                                   .ldx = s.input,
                                   .y = l->y + d * s.hidden,
                                   .ldy = directions * s.hidden};
        if (set->train)
            layer_init_training(l, d);
    }
    l->workspace = memory(lam_sweeps_workspace(l->sweeps, directions, pool, set->train));
}

static void layer_done(layer *l)
{
    void *all[] = {l->x,        l->y,        l->dy,           l->dx,           l->w,
                   l->trace[0], l->trace[1], l->gradients[0], l->gradients[1], l->workspace};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
    for (size_t d = 0; d < 2; d++)
        lam_cell_free(l->cells[d]);
}

static lam_status layer_run(void *context, lam_error *err)
{
    layer *l = context;
    (void)err;
    lam_sweeps_forward(l->sweeps, l->directions, l->pool, l->workspace);
    if (l->set->train)
        lam_sweeps_backward(l->sweeps, l->grads, l->directions, l->pool, l->workspace);
    return LAM_OK;
}

/* Multiply-adds of the products, twice; backward counts as two forward passes, as the peers count it. */
static double layer_flops(const layer *l, lam_cell_kind kind)
{
    shape s = l->shape;
    double inputs = (double)(kind == LAM_CELL_LIGHT ? s.input : s.input + s.hidden);
    double forward =
        2.0 * (double)(s.steps * s.batch * lam_cell_gates(kind) * s.hidden * l->directions) * inputs;
    return l->set->train ? 3 * forward : forward;
}

static void bench_case(const case_set *set, size_t k, shape s, size_t directions, lam_pool *pool,
                       const char *filter)
{
    char name[96];
    snprintf(name, sizeof name, "%s%s/%zu,%zu,%zu,%zu/%s", set->name, kinds[k].name, s.steps, s.batch,
             s.input, s.hidden, directions == 2 ? "bi" : "uni");
    if (!strstr(name, filter))
        return;
    layer l;
    layer_init(&l, set, kinds[k].kind, s, directions, pool);
    bench_times times = bench_time(layer_run, &l, 0.07);
    bench_print(pool, name, &times, layer_flops(&l, kinds[k].kind));
    layer_done(&l);
}

static void bench_set(const case_set *set, lam_pool *pool, const char *filter)
{
    for (size_t i = 0; i < set->count && (!set->bf16 || lam_cpu_has_bf16()); i++)
        for (size_t k = 0; k < KINDS; k++)
            for (size_t d = set->least_directions; d <= set->most_directions; d++)
                bench_case(set, k, set->shapes[i], d, pool, filter);
}

int main(int argc, char **argv)
{
    unsigned long threads = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    if (argc < 2 || argc > 3 || threads < 1 || threads > 1024) {
        fprintf(stderr, "usage: %s THREADS [FILTER]\n", argv[0]);
        return 2;
    }
    lam_cpu_reexec_for_openblas(argv);
    const char *filter = argc > 2 ? argv[2] : "";
    lam_pool *pool = NULL;
    lam_error err;
    bench_need(lam_pool_create(threads, &pool, &err), &err);
    printf("# kernels %s\n", lam_cpu_isa_name(lam_cpu_isa()));
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
        bench_set(&sets[i], pool, filter);
    bench_networks(pool, filter);
    lam_pool_free(pool);
    return 0;
}
