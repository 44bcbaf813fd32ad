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

/* A block on its way: state of the lines and the parts of the worker's scratch. */
typedef struct sweep_block {
    const lam_sweep *sweep;
    size_t first, lines, project; /* project: steps a chunk, 0 when fused or given */
    size_t at_once;   /* most steps a call: 1 but for the light cell; so many times lines are in rows */
    float *y, *trace; /* the sweep's; NULL: not written */
    size_t *rows, *trace_rows, *project_rows;
    float *h[2], *c[2], *g, *scratch;
    float *masked;               /* recurrent dropout: h as the product sees it */
    float *pairs_h[2], *pairs_x; /* bf16: operands of the products */
} sweep_block;

/* Lays the block's arrays out in scratch; returns the bytes used. With `scratch` NULL only measures. */
size_t sweep_block_layout(sweep_block *b, const lam_sweep *sweep, size_t lines, void *scratch);

/* Runs visited steps [from, to) from the states in h[from % 2], c[from % 2]; the last are in [to % 2]. */
void sweep_block_run(sweep_block *b, size_t from, size_t to);

/* Dense states [lines of the sweep, hidden] to the block's padded ones (NULL: zeros), and back (NULL: not
 * wanted). */
void sweep_states_load(const lam_sweep *sweep, size_t first, size_t lines, const float *from, float *states);
void sweep_states_save(const lam_sweep *sweep, size_t first, size_t lines, const float *states, float *to);

/* Where a sweep with a checkpoint keeps the states before visited step `step`, a multiple of the checkpoint
 * that is not 0: h, and after it the LSTM's c. */
float *sweep_kept_h(const lam_sweep *sweep, size_t step);
float *sweep_kept_c(const lam_sweep *sweep, size_t step);

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

/* How many to take of what is left, so that it goes in nearly equal parts of at most `most`. */
static inline size_t sweep_share(size_t left, size_t most)
{
    size_t parts = (left + most - 1) / most;
    return (left + parts - 1) / parts;
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
