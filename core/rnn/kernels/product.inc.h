/* out = end(init + a · Wᵀ) from packed panels: projections, dense layers, and the step back through W_h.
 * Included by the form files only. */
#ifndef LAMINA_RNN_KERNELS_PRODUCT_INC_H
#define LAMINA_RNN_KERNELS_PRODUCT_INC_H

#include "core/rnn/kernels/tile.inc.h"

/* One panel: where its weights are and where each of its vectors goes. */
typedef struct product_panel {
    const float *w;
    size_t init[4], out[4], init_part[4], out_part[4];
} product_panel;

static product_panel product_panel_of(const lam_product *job, size_t first_vector, size_t width)
{
    const lam_packed *packed = job->weights;
    product_panel panel = {
        packed->data + first_vector * packed->gates * packed->depth * LANES, {0}, {0}, {0}, {0}};
    for (size_t v = 0; v < width * packed->gates; v++) {
        size_t gate = v % packed->gates, unit = (first_vector + v / packed->gates) * LANES;
        panel.init[v] = gate * job->init_gate + unit;
        panel.out[v] = gate * job->out_gate + unit;
        panel.init_part[v] = tile_part(unit, job->init_units);
        panel.out_part[v] = tile_part(unit, job->out_units);
    }
    return panel;
}

INLINE void product_tile(int rows, int vectors, const lam_product *job, const product_panel *panel,
                         size_t first)
{
    vf acc[TILE_MAX];
    const float *a[12];
    UNROLL for (int r = 0; r < rows; r++)
    {
        size_t row = first + (size_t)r;
        a[r] = job->a + (job->a_rows ? job->a_rows[row] : row) * job->lda;
        const float *init = job->init + (job->out_rows ? job->out_rows[row] : row) * job->ldi;
        UNROLL for (int v = 0; v < vectors; v++) acc[r * vectors + v] =
            job->init ? vf_load_part(init + panel->init[v], panel->init_part[v]) : vf_set(0);
    }
    tile_rows(rows, vectors, vectors, vectors - 1, acc, panel->w, job->weights->depth, a);
    UNROLL for (int r = 0; r < rows; r++)
    {
        size_t row = first + (size_t)r;
        float *out = job->out + (job->out_rows ? job->out_rows[row] : row) * job->ldo;
        UNROLL for (int v = 0; v < vectors; v++)
        {
            vf y = acc[r * vectors + v];
            if (job->relu)
                y = vf_max(vf_set(0), y);
            vf_store_part(out + panel->out[v], panel->out_part[v], y);
        }
    }
}

/* All rows of one panel, in groups of at most `most`; cases above it are dead code. */
#define PRODUCT_CASE(rows, vectors, most)                                                                    \
    case rows:                                                                                               \
        if (rows <= most)                                                                                    \
            product_tile(rows, vectors, job, panel, first);                                                  \
        break
#define PRODUCT_GROUPS(vectors, most)                                                                        \
    static void product_groups_##vectors(const lam_product *job, const product_panel *panel)                 \
    {                                                                                                        \
        for (size_t first = 0, n; first < job->rows; first += n) {                                           \
            n = tile_group(job->rows - first, most);                                                         \
            switch (n) {                                                                                     \
                PRODUCT_CASE(1, vectors, most);                                                              \
                PRODUCT_CASE(2, vectors, most);                                                              \
                PRODUCT_CASE(3, vectors, most);                                                              \
                PRODUCT_CASE(4, vectors, most);                                                              \
                PRODUCT_CASE(5, vectors, most);                                                              \
                PRODUCT_CASE(6, vectors, most);                                                              \
                PRODUCT_CASE(8, vectors, most);                                                              \
                PRODUCT_CASE(7, vectors, most);                                                              \
                PRODUCT_CASE(9, vectors, most);                                                              \
                PRODUCT_CASE(10, vectors, most);                                                             \
                PRODUCT_CASE(11, vectors, most);                                                             \
                PRODUCT_CASE(12, vectors, most);                                                             \
            }                                                                                                \
        }                                                                                                    \
    }

PRODUCT_GROUPS(1, TILE_ROWS_2)
PRODUCT_GROUPS(2, TILE_ROWS_2)
PRODUCT_GROUPS(3, TILE_ROWS_4)
PRODUCT_GROUPS(4, TILE_ROWS_4)

static void product(const lam_product *job)
{
    static void (*const groups[])(const lam_product *, const product_panel *) = {
        product_groups_1, product_groups_2, product_groups_3, product_groups_4};
    const lam_packed *packed = job->weights;
    size_t vectors = lam_round_up(packed->units, LANES) / LANES;
    for (size_t v = 0, width; v < vectors; v += width) {
        width = vectors - v < packed->width ? vectors - v : packed->width;
        product_panel panel = product_panel_of(job, v, width);
        groups[width * packed->gates - 1](job, &panel);
    }
}

#endif
