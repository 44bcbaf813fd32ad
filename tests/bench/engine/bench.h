/* What the parts of bench-engine share: a clock, rounds, and the line of a case. */
#ifndef LAMINA_TESTS_BENCH_ENGINE_BENCH_H
#define LAMINA_TESTS_BENCH_ENGINE_BENCH_H

#include <stddef.h>

#include "core/base/status.h"
#include "core/rnn/kernels/pool.h"

enum { BENCH_ROUNDS = 5 };

/* Microseconds a run, in order. */
typedef struct bench_times {
    double us[BENCH_ROUNDS];
} bench_times;

/* Runs once to warm up and once to see how long it takes, then so many times a round that a round takes
 * `round_s`. A run that fails ends the program: the error says why. */
typedef lam_status bench_run(void *context, lam_error *err);
bench_times bench_time(bench_run *run, void *context, double round_s);

/* One case, in the form of the peers' programs; flops of one run, 0: no rate. */
void bench_print(const lam_pool *pool, const char *name, const bench_times *times, double flops);

/* Ends the program when `status` is an error. */
void bench_need(lam_status status, const lam_error *err);

/* Whole networks (bench_networks.c): the textbook network's training step, the hippocampus network's training
 * step and a volume's segmentation. `filter` as in bench_engine.c. */
void bench_networks(lam_pool *pool, const char *filter);

#endif
