/* Backward sweeps. A block of lines goes back through all its steps; while the gradients of a few steps are
 * still in cache they are multiplied into the gradients of the weights.
 *
 * Blocks are gathered in groups that do not depend on the number of threads. A group adds its blocks, in
 * order, into sums of its own; at the end the groups' sums are added in order. So the bits are the same for
 * any pool.
 *
 * With a checkpoint a block goes back stretch by stretch: it runs forward again from the states kept at the
 * stretch's beginning, with a trace of its own that holds this stretch only, and then back over it. */
#include <string.h>

#include "core/rnn/kernels/sweep.h"

enum {
    GROUPS_MAX = 8,
    BLOCK_LEAST = 24,   /* lines from which on the work is split at all */
    CHUNK_ROWS = 96,    /* rows whose gradients are gathered before they go into the weights' gradients */
    SUMS_MAX = 16 << 20 /* floats that all groups' sums may take together */
};

/* Partial sums of a group, one after the other: dw_h, dw_x, db of x and of h, peepholes. */
typedef struct group_sums {
    size_t w_h, w_x, b_x, b_h, peephole, total; /* offsets, in floats */
} group_sums;

static group_sums sums_of(const lam_sweep *sweep)
{
    const lam_cell *cell = sweep->cell;
    size_t n = cell->gates * cell->spec.hidden;
    group_sums s = {0, 0, 0, 0, 0, 0};
    s.w_x = s.w_h + (cell->spec.kind == LAM_CELL_LIGHT ? 0 : n * cell->spec.hidden);
    s.b_x = s.w_x + (sweep->g ? 0 : n * cell->spec.input);
    s.b_h = s.b_x + n;
    s.peephole = s.b_h + n;
    s.total = lam_round_up(s.peephole + 3 * cell->spec.hidden, 16);
    return s;
}

static sweep_blocks back_blocks(const lam_sweep *sweep)
{
    size_t lines = sweep->lines.outer * sweep->lines.inner;
    size_t count = (lines + SWEEP_BLOCK_LINES - 1) / SWEEP_BLOCK_LINES;
    return (sweep_blocks){lines, count == 1 && lines >= BLOCK_LEAST ? 2 : count};
}

static size_t back_groups(const lam_sweep *sweep)
{
    size_t blocks = back_blocks(sweep).count, room = SUMS_MAX / sums_of(sweep).total;
    size_t groups = blocks < GROUPS_MAX ? blocks : GROUPS_MAX;
    return groups <= room ? groups : room ? room : 1;
}

typedef struct back_block {
    const lam_sweep *sweep;
    const lam_sweep_grad *grad;
    float *sums;
    size_t first, lines, chunk; /* chunk: steps gathered */
    size_t *rows, *trace_rows;  /* [chunk, lines]: of the steps gathered so far */
    size_t *trace_rows_before;
    float *trace; /* the sweep's, or of the stretch that runs */
    float *dh, *dc, *c0, *drh, *kept_h, *kept_c;
    sweep_block again; /* with a checkpoint */
} back_block;

/* Steps whose trace is there at a time. */
static size_t stretch_of(const lam_sweep *sweep)
{
    return sweep->checkpoint && sweep->checkpoint < sweep->lines.steps ? sweep->checkpoint
                                                                       : sweep->lines.steps;
}

/* What a block with a checkpoint needs beside: the forward block, its trace, and rows of that trace. */
static void again_layout(back_block *b, const lam_sweep *sweep, size_t lines, uintptr_t *at)
{
    size_t floats = stretch_of(sweep) * lines * lam_trace_width(&sweep->cell->spec);
    b->trace_rows = sweep_take(at, b->chunk * lines * sizeof *b->trace_rows);
    b->trace = sweep_take(at, floats * sizeof(float));
    void *scratch = (void *)*at;
    *at += sweep_block_layout(&b->again, sweep, lines, scratch);
    size_t *rows = sweep_take(at, b->again.at_once * lines * sizeof *rows);
    b->again.y = NULL;
    b->again.trace = b->trace;
    b->again.trace_rows = rows;
}

static size_t back_layout(back_block *b, const lam_sweep *sweep, size_t lines, void *scratch)
{
    uintptr_t at = (uintptr_t)scratch;
    const lam_cell *cell = sweep->cell;
    size_t states = lines * cell->padded * sizeof(float);
    b->sweep = sweep;
    b->lines = lines;
    b->chunk = CHUNK_ROWS / lines ? CHUNK_ROWS / lines : 1;
    b->rows = b->trace_rows = sweep_take(&at, b->chunk * lines * sizeof *b->rows);
    b->trace_rows_before = sweep_take(&at, lines * sizeof *b->trace_rows_before);
    b->trace = sweep->trace;
    float **arrays[] = {&b->dh, &b->dc, &b->c0, &b->drh, &b->kept_h, &b->kept_c};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        *arrays[i] = sweep_take(&at, states);
    if (sweep->checkpoint)
        again_layout(b, sweep, lines, &at);
    return at - (uintptr_t)scratch;
}

/* out (+)= (gradients of the gates of these rows, from trace unit `unit` on) · Wᵀ. */
static void through_weights(const back_block *b, const lam_packed *weights, const size_t *rows, size_t unit,
                            lam_matrix out, size_t units, const size_t *out_rows, bool add)
{
    const lam_cell *cell = b->sweep->cell;
    lam_product job = {.weights = weights,
                       .rows = b->lines,
                       .a = b->trace + unit * cell->padded,
                       .lda = lam_trace_width(&cell->spec),
                       .a_rows = rows,
                       .init = add ? out.data : NULL,
                       .ldi = out.stride,
                       .init_units = units,
                       .out = out.data,
                       .ldo = out.stride,
                       .out_units = units,
                       .out_rows = out_rows};
    cell->forms->product(&job);
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
    size_t gates = sweep->cell->padded * sweep->cell->slots;
    size_t bytes = s->stride * sizeof(float);
    for (size_t j = 0; j < b->lines; j++) {
        if (t < sweep->lengths[b->first + j])
            continue;
        if (restore) {
            memcpy(b->dh + j * s->stride, b->kept_h + j * s->stride, bytes);
            memcpy(b->dc + j * s->stride, b->kept_c + j * s->stride, bytes);
        } else {
            memset(s->trace + s->trace_rows[j] * s->trace_width, 0, gates * sizeof(float));
        }
    }
}

/* d = y·(dh - Σ y·dh) in place of the Elman cell's y. */
static void back_softmax(const lam_step_back *s)
{
    size_t hidden = s->cell->spec.hidden;
    for (size_t j = 0; j < s->lines; j++) {
        float *y = s->trace + s->trace_rows[j] * s->trace_width, *dh = s->dh + j * s->stride;
        for (size_t u = 0; u < hidden && s->dy; u++)
            dh[u] += s->dy[s->rows[j] * s->lddy + u];
        float sum = s->cell->forms->dot(hidden, y, dh);
        for (size_t u = 0; u < hidden; u++)
            y[u] *= dh[u] - sum;
        memset(y + hidden, 0, (s->stride - hidden) * sizeof *y);
        memset(dh, 0, s->stride * sizeof *dh);
    }
}

/* Recurrent dropout: the weights saw masked states, and what goes back through them is masked. */
static void mask_states(const back_block *b, const lam_step_back *s)
{
    const float *mask = b->sweep->mask + b->first * s->cell->spec.hidden;
    size_t hidden = s->cell->spec.hidden,
           column = lam_trace_columns_of(&s->cell->spec)->h_right[0] * s->cell->padded;
    for (size_t j = 0; j < b->lines; j++)
        for (size_t u = 0; u < hidden; u++)
            s->trace[s->trace_rows[j] * s->trace_width + column + u] *= mask[j * hidden + u];
}

static void add_masked(const back_block *b)
{
    size_t hidden = b->sweep->cell->spec.hidden, stride = b->sweep->cell->padded;
    const float *mask = b->sweep->mask + b->first * hidden;
    for (size_t j = 0; j < b->lines; j++)
        for (size_t u = 0; u < hidden; u++)
            b->dh[j * stride + u] += b->drh[j * stride + u] * mask[j * hidden + u];
}

static void back_step(const back_block *b, lam_step_back *s, size_t t)
{
    const lam_cell *cell = b->sweep->cell;
    const lam_forms *forms = cell->forms;
    const lam_trace_columns *columns = lam_trace_columns_of(&cell->spec);
    bool lengths = b->sweep->lengths != NULL;
    lam_matrix dh = {b->dh, cell->padded}, drh = {b->drh, cell->padded};
    if (lengths)
        keep_ended(b);
    if (cell->spec.reset_before) {
        forms->back_candidate(s);
        through_weights(b, &cell->h_n_back, s->trace_rows, 0, drh, cell->padded, NULL, false);
        forms->back_reset(s, b->drh);
    } else if (cell->spec.peephole) {
        forms->back_peephole(s);
    } else if (cell->spec.activation == LAM_CELL_SOFTMAX) {
        back_softmax(s);
    } else {
        forms->back[cell->spec.kind](s);
    }
    if (lengths)
        pass_ended(b, s, t, false);
    if (columns->h_count && b->sweep->mask) {
        mask_states(b, s);
        through_weights(b, &cell->h_back, s->trace_rows, columns->h_first, drh, cell->padded, NULL, false);
        add_masked(b);
    } else if (columns->h_count) {
        through_weights(b, &cell->h_back, s->trace_rows, columns->h_first, dh, cell->padded, NULL, true);
    }
    if (b->grad->dx)
        through_weights(b, &cell->x_back, s->trace_rows, 0, (lam_matrix){b->grad->dx, b->grad->lddx},
                        cell->spec.input, s->rows, b->grad->add_dx);
    if (lengths)
        pass_ended(b, s, t, true);
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

/* Adds the gathered rows into the group's sums for the weights. */
static void add_weights(const back_block *b, size_t rows)
{
    const lam_sweep *sweep = b->sweep;
    const lam_cell *cell = sweep->cell;
    const lam_trace_columns *columns = lam_trace_columns_of(&cell->spec);
    size_t hidden = cell->spec.hidden, input = cell->spec.input, w = cell->padded;
    group_sums at = sums_of(sweep);
    lam_outer job = {
        .rows = rows, .a_row = b->trace_rows, .b_row = b->trace_rows, .lda = lam_trace_width(&cell->spec)};
    for (size_t gate = 0, n; gate < cell->gates && columns->h_count; gate += n) {
        n = gates_together(columns->h, columns->h_right, gate, cell->gates, w == hidden);
        job.m = n * hidden;
        job.n = job.ldc = hidden;
        job.a = b->trace + columns->h[gate] * w;
        job.b = b->trace + columns->h_right[gate] * w;
        job.ldb = job.lda;
        job.c = b->sums + at.w_h + gate * hidden * hidden;
        cell->forms->outer(&job);
    }
    job.b_row = b->rows;
    for (size_t gate = 0, n; gate < cell->gates && b->grad->dw_x; gate += n) {
        n = gates_together(columns->x, NULL, gate, cell->gates, w == hidden);
        job.m = n * hidden;
        job.n = job.ldc = input;
        job.a = b->trace + columns->x[gate] * w;
        job.b = sweep->x;
        job.ldb = sweep->ldx;
        job.c = b->sums + at.w_x + gate * hidden * input;
        cell->forms->outer(&job);
    }
}

static void add_biases(const back_block *b, size_t rows)
{
    const lam_sweep *sweep = b->sweep;
    const lam_cell *cell = sweep->cell;
    const lam_trace_columns *columns = lam_trace_columns_of(&cell->spec);
    size_t hidden = cell->spec.hidden, w = cell->padded, width = lam_trace_width(&cell->spec);
    group_sums at = sums_of(sweep);
    for (size_t gate = 0; gate < cell->gates; gate++) {
        const float *x = b->trace + columns->x[gate] * w;
        float *sum_x = b->sums + at.b_x + gate * hidden, *sum_h = b->sums + at.b_h + gate * hidden;
        cell->forms->add_columns(rows, b->trace_rows, hidden, x, width, sum_x);
        if (columns->h[gate] != columns->x[gate])
            cell->forms->add_columns(rows, b->trace_rows, hidden, b->trace + columns->h[gate] * w, width,
                                     sum_h);
        for (size_t r = 0; b->grad->dg && r < rows; r++)
            memcpy(b->grad->dg + b->rows[r] * b->grad->lddg + gate * hidden, x + b->trace_rows[r] * width,
                   hidden * sizeof(float));
    }
}

/* Peepholes see the old c (i, f) and the new one (o). */
static void add_peepholes(const back_block *b, const lam_step_back *s)
{
    const lam_cell *cell = b->sweep->cell;
    size_t hidden = cell->spec.hidden, w = cell->padded;
    float *sums = b->sums + sums_of(b->sweep).peephole;
    for (size_t j = 0; j < b->lines; j++) {
        const float *t = s->trace + s->trace_rows[j] * s->trace_width;
        const float *c0 = s->c_before ? s->c_before + j * s->stride
                                      : s->trace + s->trace_rows_before[j] * s->trace_width + 4 * w;
        for (size_t unit = 0; unit < hidden; unit++) {
            sums[unit] += t[unit] * c0[unit];
            sums[hidden + unit] += t[w + unit] * c0[unit];
            sums[2 * hidden + unit] += t[3 * w + unit] * t[4 * w + unit];
        }
    }
}

/* Brings the trace of steps [from, to) and the LSTM's c before them. */
static void begin_stretch(back_block *b, size_t from, size_t to)
{
    const lam_sweep *sweep = b->sweep;
    bool lstm = sweep->cell->spec.kind == LAM_CELL_LSTM;
    const float *h = from ? sweep_kept_h(sweep, from) : sweep->h0;
    const float *c = from ? sweep_kept_c(sweep, from) : sweep->c0;
    if (lstm)
        sweep_states_load(sweep, b->first, b->lines, c, b->c0);
    if (!sweep->checkpoint)
        return;
    sweep_states_load(sweep, b->first, b->lines, h, b->again.h[from % 2]);
    if (lstm)
        memcpy(b->again.c[from % 2], b->c0, b->lines * sweep->cell->padded * sizeof(float));
    b->again.first = b->first;
    sweep_block_run(&b->again, from, to);
}

/* Rows of step `step` of the stretch that begins at `from`, as the `gathered`th. */
static void aim_step(const back_block *b, lam_step_back *s, size_t from, size_t step, size_t gathered)
{
    const lam_sweep *sweep = b->sweep;
    size_t *rows = b->rows + gathered * b->lines, *trace_rows = b->trace_rows + gathered * b->lines;
    for (size_t j = 0; j < b->lines; j++) {
        rows[j] = sweep_row(&sweep->lines, b->first + j, sweep_time(sweep, step));
        if (sweep->checkpoint)
            trace_rows[j] = (step - from) * b->lines + j;
        if (step > from)
            b->trace_rows_before[j] =
                sweep->checkpoint ? trace_rows[j] - b->lines
                                  : sweep_row(&sweep->lines, b->first + j, sweep_time(sweep, step - 1));
    }
    s->rows = rows;
    s->trace_rows = trace_rows;
    s->c_before = step > from ? NULL : b->c0;
}

static void run_stretch(back_block *b, lam_step_back *s, size_t from, size_t to)
{
    size_t gathered = 0;
    begin_stretch(b, from, to);
    for (size_t step = to; step-- > from;) {
        aim_step(b, s, from, step, gathered);
        back_step(b, s, sweep_time(b->sweep, step));
        if (b->grad->dpeephole)
            add_peepholes(b, s);
        if (++gathered == b->chunk || step == from) {
            add_weights(b, gathered * b->lines);
            add_biases(b, gathered * b->lines);
            gathered = 0;
        }
    }
}

static void run_block(back_block *b)
{
    const lam_sweep *sweep = b->sweep;
    const lam_sweep_grad *grad = b->grad;
    size_t stretch = stretch_of(sweep);
    lam_step_back s = {.cell = sweep->cell,
                       .lines = b->lines,
                       .trace_rows_before = b->trace_rows_before,
                       .dy = grad->dy,
                       .lddy = grad->lddy,
                       .trace = b->trace,
                       .trace_width = lam_trace_width(&sweep->cell->spec),
                       .dh = b->dh,
                       .dc = b->dc,
                       .stride = sweep->cell->padded};
    sweep_states_load(sweep, b->first, b->lines, grad->dh_last, b->dh);
    sweep_states_load(sweep, b->first, b->lines, grad->dc_last, b->dc);
    for (size_t to = sweep->lines.steps, from; to > 0; to = from) {
        from = (to - 1) / stretch * stretch;
        run_stretch(b, &s, from, to);
    }
    sweep_states_save(sweep, b->first, b->lines, b->dh, grad->dh0);
    sweep_states_save(sweep, b->first, b->lines, b->dc, grad->dc0);
}

typedef struct back_job {
    const lam_sweep *sweep;
    const lam_sweep_grad *grad;
    sweep_blocks blocks;
    size_t groups, scratch_bytes;
    float *sums;
    char *scratch;
} back_job;

static void back_group(void *context, size_t group, size_t worker)
{
    const back_job *job = context;
    sweep_blocks of_groups = {job->blocks.count, job->groups};
    back_block b;
    b.sums = job->sums + group * sums_of(job->sweep).total;
    memset(b.sums, 0, sums_of(job->sweep).total * sizeof(float));
    for (size_t i = sweep_block_begin(of_groups, group); i < sweep_block_begin(of_groups, group + 1); i++) {
        size_t first = sweep_block_begin(job->blocks, i);
        back_layout(&b, job->sweep, sweep_block_begin(job->blocks, i + 1) - first,
                    job->scratch + worker * job->scratch_bytes);
        b.grad = job->grad;
        b.first = first;
        run_block(&b);
    }
}

static void add_groups(const back_job *job, size_t offset, size_t count, float *to)
{
    for (size_t group = 0; to && group < job->groups; group++)
        job->sweep->cell->forms->axpy(count, 1.0f, job->sums + group * sums_of(job->sweep).total + offset,
                                      to);
}

static void add_sums(const back_job *job)
{
    const lam_cell *cell = job->sweep->cell;
    const lam_sweep_grad *grad = job->grad;
    const lam_trace_columns *columns = lam_trace_columns_of(&cell->spec);
    size_t hidden = cell->spec.hidden, n = cell->gates * hidden;
    group_sums at = sums_of(job->sweep);
    if (cell->spec.kind != LAM_CELL_LIGHT)
        add_groups(job, at.w_h, n * hidden, grad->dw_h);
    if (!job->sweep->g)
        add_groups(job, at.w_x, n * cell->spec.input, grad->dw_x);
    add_groups(job, at.b_x, n, grad->db_x);
    for (size_t gate = 0; gate < cell->gates; gate++)
        add_groups(job, (columns->h[gate] == columns->x[gate] ? at.b_x : at.b_h) + gate * hidden, hidden,
                   grad->db_h ? grad->db_h + gate * hidden : NULL);
    if (cell->spec.peephole)
        add_groups(job, at.peephole, 3 * hidden, grad->dpeephole);
}

static size_t back_scratch(const lam_sweep *sweep)
{
    back_block b;
    sweep_blocks blocks = back_blocks(sweep);
    size_t most = back_layout(&b, sweep, sweep_block_begin(blocks, 1), NULL);
    size_t last = back_layout(&b, sweep, blocks.lines - sweep_block_begin(blocks, blocks.count - 1), NULL);
    return most > last ? most : last;
}

static size_t sums_bytes(const lam_sweep *sweep)
{
    return lam_round_up(back_groups(sweep) * sums_of(sweep).total * sizeof(float), 64);
}

size_t lam_sweeps_workspace(const lam_sweep *sweeps, size_t count, const lam_pool *pool, bool backward)
{
    size_t threads = lam_pool_threads(pool), most = threads * sweep_forward_scratch(sweeps, count, threads);
    for (size_t i = 0; backward && i < count; i++) {
        size_t bytes = sums_bytes(&sweeps[i]) + threads * back_scratch(&sweeps[i]);
        most = bytes > most ? bytes : most;
    }
    return most;
}

void lam_sweeps_backward(const lam_sweep *sweeps, const lam_sweep_grad *grads, size_t count, lam_pool *pool,
                         void *workspace)
{
    for (size_t i = 0; i < count; i++) { /* in order: directions may add into the same dx */
        const lam_sweep *sweep = &sweeps[i];
        back_job job = {sweep,
                        &grads[i],
                        back_blocks(sweep),
                        back_groups(sweep),
                        back_scratch(sweep),
                        workspace,
                        (char *)workspace + sums_bytes(sweep)};
        lam_pool_run(pool, job.groups, back_group, &job);
        add_sums(&job);
    }
}
