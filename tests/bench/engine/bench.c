/* The clock of bench-engine and the form of its lines. */
#include "tests/bench/engine/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void bench_need(lam_status status, const lam_error *err)
{
    if (status == LAM_OK)
        return;
    fprintf(stderr, "%s\n", err->message);
    exit(1);
}

static double seconds(void)
{
    /* Process time suits a busy machine and one thread. */
    clockid_t clock = getenv("BENCH_CPU_TIME") ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

bench_times bench_time(bench_run *run, void *context, double round_s)
{
    bench_times times;
    lam_error err;
    bench_need(run(context, &err), &err);
    double start = seconds();
    bench_need(run(context, &err), &err);
    double runs = floor(round_s / (seconds() - start));
    runs = runs < 1 ? 1 : runs > 2000 ? 2000 : runs;
    for (int r = 0; r < BENCH_ROUNDS; r++) {
        start = seconds();
        for (int i = 0; i < (int)runs; i++)
            bench_need(run(context, &err), &err);
        times.us[r] = (seconds() - start) / runs * 1e6;
    }
    qsort(times.us, BENCH_ROUNDS, sizeof times.us[0], compare);
    return times;
}

void bench_print(const lam_pool *pool, const char *name, const bench_times *times, double flops)
{
    double median = times->us[BENCH_ROUNDS / 2];
    printf("ours t%zu %-34s %10.1f us [%.1f..%.1f]", lam_pool_threads(pool), name, median, times->us[0],
           times->us[BENCH_ROUNDS - 1]);
    if (flops > 0)
        printf(" %7.2f GFLOP/s", flops / median / 1e3);
    printf("\n");
    fflush(stdout);
}
