/* Forward sweeps. A block of lines goes through all its time steps before the next block starts, so that its
 * states, and where possible the weights, stay in cache. Input comes fused (one product over x and h a step),
 * or projected for several steps at a time, which fills the registers when there are few lines. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/rnn/kernels/sweep.h"

enum {
    PROJECT_ROWS = 96,        /* rows of a projected chunk */
    LIGHT_STEPS = 6,          /* of a line that the light cell takes at once, more where lines are few … */
    LIGHT_ROWS = 96,          /* … so that all together are about as many */
    FUSED_LINES = 6,          /* from so many lines on, fuse the input product */
    FUSED_BYTES = 768 * 1024, /* … if both weight matrices fit in a second-level cache */
    FAR_BYTES = 4 << 20,      /* tensors from this size on are worth prefetching */
    STREAM_BYTES = 8 << 20,   /* outputs from this size on leave the caches before they are read */
    PORTION_LINES = 6,        /* lines asked for and computed at a time … */
    PORTION_BYTES = 40 * 1024 /* … by cells whose weights stay in the first-level cache meanwhile */
};

sweep_blocks sweep_blocks_of(const lam_sweep *sweep, size_t threads)
{
    size_t lines = sweep->lines.outer * sweep->lines.inner;
    size_t count = (lines + SWEEP_BLOCK_LINES - 1) / SWEEP_BLOCK_LINES;
    count = lam_round_up(count, threads);
    if (lines / count < FUSED_LINES)
        count =
            (lines + FUSED_LINES - 1) / FUSED_LINES < count ? (lines + FUSED_LINES - 1) / FUSED_LINES : count;
    return (sweep_blocks){lines, count ? count : 1};
}

size_t sweep_tasks(const lam_sweep *sweeps, size_t count, size_t threads)
{
    size_t tasks = 0;
    for (size_t i = 0; i < count; i++)
        tasks += sweep_blocks_of(&sweeps[i], threads).count;
    return tasks;
}

size_t sweep_of_task(const lam_sweep *sweeps, size_t count, size_t threads, size_t task, size_t *block)
{
    size_t i = 0;
    for (; i + 1 < count; i++) {
        size_t blocks = sweep_blocks_of(&sweeps[i], threads).count;
        if (task < blocks)
            break;
        task -= blocks;
    }
    *block = task;
    return i;
}

/* Whether the input is projected ahead of the steps, and for how many steps at a time. */
static size_t project_steps(const lam_sweep *sweep, size_t lines)
{
    assert(lines > 0);
    const lam_cell *cell = sweep->cell;
    size_t inputs = cell->x.depth + cell->h.depth;
    size_t weights = cell->gates * cell->padded * inputs * sizeof(float);
    bool fused = lines >= FUSED_LINES && weights <= FUSED_BYTES && !cell->spec.reset_before;
    if (sweep->g || fused || cell->spec.kind == LAM_CELL_LIGHT)
        return 0;
    size_t steps = PROJECT_ROWS / lines ? PROJECT_ROWS / lines : 1;
    return steps < sweep->lines.steps ? steps : sweep->lines.steps;
}

/* Most steps of its lines that a call of the cell takes. */
static size_t steps_at_once(const lam_sweep *sweep, size_t lines)
{
    if (sweep->cell->spec.kind != LAM_CELL_LIGHT)
        return 1;
    return lines * LIGHT_STEPS < LIGHT_ROWS ? LIGHT_ROWS / lines : LIGHT_STEPS;
}

/* Floats that hold a row of n bfloat16 values. */
static size_t pairs_of(size_t n)
{
    return lam_round_up((n + 1) / 2, 16);
}

/* Whether the output is written past the caches, which saves reading it before and what it would displace. */
static bool streams(const sweep_block *b)
{
    const lam_sweep *sweep = b->sweep;
    const lam_cell_spec *spec = &sweep->cell->spec;
    size_t rows = sweep->lines.outer * sweep->lines.steps * sweep->lines.inner;
    bool whole = (uintptr_t)b->y % 64 == 0 && sweep->ldy % 16 == 0 && spec->hidden % 16 == 0;
    bool again = sweep->lengths || spec->activation == LAM_CELL_SOFTMAX; /* these come back to it */
    return b->y && whole && !again && rows * sweep->ldy * sizeof(float) >= STREAM_BYTES;
}

static void end_streams(void)
{
#ifdef __x86_64__
    __builtin_ia32_sfence();
#endif
}

size_t sweep_block_layout(sweep_block *b, const lam_sweep *sweep, size_t lines, void *scratch)
{
    const lam_cell *cell = sweep->cell;
    uintptr_t at = (uintptr_t)scratch;
    size_t states = lines * cell->padded * sizeof(float);
    b->sweep = sweep;
    b->lines = lines;
    b->project = project_steps(sweep, lines);
    b->y = sweep->y;
    b->trace = sweep->checkpoint ? NULL : sweep->trace;
    b->at_once = steps_at_once(sweep, lines);
    b->rows = b->trace_rows = sweep_take(&at, b->at_once * lines * sizeof *b->rows);
    b->project_rows = sweep_take(&at, b->project * lines * sizeof *b->project_rows);
    for (int i = 0; i < 2; i++) {
        b->h[i] = sweep_take(&at, states);
        b->c[i] = sweep_take(&at, cell->spec.kind == LAM_CELL_LSTM ? states : 0);
    }
    b->g = sweep_take(&at, b->project * cell->gates * states);
    b->scratch = sweep_take(&at, cell->spec.reset_before ? 3 * states : 0);
    b->masked = sweep_take(&at, sweep->mask ? states : 0);
    size_t x_rows = cell->forms->bf16 && !sweep->g ? (b->project ? b->project : b->at_once) * lines : 0;
    b->pairs_x = sweep_take(&at, x_rows * pairs_of(cell->spec.input) * sizeof(float));
    for (int i = 0; i < 2; i++)
        b->pairs_h[i] =
            sweep_take(&at, cell->forms->bf16 ? lines * pairs_of(cell->padded) * sizeof(float) : 0);
    return at - (uintptr_t)scratch;
}

void sweep_states_load(const lam_sweep *sweep, size_t first, size_t lines, const float *from, float *states)
{
    const lam_cell *cell = sweep->cell;
    size_t hidden = cell->spec.hidden;
    memset(states, 0, lines * cell->padded * sizeof *states);
    for (size_t j = 0; from && j < lines; j++)
        memcpy(states + j * cell->padded, from + (first + j) * hidden, hidden * sizeof *states);
}

void sweep_states_save(const lam_sweep *sweep, size_t first, size_t lines, const float *states, float *to)
{
    const lam_cell *cell = sweep->cell;
    size_t hidden = cell->spec.hidden;
    for (size_t j = 0; to && j < lines; j++)
        memcpy(to + (first + j) * hidden, states + j * cell->padded, hidden * sizeof *states);
}

/* ---- checkpoints ---- */

static size_t kept_arrays(const lam_sweep *sweep)
{
    return sweep->cell->spec.kind == LAM_CELL_LSTM ? 2 : 1;
}

static size_t states_floats(const lam_sweep *sweep)
{
    return sweep->lines.outer * sweep->lines.inner * sweep->cell->spec.hidden;
}

float *sweep_kept_h(const lam_sweep *sweep, size_t step)
{
    return sweep->trace + (step / sweep->checkpoint - 1) * kept_arrays(sweep) * states_floats(sweep);
}

float *sweep_kept_c(const lam_sweep *sweep, size_t step)
{
    return sweep_kept_h(sweep, step) + states_floats(sweep);
}

size_t lam_sweep_trace_floats(const lam_sweep *sweep)
{
    const lam_lines *lines = &sweep->lines;
    if (!sweep->checkpoint)
        return lines->outer * lines->steps * lines->inner * lam_trace_width(&sweep->cell->spec);
    size_t kept = lines->steps ? (lines->steps - 1) / sweep->checkpoint : 0;
    return kept * kept_arrays(sweep) * states_floats(sweep);
}

/* ---- a block ---- */

/* Input rows as the bf16 form's operand. */
static void pair_inputs(const sweep_block *b, const size_t *rows, size_t count)
{
    const lam_sweep *sweep = b->sweep;
    size_t input = sweep->cell->spec.input;
    for (size_t r = 0; r < count; r++)
        sweep->cell->forms->to_bf16(input, sweep->x + rows[r] * sweep->ldx, b->pairs_x + r * pairs_of(input));
}

/* Projects the input of the next steps, at most up to `to`, into b->g. */
static void project(const sweep_block *b, size_t step, size_t to)
{
    const lam_sweep *sweep = b->sweep;
    const lam_cell *cell = sweep->cell;
    size_t steps = to - step < b->project ? to - step : b->project;
    for (size_t s = 0; s < steps; s++) {
        for (size_t j = 0; j < b->lines; j++)
            b->project_rows[s * b->lines + j] =
                sweep_row(&sweep->lines, b->first + j, sweep_time(sweep, step + s));
    }
    lam_product job = {.weights = &cell->x,
                       .rows = steps * b->lines,
                       .a = sweep->x,
                       .lda = sweep->ldx,
                       .a_rows = b->project_rows,
                       .init = cell->bias,
                       .init_gate = cell->padded,
                       .init_units = cell->padded,
                       .out = b->g,
                       .ldo = cell->gates * cell->padded,
                       .out_gate = cell->padded,
                       .out_units = cell->padded};
    if (cell->forms->bf16) {
        pair_inputs(b, b->project_rows, steps * b->lines);
        job.a = b->pairs_x;
        job.lda = pairs_of(cell->spec.input);
        job.a_rows = NULL;
    }
    cell->forms->product(&job);
}

/* Lines that have ended keep their state and give 0. */
static void hold_ended(const sweep_block *b, lam_step *s, size_t t)
{
    const lam_sweep *sweep = b->sweep;
    size_t bytes = s->stride * sizeof(float);
    for (size_t j = 0; j < b->lines; j++) {
        if (t < sweep->lengths[b->first + j])
            continue;
        memcpy(s->h_next + j * s->stride, s->h + j * s->stride, bytes);
        if (s->h_operand_next)
            memcpy(s->h_operand_next + j * s->h_stride, s->h_operand + j * s->h_stride,
                   s->h_stride * sizeof(float));
        if (sweep->cell->spec.kind == LAM_CELL_LSTM)
            memcpy(s->c_next + j * s->stride, s->c + j * s->stride, bytes);
        if (sweep->cell->spec.kind == LAM_CELL_LSTM && s->trace) /* backward reads the old c there */
            memcpy(s->trace + s->trace_rows[j] * s->trace_width + 4 * sweep->cell->padded,
                   s->c + j * s->stride, bytes);
        if (s->y)
            memset(s->y + s->rows[j] * s->ldy, 0, sweep->cell->spec.hidden * sizeof(float));
    }
}

static lam_step block_step(const sweep_block *b)
{
    const lam_sweep *sweep = b->sweep;
    const lam_cell *cell = sweep->cell;
    lam_step s = {.cell = cell,
                  .lines = b->lines,
                  .step_rows = b->lines,
                  .rows = b->rows,
                  .stride = cell->padded,
                  .y = b->y,
                  .ldy = sweep->ldy,
                  .stream = streams(b),
                  .trace = b->trace,
                  .trace_rows = b->trace_rows,
                  .trace_width = lam_trace_width(&cell->spec),
                  .scratch = b->scratch};
    if (b->project) {
        s.ldg = cell->gates * cell->padded;
        s.g_gate = s.g_units = cell->padded;
    } else if (sweep->g) {
        s.g = sweep->g;
        s.ldg = sweep->ldg;
        s.g_rows = b->rows;
        s.g_gate = s.g_units = cell->spec.hidden;
    } else {
        s.x = cell->forms->bf16 ? b->pairs_x : sweep->x;
        s.ldx = cell->forms->bf16 ? pairs_of(cell->spec.input) : sweep->ldx;
        s.x_rows = cell->forms->bf16 ? NULL : b->rows;
    }
    return s;
}

/* Asks for the next step's input and output rows of some lines. */
static void prefetch_rows(const sweep_block *b, const lam_step *s, size_t first, size_t lines,
                          ptrdiff_t stride)
{
    const lam_sweep *sweep = b->sweep;
    const lam_cell_spec *spec = &sweep->cell->spec;
    const float *in = sweep->g ? sweep->g : sweep->x;
    size_t ld = sweep->g ? sweep->ldg : sweep->ldx;
    size_t width = sweep->g ? sweep->cell->gates * spec->hidden : spec->input;
    for (size_t j = first; j < first + lines; j++) {
        size_t row = b->rows[j] + (size_t)stride;
        for (size_t i = 0; i < width; i += 16)
            __builtin_prefetch(in + row * ld + i, 0);
        for (size_t i = 0; s->y && !s->stream && i < spec->hidden; i += 16)
            __builtin_prefetch(s->y + row * s->ldy + i, 1);
    }
}

static size_t sweep_bytes(const lam_sweep *sweep)
{
    size_t rows = sweep->lines.outer * sweep->lines.steps * sweep->lines.inner;
    return rows * ((sweep->g ? sweep->ldg : sweep->ldx) + (sweep->y ? sweep->ldy : 0)) * sizeof(float);
}

static const float *mask_state(const sweep_block *b, const float *h)
{
    const lam_sweep *sweep = b->sweep;
    size_t hidden = sweep->cell->spec.hidden, stride = sweep->cell->padded;
    for (size_t j = 0; j < b->lines; j++)
        for (size_t u = 0; u < hidden; u++)
            b->masked[j * stride + u] = h[j * stride + u] * sweep->mask[(b->first + j) * hidden + u];
    return b->masked;
}

/* The Elman cell's softmax needs the sums of all units, so it follows the step. */
static void soften(const sweep_block *b, const lam_step *s)
{
    const lam_sweep *sweep = b->sweep;
    size_t hidden = sweep->cell->spec.hidden, bytes = hidden * sizeof(float);
    for (size_t j = 0; j < b->lines; j++) {
        float *h = s->h_next + j * s->stride;
        lam_forms_get()->softmax(hidden, h, h); /* the bf16 form has steps only */
        if (s->h_operand_next)
            sweep->cell->forms->to_bf16(s->stride, h, s->h_operand_next + j * s->h_stride);
        if (s->y)
            memcpy(s->y + s->rows[j] * s->ldy, h, bytes);
        if (s->trace)
            memcpy(s->trace + s->trace_rows[j] * s->trace_width, h, bytes);
    }
}

/* What the recurrent product reads at this step. */
static void set_operands(const sweep_block *b, lam_step *s, size_t step)
{
    bool bf16 = b->sweep->cell->forms->bf16;
    s->h_operand = bf16 ? b->pairs_h[step % 2] : b->sweep->mask ? mask_state(b, s->h) : s->h;
    s->h_operand_next = bf16 ? b->pairs_h[1 - step % 2] : NULL;
    s->h_stride = bf16 ? pairs_of(b->sweep->cell->padded) : s->stride;
}

static void (*step_of(const lam_cell *cell))(const lam_step *)
{
    if (cell->spec.peephole)
        return cell->forms->step_peephole;
    if (cell->spec.reset_before)
        return cell->forms->step_reset_before;
    return cell->forms->step[cell->spec.kind];
}

/* Some of a step's lines, where input is not projected ahead. */
static lam_step portion_of(const lam_step *s, size_t first, size_t lines)
{
    lam_step part = *s;
    part.lines = lines;
    part.rows += first;
    part.trace_rows += first;
    if (s->x_rows)
        part.x_rows += first;
    else if (s->x)
        part.x += first * s->ldx;
    if (s->g_rows)
        part.g_rows += first;
    part.h += first * s->stride;
    part.h_next += first * s->stride;
    if (s->cell->spec.kind == LAM_CELL_LSTM) {
        part.c += first * s->stride;
        part.c_next += first * s->stride;
    }
    part.h_operand += first * s->h_stride;
    if (s->h_operand_next)
        part.h_operand_next += first * s->h_stride;
    return part;
}

/* Leaves out the first steps of several. */
static void skip_steps(lam_step *s, size_t steps)
{
    size_t rows = steps * s->step_rows;
    s->rows += rows;
    s->trace_rows += rows;
    if (s->x_rows)
        s->x_rows += rows;
    else if (s->x)
        s->x += rows * s->ldx;
    if (s->g_rows)
        s->g_rows += rows;
}

/* The light cell's steps from visited step `step` on, of each line those that it has; the others keep the
 * state and give 0. */
static void run_valid_steps(const sweep_block *b, const lam_step *s, size_t step)
{
    const lam_sweep *sweep = b->sweep;
    size_t steps = sweep->lines.steps, hidden = sweep->cell->spec.hidden;
    if (sweep->cell->forms->bf16 && s->x)
        pair_inputs(b, b->rows, s->steps * b->lines);
    for (size_t j = 0; j < b->lines; j++) {
        size_t length = sweep->lengths[b->first + j];
        size_t begin = sweep->reverse ? steps - length : 0, end = begin + length;
        size_t skip = begin <= step ? 0 : begin - step < s->steps ? begin - step : s->steps;
        size_t stop = end <= step ? skip : end - step < s->steps ? end - step : s->steps;
        lam_step part = portion_of(s, j, 1);
        for (size_t e = 0; s->y && e < s->steps; e++) {
            if (e < skip || e >= stop)
                memset(s->y + part.rows[e * s->step_rows] * s->ldy, 0, hidden * sizeof(float));
        }
        part.steps = stop - skip;
        skip_steps(&part, skip);
        if (part.steps > 0)
            sweep->cell->forms->step[LAM_CELL_LIGHT](&part);
        else
            memcpy(part.h_next, part.h, s->stride * sizeof(float));
    }
}

/* In bfloat16 the light cell's input is read here and not as it is multiplied: a few lines at a time, while
 * the next ones are asked for. */
static void run_paired_steps(const sweep_block *b, const lam_step *s)
{
    const lam_sweep *sweep = b->sweep;
    size_t input = sweep->cell->spec.input;
    for (size_t first = 0, lines; first < b->lines; first += lines) {
        lines = sweep_share(b->lines - first, PORTION_LINES);
        for (size_t i = 0; i < s->steps * lines; i++) {
            size_t line = first + i % lines, row = i / lines * s->step_rows + line;
            for (size_t k = 0; line + lines < b->lines && k < input; k += 16)
                __builtin_prefetch(sweep->x + b->rows[row + lines] * sweep->ldx + k, 0);
            sweep->cell->forms->to_bf16(input, sweep->x + b->rows[row] * sweep->ldx,
                                        b->pairs_x + row * pairs_of(input));
        }
        lam_step part = portion_of(s, first, lines);
        sweep->cell->forms->step[LAM_CELL_LIGHT](&part);
    }
}

static void run_light(const sweep_block *b, const lam_step *s, size_t step)
{
    if (b->sweep->lengths)
        run_valid_steps(b, s, step);
    else if (b->sweep->cell->forms->bf16 && s->x)
        run_paired_steps(b, s);
    else
        b->sweep->cell->forms->step[LAM_CELL_LIGHT](s);
}

/* Asks for the next step's rows while this step computes: steps are far apart in memory, where the processor
 * does not foresee them. It has few places for lines of the cache under way, so where the step is quick they
 * are asked for as it goes along. Portions are of nearly equal size, none of one line (see step_product).
 * Several steps at once are as many streams, which it does foresee. */
static void run_far_step(const sweep_block *b, const lam_step *s, ptrdiff_t stride)
{
    const lam_cell *cell = b->sweep->cell;
    size_t weights = cell->gates * cell->padded * (cell->x.depth + cell->h.depth) * sizeof(float);
    size_t most = weights <= PORTION_BYTES && !cell->spec.reset_before ? PORTION_LINES : b->lines;
    for (size_t first = 0, lines; first < b->lines; first += lines) {
        lines = sweep_share(b->lines - first, most);
        lam_step part = portion_of(s, first, lines);
        prefetch_rows(b, s, first, lines, stride);
        step_of(cell)(&part);
    }
}

/* Rows from a line's step to the next visited one. */
static ptrdiff_t row_stride(const lam_sweep *sweep)
{
    return (ptrdiff_t)sweep->lines.inner * (sweep->reverse ? -1 : 1);
}

/* Rows, and in the bf16 form the operand of the recurrent product, of the step (or steps) to start from. */
static void start_steps(const sweep_block *b, size_t from)
{
    const lam_sweep *sweep = b->sweep;
    const lam_cell *cell = sweep->cell;
    for (size_t j = 0; j < b->lines; j++)
        b->rows[j] = sweep_row(&sweep->lines, b->first + j, sweep_time(sweep, from));
    for (size_t i = b->lines; i < b->at_once * b->lines; i++)
        b->rows[i] = b->rows[i - b->lines] + (size_t)row_stride(sweep);
    for (size_t i = 0; b->trace_rows != b->rows && i < b->at_once * b->lines; i++)
        b->trace_rows[i] = i;
    for (size_t j = 0; cell->forms->bf16 && j < b->lines; j++)
        cell->forms->to_bf16(cell->padded, b->h[from % 2] + j * cell->padded,
                             b->pairs_h[from % 2] + j * pairs_of(cell->padded));
}

/* Goes on by so many steps; rows of steps that are not there are never used. */
static void next_rows(const sweep_block *b, size_t steps, ptrdiff_t stride)
{
    for (size_t i = 0; i < b->at_once * b->lines; i++)
        b->rows[i] += steps * (size_t)stride;
    for (size_t i = 0; b->trace_rows != b->rows && i < b->at_once * b->lines; i++)
        b->trace_rows[i] += steps * b->lines;
}

void sweep_block_run(sweep_block *b, size_t from, size_t to)
{
    const lam_sweep *sweep = b->sweep;
    const lam_cell *cell = sweep->cell;
    bool alone = sweep->lines.outer * sweep->lines.inner == 1;
    bool far = !b->project && b->at_once == 1 && sweep_bytes(sweep) >= FAR_BYTES;
    lam_step s = block_step(b);
    ptrdiff_t stride = row_stride(sweep);
    start_steps(b, from);
    for (size_t step = from; step < to; step += s.steps) {
        s.steps = sweep_share(to - step, b->at_once);
        if (b->project) {
            if ((step - from) % b->project == 0)
                project(b, step, to);
            s.g = b->g + (step - from) % b->project * b->lines * s.ldg;
        }
        if (cell->forms->bf16 && s.x && cell->spec.kind != LAM_CELL_LIGHT)
            pair_inputs(b, b->rows, b->lines);
        s.h = b->h[step % 2];
        s.c = b->c[step % 2];
        s.h_next = b->h[(step + s.steps) % 2];
        s.c_next = b->c[(step + s.steps) % 2];
        set_operands(b, &s, step);
        s.first = step == 0 && !sweep->h0;
        s.downward = alone && step % 2 == 1;
        if (cell->spec.kind == LAM_CELL_LIGHT)
            run_light(b, &s, step);
        else if (far && step + 1 < to)
            run_far_step(b, &s, stride);
        else
            step_of(cell)(&s);
        if (cell->spec.activation == LAM_CELL_SOFTMAX)
            soften(b, &s);
        if (cell->spec.kind != LAM_CELL_LIGHT && sweep->lengths)
            hold_ended(b, &s, sweep_time(sweep, step));
        next_rows(b, s.steps, stride);
    }
}

static void save_states(const sweep_block *b, size_t step, float *h, float *c)
{
    sweep_states_save(b->sweep, b->first, b->lines, b->h[step % 2], h);
    if (b->sweep->cell->spec.kind == LAM_CELL_LSTM)
        sweep_states_save(b->sweep, b->first, b->lines, b->c[step % 2], c);
}

static void run_block(sweep_block *b)
{
    const lam_sweep *sweep = b->sweep;
    size_t steps = sweep->lines.steps,
           stretch = sweep->trace && sweep->checkpoint ? sweep->checkpoint : steps;
    sweep_states_load(sweep, b->first, b->lines, sweep->h0, b->h[0]);
    if (sweep->cell->spec.kind == LAM_CELL_LSTM)
        sweep_states_load(sweep, b->first, b->lines, sweep->c0, b->c[0]);
    for (size_t from = 0, to; from < steps; from = to) {
        to = steps - from < stretch ? steps : from + stretch;
        sweep_block_run(b, from, to);
        if (to < steps)
            save_states(b, to, sweep_kept_h(sweep, to), sweep_kept_c(sweep, to));
    }
    end_streams();
    save_states(b, steps, sweep->h_last, sweep->c_last);
}

typedef struct forward_job {
    const lam_sweep *sweeps;
    size_t count, threads, scratch_bytes;
    char *workspace;
} forward_job;

static void forward_task(void *context, size_t task, size_t worker)
{
    const forward_job *job = context;
    size_t index;
    const lam_sweep *sweep = &job->sweeps[sweep_of_task(job->sweeps, job->count, job->threads, task, &index)];
    sweep_blocks blocks = sweep_blocks_of(sweep, job->threads);
    sweep_block b;
    size_t first = sweep_block_begin(blocks, index);
    sweep_block_layout(&b, sweep, sweep_block_begin(blocks, index + 1) - first,
                       job->workspace + worker * job->scratch_bytes);
    b.first = first;
    run_block(&b);
}

size_t sweep_forward_scratch(const lam_sweep *sweeps, size_t count, size_t threads)
{
    size_t most = 64;
    for (size_t i = 0; i < count; i++) {
        sweep_blocks blocks = sweep_blocks_of(&sweeps[i], threads);
        for (size_t k = 0; k < 2; k++) { /* the first block is the largest, the last the smallest */
            size_t at = k ? blocks.count - 1 : 0;
            sweep_block b;
            size_t lines = sweep_block_begin(blocks, at + 1) - sweep_block_begin(blocks, at);
            size_t bytes = sweep_block_layout(&b, &sweeps[i], lines, NULL);
            most = bytes > most ? bytes : most;
        }
    }
    return most;
}

void lam_sweeps_forward(const lam_sweep *sweeps, size_t count, lam_pool *pool, void *workspace)
{
    size_t threads = lam_pool_threads(pool);
    forward_job job = {sweeps, count, threads, sweep_forward_scratch(sweeps, count, threads), workspace};
    lam_pool_run(pool, sweep_tasks(sweeps, count, threads), forward_task, &job);
}
