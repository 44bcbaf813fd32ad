/* An ONNX graph, node by node, into a network and its weights. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rnn/import/import.h"
#include "core/rnn/import/onnx_graph.h"

enum { MIN_OPSET = 7, MAX_OPSET = 18, MAX_JSON = 4 << 20 };

/* Stand-ins for sizes that vary: primes, so that a reshape's arithmetic can be followed. The first is the
 * batch. */
static const int64_t stand_ins[LAM_ONNX_MAX_RANK] = {7919, 7927, 7933, 7937, 7949, 7951, 7963, 7993};

static const lam_onnx_operator *const tables[] = {lam_onnx_operators, lam_onnx_shape_operators,
                                                  lam_onnx_recurrent_operators};

static const lam_onnx_operator *find_operator(const lam_onnx_node *node)
{
    if (*node->domain && strcmp(node->domain, "ai.onnx") != 0)
        return NULL;
    for (size_t t = 0; t < LAM_COUNT(tables); t++)
        for (const lam_onnx_operator *o = tables[t]; o->name; o++)
            if (strcmp(o->name, node->operation) == 0)
                return o;
    return NULL;
}

const char *lam_onnx_detail(const lam_onnx_graph *g)
{
    return find_operator(g->node)->detail;
}

/* ---- the input ---- */

/* The first node that reads `name`. */
static const char *first_reader(const lam_onnx_model *model, const char *name)
{
    for (size_t n = 0; n < model->node_count; n++)
        for (size_t i = 0; i < model->nodes[n].input_count; i++)
            if (strcmp(model->nodes[n].inputs[i], name) == 0)
                return model->nodes[n].operation;
    return "";
}

static const char *default_layout(const lam_onnx_model *model, const lam_onnx_value *input)
{
    static const char *const plain[] = {"NC", "NTC", "NCHW", "NTCHW"};
    static const char *const spatial[] = {"NCX", "NCHW", "NCDHW"};
    const char *reader = first_reader(model, input->name);
    if (strcmp(reader, "LSTM") == 0 || strcmp(reader, "GRU") == 0 || strcmp(reader, "RNN") == 0)
        return "TNC";
    if (strstr(reader, "Conv") && input->rank >= 3 && input->rank <= 5)
        return spatial[input->rank - 3];
    return input->rank >= 2 && input->rank <= 5 ? plain[input->rank - 2] : "";
}

static lam_status check_layout(const lam_onnx_value *input, const char *layout, lam_error *err)
{
    bool known = strlen(layout) == (size_t)input->rank && strchr(layout, 'N');
    for (const char *p = layout; *p; p++)
        known = known && isupper((unsigned char)*p) && !strchr(p + 1, *p);
    if (!known)
        return lam_fail(
            err, LAM_E_INVALID,
            "the layout '%.16s' does not fit the input '%.80s' of %d dimensions: one capital letter "
            "each, N for the batch, C for channels",
            layout, input->name, input->rank);
    return LAM_OK;
}

/* Atoms in our order: N, the axes as they come, C. */
static lam_status place_input(lam_onnx_graph *g, const lam_onnx_value *input, const char *layout)
{
    lam_placed value = {.layer = "input", .rank = input->rank, .atoms = 1};
    lam_atom channel = {.size = 1, .fixed = true};
    int channel_dimension = -1;
    lam_status status = check_layout(input, layout, g->err);
    if (status)
        return status;
    for (int d = 0; d < input->rank; d++) {
        lam_atom atom = {.size = input->dim[d] ? input->dim[d] : stand_ins[d], .fixed = input->dim[d] > 0};
        if (atom.size > LAM_ONNX_MAX_SIZE)
            return lam_graph_fail(g, LAM_E_LIMIT, "dimension %d of the input is %lld", d + 1,
                                  (long long)atom.size);
        if (layout[d] == 'C') {
            channel = atom;
            channel_dimension = d;
            continue;
        }
        int number = layout[d] == 'N' ? 0 : value.atoms;
        if (number == 0) {
            atom.size = input->dim[d] ? input->dim[d] : 7907;
        } else {
            atom.axis[0] = (char)tolower((unsigned char)layout[d]);
            value.atoms++;
            value.axes++;
        }
        value.atom[number] = atom;
        value.dim[d] = (lam_dimension){.count = 1, .atom = {number}};
    }
    if (!channel.fixed)
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "the number of channels of the input varies");
    value.atom[value.atoms] = channel;
    if (channel_dimension >= 0)
        value.dim[channel_dimension] = (lam_dimension){.count = 1, .atom = {value.atoms}};
    value.atoms++;
    return lam_graph_set_placed(g, input->name, &value);
}

static void write_input(lam_onnx_graph *g, const lam_placed *value)
{
    lam_json_writer *w = &g->writer;
    lam_jw_object(w, "input");
    lam_jw_array(w, "axes");
    for (int i = 1; i <= value->axes; i++)
        lam_jw_text(w, NULL, value->atom[i].axis);
    lam_jw_end(w);
    lam_jw_integer(w, "channels", lam_placed_channels(value));
    lam_jw_array(w, "size");
    for (int i = 1; i <= value->axes; i++)
        lam_jw_integer(w, NULL, value->atom[i].fixed ? value->atom[i].size : 0);
    lam_jw_end(w);
    lam_jw_end(w);
}

/* The one graph input that is not a constant. */
static lam_status find_input(lam_onnx_graph *g, const lam_onnx_value **out)
{
    const lam_onnx_model *m = g->model;
    const lam_onnx_value *found = NULL;
    for (size_t i = 0; i < m->input_count; i++) {
        if (lam_graph_find(g, m->inputs[i].name))
            continue;
        if (found)
            return lam_graph_fail(g, LAM_E_UNSUPPORTED, "the model has more than one input: '%.80s', '%.80s'",
                                  found->name, m->inputs[i].name);
        found = &m->inputs[i];
    }
    if (!found || found->rank < 1 || !*found->name)
        return lam_graph_fail(g, LAM_E_INVALID,
                              "the model has no input that has a name and known dimensions");
    *out = found;
    return LAM_OK;
}

/* ---- nodes ---- */

static lam_status convert_node(lam_onnx_graph *g)
{
    const lam_onnx_operator *operator= find_operator(g->node);
    if (!operator)
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "the operator %.40s%s%.40s is not supported",
                              g->node->domain, *g->node->domain ? "." : "", g->node->operation);
    if (g->node->output_count == 0)
        return lam_graph_fail(g, LAM_E_INVALID, "it has no output");
    return operator->convert(g);
}

static lam_status convert_nodes(lam_onnx_graph *g)
{
    for (size_t n = 0; n < g->model->node_count; n++) {
        g->node = &g->model->nodes[n];
        lam_status status = g->skipped[n] ? LAM_OK : convert_node(g);
        if (status)
            return status;
        if (g->text->status)
            return lam_graph_fail(g, g->text->status, "the network is too large");
    }
    g->node = NULL;
    return LAM_OK;
}

/* Whether a dimension is of channels and of axes that are all of size 1, as a Flatten after a pool leaves
 * them. */
static bool holds_empty_axes(const lam_placed *value, const lam_dimension *dimension)
{
    int axes = 0, channels = 0;
    for (int i = 0; i < dimension->count; i++) {
        const lam_atom *atom = &value->atom[dimension->atom[i]];
        if (lam_placed_is_channel(value, dimension->atom[i]))
            channels++;
        else if (dimension->atom[i] != 0 && atom->fixed && atom->size == 1)
            axes++;
    }
    return axes > 0 && channels > 0 && axes + channels == dimension->count;
}

static lam_status merge_empty_axes(lam_onnx_graph *g, lam_placed *value)
{
    for (int d = 0; d < value->rank; d++) {
        lam_status status =
            holds_empty_axes(value, &value->dim[d]) ? lam_graph_channels(g, value, d) : LAM_OK;
        if (status)
            return status;
    }
    lam_placed_simplify(value);
    return LAM_OK;
}

/* The output as [batch, channels] or [batch, channels, axes…] or [batch, axes…, channels]: axes in its order,
 * channels as they lie. */
static lam_status finish_output(lam_onnx_graph *g, const char *name, lam_placed *value)
{
    const lam_onnx_known *known = lam_graph_find(g, name);
    int order[LAM_MAX_ATOMS], axes = 0, last = 0;
    if (!known || known->constant || strcmp(known->placed.layer, "input") == 0)
        return lam_graph_fail(g, LAM_E_INVALID, "the output '%.80s' is not made by the network", name);
    *value = known->placed;
    lam_status status = merge_empty_axes(g, value);
    if (status)
        return status;
    for (int d = 0; d < value->rank; d++)
        for (int i = 0; i < value->dim[d].count; i++) {
            int atom = value->dim[d].atom[i];
            if (lam_placed_is_channel(value, atom)) {
                if (atom < last)
                    return lam_graph_fail(g, LAM_E_UNSUPPORTED,
                                          "the channels of the output '%.80s' are in another order", name);
                last = atom;
            } else if (atom != 0) {
                order[axes++] = atom;
            }
        }
    return axes == value->axes
               ? lam_graph_order_axes(g, value, order)
               : lam_graph_fail(g, LAM_E_UNSUPPORTED, "the output '%.80s' lacks an axis", name);
}

static const char *choose_output(const lam_onnx_model *model, const char *wanted)
{
    for (size_t i = 0; i < model->output_count; i++)
        if (!wanted || strcmp(model->outputs[i].name, wanted) == 0)
            return model->outputs[i].name;
    return NULL;
}

/* ---- the whole ---- */

static lam_status write_network(lam_onnx_graph *g, const char *layout, const char *output)
{
    const lam_onnx_model *m = g->model;
    const lam_onnx_value *input = NULL;
    const char *name = choose_output(m, output);
    lam_placed value;
    lam_status status = LAM_OK;
    if (!name)
        return lam_graph_fail(g, LAM_E_NOT_FOUND, "the model has no output '%.80s'", output ? output : "");
    if (m->opset < MIN_OPSET || m->opset > MAX_OPSET)
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "opset %lld; %d to %d are supported", (long long)m->opset,
                              MIN_OPSET, MAX_OPSET);
    for (size_t i = 0; i < m->constant_count && status == LAM_OK; i++)
        status = lam_graph_set_constant(g, m->constants[i].name, &m->constants[i]);
    if (status || (status = find_input(g, &input)) ||
        (status = place_input(g, input, layout ? layout : default_layout(m, input))))
        return status;
    g->writer = lam_json_write_to(g->text);
    lam_jw_object(&g->writer, NULL);
    write_input(g, &lam_graph_find(g, input->name)->placed);
    lam_jw_array(&g->writer, "layers");
    if ((status = convert_nodes(g)) || (status = finish_output(g, name, &value)))
        return status;
    lam_jw_end(&g->writer);
    lam_jw_text(&g->writer, "output", value.layer);
    lam_jw_end(&g->writer);
    return g->text->status ? lam_graph_fail(g, g->text->status, "the network is too large") : LAM_OK;
}

static const lam_import_weight *find_weight(const lam_onnx_graph *g, const char *name)
{
    for (size_t i = 0; i < g->weight_count; i++)
        if (strcmp(g->weights[i].name, name) == 0)
            return &g->weights[i];
    return NULL;
}

static lam_status fill_weights(const lam_onnx_graph *g, const lam_network *network, lam_weights *weights)
{
    for (size_t i = 0; i < lam_network_parameter_count(network); i++) {
        const lam_parameter *parameter = lam_network_parameter(network, i);
        const lam_import_weight *weight = find_weight(g, parameter->name);
        if (!weight || weight->count != parameter->count)
            return lam_fail(g->err, LAM_E_INTERNAL, "the parameter %s was not imported", parameter->name);
        memcpy(lam_weights_data(weights) + parameter->offset, weight->values,
               (size_t)weight->count * sizeof(float));
    }
    lam_weights_refresh(weights);
    return LAM_OK;
}

static lam_status build(lam_onnx_graph *g, lam_buffer *json, lam_network **network, lam_weights **weights)
{
    LAM_AUTO_PTR(lam_json) *document = NULL;
    LAM_AUTO_PTR(lam_network) *made = NULL;
    LAM_AUTO_PTR(lam_weights) *filled = NULL;
    lam_status status;
    if ((status = lam_json_parse(g->text->data, g->text->length, &document, g->err)) ||
        (status = lam_network_create(lam_json_root(document), &made, g->err)) ||
        (status = lam_weights_create(made, 0, &filled, g->err)) || (status = fill_weights(g, made, filled)))
        return status;
    if ((status = lam_buffer_append(json, g->text->data, g->text->length)))
        return lam_fail(g->err, status, "the network is too large");
    *network = LAM_TAKE_PTR(made);
    *weights = LAM_TAKE_PTR(filled);
    return LAM_OK;
}

static size_t count_values(const lam_onnx_model *model)
{
    size_t count = model->constant_count + model->input_count + 1;
    for (size_t n = 0; n < model->node_count; n++)
        count += model->nodes[n].output_count;
    return count;
}

lam_status lam_import_onnx(const void *bytes, size_t length, const char *layout, const char *output,
                           lam_buffer *json, lam_network **network, lam_weights **weights, lam_error *err)
{
    LAM_AUTO_PTR(lam_onnx_model) *model = NULL;
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_buffer_init(&text, MAX_JSON);
    lam_status status = lam_onnx_read(bytes, length, &model, err);
    if (status)
        return status;
    lam_onnx_graph g = {.model = model, .text = &text, .err = err, .known_capacity = count_values(model)};
    g.known = calloc(g.known_capacity, sizeof g.known[0]);
    g.skipped = calloc(model->node_count + 1, sizeof g.skipped[0]);
    status = g.known && g.skipped ? write_network(&g, layout, output)
                                  : lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    if (status == LAM_OK)
        status = build(&g, json, network, weights);
    free(g.weights);
    free(g.known);
    free(g.skipped);
    return status;
}
