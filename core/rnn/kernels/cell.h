/* Recurrent cells, swept along one axis of a channels-last tensor: the engine's own kernels.
 *
 * A `lam_cell` is the packed, immutable weights of one direction. A `lam_sweep` says along which lines of
 * which tensor it runs. Several sweeps (two directions of a layer, six of a volume) run in one call, each
 * writing its slice of a concatenated output. Blocks of lines stay in cache through all their steps; product,
 * bias, gates and state are one pass.
 *
 * Nothing here allocates or fails after lam_cell_create: a caller plans its workspace once. Functions are
 * safe from any thread as long as outputs and workspace are not shared. Results do not depend on the pool's
 * size.
 *
 * Gate order and layout are PyTorch's; b_x, b_h and gates are blocks of `hidden` rows:
 *
 *   kind    gates      h_t
 *   ELMAN   1          f(W_x x + b_x + W_h h + b_h)                             (Elman 1990)
 *   LSTM    4: i f g o c = σ(f)·c + σ(i)·tanh(g);  h = σ(o)·tanh(c)             (Hochreiter, Schmidhuber
 * 1997) GRU     3: r z n   n = tanh(W_xn x + b_xn + σ(r)·(W_hn h + b_hn)),          (Cho 2014, reset after:
 * PyTorch, h = (1-σ(z))·n + σ(z)·h                                   Keras reset_after, ONNX lbr = 1) GRU
 * with reset_before: n = tanh(W_xn x + b_xn + W_hn (σ(r)·h) + b_hn) LIGHT   2: u z     h = h + σ(z)·(u - h),
 * both from x alone                  (minGRU, Feng 2024)
 *
 * With peepholes (Gers 2000) the LSTM adds p_i·c, p_f·c to i, f (old c) and p_o·c to o (new c).
 * Activations are within 4e-7 absolute. NaN in a line stays in that line. */
#ifndef LAMINA_RNN_KERNELS_CELL_H
#define LAMINA_RNN_KERNELS_CELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "core/rnn/kernels/pool.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lam_cell_kind { LAM_CELL_ELMAN, LAM_CELL_LSTM, LAM_CELL_GRU, LAM_CELL_LIGHT } lam_cell_kind;

typedef enum lam_cell_activation {
    LAM_CELL_TANH,
    LAM_CELL_RELU,
    LAM_CELL_SIGMOID,
    LAM_CELL_IDENTITY,
    LAM_CELL_SOFTMAX /* over the units */
} lam_cell_activation;

typedef struct lam_cell_spec {
    lam_cell_kind kind;
    size_t input, hidden;           /* each 1 … 65536 */
    lam_cell_activation activation; /* ELMAN only: f */
    bool reset_before;              /* GRU only */
    bool peephole;                  /* LSTM only */
    bool trainable;                 /* also keeps what lam_sweeps_backward needs */
    bool bf16;                      /* products with weights and states rounded to bfloat16, sums in float32;
                                       inference only; float32 where the processor lacks AVX512-BF16 */
} lam_cell_spec;

/* Dense row-major weights, G = gates of the kind: w_x [G·hidden, input], w_h [G·hidden, hidden] (NULL for
 * LIGHT), b_x, b_h [G·hidden] (either NULL: zero), peephole [3·hidden] in order i f o (NULL without). */
typedef struct lam_cell_weights {
    const float *w_x, *w_h, *b_x, *b_h, *peephole;
} lam_cell_weights;

typedef struct lam_cell lam_cell;

/* Gates of a kind: 1, 4, 3, 2. */
size_t lam_cell_gates(lam_cell_kind kind);

/* Packs the weights (copied). LAM_E_INVALID for sizes, options or NULLs that the kind does not allow. */
lam_status lam_cell_create(const lam_cell_spec *spec, const lam_cell_weights *weights, lam_cell **cell,
                           lam_error *err);
void lam_cell_free(lam_cell *cell);

/* Packs new weights of the same shapes in place, without allocating; nobody may be using the cell. For
 * training, once an optimiser step. */
void lam_cell_update(lam_cell *cell, const lam_cell_weights *weights);

const lam_cell_spec *lam_cell_get_spec(const lam_cell *cell);

/* The bias [gates·hidden] to use when the caller makes the input projection itself (lam_sweep.g):
 * b_x + b_h, except that the GRU's b_hn stays inside the kernel. Borrowed; changes with lam_cell_update. */
const float *lam_cell_get_input_bias(const lam_cell *cell);

/* Lines of a tensor whose rows (positions) are numbered (o·steps + t)·inner + i: line l = o·inner + i visits
 * t = 0 … steps-1. [T,B,C] is {1,T,B}; [B,T,C] is {B,T,1}; axis z, y, x of [Z,Y,X,C] is {1,Z,Y·X}, {Z,Y,X},
 * {Z·Y,X,1}. */
typedef struct lam_lines {
    size_t outer, steps, inner;
} lam_lines;

/* One cell along one set of lines. Row r of a tensor with leading dimension ld is data + r·ld. */
typedef struct lam_sweep {
    const lam_cell *cell;
    lam_lines lines;
    bool reverse; /* visit t = steps-1 … 0; y stays at its position */

    /* Input: either x, rows of `input` floats, or g, rows of gates·hidden floats that already hold
     * x·W_xᵀ + lam_cell_get_input_bias. The other is NULL. */
    const float *x;
    size_t ldx;
    const float *g;
    size_t ldg;

    /* Output rows of `hidden` floats; NULL when only the last state is wanted. Must not overlap the input. */
    float *y;
    size_t ldy;

    /* States [outer·inner, hidden], dense, by line number. NULL: start at zero, last state not wanted.
     * c only for LSTM. */
    const float *h0, *c0;
    float *h_last, *c_last;

    /* Recurrent dropout: factors [outer·inner, hidden] on the h that W_h multiplies, one set for all steps of
     * a line (Gal, Ghahramani 2016); the state itself is not touched. NULL: none. Float32 cells with a W_h
     * only, and not with reset_before. */
    const float *mask;

    /* Valid positions of each line, or NULL for all. At t >= lengths[l] the state is kept and y is 0, so that
     * a reversed sweep starts at the line's last valid position (as PyTorch's packed sequences do). */
    const uint32_t *lengths;

    /* Training: lam_sweep_trace_floats, which forward fills and backward consumes (and overwrites). NULL for
     * inference. */
    float *trace;

    /* Training: 0 keeps in the trace what backward reads of every position. Otherwise forward keeps only the
     * states after every so many steps, and backward runs forward again from each, last to first (Chen 2016):
     * much less memory for a third more work. Gradients of weights are then summed in another order; all else
     * has the same bits. */
    size_t checkpoint;
} lam_sweep;

/* Floats that a training sweep keeps from forward to backward; reads cell, lines and checkpoint. */
size_t lam_sweep_trace_floats(const lam_sweep *sweep);

/* Bytes of workspace for lam_sweeps_forward (or, with `backward`, lam_sweeps_backward too) on these sweeps;
 * only cell, lines, checkpoint and whether x or g and a mask are given are read. Align to 64. */
size_t lam_sweeps_workspace(const lam_sweep *sweeps, size_t count, const lam_pool *pool, bool backward);

/* Runs the sweeps, split over the pool by blocks of lines. Their outputs must not overlap. */
void lam_sweeps_forward(const lam_sweep *sweeps, size_t count, lam_pool *pool, void *workspace);

/* Gradients of one sweep. Parameter gradients are added to what is there; each may be NULL where not wanted.
 */
typedef struct lam_sweep_grad {
    const float *dy; /* rows of `hidden` floats; NULL: zero (only the last state was used) */
    size_t lddy;
    const float *dh_last, *dc_last; /* [lines, hidden]; NULL: zero */

    float *dx; /* rows of `input` floats; the sweep needs x; NULL: not wanted */
    size_t lddx;
    bool add_dx; /* dx += instead of dx = : directions that share an input */
    float *dg; /* rows of gates·hidden floats, written: gradient of g, for callers that project themselves */
    size_t lddg;
    float *dw_x, *dw_h, *db_x, *db_h, *dpeephole; /* dw_x needs the sweep's x; db_x also serves as the
                                                     gradient of a bias that the caller added into g */
    float *dh0, *dc0;                             /* [lines, hidden], written */
} lam_sweep_grad;

/* Back-propagation through time of sweeps that ran forward with a trace. Uses all of the sweep but
 * y and the last states; with a checkpoint no gradient may lie where x or g does. Parameter sums run in a
 * fixed order. Cells with bf16 or reading g and asked for dx or dw_x are programmer errors. */
void lam_sweeps_backward(const lam_sweep *sweeps, const lam_sweep_grad *grads, size_t count, lam_pool *pool,
                         void *workspace);

#ifdef __cplusplus
}
#endif
#endif
