/* ONNX's LSTM, GRU and RNN as sweeps. */
#include <stdlib.h>
#include <string.h>

#include "core/rnn/import/gates.h"
#include "core/rnn/import/onnx_graph.h"

/* Inputs of the node. */
enum { X, W, R, B, SEQUENCE_LENGTHS, INITIAL_H, INITIAL_C, PEEPHOLES };

struct recurrent {
    const lam_gate_order *cell;
    int directions;
    bool forward, reverse;
    int64_t hidden, inputs;
    const lam_onnx_tensor *w, *r, *b, *p;
    bool reset_before;
    const char *activation; /* elman */
};

static bool is_given(const lam_onnx_graph *g, size_t index)
{
    return index < g->node->input_count && *g->node->inputs[index];
}

static bool all_zero(const lam_onnx_tensor *tensor)
{
    for (int64_t i = 0; tensor && i < tensor->count; i++)
        if (!tensor->floats || tensor->floats[i] != 0)
            return false;
    return tensor != NULL;
}

static lam_status need_shape(lam_onnx_graph *g, size_t index, int rank, int64_t a, int64_t b, int64_t c,
                             const lam_onnx_tensor **out)
{
    const lam_onnx_tensor *tensor = lam_graph_constant(g, index);
    if (!tensor || !tensor->floats)
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "input %zu is not constant", index + 1);
    if (tensor->rank != rank || tensor->dim[0] != a || tensor->dim[1] != b ||
        (rank > 2 && tensor->dim[2] != c))
        return lam_graph_fail(g, LAM_E_INVALID, "input %zu has another shape than its attributes say",
                              index + 1);
    *out = tensor;
    return LAM_OK;
}

/* Those that the cell has by default; for elman any that we have, the same in all directions. */
static lam_status read_activations(lam_onnx_graph *g, struct recurrent *cell)
{
    static const struct {
        const char *cell;
        const char *names[3];
    } defaults[] = {{"lstm", {"Sigmoid", "Tanh", "Tanh"}}, {"gru", {"Sigmoid", "Tanh", NULL}}};
    static const char *const elman[][2] = {{"Tanh", "tanh"}, {"Relu", "relu"}, {"Sigmoid", "sigmoid"}};
    const lam_onnx_attribute *given = lam_onnx_find(g->node, "activations");
    size_t count = given ? given->string_count : 0;
    cell->activation = strcmp(cell->cell->cell, "elman") == 0 ? "tanh" : NULL;
    for (size_t i = 0; i < count; i++) {
        bool known = false;
        for (size_t k = 0; k < LAM_COUNT(defaults); k++)
            if (strcmp(defaults[k].cell, cell->cell->cell) == 0) {
                size_t each = defaults[k].names[2] ? 3 : 2;
                known = strcmp(given->strings[i], defaults[k].names[i % each]) == 0;
            }
        for (size_t k = 0; k < LAM_COUNT(elman) && cell->activation; k++)
            if (strcmp(given->strings[i], elman[k][0]) == 0 && strcmp(given->strings[0], elman[k][0]) == 0) {
                cell->activation = elman[k][1];
                known = true;
            }
        if (!known)
            return lam_graph_fail(g, LAM_E_UNSUPPORTED, "the activation %.32s", given->strings[i]);
    }
    return LAM_OK;
}

static lam_status read_attributes(lam_onnx_graph *g, struct recurrent *cell)
{
    const char *direction = lam_graph_text(g, "direction", "forward");
    cell->reverse = strcmp(direction, "forward") != 0;
    cell->forward = strcmp(direction, "reverse") != 0;
    cell->directions = cell->forward + cell->reverse;
    cell->hidden = lam_graph_integer(g, "hidden_size", 0);
    cell->reset_before =
        strcmp(cell->cell->cell, "gru") == 0 && !lam_graph_integer(g, "linear_before_reset", 0);
    if (lam_onnx_find(g->node, "clip") || lam_graph_integer(g, "input_forget", 0) ||
        lam_graph_integer(g, "layout", 0))
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "clip, input_forget or layout 1");
    if (cell->hidden < 1 || cell->hidden > LAM_MAX_CHANNELS / 16)
        return lam_graph_fail(g, LAM_E_INVALID, "a hidden_size of %lld", (long long)cell->hidden);
    if (is_given(g, SEQUENCE_LENGTHS))
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "sequence lengths");
    for (size_t i = INITIAL_H; i <= INITIAL_C; i++)
        if (is_given(g, i) && !all_zero(lam_graph_constant(g, i)))
            return lam_graph_fail(g, LAM_E_UNSUPPORTED, "an initial state other than zeros");
    return read_activations(g, cell);
}

static lam_status read_cell(lam_onnx_graph *g, int64_t inputs, struct recurrent *cell)
{
    lam_status status;
    for (size_t i = 0; i < LAM_COUNT(lam_gate_orders); i++)
        if (strcmp(lam_gate_orders[i].cell, lam_onnx_detail(g)) == 0)
            cell->cell = &lam_gate_orders[i];
    if (!cell->cell)
        return lam_graph_fail(g, LAM_E_INTERNAL, "there is no such cell");
    if ((status = read_attributes(g, cell)))
        return status;
    int64_t rows = cell->cell->gates * cell->hidden, d = cell->directions;
    cell->inputs = inputs;
    if ((status = need_shape(g, W, 3, d, rows, inputs, &cell->w)) ||
        (status = need_shape(g, R, 3, d, rows, cell->hidden, &cell->r)))
        return status;
    if (is_given(g, B) && (status = need_shape(g, B, 2, d, 2 * rows, 0, &cell->b)))
        return status;
    return is_given(g, PEEPHOLES) ? need_shape(g, PEEPHOLES, 2, d, 3 * cell->hidden, 0, &cell->p) : LAM_OK;
}

static lam_status write_weights(lam_onnx_graph *g, const struct recurrent *cell, const char *layer,
                                const int64_t *column)
{
    static const int peephole_order[] = {0, 2, 1}; /* ONNX i o f, ours i f o */
    const int *order = cell->cell->onnx, gates = cell->cell->gates;
    int64_t d = cell->directions, hidden = cell->hidden, inputs = cell->inputs, rows = gates * hidden;
    float *w = lam_graph_weight(g, layer, "weight_ih", d * rows * inputs);
    float *r = lam_graph_weight(g, layer, "weight_hh", d * rows * hidden);
    float *bx = lam_graph_weight(g, layer, "bias_ih", d * rows);
    float *bh = lam_graph_weight(g, layer, "bias_hh", d * rows);
    float *p = cell->p ? lam_graph_weight(g, layer, "peephole", d * 3 * hidden) : w;
    if (!w || !r || !bx || !bh || !p)
        return lam_graph_fail(g, LAM_E_NO_MEMORY, "out of memory");
    for (int64_t i = 0; i < d; i++) {
        lam_gates_copy(order, gates, hidden, inputs, cell->w->floats + i * rows * inputs, inputs, 1, column,
                       w + i * rows * inputs);
        lam_gates_copy(order, gates, hidden, hidden, cell->r->floats + i * rows * hidden, hidden, 1, NULL,
                       r + i * rows * hidden);
        if (cell->b) {
            const float *b = cell->b->floats + i * 2 * rows;
            lam_gates_copy(order, gates, hidden, 1, b, 1, 1, NULL, bx + i * rows);
            lam_gates_copy(order, gates, hidden, 1, b + rows, 1, 1, NULL, bh + i * rows);
        }
        if (cell->p)
            lam_gates_copy(peephole_order, 3, hidden, 1, cell->p->floats + i * 3 * hidden, 1, 1, NULL,
                           p + i * 3 * hidden);
    }
    return LAM_OK;
}

/* One sweep layer on `value` ([t, …, inputs] of three dimensions); afterwards it is the layer's result. */
static lam_status write_sweep(lam_onnx_graph *g, const struct recurrent *cell, lam_placed *value, bool last)
{
    int axis;
    int64_t *column;
    char direction[LAM_AXIS_NAME + 1];
    lam_json_writer *w = &g->writer;
    lam_status status = lam_graph_axis_of(g, value, 0, &axis);
    if (status || (status = lam_graph_channel_order(g, value, 2, &column)))
        return status;
    size_t length = strlen(value->atom[axis].axis);
    memcpy(direction, value->atom[axis].axis, length + 1);
    direction[length + 1] = '\0';
    lam_graph_layer_on(g, "sweep", value);
    lam_jw_text(w, "cell", cell->cell->cell);
    lam_jw_integer(w, "units", cell->hidden);
    lam_jw_array(w, "directions");
    for (int reverse = 0; reverse < 2; reverse++) {
        direction[length] = reverse ? '-' : '+';
        if (reverse ? cell->reverse : cell->forward)
            lam_jw_text(w, NULL, direction);
    }
    lam_jw_end(w);
    if (last)
        lam_jw_text(w, "return", "last");
    if (cell->reset_before)
        lam_jw_bool(w, "reset_before", true);
    if (cell->p)
        lam_jw_bool(w, "peephole", true);
    if (cell->activation)
        lam_jw_text(w, "activation", cell->activation);
    lam_jw_end(w);
    status = write_weights(g, cell, value->layer, column);
    free(column);
    if (status == LAM_OK && last) {
        bool drop[LAM_MAX_ATOMS] = {false};
        drop[axis] = true;
        lam_placed_drop(value, drop);
    }
    return status;
}

/* The result's channels are directions × units. Y is [t, directions, batch, units], Y_h the same without t.
 */
static lam_status place_result(lam_onnx_graph *g, const struct recurrent *cell, lam_placed *value, bool last,
                               const char *name)
{
    lam_dimension steps = value->dim[0], batch = value->dim[1];
    int rank = 0;
    lam_placed_rechannel(value, 2, cell->hidden);
    if (value->atoms == LAM_MAX_ATOMS)
        return lam_graph_fail(g, LAM_E_LIMIT, "too many dimensions");
    int channel = value->axes + 1;
    value->atom[channel + 1] = value->atom[channel];
    value->atom[channel].size = cell->directions;
    value->atoms++;
    if (!last)
        value->dim[rank++] = steps;
    value->dim[rank++] = (lam_dimension){.count = 1, .atom = {channel}};
    value->dim[rank++] = batch;
    value->dim[rank++] = (lam_dimension){.count = 1, .atom = {channel + 1}};
    value->rank = rank;
    return lam_graph_set_placed(g, name, value);
}

static bool is_used(const lam_onnx_graph *g, const char *name)
{
    for (size_t n = 0; n < g->model->node_count; n++)
        for (size_t i = 0; i < g->model->nodes[n].input_count; i++)
            if (strcmp(g->model->nodes[n].inputs[i], name) == 0)
                return true;
    for (size_t i = 0; i < g->model->output_count; i++)
        if (strcmp(g->model->outputs[i].name, name) == 0)
            return true;
    return false;
}

static lam_status convert_recurrent(lam_onnx_graph *g)
{
    struct recurrent cell = {0};
    lam_placed value;
    lam_status status = lam_graph_placed(g, X, &value);
    if (status)
        return status;
    if (value.rank != 3)
        return lam_graph_fail(g, LAM_E_INVALID, "its input has %d dimensions, not 3", value.rank);
    if ((status = lam_graph_channels(g, &value, 2)) ||
        (status = read_cell(g, lam_placed_channels(&value), &cell)))
        return status;
    for (size_t i = 0; i < g->node->output_count && status == LAM_OK; i++) {
        const char *name = g->node->outputs[i];
        lam_placed result = value;
        if (!*name || !is_used(g, name))
            continue;
        if (i == 2)
            return lam_graph_fail(g, LAM_E_UNSUPPORTED, "its last cell state is used");
        status = write_sweep(g, &cell, &result, i == 1);
        if (status == LAM_OK)
            status = place_result(g, &cell, &result, i == 1, name);
    }
    return status;
}

const lam_onnx_operator lam_onnx_recurrent_operators[] = {
    {"LSTM", convert_recurrent, "lstm"},
    {"GRU", convert_recurrent, "gru"},
    {"RNN", convert_recurrent, "elman"},
    {NULL, NULL, NULL},
};
