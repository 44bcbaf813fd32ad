/* bench-engine THREADS [FILTER]: the speed of the recurrent kernels, a line a case.
 *
 * Forward passes of the classic shapes come in the form that the peers' programs print, so that one table
 * takes both:  ours t1 LSTM/64,1,64,64/uni  12.3 us [12..13]  99.9 GFLOP/s  (median [least..most] of five
 * rounds). Three more sets put the rate first, so that the table leaves them out: `sweep` (volume axes: many
 * short lines, both directions), `train` (forward and backward with all gradients) and `bf16` (products in
 * bfloat16). FILTER is a part of the case's name, such as LSTM, /64,1, train or sweep-GRU. Not a test: it
 * judges nothing. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/rnn/kernels/cell.h"
#include "core/rnn/kernels/cpu.h"

static const struct {
    const char *name;
    lam_cell_kind kind;
} kinds[] = {
    {"LSTM", LAM_CELL_LSTM}, {"GRU", LAM_CELL_GRU}, {"RNN", LAM_CELL_ELMAN}, {"LIGHT", LAM_CELL_LIGHT}};
enum { KINDS = sizeof kinds / sizeof kinds[0], ROUNDS = 5 };

typedef struct shape {
    size_t steps, batch, input, hidden;
} shape;

static const shape classic[] = {{64, 1, 64, 64},    {128, 1, 128, 128},   {28, 32, 28, 64},
                                {64, 64, 64, 64},   {128, 128, 128, 128}, {256, 32, 256, 256},
                                {512, 256, 64, 64}, {48, 1024, 32, 64}};
static const shape sweeps[] = {
    {25, 324, 16, 16}, {25, 324, 64, 16}, {25, 324, 32, 32}, {25, 324, 64, 32}, {25, 324, 64, 64}};
static const shape training[] = {{28, 32, 28, 64}, {64, 32, 64, 64}, {128, 32, 128, 64}, {64, 64, 64, 64}};

/* What is measured. */
typedef struct layer {
    shape shape;
    size_t directions;
    bool train;
    lam_cell *cells[2];
    lam_sweep sweeps[2];
    lam_sweep_grad grads[2];
    float *x, *y, *dy, *dx, *trace[2], *gradients[2], *w;
    void *workspace;
    lam_pool *pool;
} layer;

static void *memory(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
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

static void layer_init(layer *l, lam_cell_kind kind, shape s, size_t directions, bool train, bool bf16,
                       lam_pool *pool)
{
    size_t rows = s.steps * s.batch, n = lam_cell_gates(kind) * s.hidden;
    memset(l, 0, sizeof *l);
    l->shape = s;
    l->directions = directions;
    l->train = train;
    l->pool = pool;
    l->x = noise(rows * s.input, 2.0f);
    l->y = memory(rows * s.hidden * directions * sizeof(float));
    l->dy = noise(train ? rows * s.hidden * directions : 1, 1.0f);
    l->dx = memory(train ? rows * s.input * sizeof(float) : 1);
    l->w = noise(n * (s.input + s.hidden + 2), 0.2f);
    lam_cell_spec spec = {
        .kind = kind, .input = s.input, .hidden = s.hidden, .trainable = train, .bf16 = bf16};
    lam_cell_weights weights = {l->w, l->w + n * s.input, l->w + n * (s.input + s.hidden),
                                l->w + n * (s.input + s.hidden + 1), NULL};
    for (size_t d = 0; d < directions; d++) {
        lam_error err;
        if (lam_cell_create(&spec, &weights, &l->cells[d], &err) != LAM_OK) {
            fprintf(stderr, "%s\n", err.message);
            exit(1);
        }
        l->sweeps[d] = (lam_sweep){.cell = l->cells[d],
                                   .lines = {1, s.steps, s.batch},
                                   .reverse = d > 0,
                                   .x = l->x,
                                   .ldx = s.input,
                                   .y = l->y + d * s.hidden,
                                   .ldy = directions * s.hidden};
        if (train)
            layer_init_training(l, d);
    }
    l->workspace = memory(lam_sweeps_workspace(l->sweeps, directions, pool, train));
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

static void layer_run(layer *l)
{
    lam_sweeps_forward(l->sweeps, l->directions, l->pool, l->workspace);
    if (l->train)
        lam_sweeps_backward(l->sweeps, l->grads, l->directions, l->pool, l->workspace);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Microseconds a run, sorted, as the peers measure it. */
static void layer_time(layer *l, double us[ROUNDS])
{
    layer_run(l);
    double start = seconds();
    layer_run(l);
    double runs = floor(0.07 / (seconds() - start));
    runs = runs < 1 ? 1 : runs > 2000 ? 2000 : runs;
    for (int r = 0; r < ROUNDS; r++) {
        start = seconds();
        for (int i = 0; i < (int)runs; i++)
            layer_run(l);
        us[r] = (seconds() - start) / runs * 1e6;
    }
    qsort(us, ROUNDS, sizeof us[0], compare);
}

/* Multiply-adds of the products, twice; backward counts as two forward passes, as the peers count it. */
static double layer_flops(const layer *l, lam_cell_kind kind)
{
    shape s = l->shape;
    double inputs = (double)(kind == LAM_CELL_LIGHT ? s.input : s.input + s.hidden);
    double forward =
        2.0 * (double)(s.steps * s.batch * lam_cell_gates(kind) * s.hidden * l->directions) * inputs;
    return l->train ? 3 * forward : forward;
}

static void bench_case(const char *set, size_t k, shape s, size_t directions, lam_pool *pool,
                       const char *filter)
{
    char name[96];
    snprintf(name, sizeof name, "%s%s%s/%zu,%zu,%zu,%zu/%s", set, *set ? "-" : "", kinds[k].name, s.steps,
             s.batch, s.input, s.hidden, directions == 2 ? "bi" : "uni");
    if (!strstr(name, filter))
        return;
    layer l;
    double us[ROUNDS];
    layer_init(&l, kinds[k].kind, s, directions, strstr(set, "train") != NULL, strcmp(set, "bf16") == 0,
               pool);
    layer_time(&l, us);
    double rate = layer_flops(&l, kinds[k].kind) / us[ROUNDS / 2] / 1e3;
    if (*set)
        printf("ours t%zu %-34s %7.2f GFLOP/s %10.1f us [%.1f..%.1f]\n", lam_pool_threads(pool), name, rate,
               us[ROUNDS / 2], us[0], us[ROUNDS - 1]);
    else
        printf("ours t%zu %-28s %10.1f us [%.1f..%.1f] %7.2f GFLOP/s\n", lam_pool_threads(pool), name,
               us[ROUNDS / 2], us[0], us[ROUNDS - 1], rate);
    fflush(stdout);
    layer_done(&l);
}

static void bench_set(const char *set, const shape *shapes, size_t count, size_t directions, lam_pool *pool,
                      const char *filter)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < KINDS; k++) {
            for (size_t d = directions == 0 ? 1 : directions; d <= (directions ? directions : 2); d++)
                bench_case(set, k, shapes[i], d, pool, filter);
        }
    }
}

#define SET(name, shapes, directions)                                                                        \
    bench_set(name, shapes, sizeof shapes / sizeof shapes[0], directions, pool, filter)

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
    if (lam_pool_create(threads, &pool, &err) != LAM_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    printf("# kernels %s\n", lam_cpu_isa_name(lam_cpu_isa()));
    SET("", classic, 0);
    SET("sweep", sweeps, 2);
    SET("sweep-train", sweeps, 2);
    SET("train", training, 1);
    if (lam_cpu_has_bf16())
        SET("bf16", classic, 1);
    lam_pool_free(pool);
    return 0;
}
