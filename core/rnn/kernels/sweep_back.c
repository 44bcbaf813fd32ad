/* Backward sweeps: through time by blocks of lines, which turns the trace into gradients of the gates' sums;
 * then parameter and input gradients as products over all rows at once. */
#include <string.h>

#include "core/rnn/kernels/gemm.h"
#include "core/rnn/kernels/sweep.h"

typedef struct back_block {
    const lam_sweep *sweep;
    const lam_sweep_grad *grad;
    size_t first, lines;
    size_t *rows, *rows_before;
    float *dh, *dc, *c0, *drh, *kept_h, *kept_c;
} back_block;

static size_t back_layout(back_block *b, const lam_sweep *sweep, size_t lines, void *scratch)
{
    char *at = scratch;
    const lam_cell *cell = sweep->cell;
    size_t states = lines * cell->padded * sizeof(float);
    b->sweep = sweep;
    b->lines = lines;
    b->rows = sweep_take(&at, lines * sizeof *b->rows);
    b->rows_before = sweep_take(&at, lines * sizeof *b->rows_before);
    float **arrays[] = {&b->dh, &b->dc, &b->c0, &b->drh, &b->kept_h, &b->kept_c};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        *arrays[i] = sweep_take(&at, states);
    return (size_t)(at - (char *)scratch);
}

static void load_lines(const back_block *b, const float *from, float *state)
{
    const lam_cell *cell = b->sweep->cell;
    size_t hidden = cell->spec.hidden;
    memset(state, 0, b->lines * cell->padded * sizeof *state);
    for (size_t j = 0; from && j < b->lines; j++)
        memcpy(state + j * cell->padded, from + (b->first + j) * hidden, hidden * sizeof *state);
}

static void save_lines(const back_block *b, const float *state, float *to)
{
    const lam_cell *cell = b->sweep->cell;
    size_t hidden = cell->spec.hidden;
    for (size_t j = 0; to && j < b->lines; j++)
        memcpy(to + (b->first + j) * hidden, state + j * cell->padded, hidden * sizeof *state);
}

/* dh += (gradients of the gates in the trace, from unit `unit` on) · W_h. */
static void through_weights(const back_block *b, const lam_packed *weights, size_t unit, float *dh, bool add)
{
    const lam_cell *cell = b->sweep->cell;
    size_t width = lam_cell_trace_width(&cell->spec);
    lam_product job = {.weights = weights,
                       .rows = b->lines,
                       .a = b->sweep->trace + unit * lam_trace_unit(cell->spec.hidden),
                       .lda = width,
                       .a_rows = b->rows,
                       .init = add ? dh : NULL,
                       .ldi = cell->padded,
                       .init_units = cell->padded,
                       .out = dh,
                       .ldo = cell->padded,
                       .out_units = cell->padded};
    cell->forms->product(&job);
}

/* Where a kind keeps gradients in the trace (forms.h), in units: columns for x and for h gates in their
 * order. */
typedef struct trace_columns {
    size_t x[4], h[4], h_right[4], first_h;
} trace_columns;

static const trace_columns *columns_of(const lam_cell *cell)
{
    static const trace_columns columns[] = {
        [LAM_CELL_ELMAN] = {{0}, {0}, {1}, 0},
        [LAM_CELL_LSTM] = {{0, 1, 2, 3}, {0, 1, 2, 3}, {5, 5, 5, 5}, 0},
        [LAM_CELL_GRU] = {{1, 2, 0}, {1, 2, 3}, {4, 4, 4}, 1},
        [LAM_CELL_LIGHT] = {{0, 1}, {0}, {0}, 0},
    };
    static const trace_columns reset_before = {{1, 2, 0}, {1, 2, 0}, {4, 4, 3}, 1};
    return cell->spec.reset_before ? &reset_before : &columns[cell->spec.kind];
}

/* Ended lines: no gradient through this step; what arrived is passed on. */
static void keep_ended(const back_block *b)
{
    size_t bytes = b->lines * b->sweep->cell->padded * sizeof(float);
    memcpy(b->kept_h, b->dh, bytes);
    memcpy(b->kept_c, b->dc, bytes);
}

static void pass_ended(const back_block *b, lam_step_back *s, size_t t, bool restore)
{
    const lam_sweep *sweep = b->sweep;
    size_t gates = lam_trace_unit(sweep->cell->spec.hidden) * sweep->cell->slots,
           bytes = s->stride * sizeof(float);
    for (size_t j = 0; j < b->lines; j++) {
        if (t < sweep->lengths[b->first + j])
            continue;
        if (restore) {
            memcpy(b->dh + j * s->stride, b->kept_h + j * s->stride, bytes);
            memcpy(b->dc + j * s->stride, b->kept_c + j * s->stride, bytes);
        } else {
            memset(s->trace + s->rows[j] * s->trace_width, 0, gates * sizeof(float));
        }
    }
}

static void back_step(const back_block *b, lam_step_back *s, size_t t)
{
    const lam_cell *cell = b->sweep->cell;
    const lam_forms *forms = cell->forms;
    bool lengths = b->sweep->lengths != NULL;
    if (lengths)
        keep_ended(b);
    if (cell->spec.reset_before) {
        forms->back_candidate(s);
        through_weights(b, &cell->h_n_back, 0, b->drh, false);
        forms->back_reset(s, b->drh);
    } else if (cell->spec.peephole) {
        forms->back_peephole(s);
    } else {
        forms->back[cell->spec.kind](s);
    }
    if (lengths)
        pass_ended(b, s, t, false);
    if (cell->spec.kind != LAM_CELL_LIGHT)
        through_weights(b, &cell->h_back, columns_of(cell)->first_h, b->dh, true);
    if (lengths)
        pass_ended(b, s, t, true);
}

static void run_back_block(back_block *b)
{
    const lam_sweep *sweep = b->sweep;
    const lam_sweep_grad *grad = b->grad;
    lam_step_back s = {.cell = sweep->cell,
                       .lines = b->lines,
                       .rows = b->rows,
                       .rows_before = b->rows_before,
                       .dy = grad->dy,
                       .lddy = grad->lddy,
                       .trace = sweep->trace,
                       .trace_width = lam_cell_trace_width(&sweep->cell->spec),
                       .dh = b->dh,
                       .dc = b->dc,
                       .stride = sweep->cell->padded};
    load_lines(b, grad->dh_last, b->dh);
    load_lines(b, grad->dc_last, b->dc);
    load_lines(b, sweep->c0, b->c0);
    for (size_t step = sweep->lines.steps; step-- > 0;) {
        size_t t = sweep_time(sweep, step);
        for (size_t j = 0; j < b->lines; j++) {
            b->rows[j] = sweep_row(&sweep->lines, b->first + j, t);
            b->rows_before[j] =
                step ? sweep_row(&sweep->lines, b->first + j, sweep_time(sweep, step - 1)) : 0;
        }
        s.c_before = step ? NULL : b->c0;
        back_step(b, &s, t);
    }
    save_lines(b, b->dh, grad->dh0);
    save_lines(b, b->dc, grad->dc0);
}

typedef struct back_job {
    const lam_sweep *sweeps;
    const lam_sweep_grad *grads;
    size_t count, threads, scratch_bytes;
    char *workspace;
} back_job;

static void back_task(void *context, size_t task, size_t worker)
{
    const back_job *job = context;
    size_t index, i = sweep_of_task(job->sweeps, job->count, job->threads, task, &index);
    sweep_blocks blocks = sweep_blocks_of(&job->sweeps[i], job->threads);
    size_t first = sweep_block_begin(blocks, index);
    back_block b;
    back_layout(&b, &job->sweeps[i], sweep_block_begin(blocks, index + 1) - first,
                job->workspace + worker * job->scratch_bytes);
    b.grad = &job->grads[i];
    b.first = first;
    run_back_block(&b);
}

static size_t back_scratch(const lam_sweep *sweeps, size_t count, size_t threads)
{
    size_t most = 64;
    for (size_t i = 0; i < count; i++) {
        back_block b;
        sweep_blocks blocks = sweep_blocks_of(&sweeps[i], threads);
        size_t bytes = back_layout(&b, &sweeps[i], sweep_block_begin(blocks, 1), NULL);
        most = bytes > most ? bytes : most;
    }
    return most;
}

size_t lam_sweeps_workspace(const lam_sweep *sweeps, size_t count, const lam_pool *pool, bool backward)
{
    size_t threads = lam_pool_threads(pool), bytes = sweep_forward_scratch(sweeps, count, threads);
    if (backward) {
        size_t back = back_scratch(sweeps, count, threads);
        bytes = back > bytes ? back : bytes;
    }
    return threads * bytes;
}

/* Gates that lie side by side in the trace and in the weights are one product. */
static size_t gates_together(const size_t *columns, const size_t *right, size_t gate, size_t gates,
                             bool dense)
{
    size_t n = 1;
    while (dense && gate + n < gates && columns[gate + n] == columns[gate] + n &&
           (!right || right[gate + n] == right[gate]))
        n++;
    return n;
}

static void weight_gradients(const lam_sweep *sweep, const lam_sweep_grad *grad, lam_pool *pool)
{
    const lam_cell *cell = sweep->cell;
    const trace_columns *columns = columns_of(cell);
    size_t hidden = cell->spec.hidden, input = cell->spec.input, w = lam_trace_unit(hidden);
    size_t width = lam_cell_trace_width(&cell->spec);
    size_t rows = sweep->lines.outer * sweep->lines.steps * sweep->lines.inner;
    for (size_t gate = 0, n; gate < cell->gates && grad->dw_h && cell->h.gates; gate += n) {
        n = gates_together(columns->h, columns->h_right, gate, cell->gates, w == hidden);
        lam_gemm_tn(n * hidden, hidden, rows, (lam_matrix_in){sweep->trace + columns->h[gate] * w, width},
                    (lam_matrix_in){sweep->trace + columns->h_right[gate] * w, width}, true,
                    (lam_matrix){grad->dw_h + gate * hidden * hidden, hidden}, pool);
    }
    for (size_t gate = 0, n; gate < cell->gates; gate += n) {
        n = gates_together(columns->x, NULL, gate, cell->gates, w == hidden);
        lam_matrix_in d = {sweep->trace + columns->x[gate] * w, width};
        if (grad->dw_x)
            lam_gemm_tn(n * hidden, input, rows, d, (lam_matrix_in){sweep->x, sweep->ldx}, true,
                        (lam_matrix){grad->dw_x + gate * hidden * input, input}, pool);
        if (grad->dx)
            lam_gemm_nn(rows, input, n * hidden, d, (lam_matrix_in){cell->w_x + gate * hidden * input, input},
                        grad->add_dx || gate > 0, (lam_matrix){grad->dx, grad->lddx}, pool);
    }
}

static void bias_gradients(const lam_sweep *sweep, const lam_sweep_grad *grad, lam_pool *pool)
{
    const lam_cell *cell = sweep->cell;
    const trace_columns *columns = columns_of(cell);
    size_t hidden = cell->spec.hidden, w = lam_trace_unit(hidden), width = lam_cell_trace_width(&cell->spec);
    size_t rows = sweep->lines.outer * sweep->lines.steps * sweep->lines.inner;
    for (size_t gate = 0; gate < cell->gates; gate++) {
        const float *x = sweep->trace + columns->x[gate] * w;
        const float *h = cell->spec.kind == LAM_CELL_LIGHT ? x : sweep->trace + columns->h[gate] * w;
        if (grad->db_x)
            lam_gemm_add_columns(rows, hidden, (lam_matrix_in){x, width}, grad->db_x + gate * hidden, pool);
        if (grad->db_h)
            lam_gemm_add_columns(rows, hidden, (lam_matrix_in){h, width}, grad->db_h + gate * hidden, pool);
        for (size_t r = 0; grad->dg && r < rows; r++)
            memcpy(grad->dg + r * grad->lddg + gate * hidden, x + r * width, hidden * sizeof(float));
    }
}

static void peephole_gradients(const lam_sweep *sweep, const lam_sweep_grad *grad)
{
    const lam_cell *cell = sweep->cell;
    size_t hidden = cell->spec.hidden, w = lam_trace_unit(hidden), width = lam_cell_trace_width(&cell->spec);
    size_t lines = sweep->lines.outer * sweep->lines.inner;
    for (size_t step = 0; step < sweep->lines.steps; step++) {
        for (size_t line = 0; line < lines; line++) {
            const float *t = sweep->trace + sweep_row(&sweep->lines, line, sweep_time(sweep, step)) * width;
            const float *before = sweep->c0 ? sweep->c0 + line * hidden : NULL;
            if (step)
                before = sweep->trace + sweep_row(&sweep->lines, line, sweep_time(sweep, step - 1)) * width +
                         4 * w;
            for (size_t unit = 0; unit < hidden; unit++) {
                float c0 = before ? before[unit] : 0.0f;
                grad->dpeephole[unit] += t[unit] * c0;
                grad->dpeephole[hidden + unit] += t[w + unit] * c0;
                grad->dpeephole[2 * hidden + unit] += t[3 * w + unit] * t[4 * w + unit];
            }
        }
    }
}

void lam_sweeps_backward(const lam_sweep *sweeps, const lam_sweep_grad *grads, size_t count, lam_pool *pool,
                         void *workspace)
{
    size_t threads = lam_pool_threads(pool);
    back_job job = {sweeps, grads, count, threads, back_scratch(sweeps, count, threads), workspace};
    lam_pool_run(pool, sweep_tasks(sweeps, count, threads), back_task, &job);
    for (size_t i = 0; i < count; i++) {
        weight_gradients(&sweeps[i], &grads[i], pool);
        bias_gradients(&sweeps[i], &grads[i], pool);
        if (grads[i].dpeephole)
            peephole_gradients(&sweeps[i], &grads[i]);
    }
}
