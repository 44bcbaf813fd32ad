/* One forward time step of a block of lines, fused: bias, input product, recurrent product, gates, state.
 * Included by the form files only. */
#include "core/rnn/kernels/product.inc.h"

/* What a tile computes: `rows` lines of one panel, or one line of `panels` panels; each panel `width` vectors
 * of units with `gates` gates in `slots` accumulators (four for the GRU, whose candidate keeps its two
 * products apart). */
typedef struct step_tile {
    int rows, panels, gates, slots, width;
} step_tile;

INLINE size_t step_line(step_tile t, size_t line, int e)
{
    return t.panels == 1 ? line + (size_t)e : line;
}

INLINE size_t step_unit(step_tile t, size_t vector, int e)
{
    return (t.panels == 1 ? vector : vector + (size_t)(e * t.width)) * LANES;
}

/* Bias or projected input of lines from `row` on, or of one line's steps, which are `apart`. */
INLINE void step_start(step_tile t, const lam_step *s, size_t row, size_t apart, size_t vector, vf *acc)
{
    const struct lam_cell *cell = s->cell;
    UNROLL for (int e = 0; e < t.rows * t.panels; e++)
    {
        size_t j = row + (t.panels == 1 ? (size_t)e * apart : 0);
        const float *g = s->g + (s->g_rows ? s->g_rows[j] : j) * s->ldg;
        UNROLL for (int i = 0; i < t.width * t.slots; i++)
        {
            int slot = i % t.slots;
            size_t unit = step_unit(t, vector, e) + (size_t)(i / t.slots) * LANES;
            acc[e * t.width * t.slots + i] =
                s->g && slot < t.gates
                    ? vf_load_part(g + (size_t)slot * s->g_gate + unit, tile_part(unit, s->g_units))
                    : vf_load(cell->bias + (size_t)slot * cell->padded + unit);
        }
    }
}

/* Adds a product over `depth` inputs; for four slots and three gates the last gate goes to slot `last`. */
INLINE void step_product(step_tile t, const lam_step *s, const lam_packed *packed, const float *const *a,
                         size_t vector, int last, vf *acc)
{
    int vectors = t.gates * t.width, stride = t.slots * t.width;
    size_t panel = packed->depth * (size_t)vectors * LANES;
    const float *w = packed->data + vector * packed->gates * packed->depth * LANES;
    /* Not for a last odd line: it must not matter which lines a block holds. */
    if (t.rows == 1 && t.panels == 1 && t.slots == 1 && s->lines == 1)
        tile_row(vectors, acc, w, packed->depth, a[0], s->downward);
    else if (t.panels == 1)
        tile_rows(t.rows, vectors, stride, last, acc, w, packed->depth, a);
    else
        tile_panels(t.panels, vectors, stride, last, acc, w, panel, packed->depth, a[0], s->downward);
}

INLINE const float *step_x(const lam_step *s, size_t j)
{
    return s->x + (s->x_rows ? s->x_rows[j] : j) * s->ldx;
}

INLINE void step_sums(step_tile t, const lam_step *s, size_t line, size_t vector, vf *acc)
{
    const float *a[12];
    int last = t.gates * t.width - 1;
    step_start(t, s, line, 1, vector, acc);
    if (s->x) {
        UNROLL for (int r = 0; r < t.rows; r++) a[r] = step_x(s, line + (size_t)r);
        step_product(t, s, &s->cell->x, a, vector, last, acc);
    }
    if (!s->first) {
        UNROLL for (int r = 0; r < t.rows; r++) a[r] = s->h_operand + (line + (size_t)r) * s->h_stride;
        step_product(t, s, &s->cell->h, a, vector, t.slots > t.gates ? last + 1 : last, acc);
    }
}

/* Writes a vector of an output row. */
INLINE void step_y(const lam_step *s, size_t j, size_t unit, vf h)
{
    float *y = s->y + s->rows[j] * s->ldy + unit;
    if (s->stream)
        vf_stream(y, h);
    else
        vf_store_part(y, tile_part(unit, s->cell->spec.hidden), h);
}

/* Writes the new h where it belongs. */
INLINE void step_output(const lam_step *s, size_t j, size_t unit, vf h)
{
    vf_store(s->h_next + j * s->stride + unit, h);
#ifdef LAM_FORM_BF16
    vf_store_bf16(s->h_operand_next + j * s->h_stride + unit / 2, h);
#endif
    if (s->y)
        step_y(s, j, unit, h);
}

INLINE float *step_trace(const lam_step *s, size_t j)
{
    return s->trace + s->trace_rows[j] * s->trace_width;
}

INLINE void lstm_tile(step_tile t, bool peephole, const lam_step *s, size_t line, size_t vector)
{
    vf acc[TILE_MAX];
    step_sums(t, s, line, vector, acc);
    const vf_constants *k = vf_constants_here();
    UNROLL for (int e = 0; e < t.rows * t.panels; e++)
    {
        size_t j = step_line(t, line, e), unit = step_unit(t, vector, e);
        const float *peep = s->cell->peephole + unit;
        vf *a = acc + e * 4, before = vf_load(s->c + j * s->stride + unit);
        if (peephole) {
            a[0] = vf_fma(vf_load(peep), before, a[0]);
            a[1] = vf_fma(vf_load(peep + s->cell->padded), before, a[1]);
        }
        vf_fraction g = vf_tanh_fraction(k, a[2]);
        vf i = vf_sigmoid_denominator(k, a[0]), f = vf_gate(k, a[1]);
        vf c = vf_fma(f, before, g.top / (i * g.bottom));
        if (peephole)
            a[3] = vf_fma(vf_load(peep + 2 * s->cell->padded), c, a[3]);
        vf_fraction hc = vf_tanh_fraction(k, c);
        vf o = vf_sigmoid_denominator(k, a[3]);
        vf_store(s->c_next + j * s->stride + unit, c);
        if (s->trace) {
            size_t w = s->cell->padded;
            float *trace = step_trace(s, j) + unit;
            vf_store(trace, vf_set(1) / i);
            vf_store(trace + w, f);
            vf_store(trace + 2 * w, g.top / g.bottom);
            vf_store(trace + 3 * w, vf_set(1) / o);
            vf_store(trace + 4 * w, c);
            vf_store(trace + 5 * w, vf_load(s->h + j * s->stride + unit));
        }
        step_output(s, j, unit, hc.top / (o * hc.bottom));
    }
}

INLINE void gru_tile(step_tile t, const lam_step *s, size_t line, size_t vector)
{
    vf acc[TILE_MAX];
    step_sums(t, s, line, vector, acc);
    const vf_constants *k = vf_constants_here();
    UNROLL for (int e = 0; e < t.rows * t.panels; e++)
    {
        size_t j = step_line(t, line, e), unit = step_unit(t, vector, e);
        vf *a = acc + e * 4, before = vf_load(s->h + j * s->stride + unit);
        vf r = vf_gate(k, a[0]), z = vf_gate(k, a[1]), n = vf_tanh_gate(k, vf_fma(r, a[3], a[2]));
        if (s->trace) {
            size_t w = s->cell->padded;
            float *trace = step_trace(s, j) + unit;
            vf_store(trace, n);
            vf_store(trace + w, r);
            vf_store(trace + 2 * w, z);
            vf_store(trace + 3 * w, a[3]);
            vf_store(trace + 4 * w, before);
        }
        step_output(s, j, unit, vf_fma(z, before - n, n));
    }
}

INLINE vf elman_activation(const vf_constants *k, lam_cell_activation f, vf a)
{
    switch (f) {
    case LAM_CELL_TANH:
        return vf_tanh_gate(k, a);
    case LAM_CELL_RELU:
        return vf_max(vf_set(0), a);
    case LAM_CELL_SIGMOID:
        return vf_gate(k, a);
    case LAM_CELL_IDENTITY:
    case LAM_CELL_SOFTMAX: /* the sweep takes it over whole rows */
        break;
    }
    return a;
}

INLINE void elman_tile(step_tile t, const lam_step *s, size_t line, size_t vector)
{
    vf acc[TILE_MAX];
    step_sums(t, s, line, vector, acc);
    const vf_constants *k = vf_constants_here();
    UNROLL for (int i = 0; i < t.rows * t.panels * t.width; i++)
    {
        int e = i / t.width;
        size_t j = step_line(t, line, e), unit = step_unit(t, vector, e) + (size_t)(i % t.width) * LANES;
        vf h = elman_activation(k, s->cell->spec.activation, acc[i]);
        if (s->trace) {
            float *trace = step_trace(s, j) + unit;
            vf_store(trace, h);
            vf_store(trace + s->cell->padded, vf_load(s->h + j * s->stride + unit));
        }
        step_output(s, j, unit, h);
    }
}

/* Successive steps of one line are the rows of a tile, so that the state stays in registers. */
INLINE void light_tile(int rows, int width, const lam_step *s, size_t line, size_t first, size_t vector)
{
    const step_tile t = {rows, 1, 2, 2, width};
    const float *a[12];
    size_t row[12];
    vf acc[TILE_MAX], h[2];
    UNROLL for (int r = 0; r < rows; r++) row[r] = line + (first + (size_t)r) * s->step_rows;
    step_start(t, s, row[0], s->step_rows, vector, acc);
    if (s->x) {
        UNROLL for (int r = 0; r < rows; r++) a[r] = step_x(s, row[r]);
        step_product(t, s, &s->cell->x, a, vector, 2 * width - 1, acc);
    }
    const vf_constants *k = vf_constants_here();
    size_t unit = vector * LANES, w = s->cell->padded, state = line * s->stride + unit;
    const float *before = first ? s->h_next : s->h;
    UNROLL for (int i = 0; i < width; i++) h[i] = vf_load(before + state + (size_t)i * LANES);
    UNROLL for (int i = 0; i < rows * width; i++)
    {
        size_t j = row[i / width], at = unit + (size_t)(i % width) * LANES;
        vf u = acc[2 * i], z = vf_light_gate(k, acc[2 * i + 1]), *now = &h[i % width];
        if (s->trace) {
            float *trace = step_trace(s, j) + at;
            vf_store(trace, u);
            vf_store(trace + w, z);
            vf_store(trace + 2 * w, *now);
        }
        *now = vf_fma(z, u - *now, *now);
        if (s->y)
            step_y(s, j, at, *now);
    }
    UNROLL for (int i = 0; i < width; i++) vf_store(s->h_next + state + (size_t)i * LANES, h[i]);
}

/* Runs a tile over groups of rows, from `first` up to `count`; cases above `most` are dead code. */
#define STEP_CASE(n, most, call)                                                                             \
    case n:                                                                                                  \
        if (n <= most) {                                                                                     \
            const int rows = n;                                                                              \
            call;                                                                                            \
        }                                                                                                    \
        break
#define STEP_GROUPS(first, count, most, call)                                                                \
    for (size_t first = 0, group; first < count; first += group) {                                           \
        group = tile_group(count - first, most);                                                             \
        switch (group) {                                                                                     \
            STEP_CASE(1, most, call);                                                                        \
            STEP_CASE(2, most, call);                                                                        \
            STEP_CASE(3, most, call);                                                                        \
            STEP_CASE(4, most, call);                                                                        \
            STEP_CASE(5, most, call);                                                                        \
            STEP_CASE(6, most, call);                                                                        \
            STEP_CASE(7, most, call);                                                                        \
            STEP_CASE(8, most, call);                                                                        \
            STEP_CASE(9, most, call);                                                                        \
            STEP_CASE(10, most, call);                                                                       \
            STEP_CASE(11, most, call);                                                                       \
            STEP_CASE(12, most, call);                                                                       \
        }                                                                                                    \
    }

/* A batch of one fills the registers with several panels instead of several rows: several sums of one gate
 * are in flight, and on odd steps it runs through the weights backwards. */
#define STEP_ONE_LINE(most, width, call)                                                                     \
    for (size_t done = 0, n; done < vectors; done += n) {                                                    \
        size_t left = vectors - done;                                                                        \
        n = left >= 4 * width && most >= 4 ? 4 * width : left >= 2 * width && most >= 2 ? 2 * width : width; \
        size_t vector = s->downward ? left - n : done;                                                       \
        const int rows = 1;                                                                                  \
        const size_t line = 0;                                                                               \
        if (n == 4 * width) {                                                                                \
            const int panels = most >= 4 ? 4 : 1;                                                            \
            call;                                                                                            \
        } else if (n == 2 * width) {                                                                         \
            const int panels = most >= 2 ? 2 : 1;                                                            \
            call;                                                                                            \
        } else {                                                                                             \
            const int panels = 1;                                                                            \
            call;                                                                                            \
        }                                                                                                    \
    }

#if defined(__AVX512F__) || defined(__aarch64__)
enum { PANELS_AT_ONCE = 4 };
#else
enum { PANELS_AT_ONCE = 2 };
#endif

#define STEP_OF_PANELS(name, tile)                                                                           \
    static void name(const lam_step *s)                                                                      \
    {                                                                                                        \
        size_t vectors = s->cell->padded / LANES;                                                            \
        if (s->lines == 1) {                                                                                 \
            STEP_ONE_LINE(PANELS_AT_ONCE, 1, tile);                                                          \
            return;                                                                                          \
        }                                                                                                    \
        const int panels = 1;                                                                                \
        for (size_t vector = 0; vector < vectors; vector++)                                                  \
            STEP_GROUPS(line, s->lines, TILE_ROWS_4, tile)                                                   \
    }

STEP_OF_PANELS(step_lstm, lstm_tile(((step_tile){rows, panels, 4, 4, 1}), false, s, line, vector))
STEP_OF_PANELS(step_peephole, lstm_tile(((step_tile){rows, panels, 4, 4, 1}), true, s, line, vector))
STEP_OF_PANELS(step_gru, gru_tile(((step_tile){rows, panels, 3, 4, 1}), s, line, vector))

/* Panels of one or two gates are several vectors of units wide. */
#define ELMAN_PANEL(width, most)                                                                             \
    case width:                                                                                              \
        STEP_GROUPS(line, s->lines, most, elman_tile(((step_tile){rows, 1, 1, 1, width}), s, line, vector))  \
        break

static void step_elman(const lam_step *s)
{
    size_t vectors = s->cell->padded / LANES, panels = (vectors + 3) / 4;
    for (size_t i = 0; i < panels; i++) {
        size_t vector = 4 * (s->downward ? panels - 1 - i : i);
        switch (vectors - vector < 4 ? vectors - vector : 4) {
            ELMAN_PANEL(1, TILE_ROWS_2);
            ELMAN_PANEL(2, TILE_ROWS_2);
            ELMAN_PANEL(3, TILE_ROWS_4);
            ELMAN_PANEL(4, TILE_ROWS_4);
        }
    }
}

static void step_light(const lam_step *s)
{
    size_t vectors = s->cell->padded / LANES;
    for (size_t vector = 0; vector < vectors; vector += 2) {
        for (size_t line = 0; line < s->lines; line++) {
            if (vectors - vector >= 2)
                STEP_GROUPS(first, s->steps, TILE_ROWS_4, light_tile(rows, 2, s, line, first, vector))
            else
                STEP_GROUPS(first, s->steps, TILE_ROWS_2, light_tile(rows, 1, s, line, first, vector))
        }
    }
}

#ifndef LAM_FORM_BF16
/* The GRU that resets before the product needs r of every unit before the candidate's product can start: two
 * products with elementwise work between. Always from g. */
static void reset_before_gates(const lam_step *s, size_t j, float *sums)
{
    const vf_constants *k = &vf_constants_known;
    size_t w = s->cell->padded;
    float *trace = s->trace ? step_trace(s, j) : NULL;
    for (size_t unit = 0; unit < s->cell->padded; unit += LANES) {
        vf before = vf_load(s->h + j * s->stride + unit);
        vf r = vf_gate(k, vf_load(sums + unit)), z = vf_gate(k, vf_load(sums + s->stride + unit));
        vf_store(sums + unit, r * before);
        vf_store(sums + s->stride + unit, z);
        if (trace) {
            vf_store(trace + w + unit, r);
            vf_store(trace + 2 * w + unit, z);
            vf_store(trace + 3 * w + unit, r * before);
            vf_store(trace + 4 * w + unit, before);
        }
    }
}

static void step_reset_before(const lam_step *s)
{
    const vf_constants *k = &vf_constants_known;
    const struct lam_cell *cell = s->cell;
    size_t line = 3 * s->stride;
    lam_product job = {.weights = &cell->h,
                       .rows = s->lines,
                       .a = s->h,
                       .lda = s->stride,
                       .out = s->scratch,
                       .ldo = line,
                       .out_gate = s->stride,
                       .out_units = cell->padded,
                       .init = s->scratch,
                       .ldi = line,
                       .init_gate = s->stride,
                       .init_units = cell->padded};
    for (size_t j = 0; j < s->lines; j++) {
        const float *g = s->g + (s->g_rows ? s->g_rows[j] : j) * s->ldg;
        for (size_t gate = 0; gate < 3; gate++) {
            for (size_t unit = 0; unit < cell->padded; unit += LANES)
                vf_store(s->scratch + j * line + gate * s->stride + unit,
                         vf_load_part(g + gate * s->g_gate + unit, tile_part(unit, s->g_units)));
        }
    }
    product(&job);
    for (size_t j = 0; j < s->lines; j++)
        reset_before_gates(s, j, s->scratch + j * line);
    job.weights = &cell->h_n;
    job.a = s->scratch;
    job.lda = line;
    job.out = s->scratch + 2 * s->stride;
    job.init = job.out;
    product(&job);
    for (size_t j = 0; j < s->lines; j++) {
        for (size_t unit = 0; unit < cell->padded; unit += LANES) {
            const float *sums = s->scratch + j * line + unit;
            vf n = vf_tanh_gate(k, vf_load(sums + 2 * s->stride)), z = vf_load(sums + s->stride);
            if (s->trace)
                vf_store(step_trace(s, j) + unit, n);
            step_output(s, j, unit, vf_fma(z, vf_load(s->h + j * s->stride + unit) - n, n));
        }
    }
}
#endif
