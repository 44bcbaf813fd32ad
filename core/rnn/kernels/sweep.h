/* What forward and backward sweeps share: the partition into blocks of lines, and the walk along them.
 * Private. */
#ifndef LAMINA_RNN_KERNELS_SWEEP_H
#define LAMINA_RNN_KERNELS_SWEEP_H

#include "core/rnn/kernels/forms.h"

/* Lines of a block, which one thread carries through all steps. */
enum { SWEEP_BLOCK_LINES = 48 };

typedef struct sweep_blocks {
    size_t lines; /* of the sweep */
    size_t count; /* blocks */
} sweep_blocks;

/* Blocks of nearly equal size, at least one a thread where there are lines enough. */
sweep_blocks sweep_blocks_of(const lam_sweep *sweep, size_t threads);

/* Block i covers lines [sweep_block_begin(i), sweep_block_begin(i + 1)). */
static inline size_t sweep_block_begin(sweep_blocks blocks, size_t i)
{
    return blocks.lines / blocks.count * i +
           (i < blocks.lines % blocks.count ? i : blocks.lines % blocks.count);
}

/* Finds sweep and block of task number `task` when the blocks of all sweeps are numbered through. */
size_t sweep_of_task(const lam_sweep *sweeps, size_t count, size_t threads, size_t task, size_t *block);
size_t sweep_tasks(const lam_sweep *sweeps, size_t count, size_t threads);

/* Bytes of scratch a thread needs to run any block of the sweeps forward. */
size_t sweep_forward_scratch(const lam_sweep *sweeps, size_t count, size_t threads);

/* Tensor row of a line at step t. */
static inline size_t sweep_row(const lam_lines *lines, size_t line, size_t t)
{
    return (line / lines->inner * lines->steps + t) * lines->inner + line % lines->inner;
}

/* Rows of a block's lines at visited step `step` (t counts down when the sweep is reversed). */
static inline size_t sweep_time(const lam_sweep *sweep, size_t step)
{
    return sweep->reverse ? sweep->lines.steps - 1 - step : step;
}

/* Hands out parts of a workspace, each on its own cache lines. An address is a number here, so that a
 * workspace can be measured before there is one. */
static inline void *sweep_take(uintptr_t *at, size_t bytes)
{
    void *part = (void *)*at;
    *at += lam_round_up(bytes, 64);
    return part;
}

#endif
