/* sweep: recurrent cells along chosen axes; all other axes are the batch. Along time it is the textbook
 * recurrent layer; z+ z- y+ y- x+ x- of a volume see the whole volume. The directions' results stand side by
 * side in the channels.
 *
 * Parameters, D directions in the order given, G gates of H units (PyTorch's order: LSTM i f g o, GRU r z n):
 *   weight_ih [D, G·H, channels]   weight_hh [D, G·H, H]   bias_ih [D, G·H]   bias_hh [D, G·H]   peephole [D,
 * 3, H] A light cell has no weight_hh and no bias_hh.
 *
 * The kernels take the input product along with the step, forward and back, while the input is in cache. */
#include <math.h>
#include <string.h>

#include "core/rnn/kernels/cell.h"
#include "core/rnn/layers/kinds.h"
#include "core/rnn/layers/steps.h"
#include "core/rnn/options.h"
#include "core/rnn/random.h"

enum {
    MAX_DIRECTIONS = 8,
    MAX_UNITS = 4096,
    LONG_STEPS = 1024,       /* from so many steps on training keeps states only … */
    CHECKPOINT_STEPS = 32,   /* … every so many steps */
    MAX_CHECKPOINT = 1 << 20 /* `checkpoint` at most */
};

struct sweep_options {
    lam_cell_spec spec;
    int directions;
    int axis[MAX_DIRECTIONS]; /* 0: the first after the batch */
    bool reverse[MAX_DIRECTIONS];
    bool last;          /* only the last state of each line; its axis is gone from the result */
    double dropout;     /* rate of the recurrent dropout */
    int64_t checkpoint; /* steps between states that training keeps; -1: as the length suggests */
    int weight_ih, weight_hh, bias_ih, bias_hh, peephole; /* parameter numbers, -1: none */
};

struct sweep_packed {
    lam_cell *cell[MAX_DIRECTIONS];
    int directions;
};

/* ---- options ---- */

/* "z+": the axis named z, forward. */
static lam_status read_direction(const lam_layer *layer, struct sweep_options *options, const lam_jv *value,
                                 lam_error *err)
{
    const char *text = lam_jv_text(value, "");
    size_t length = strlen(text);
    char sign = length ? text[length - 1] : 0;
    int axis = sign == '+' || sign == '-' ? lam_signature_axis(&layer->in[0], text, length - 1) : -1;
    if (axis < 0)
        return lam_fail(err, LAM_E_INVALID, "`directions`: '%.16s' is not an axis name followed by + or -",
                        text);
    for (int d = 0; d < options->directions; d++)
        if (options->axis[d] == axis && options->reverse[d] == (sign == '-'))
            return lam_fail(err, LAM_E_INVALID, "`directions` names '%s' twice", text);
    options->axis[options->directions] = axis;
    options->reverse[options->directions++] = sign == '-';
    return LAM_OK;
}

static lam_status read_directions(const lam_layer *layer, struct sweep_options *options, const lam_jv *json,
                                  lam_error *err)
{
    const lam_jv *list = lam_jv_get(json, "directions");
    size_t count = lam_jv_count(list);
    if (!list && layer->in[0].shape.rank == 3) {
        options->directions = 1; /* along the only axis */
        return LAM_OK;
    }
    if (!lam_jv_is(list, LAM_JSON_ARRAY) || count < 1 || count > MAX_DIRECTIONS)
        return lam_fail(err, LAM_E_INVALID, "`directions` must be a list of 1 to %d, such as \"z+\", \"z-\"",
                        MAX_DIRECTIONS);
    for (size_t i = 0; i < count; i++) {
        lam_status status = read_direction(layer, options, lam_jv_at(list, i), err);
        if (status)
            return status;
    }
    return LAM_OK;
}

static lam_status read_cell(const lam_layer *layer, struct sweep_options *options, const lam_jv *json,
                            lam_error *err)
{
    static const char *const kinds[] = {"elman", "lstm", "gru", "light", NULL};
    static const char *const activations[] = {"tanh", "relu", "sigmoid", "linear", "softmax", NULL};
    int kind, activation;
    int64_t units;
    lam_cell_spec spec = {.input = (size_t)lam_shape_channels(&layer->in[0].shape), .trainable = true};
    lam_status status;
    if ((status = lam_options_choice(json, "cell", kinds, -1, &kind, err)) ||
        (status = lam_jv_need_integer(json, "units", 1, MAX_UNITS, &units, err)) ||
        (status = lam_options_choice(json, "activation", activations, 0, &activation, err)) ||
        (status = lam_options_bool(json, "reset_before", false, &spec.reset_before, err)) ||
        (status = lam_options_bool(json, "peephole", false, &spec.peephole, err)) ||
        (status = lam_options_number(json, "recurrent_dropout", 0, 0, 0.99, &options->dropout, err)))
        return status;
    spec.kind = (lam_cell_kind)kind;
    spec.activation = (lam_cell_activation)activation;
    spec.hidden = (size_t)units;
    if ((spec.reset_before && spec.kind != LAM_CELL_GRU) || (spec.peephole && spec.kind != LAM_CELL_LSTM) ||
        (spec.activation != LAM_CELL_TANH && spec.kind != LAM_CELL_ELMAN))
        return lam_fail(err, LAM_E_INVALID,
                        "`reset_before` is for gru, `peephole` for lstm, `activation` for elman");
    if (options->dropout > 0 && (spec.reset_before || spec.kind == LAM_CELL_LIGHT))
        return lam_fail(
            err, LAM_E_INVALID,
            "`recurrent_dropout` is for cells whose recurrent product takes h: not for light, not with "
            "`reset_before`");
    options->spec = spec;
    return LAM_OK;
}

/* Input weights normal with deviation 1/√channels, recurrent ones orthogonal a gate, biases 0 but 1 for the
 * forget gate of the LSTM; the light cell's update bias is left at 0. */
static void declare_parameters(lam_layer *layer, struct sweep_options *options)
{
    const lam_cell_spec *spec = &options->spec;
    int64_t directions = options->directions, hidden = (int64_t)spec->hidden, input = (int64_t)spec->input;
    int64_t gates = (int64_t)lam_cell_gates(spec->kind) * hidden;
    bool recurrent = spec->kind != LAM_CELL_LIGHT;
    options->weight_hh = options->bias_hh = options->peephole = -1;
    options->weight_ih = lam_layer_declare(layer, "weight_ih", LAM_INIT_NORMAL, 1 / sqrt((double)input), 3,
                                           directions, gates, input);
    if (recurrent)
        options->weight_hh =
            lam_layer_declare(layer, "weight_hh", LAM_INIT_ORTHOGONAL, 1, 3, directions, gates, hidden);
    options->bias_ih =
        lam_layer_declare(layer, "bias_ih", spec->kind == LAM_CELL_LSTM ? LAM_INIT_FORGET : LAM_INIT_ZERO, 0,
                          2, directions, gates);
    if (recurrent)
        options->bias_hh = lam_layer_declare(layer, "bias_hh", LAM_INIT_ZERO, 0, 2, directions, gates);
    if (spec->peephole)
        options->peephole =
            lam_layer_declare(layer, "peephole", LAM_INIT_ZERO, 0, 3, directions, (int64_t)3, hidden);
}

/* The initial states have the signature of the last state. */
static lam_status check_initial(const lam_layer *layer, const struct sweep_options *options, lam_error *err)
{
    if (layer->inputs > 1 + (options->spec.kind == LAM_CELL_LSTM ? 2 : 1))
        return lam_fail(err, LAM_E_INVALID, "only lstm has a second initial state");
    for (int k = 1; k < layer->inputs; k++)
        if (layer->in[k].shape.rank != layer->in[0].shape.rank - 1 ||
            lam_shape_channels(&layer->in[k].shape) != options->directions * (int64_t)options->spec.hidden)
            return lam_fail(
                err, LAM_E_INVALID,
                "an initial state has one axis less than the input, and directions × units channels");
    return LAM_OK;
}

static lam_status setup(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    static const char *const returns[] = {"sequence", "last", NULL};
    struct sweep_options *options = layer->options;
    int result;
    lam_status status;
    if ((status = read_directions(layer, options, json, err)) ||
        (status = read_cell(layer, options, json, err)) ||
        (status = lam_options_choice(json, "return", returns, 0, &result, err)) ||
        (status = lam_options_integer(json, "checkpoint", -1, 0, MAX_CHECKPOINT, &options->checkpoint, err)))
        return status;
    options->last = result == 1;
    for (int d = 1; d < options->directions && (options->last || layer->inputs > 1); d++)
        if (options->axis[d] != options->axis[0])
            return lam_fail(err, LAM_E_INVALID,
                            "`return` \"last\" and initial states need directions along one axis");
    if ((status = check_initial(layer, options, err)))
        return status;
    declare_parameters(layer, options);
    layer->probabilities = options->spec.activation == LAM_CELL_SOFTMAX && options->directions == 1;
    layer->out.shape.dim[layer->out.shape.rank - 1] = options->directions * (int64_t)options->spec.hidden;
    if (options->last)
        lam_signature_drop_axis(&layer->out, options->axis[0]);
    return LAM_OK;
}

static lam_status shape(const lam_layer *layer, const lam_shape *const *in, lam_shape *out, lam_error *err)
{
    const struct sweep_options *options = layer->options;
    lam_signature sequence = {.shape = *in[0]}, state;
    char want[LAM_SHAPE_TEXT], have[LAM_SHAPE_TEXT];
    sequence.shape.dim[sequence.shape.rank - 1] = options->directions * (int64_t)options->spec.hidden;
    state = sequence;
    lam_signature_drop_axis(&state, options->axis[0]);
    for (int k = 1; k < layer->inputs; k++)
        if (!lam_shape_equal(in[k], &state.shape))
            return lam_fail(err, LAM_E_INVALID, "an initial state is %s, it must be %s",
                            lam_shape_text(in[k], have), lam_shape_text(&state.shape, want));
    *out = options->last ? state.shape : sequence.shape;
    return LAM_OK;
}

/* ---- weights ---- */

static size_t gate_width(const struct sweep_options *options)
{
    return lam_cell_gates(options->spec.kind) * options->spec.hidden;
}

static const float *slice(const float *const *parameters, int number, size_t offset)
{
    return number < 0 ? NULL : parameters[number] + offset;
}

static lam_cell_weights direction_weights(const struct sweep_options *options, const float *const *parameters,
                                          int d)
{
    size_t rows = (size_t)d * gate_width(options);
    return (lam_cell_weights){
        .w_x = slice(parameters, options->weight_ih, rows * options->spec.input),
        .w_h = slice(parameters, options->weight_hh, rows * options->spec.hidden),
        .b_x = slice(parameters, options->bias_ih, rows),
        .b_h = slice(parameters, options->bias_hh, rows),
        .peephole = slice(parameters, options->peephole, (size_t)d * 3 * options->spec.hidden),
    };
}

static void repack(const lam_layer *layer, const float *const *parameters, void *memory)
{
    const struct sweep_options *options = layer->options;
    struct sweep_packed *packed = memory;
    for (int d = 0; d < options->directions; d++) {
        lam_cell_weights weights = direction_weights(options, parameters, d);
        lam_cell_update(packed->cell[d], &weights);
    }
}

static void discard(void *memory)
{
    struct sweep_packed *packed = memory;
    for (int d = 0; d < packed->directions; d++)
        lam_cell_free(packed->cell[d]);
    free(packed);
}

static lam_status pack(const lam_layer *layer, const float *const *parameters, void **out, lam_error *err)
{
    const struct sweep_options *options = layer->options;
    struct sweep_packed *packed = calloc(1, sizeof *packed);
    if (!packed)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_status status = LAM_OK;
    for (int d = 0; d < options->directions && status == LAM_OK; d++) {
        lam_cell_weights weights = direction_weights(options, parameters, d);
        status = lam_cell_create(&options->spec, &weights, &packed->cell[d], err);
        packed->directions += status == LAM_OK;
    }
    if (status)
        discard(packed);
    else
        *out = packed;
    return status;
}

/* ---- in steps ---- */

static lam_reach reach(const lam_layer *layer, int axis)
{
    const struct sweep_options *options = layer->options;
    lam_reach result = {0, 0};
    if (axis == layer->in[0].shape.rank - 2 || options->last || layer->inputs > 1)
        return (lam_reach){-LAM_REACH_END, LAM_REACH_END};
    for (int d = 0; d < options->directions; d++)
        if (options->axis[d] == axis)
            *(options->reverse[d] ? &result.last : &result.first) =
                options->reverse[d] ? LAM_REACH_END : -LAM_REACH_END;
    return result;
}

/* States of the direction along the axis, h and then, of an LSTM, c: [lines, hidden] each. */
static size_t memory(const lam_layer *layer, const lam_shape *in, int axis)
{
    const struct sweep_options *options = layer->options;
    size_t states = options->spec.kind == LAM_CELL_LSTM ? 2 : 1;
    (void)axis;
    return states * (size_t)lam_shape_rows(in) * options->spec.hidden;
}

/* The direction along the memory's axis goes on from there. */
static void aim_memory(const lam_layer_run *run, lam_sweep sweeps[MAX_DIRECTIONS])
{
    const struct sweep_options *options = run->layer->options;
    for (int d = 0; d < options->directions && run->memory; d++) {
        if (options->axis[d] != run->memory_axis)
            continue;
        size_t states = sweeps[d].lines.outer * sweeps[d].lines.inner * options->spec.hidden;
        sweeps[d].h0 = sweeps[d].h_last = run->memory;
        if (options->spec.kind == LAM_CELL_LSTM)
            sweeps[d].c0 = sweeps[d].c_last = run->memory + states;
    }
}

/* ---- running ---- */

/* The lines along an axis of [batch, axes…, channels]. */
static lam_lines lines_along(const lam_shape *shape, int axis)
{
    lam_lines lines = {.outer = 1, .steps = (size_t)shape->dim[axis + 1], .inner = 1};
    for (int i = 0; i <= axis; i++)
        lines.outer *= (size_t)shape->dim[i];
    for (int i = axis + 2; i < shape->rank - 1; i++)
        lines.inner *= (size_t)shape->dim[i];
    return lines;
}

/* Dense states [lines, hidden] of one direction, in scratch. */
enum state { STATE_LAST, STATE_H, STATE_C, STATE_D_H, STATE_D_C, STATE_MASK, STATES };

/* How the layer's memory is divided; the same for measuring and for running. All counts in floats. */
struct sweep_layout {
    size_t lines;  /* of a direction */
    size_t trace;  /* saved, a direction */
    size_t states; /* scratch: each of a direction's STATES arrays; 0 when none is used */
    size_t kernel; /* scratch: workspace of the kernels */
};

static size_t checkpoint_of(const struct sweep_options *options, size_t steps)
{
    if (options->checkpoint >= 0)
        return (size_t)options->checkpoint;
    return steps >= LONG_STEPS ? CHECKPOINT_STEPS : 0;
}

static void describe(const struct sweep_options *options, const struct sweep_packed *packed,
                     const lam_shape *in, const float *x, lam_sweep sweeps[MAX_DIRECTIONS])
{
    for (int d = 0; d < options->directions; d++) {
        lam_lines lines = lines_along(in, options->axis[d]);
        sweeps[d] = (lam_sweep){
            .cell = packed->cell[d],
            .lines = lines,
            .reverse = options->reverse[d],
            .x = x,
            .ldx = options->spec.input,
            .checkpoint = checkpoint_of(options, lines.steps),
        };
    }
}

static size_t round_up(size_t floats)
{
    return (floats + 15) / 16 * 16;
}

static struct sweep_layout lay_out(const lam_layer *layer, const lam_sweep *sweeps, const lam_pool *pool,
                                   bool backward)
{
    const struct sweep_options *options = layer->options;
    struct sweep_layout layout = {.lines = sweeps[0].lines.outer * sweeps[0].lines.inner};
    size_t workspace = lam_sweeps_workspace(sweeps, (size_t)options->directions, pool, backward);
    for (int d = 0; d < options->directions; d++) {
        size_t trace = round_up(lam_sweep_trace_floats(&sweeps[d]));
        layout.trace = trace > layout.trace ? trace : layout.trace;
    }
    bool states = options->last || layer->inputs > 1 || options->dropout > 0;
    layout.states = states ? round_up(layout.lines * options->spec.hidden) : 0;
    layout.kernel = round_up((workspace + sizeof(float) - 1) / sizeof(float));
    return layout;
}

static void measure(const lam_layer *layer, const void *packed, const lam_shape *const *in,
                    const lam_shape *out, lam_mode mode, const lam_pool *pool, lam_layer_needs *needs)
{
    const struct sweep_options *options = layer->options;
    lam_sweep sweeps[MAX_DIRECTIONS] = {{0}};
    static const float given = 0; /* the kernels ask only what is given */
    size_t directions = (size_t)options->directions;
    (void)out;
    describe(options, packed, in[0], &given, sweeps);
    for (size_t d = 0; d < directions && options->dropout > 0; d++)
        sweeps[d].mask = &given;
    struct sweep_layout fore = lay_out(layer, sweeps, pool, false);
    struct sweep_layout back = lay_out(layer, sweeps, pool, true);
    needs->saved = mode == LAM_MODE_TRAIN ? directions * back.trace * sizeof(float) : 0;
    needs->forward = (directions * STATES * fore.states + fore.kernel) * sizeof(float);
    needs->backward = (directions * STATES * back.states + back.kernel) * sizeof(float);
}

static float *state_of(const struct sweep_layout *layout, float *scratch, int direction, enum state state)
{
    return scratch + ((size_t)direction * STATES + state) * layout->states;
}

/* Dense states from a direction's columns of an array of states, and back, written or added. */
static void take_states(const struct sweep_layout *layout, size_t hidden, const float *columns, size_t stride,
                        float *states)
{
    for (size_t l = 0; l < layout->lines; l++)
        memcpy(states + l * hidden, columns + l * stride, hidden * sizeof *states);
}

static void give_states(const struct sweep_layout *layout, size_t hidden, const float *states, bool add,
                        size_t stride, float *columns)
{
    for (size_t l = 0; l < layout->lines; l++)
        for (size_t u = 0; u < hidden; u++)
            columns[l * stride + u] = (add ? columns[l * stride + u] : 0) + states[l * hidden + u];
}

/* The factors of recurrent dropout: a function of the pass's key, so that backward finds them again. */
static void draw_mask(const lam_layer_run *run, size_t count, int direction, float *mask)
{
    const struct sweep_options *options = run->layer->options;
    uint32_t threshold = (uint32_t)(options->dropout * 4294967295.0);
    float scale = (float)(1 / (1 - options->dropout));
    uint64_t key = lam_random_mix(run->key, (uint64_t)direction);
    for (size_t i = 0; i < count; i++)
        mask[i] = (uint32_t)(lam_random_mix(key, i) >> 32) >= threshold ? scale : 0;
}

/* What forward and backward share: ends of sequences, initial states, masks of dropout. */
static void aim_initial(const lam_layer_run *run, const struct sweep_layout *layout, float *scratch,
                        lam_sweep sweeps[MAX_DIRECTIONS])
{
    const struct sweep_options *options = run->layer->options;
    size_t hidden = options->spec.hidden, stride = (size_t)options->directions * hidden;
    for (int d = 0; d < options->directions; d++) {
        float *h = state_of(layout, scratch, d, STATE_H), *c = state_of(layout, scratch, d, STATE_C);
        sweeps[d].lengths = run->in_shape[0]->rank == 3 ? run->lengths : NULL;
        if (run->dropout && options->dropout > 0) {
            float *mask = state_of(layout, scratch, d, STATE_MASK);
            draw_mask(run, sweeps[d].lines.outer * sweeps[d].lines.inner * hidden, d, mask);
            sweeps[d].mask = mask;
        }
        if (run->layer->inputs > 1) {
            take_states(layout, hidden, run->in[1] + (size_t)d * hidden, stride, h);
            sweeps[d].h0 = h;
        }
        if (run->layer->inputs > 2) {
            take_states(layout, hidden, run->in[2] + (size_t)d * hidden, stride, c);
            sweeps[d].c0 = c;
        }
    }
}

static float *workspace_of(const struct sweep_options *options, const struct sweep_layout *layout,
                           float *scratch)
{
    return state_of(layout, scratch, options->directions, STATE_LAST);
}

static void forward(const lam_layer_run *run)
{
    const struct sweep_options *options = run->layer->options;
    const struct sweep_packed *packed = run->packed;
    size_t hidden = options->spec.hidden, outputs = (size_t)lam_shape_channels(run->out_shape);
    lam_sweep sweeps[MAX_DIRECTIONS] = {{0}};
    float *scratch = run->scratch;
    describe(options, packed, run->in_shape[0], run->in[0], sweeps);
    struct sweep_layout layout = lay_out(run->layer, sweeps, run->pool, false);
    for (int d = 0; d < options->directions; d++) {
        sweeps[d].y = options->last ? NULL : run->out + (size_t)d * hidden;
        sweeps[d].ldy = outputs;
        sweeps[d].h_last = options->last ? state_of(&layout, scratch, d, STATE_LAST) : NULL;
        sweeps[d].trace = run->training ? (float *)run->saved + (size_t)d * layout.trace : NULL;
    }
    aim_initial(run, &layout, scratch, sweeps);
    aim_memory(run, sweeps);
    lam_sweeps_forward(sweeps, (size_t)options->directions, run->pool,
                       workspace_of(options, &layout, scratch));
    for (int d = 0; d < options->directions && options->last; d++)
        give_states(&layout, hidden, sweeps[d].h_last, false, outputs, run->out + (size_t)d * hidden);
}

static float *gradient_slice(const lam_layer_run *run, int number, size_t offset)
{
    return number < 0 ? NULL : run->d_parameters[number] + offset;
}

static void aim_gradients(const lam_layer_run *run, const struct sweep_layout *layout, int d, float *scratch,
                          lam_sweep_grad *grad)
{
    const struct sweep_options *options = run->layer->options;
    size_t rows = (size_t)d * gate_width(options), hidden = options->spec.hidden;
    size_t outputs = (size_t)lam_shape_channels(run->out_shape);
    float *last = state_of(layout, scratch, d, STATE_LAST), *column = run->d_out + (size_t)d * hidden;
    if (options->last)
        take_states(layout, hidden, column, outputs, last);
    *grad = (lam_sweep_grad){
        .dy = options->last ? NULL : column,
        .lddy = outputs,
        .dh_last = options->last ? last : NULL,
        .dx = run->d_in[0],
        .lddx = options->spec.input,
        .add_dx = run->add[0] || d > 0,
        .dw_x = gradient_slice(run, options->weight_ih, rows * options->spec.input),
        .dw_h = gradient_slice(run, options->weight_hh, rows * hidden),
        .db_x = gradient_slice(run, options->bias_ih, rows),
        .db_h = gradient_slice(run, options->bias_hh, rows),
        .dpeephole = gradient_slice(run, options->peephole, (size_t)d * 3 * hidden),
        .dh0 = run->layer->inputs > 1 ? state_of(layout, scratch, d, STATE_D_H) : NULL,
        .dc0 = run->layer->inputs > 2 ? state_of(layout, scratch, d, STATE_D_C) : NULL,
    };
}

static void give_initial(const lam_layer_run *run, const struct sweep_layout *layout, float *scratch)
{
    const struct sweep_options *options = run->layer->options;
    size_t hidden = options->spec.hidden, stride = (size_t)options->directions * hidden;
    for (int k = 1; k < run->layer->inputs; k++)
        for (int d = 0; d < options->directions && run->d_in[k]; d++)
            give_states(layout, hidden, state_of(layout, scratch, d, k == 1 ? STATE_D_H : STATE_D_C),
                        run->add[k], stride, run->d_in[k] + (size_t)d * hidden);
}

static void backward(const lam_layer_run *run)
{
    const struct sweep_options *options = run->layer->options;
    const struct sweep_packed *packed = run->packed;
    size_t directions = (size_t)options->directions;
    lam_sweep sweeps[MAX_DIRECTIONS] = {{0}};
    lam_sweep_grad grads[MAX_DIRECTIONS];
    float *scratch = run->scratch;
    describe(options, packed, run->in_shape[0], run->in[0], sweeps);
    struct sweep_layout layout = lay_out(run->layer, sweeps, run->pool, true);
    for (size_t d = 0; d < directions; d++) {
        sweeps[d].trace = (float *)run->saved + d * layout.trace;
        aim_gradients(run, &layout, (int)d, scratch, &grads[d]);
    }
    aim_initial(run, &layout, scratch, sweeps);
    lam_sweeps_backward(sweeps, grads, directions, run->pool, workspace_of(options, &layout, scratch));
    give_initial(run, &layout, scratch);
}

static const char *const members[] = {"cell",         "units",    "directions", "return",
                                      "reset_before", "peephole", "activation", "recurrent_dropout",
                                      "checkpoint",   NULL};

const lam_layer_kind lam_layer_sweep = {
    .name = "sweep",
    .members = members,
    .minimum_inputs = 1,
    .maximum_inputs = 3,
    .options_size = sizeof(struct sweep_options),
    .adds = true,
    .setup = setup,
    .shape = shape,
    .measure = measure,
    .pack = pack,
    .repack = repack,
    .discard = discard,
    .forward = forward,
    .backward = backward,
    .reach = reach,
    .memory = memory,
};
