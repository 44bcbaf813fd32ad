/* The inner product of every kernel: a register tile of a few rows times one panel of packed weights.
 *
 * `entities` below are rows of one panel or, for a single row, several panels: whatever fills the registers.
 * All int parameters are compile-time constants after inlining; accumulators stay in registers. Included by
 * the form files only. */
#ifndef LAMINA_RNN_KERNELS_TILE_INC_H
#define LAMINA_RNN_KERNELS_TILE_INC_H

#include "core/rnn/kernels/forms.h"
#include "core/rnn/kernels/vec.h"

#define UNROLL _Pragma("GCC unroll 32")

/* Rows of a tile of four vectors a row, three and fewer: accumulators, one panel row and a broadcast must fit
 * in 32 (AVX-512, NEON) or 16 registers. */
#if defined(__AVX512F__) || defined(__aarch64__)
enum { TILE_ROWS_4 = 6, TILE_ROWS_2 = 12 };
#elif defined(__AVX2__)
enum { TILE_ROWS_4 = 3, TILE_ROWS_2 = 5 };
#else
enum { TILE_ROWS_4 = 2, TILE_ROWS_2 = 4 };
#endif
enum { TILE_MAX = 32 };

/* acc[r·stride + v] += a[r][k] · w[k][v] over k < depth. The last of the `vectors` goes to accumulator
 * `last`. */
INLINE void tile_rows(int rows, int vectors, int stride, int last, vf *acc, const float *w, size_t depth,
                      const float *const *a)
{
    for (size_t k = 0; k < depth; k++, w += vectors * LANES) {
        vf row[4];
        UNROLL for (int v = 0; v < vectors; v++) row[v] = vf_load(w + v * LANES);
        UNROLL for (int r = 0; r < rows; r++)
        {
            vf b = vf_set(a[r][k]);
            UNROLL for (int v = 0; v < vectors; v++)
            {
                vf *sum = &acc[r * stride + (v == vectors - 1 ? last : v)];
                *sum = vf_mac(b, row[v], *sum);
            }
        }
    }
}

/* The same for one row and several panels, optionally from the last k to the first. */
INLINE void tile_panels(int panels, int vectors, int stride, int last, vf *acc, const float *w, size_t panel,
                        size_t depth, const float *a, bool downward)
{
    ptrdiff_t step = downward ? -1 : 1;
    const float *at[4], *end = downward ? a - 1 : a + depth;
    UNROLL for (int p = 0; p < panels; p++) at[p] =
        w + (size_t)p * panel + (downward ? (depth - 1) * (size_t)vectors * LANES : 0);
    for (a = downward ? a + depth - 1 : a; a != end; a += step) {
        vf b = vf_set(*a);
        UNROLL for (int p = 0; p < panels; p++)
        {
            UNROLL for (int v = 0; v < vectors; v++)
            {
                vf *sum = &acc[p * stride + (v == vectors - 1 ? last : v)];
                *sum = vf_mac(b, vf_load(at[p] + v * LANES), *sum);
            }
            at[p] += step * vectors * LANES;
        }
    }
}

/* The same for one row and one panel of one gate: four k at a time, each with its own sums, since one panel's
 * sums alone do not keep the multipliers busy. */
INLINE void tile_row(int vectors, vf *acc, const float *w, size_t depth, const float *a, bool downward)
{
    vf part[16];
    size_t fours = depth / 4;
    UNROLL for (int i = 0; i < 4 * vectors; i++) part[i] = i < vectors ? acc[i] : vf_set(0);
    for (size_t i = 0; i < fours; i++) {
        size_t k = 4 * (downward ? fours - 1 - i : i);
        const float *at = w + k * (size_t)vectors * LANES;
        UNROLL for (int j = 0; j < 4; j++)
        {
            vf b = vf_set(a[k + (size_t)j]);
            UNROLL for (int v = 0; v < vectors; v++) part[j * vectors + v] =
                vf_mac(b, vf_load(at + (j * vectors + v) * LANES), part[j * vectors + v]);
        }
    }
    for (size_t k = 4 * fours; k < depth; k++) {
        UNROLL for (int v = 0; v < vectors; v++) part[v] =
            vf_mac(vf_set(a[k]), vf_load(w + (k * (size_t)vectors + (size_t)v) * LANES), part[v]);
    }
    UNROLL for (int v = 0; v < vectors; v++) acc[v] =
        (part[v] + part[vectors + v]) + (part[2 * vectors + v] + part[3 * vectors + v]);
}

/* Rows of the next group when `left` rows remain: groups of nearly equal size, none larger than `most`. */
INLINE size_t tile_group(size_t left, size_t most)
{
    size_t groups = (left + most - 1) / most;
    return (left + groups - 1) / groups;
}

INLINE size_t tile_part(size_t unit, size_t units)
{
    return units <= unit ? 0 : units - unit < LANES ? units - unit : LANES;
}

#endif
