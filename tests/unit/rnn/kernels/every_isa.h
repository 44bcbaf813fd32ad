/* Runs a test program's groups once for each instruction set this processor has: each in a child process,
 * since the kernels read LAMINA_ISA once. */
#ifndef LAMINA_TESTS_EVERY_ISA_H
#define LAMINA_TESTS_EVERY_ISA_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/rnn/kernels/cpu.h"

/* Returns the number of instruction sets on which `run` failed. */
static inline int every_isa(int (*run)(void))
{
    int failed = 0;
    for (int isa = 0; isa < LAM_ISA_COUNT; isa++) {
        const char *name = lam_cpu_isa_name((lam_isa)isa);
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            setenv("LAMINA_ISA", name, 1);
            if (lam_cpu_isa() != (lam_isa)isa) {
                printf("skipped: this processor has no %s\n", name);
                exit(0);
            }
            printf("# instruction set %s\n", name);
            exit(run() ? 1 : 0);
        }
        int status = 1;
        if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0)
            failed++;
    }
    return failed;
}

/* Numbers in [-scale, scale] from a small generator, the same on every run. */
static inline float random_float(unsigned *state, float scale)
{
    *state = *state * 1664525u + 1013904223u;
    return ((float)(*state >> 8) / 8388608.0f - 1.0f) * scale;
}

static inline float *random_floats(unsigned *state, size_t count, float scale)
{
    float *values = (float *)malloc((count ? count : 1) * sizeof *values);
    for (size_t i = 0; values && i < count; i++)
        values[i] = random_float(state, scale);
    return values;
}

#endif
