/* c += aᵀ · b over listed rows: gradients of weights from rows that are still in cache. Included by the form
 * files only. */
#include "core/rnn/kernels/tile.inc.h"

/* Elements [i, i + columns) x [j, j + vectors·LANES) of c; the last vector may be a part. */
INLINE void outer_tile(int columns, int vectors, const lam_outer *job, size_t i, size_t j)
{
    vf acc[TILE_MAX];
    size_t part = tile_part(j + (size_t)(vectors - 1) * LANES, job->n);
    float *c = job->c + i * job->ldc + j;
    UNROLL for (int e = 0; e < columns * vectors; e++) acc[e] = vf_set(0);
    for (size_t k = 0; k < job->rows; k++) {
        const float *a = job->a + (job->a_row ? job->a_row[k] : k) * job->lda + i;
        const float *b = job->b + (job->b_row ? job->b_row[k] : k) * job->ldb + j;
        vf right[4];
        UNROLL for (int v = 0; v < vectors - 1; v++) right[v] = vf_load(b + v * LANES);
        right[vectors - 1] = vf_load_part(b + (vectors - 1) * LANES, part);
        UNROLL for (int r = 0; r < columns; r++)
        {
            vf left = vf_set(a[r]);
            UNROLL for (int v = 0; v < vectors; v++) acc[r * vectors + v] =
                vf_fma(left, right[v], acc[r * vectors + v]);
        }
    }
    UNROLL for (int r = 0; r < columns; r++)
    {
        UNROLL for (int v = 0; v < vectors; v++)
        {
            size_t n = v == vectors - 1 ? part : LANES;
            float *at = c + (size_t)r * job->ldc + v * LANES;
            vf_store_part(at, n, vf_load_part(at, n) + acc[r * vectors + v]);
        }
    }
}

#define OUTER_CASE(columns, vectors, most)                                                                   \
    case columns:                                                                                            \
        if (columns <= most)                                                                                 \
            outer_tile(columns, vectors, job, i, j);                                                         \
        break
#define OUTER_GROUPS(vectors, most)                                                                          \
    static void outer_groups_##vectors(const lam_outer *job, size_t j)                                       \
    {                                                                                                        \
        for (size_t i = 0, n; i < job->m; i += n) {                                                          \
            n = tile_group(job->m - i, most);                                                                \
            switch (n) {                                                                                     \
                OUTER_CASE(1, vectors, most);                                                                \
                OUTER_CASE(2, vectors, most);                                                                \
                OUTER_CASE(3, vectors, most);                                                                \
                OUTER_CASE(4, vectors, most);                                                                \
                OUTER_CASE(5, vectors, most);                                                                \
                OUTER_CASE(6, vectors, most);                                                                \
                OUTER_CASE(7, vectors, most);                                                                \
                OUTER_CASE(8, vectors, most);                                                                \
                OUTER_CASE(9, vectors, most);                                                                \
                OUTER_CASE(10, vectors, most);                                                               \
                OUTER_CASE(11, vectors, most);                                                               \
                OUTER_CASE(12, vectors, most);                                                               \
            }                                                                                                \
        }                                                                                                    \
    }

OUTER_GROUPS(1, TILE_ROWS_2)
OUTER_GROUPS(2, TILE_ROWS_2)
OUTER_GROUPS(3, TILE_ROWS_4)
OUTER_GROUPS(4, TILE_ROWS_4)

static void outer(const lam_outer *job)
{
    static void (*const groups[])(const lam_outer *, size_t) = {outer_groups_1, outer_groups_2,
                                                                outer_groups_3, outer_groups_4};
    size_t vectors = lam_round_up(job->n, LANES) / LANES;
    for (size_t v = 0, width; v < vectors; v += width) {
        width = vectors - v < 4 ? vectors - v : 4;
        groups[width - 1](job, v * LANES);
    }
}
