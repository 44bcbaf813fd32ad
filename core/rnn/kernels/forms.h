/* The table of kernels that each instruction-set form provides (forms_plain.c, forms_avx2.c, forms_avx512.c),
 * and the job descriptions they take. Private to the kernels: layers use cell.h, gemm.h and the other
 * headers.
 *
 * Jobs are trusted: sizes were checked when the cell or layer was created. */
#ifndef LAMINA_RNN_KERNELS_FORMS_H
#define LAMINA_RNN_KERNELS_FORMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/rnn/kernels/cell.h"
#include "core/rnn/kernels/depthwise.h"
#include "core/rnn/kernels/gemm.h"

/* Weights [gates·units, depth] packed in panels. A panel holds `width` vectors of units (fewer in the last
 * one) with all their gates: for k < depth, for u < width, for g < gates: one vector. Units are padded with
 * zeros to whole vectors. The accumulators of one panel for a few rows fill the registers. */
typedef struct lam_packed {
    size_t gates, units, depth, width;
    float *data;
} lam_packed;

/* out = end(init + a · Wᵀ), row by row. Vector (gate g, unit j) of row r is at out[r·ldo + g·out_gate + j].
 */
typedef struct lam_product {
    const lam_packed *weights;
    size_t rows;
    const float *a; /* row r: a + (a_rows ? a_rows[r] : r) · lda */
    size_t lda;
    const size_t *a_rows;
    const float *init; /* row r: init + r · ldi; ldi 0 repeats a bias; NULL: zero */
    size_t ldi, init_gate, init_units;
    float *out;
    size_t ldo, out_gate, out_units; /* units to write: the real number, or the padded one */
    const size_t *out_rows;          /* rows of out, and of init when ldi is not 0; NULL: 0, 1, … */
    bool relu;
} lam_product;

/* c [m, n] += Σ a[a_row][0…m) ⊗ b[b_row][0…n) over the listed rows: gradients of weights, without copying the
 * rows. */
typedef struct lam_outer {
    size_t rows;
    const size_t *a_row, *b_row; /* NULL: 0, 1, … */
    const float *a, *b;
    size_t lda, ldb, m, n;
    float *c;
    size_t ldc;
} lam_outer;

/* One time step of a block of lines; of the light cell, whose products do not wait for the step before,
 * several. States are [lines, stride], padded to whole vectors. */
typedef struct lam_step {
    const struct lam_cell *cell;
    size_t lines;
    size_t steps; /* LIGHT; what is said below of line j is at step e said of j + e · step_rows */
    size_t step_rows;
    const size_t *rows; /* tensor row of each line at this step */
    const float
        *x; /* operand of the input product: line j at x + (x_rows ? x_rows[j] : j) · ldx; NULL with g */
    size_t ldx;
    const size_t *x_rows;
    const float *g; /* projected input: row j at g + (g_rows ? g_rows[j] : j) · ldg */
    const size_t *g_rows;
    size_t ldg, g_gate, g_units;
    const float *h, *c;
    float *h_next, *c_next;
    size_t stride;
    const float *h_operand; /* operand of the recurrent product: h, or in the bf16 form h as bfloat16 pairs */
    float *h_operand_next;  /* bf16 only, else NULL */
    size_t h_stride;
    bool first;    /* h and c are zero: no product */
    bool downward; /* batch of one: run through the weights from the end, so that the part still in L1 is used
                    */
    float *y;      /* by rows[]; NULL: not wanted */
    size_t ldy;
    bool stream;  /* y past the caches: rows are aligned and whole vectors wide */
    float *trace; /* by trace_rows[]; NULL: inference */
    const size_t *trace_rows;
    size_t trace_width;
    float *scratch; /* [lines, 3·stride] for cells that need a second product */
} lam_step;

/* One step back. On entry dh, dc hold the gradients with respect to this step's states; on exit those of the
 * previous step, without the part that goes through W_h, which the caller adds as a product. */
typedef struct lam_step_back {
    const struct lam_cell *cell;
    size_t lines;
    const size_t *rows;
    const size_t *trace_rows;
    const size_t *trace_rows_before; /* of the previous step, for c */
    const float *c_before;           /* where the trace has no previous step: [lines, stride]; else NULL */
    const float *dy;
    size_t lddy;
    float *trace;
    size_t trace_width;
    float *dh, *dc;
    size_t stride;
} lam_step_back;

typedef struct lam_forms {
    size_t lanes;
    size_t product_width; /* vectors a panel of a one-gate product has at most */

    bool bf16;

    void (*product)(const lam_product *job);
    void (*outer)(const lam_outer *job);
    void (*step[4])(const lam_step *step); /* by lam_cell_kind */
    void (*step_peephole)(const lam_step *step);
    void (*step_reset_before)(const lam_step *step);
    void (*back[4])(const lam_step_back *step);
    void (*back_peephole)(const lam_step_back *step);
    /* The two halves of the step back of a GRU with reset_before, around the product that gives d(r·h). */
    void (*back_candidate)(const lam_step_back *step);
    void (*back_reset)(const lam_step_back *step, const float *drh);

    /* n floats to n/2 (rounded up) pairs of bfloat16, an odd one paired with 0; in the bf16 form only. */
    void (*to_bf16)(size_t n, const float *x, float *pairs);

    void (*exp)(size_t n, const float *x, float *y);
    void (*tanh)(size_t n, const float *x, float *y);
    void (*sigmoid)(size_t n, const float *x, float *y);
    void (*relu)(size_t n, const float *x, float *y);
    void (*tanh_back)(size_t n, const float *y, const float *dy, float *dx);
    void (*sigmoid_back)(size_t n, const float *y, const float *dy, float *dx);
    void (*relu_back)(size_t n, const float *y, const float *dy, float *dx);
    void (*axpy)(size_t n, float a, const float *x, float *y);
    void (*softmax)(size_t n, const float *x, float *y);
    void (*log_softmax)(size_t n, const float *x, float *y);
    float (*sum)(size_t n, const float *x);
    float (*dot)(size_t n, const float *x, const float *y);
    /* sums [n] += column sums of a over the listed rows (NULL: 0, 1, …). */
    void (*add_columns)(size_t rows, const size_t *row, size_t n, const float *a, size_t lda, float *sums);

    void (*norm)(size_t channels, const float *x, const float *gamma, const float *beta, float epsilon,
                 float *y, float *stats);
    void (*norm_back)(size_t channels, const float *x, const float *gamma, const float *stats,
                      const float *dy, float *dx);
    /* dgamma, dbeta [n] += sums over all rows; either may be NULL. */
    void (*norm_back_sums)(size_t rows, size_t n, const float *x, size_t ldx, const float *stats,
                           const float *dy, size_t lddy, float *dgamma, float *dbeta);

    /* The row of outputs at (z, y) of one sample; `mirror` runs the kernel backwards. */
    void (*depthwise)(const lam_depthwise *shape, size_t z, size_t y, const float *x, const float *w,
                      const float *bias, bool add_input, bool mirror, float *out);
    /* dw of kernel slice tap_z, channels [first, first + count), count <= lanes, of one sample. */
    void (*depthwise_weights)(const lam_depthwise *shape, size_t first, size_t count, size_t tap_z,
                              const float *x, const float *dy, float *dw);
} lam_forms;

/* The form that lam_cpu_isa() chose. */
const lam_forms *lam_forms_get(void);

/* The form whose products take bfloat16 pairs, with steps only; NULL where the processor has no AVX512-BF16.
 */
const lam_forms *lam_forms_get_bf16(void);

extern const lam_forms lam_forms_plain;
#if defined(__x86_64__)
extern const lam_forms lam_forms_avx2, lam_forms_avx512, lam_forms_bf16;
#endif

/* Packing (pack.c). Fills the inputs [first, first + depth) of every output; element (g, unit, k) of the
 * source is w[(g·units + unit) · row + k · column]. What is never filled stays zero. */
typedef struct lam_pack_source {
    const float *w;
    size_t row, column;
} lam_pack_source;
lam_status lam_packed_init(lam_packed *packed, size_t lanes, size_t gates, size_t units, size_t depth,
                           size_t width, lam_error *err);
void lam_packed_fill(const lam_packed *packed, size_t lanes, size_t first, size_t depth,
                     lam_pack_source source);
void lam_packed_done(lam_packed *packed);

/* The same for the bf16 form: `depth` inputs in pairs, so packed->depth is half of it, rounded up. */
void lam_packed_fill_bf16(const lam_packed *packed, size_t lanes, size_t depth, lam_pack_source source);

/* 64-byte aligned memory, zeroed; freed with free(). NULL when there is none or the size overflows. */
float *lam_floats(size_t count);

static inline size_t lam_round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* The packed cell. Padded sizes are multiples of the form's lanes. */
struct lam_cell {
    lam_cell_spec spec;
    const lam_forms *forms;
    size_t gates, slots, padded; /* slots: accumulators a unit needs (the GRU's n has two) */
    lam_packed x, h;             /* h: all gates; with reset_before r and z only */
    lam_packed h_n;              /* reset_before: the candidate */
    lam_packed h_back;           /* trainable: W_hᵀ over the trace's gradient columns */
    lam_packed h_n_back;         /* trainable, reset_before */
    lam_packed x_back;           /* trainable: W_xᵀ, for dx */
    float *bias;                 /* [slots, padded] */
    float *input_bias;           /* [gates·hidden] */
    float *peephole;             /* [3, padded] or NULL */
};

/* Where the trace of a row keeps what, in units of the cell's padded hidden size.
 *   LSTM   forward i f g o | c | h_before      backward di df dg do | c | h_before
 *   GRU    forward n r z hn | h_before         backward dn dr dz dn·r | h_before
 *   GRU b. forward n r z r·h | h_before        backward dn dr dz r·h | h_before     (reset_before)
 *   ELMAN  forward y | h_before                backward d | h_before
 *   LIGHT  forward u z | h_before              backward du dz | h_before */
/* Where gradients of the gates lie in a trace row, in units: of the x parts and of the h parts in gate order,
 * with the other factor of the gradient of W_h. What leads back through W_h is h_count units from h_first on,
 * through W_x x_count units from 0 on. */
typedef struct lam_trace_columns {
    size_t x[4], h[4], h_right[4], h_first, h_count;
} lam_trace_columns;

const lam_trace_columns *lam_trace_columns_of(const lam_cell_spec *spec);

/* Floats from one row of a trace to the next. */
size_t lam_trace_width(const lam_cell_spec *spec);

#endif
