/* See onnx_graph.h. */
#include "core/rnn/import/onnx_graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void lam_graph_report(lam_onnx_graph *g, lam_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    lam_fail_v(g->err, status, format, arguments);
    va_end(arguments);
    const lam_onnx_node *node = g->node;
    if (node)
        lam_error_prefix(g->err, "%.40s %.80s", node->operation,
                         *node->name          ? node->name
                         : node->output_count ? node->outputs[0]
                                              : "");
}

/* ---- values ---- */

lam_onnx_known *lam_graph_find(lam_onnx_graph *g, const char *name)
{
    for (size_t i = g->known_count; i-- > 0 && *name;)
        if (strcmp(g->known[i].name, name) == 0)
            return &g->known[i];
    return NULL;
}

const lam_onnx_tensor *lam_graph_constant(lam_onnx_graph *g, size_t index)
{
    const lam_onnx_known *known =
        index < g->node->input_count ? lam_graph_find(g, g->node->inputs[index]) : NULL;
    return known ? known->constant : NULL;
}

lam_status lam_graph_placed(lam_onnx_graph *g, size_t index, lam_placed *out)
{
    const lam_onnx_known *known =
        index < g->node->input_count ? lam_graph_find(g, g->node->inputs[index]) : NULL;
    if (!known)
        return lam_graph_fail(g, LAM_E_INVALID, "input %zu is missing", index + 1);
    if (known->constant)
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "input %zu is a constant", index + 1);
    *out = known->placed;
    return LAM_OK;
}

static lam_status add_known(lam_onnx_graph *g, const char *name, lam_onnx_known **out)
{
    if (g->known_count == g->known_capacity)
        return lam_graph_fail(g, LAM_E_LIMIT, "there are more values than the graph's nodes have outputs");
    if (lam_graph_find(g, name))
        return lam_graph_fail(g, LAM_E_INVALID, "the value '%.80s' is made twice", name);
    *out = &g->known[g->known_count++];
    (*out)->name = name;
    return LAM_OK;
}

lam_status lam_graph_set_placed(lam_onnx_graph *g, const char *name, const lam_placed *value)
{
    lam_onnx_known *known = NULL;
    lam_status status = add_known(g, name, &known);
    if (status == LAM_OK)
        known->placed = *value;
    return status;
}

lam_status lam_graph_set_constant(lam_onnx_graph *g, const char *name, const lam_onnx_tensor *value)
{
    lam_onnx_known *known = NULL;
    lam_status status = add_known(g, name, &known);
    if (status == LAM_OK)
        known->constant = value;
    return status;
}

lam_onnx_tensor *lam_graph_new_constant(lam_onnx_graph *g, bool integer, int rank, const int64_t *dim)
{
    lam_onnx_tensor *tensor = lam_onnx_allocate(g->model, 1, sizeof *tensor);
    if (!tensor)
        return NULL;
    *tensor = (lam_onnx_tensor){.name = "", .rank = rank, .count = 1};
    for (int i = 0; i < rank; i++) {
        tensor->dim[i] = dim[i];
        tensor->count = dim[i] > 0 && tensor->count > (1 << 26) / dim[i] ? -1 : tensor->count * dim[i];
        if (tensor->count < 0)
            return NULL;
    }
    void *values =
        lam_onnx_allocate(g->model, (size_t)tensor->count, integer ? sizeof(int64_t) : sizeof(float));
    tensor->integers = integer ? values : NULL;
    tensor->floats = integer ? NULL : values;
    return values ? tensor : NULL;
}

/* ---- attributes ---- */

int64_t lam_graph_integer(const lam_onnx_graph *g, const char *name, int64_t otherwise)
{
    const lam_onnx_attribute *attribute = lam_onnx_find(g->node, name);
    return attribute ? attribute->i : otherwise;
}

double lam_graph_number(const lam_onnx_graph *g, const char *name, double otherwise)
{
    const lam_onnx_attribute *attribute = lam_onnx_find(g->node, name);
    return attribute ? attribute->f : otherwise;
}

const char *lam_graph_text(const lam_onnx_graph *g, const char *name, const char *otherwise)
{
    const lam_onnx_attribute *attribute = lam_onnx_find(g->node, name);
    return attribute && attribute->s ? attribute->s : otherwise;
}

lam_status lam_graph_integers(lam_onnx_graph *g, const char *name, size_t index, const int64_t **out,
                              size_t *count)
{
    const lam_onnx_attribute *attribute = lam_onnx_find(g->node, name);
    const lam_onnx_tensor *constant = index ? lam_graph_constant(g, index) : NULL;
    *out = NULL;
    *count = 0;
    if (attribute) {
        *out = attribute->ints;
        *count = attribute->int_count;
    } else if (constant && constant->integers) {
        *out = constant->integers;
        *count = (size_t)constant->count;
    } else if (index && index < g->node->input_count && *g->node->inputs[index]) {
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "its `%s` are not constant", name);
    }
    return LAM_OK;
}

lam_status lam_graph_axis(lam_onnx_graph *g, int64_t axis, int rank, int *out)
{
    if (axis < -rank || axis >= rank)
        return lam_graph_fail(g, LAM_E_INVALID, "axis %lld of %d dimensions", (long long)axis, rank);
    *out = (int)(axis < 0 ? axis + rank : axis);
    return LAM_OK;
}

/* ---- layers and weights ---- */

void lam_graph_layer(lam_onnx_graph *g, const char *kind, const lam_placed *const *from, int count,
                     char name[LAM_MAX_LAYER_NAME])
{
    lam_json_writer *w = &g->writer;
    char fresh[LAM_MAX_LAYER_NAME];
    snprintf(fresh, sizeof fresh, "%s%d", kind, ++g->layers);
    lam_jw_object(w, NULL);
    lam_jw_text(w, "name", fresh);
    lam_jw_text(w, "kind", kind);
    if (count == 1) {
        lam_jw_text(w, "from", from[0]->layer);
    } else {
        lam_jw_array(w, "from");
        for (int i = 0; i < count; i++)
            lam_jw_text(w, NULL, from[i]->layer);
        lam_jw_end(w);
    }
    snprintf(name, LAM_MAX_LAYER_NAME, "%s", fresh);
}

void lam_graph_layer_on(lam_onnx_graph *g, const char *kind, lam_placed *value)
{
    const lam_placed *from[] = {value};
    lam_graph_layer(g, kind, from, 1, value->layer);
}

float *lam_graph_weight(lam_onnx_graph *g, const char *layer, const char *parameter, int64_t count)
{
    if (g->weight_count == g->weight_capacity) {
        size_t capacity = g->weight_capacity ? 2 * g->weight_capacity : 64;
        lam_import_weight *grown = realloc(g->weights, capacity * sizeof *grown);
        if (!grown)
            return NULL;
        g->weights = grown;
        g->weight_capacity = capacity;
    }
    float *values = lam_onnx_allocate(g->model, (size_t)count, sizeof *values);
    if (!values)
        return NULL;
    lam_import_weight *weight = &g->weights[g->weight_count++];
    *weight = (lam_import_weight){.values = values, .count = count};
    snprintf(weight->name, sizeof weight->name, "%s.%s", layer, parameter);
    return values;
}

/* ---- places ---- */

/* INT64_MAX where the product is more. */
static int64_t times(int64_t a, int64_t b)
{
    int64_t product;
    return __builtin_mul_overflow(a, b, &product) ? INT64_MAX : product;
}

lam_status lam_graph_resize(lam_onnx_graph *g, lam_atom *atom, int64_t size)
{
    if (size < 1 || size > LAM_ONNX_MAX_SIZE)
        return lam_graph_fail(g, LAM_E_INVALID, "%lld elements along axis %s", (long long)size, atom->axis);
    atom->size = size;
    return LAM_OK;
}

int64_t lam_dimension_size(const lam_placed *value, int dimension)
{
    const lam_dimension *dim = &value->dim[dimension];
    int64_t size = 1;
    for (int i = 0; i < dim->count; i++)
        size = times(size, value->atom[dim->atom[i]].size);
    return size;
}

bool lam_placed_is_channel(const lam_placed *value, int atom)
{
    return atom > value->axes;
}

int64_t lam_placed_channels(const lam_placed *value)
{
    int64_t channels = 1;
    for (int i = value->axes + 1; i < value->atoms; i++)
        channels = times(channels, value->atom[i].size);
    return channels;
}

/* Gives every atom its number in `to` (-1: gone) throughout the dimensions. */
static void renumber(lam_placed *value, const int to[LAM_MAX_ATOMS])
{
    for (int d = 0; d < value->rank; d++) {
        lam_dimension *dim = &value->dim[d];
        int kept = 0;
        for (int i = 0; i < dim->count; i++)
            if (to[dim->atom[i]] >= 0)
                dim->atom[kept++] = to[dim->atom[i]];
        dim->count = kept;
    }
}

void lam_placed_drop(lam_placed *value, const bool drop[LAM_MAX_ATOMS])
{
    int to[LAM_MAX_ATOMS], kept = 0, axes = value->axes;
    for (int i = 0; i < value->atoms; i++) {
        to[i] = drop[i] ? -1 : kept;
        if (drop[i]) {
            axes -= i >= 1 && i <= value->axes;
            continue;
        }
        value->atom[kept++] = value->atom[i];
    }
    renumber(value, to);
    value->axes = axes;
    value->atoms = kept;
}

void lam_placed_rechannel(lam_placed *value, int dimension, int64_t size)
{
    bool drop[LAM_MAX_ATOMS] = {false};
    for (int i = value->axes + 1; i < value->atoms; i++)
        drop[i] = true;
    lam_placed_drop(value, drop);
    value->atom[value->atoms] = (lam_atom){.size = size, .fixed = true};
    value->dim[dimension] = (lam_dimension){.count = 1, .atom = {value->atoms}};
    value->atoms++;
}

/* Whether atom `a` is directly followed by a + 1 in a dimension. */
static bool follows(const lam_placed *value, int a)
{
    for (int d = 0; d < value->rank; d++)
        for (int i = 0; i + 1 < value->dim[d].count; i++)
            if (value->dim[d].atom[i] == a && value->dim[d].atom[i + 1] == a + 1)
                return true;
    return false;
}

void lam_placed_simplify(lam_placed *value)
{
    for (int a = value->atoms - 1; a > value->axes && value->atoms > value->axes + 2; a--) {
        bool drop[LAM_MAX_ATOMS] = {false};
        drop[a] = value->atom[a].size == 1;
        lam_placed_drop(value, drop);
    }
    for (int a = value->atoms - 2; a > value->axes; a--) {
        bool drop[LAM_MAX_ATOMS] = {false};
        if (!follows(value, a))
            continue;
        value->atom[a].size = times(value->atom[a].size, value->atom[a + 1].size);
        drop[a + 1] = true;
        lam_placed_drop(value, drop);
    }
}

lam_status lam_graph_order_axes(lam_onnx_graph *g, lam_placed *value, const int *order)
{
    int to[LAM_MAX_ATOMS];
    lam_atom moved[LAM_MAX_ATOMS];
    bool same = true;
    for (int i = 0; i < value->axes; i++)
        same = same && order[i] == i + 1;
    if (same)
        return LAM_OK;
    lam_graph_layer_on(g, "transpose", value);
    lam_jw_array(&g->writer, "axes");
    for (int i = 0; i < value->axes; i++)
        lam_jw_text(&g->writer, NULL, value->atom[order[i]].axis);
    lam_jw_end(&g->writer);
    lam_jw_end(&g->writer);
    for (int i = 0; i < value->atoms; i++)
        to[i] = i;
    memcpy(moved, value->atom, sizeof moved);
    for (int i = 0; i < value->axes; i++) {
        to[order[i]] = i + 1;
        moved[i + 1] = value->atom[order[i]];
    }
    memcpy(value->atom, moved, sizeof moved);
    renumber(value, to);
    return LAM_OK;
}

lam_status lam_graph_axes_last(lam_onnx_graph *g, lam_placed *value, const int *axes, int count)
{
    int order[LAM_MAX_ATOMS] = {0}, filled = 0;
    for (int a = 1; a <= value->axes; a++) {
        bool named = false;
        for (int i = 0; i < count; i++)
            named = named || axes[i] == a;
        if (!named)
            order[filled++] = a;
    }
    if (filled + count != value->axes)
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "it uses an axis twice");
    for (int i = 0; i < count; i++)
        order[filled++] = axes[i];
    return lam_graph_order_axes(g, value, order);
}

/* The atoms of a dimension that are axes, in its order; false when the batch is among them. */
static bool axes_in(const lam_placed *value, int dimension, int *axes, int *count)
{
    const lam_dimension *dim = &value->dim[dimension];
    *count = 0;
    for (int i = 0; i < dim->count; i++) {
        if (dim->atom[i] == 0)
            return false;
        if (!lam_placed_is_channel(value, dim->atom[i]))
            axes[(*count)++] = dim->atom[i];
    }
    return true;
}

static lam_status merge_axes(lam_onnx_graph *g, lam_placed *value, const int *axes, int count)
{
    for (int i = 0; i < count; i++)
        if (!value->atom[axes[i]].fixed)
            return lam_graph_fail(g, LAM_E_UNSUPPORTED,
                                  "it needs a fixed size of axis %s; export the model with one",
                                  value->atom[axes[i]].axis);
    lam_status status = lam_graph_axes_last(g, value, axes, count);
    if (status)
        return status;
    lam_graph_layer_on(g, "merge", value);
    lam_jw_integer(&g->writer, "count", count);
    lam_jw_end(&g->writer);
    value->axes -= count; /* the last axes are the first channels now */
    for (int i = value->axes + 1; i <= value->axes + count; i++)
        value->atom[i].axis[0] = '\0';
    return LAM_OK;
}

lam_status lam_graph_channels(lam_onnx_graph *g, lam_placed *value, int dimension)
{
    int axes[LAM_MAX_ATOMS], count;
    const lam_dimension *dim = &value->dim[dimension];
    if (!axes_in(value, dimension, axes, &count))
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "it mixes the batch with channels");
    for (int a = value->axes + 1; a < value->atoms; a++) {
        bool in = false;
        for (int i = 0; i < dim->count; i++)
            in = in || dim->atom[i] == a;
        if (!in && value->atom[a].size > 1)
            return lam_graph_fail(
                g, LAM_E_UNSUPPORTED,
                "dimension %d does not hold all channels; another --layout of the input may", dimension + 1);
    }
    return count ? merge_axes(g, value, axes, count) : LAM_OK;
}

lam_status lam_graph_channel_order(lam_onnx_graph *g, const lam_placed *value, int dimension, int64_t **order)
{
    const lam_dimension *dim = &value->dim[dimension];
    int64_t stride[LAM_MAX_ATOMS] = {0}, step = 1, size = lam_dimension_size(value, dimension);
    for (int i = value->atoms - 1; i > value->axes; i--) {
        stride[i] = step;
        step = times(step, value->atom[i].size);
    }
    int64_t *out = calloc((size_t)size, sizeof *out);
    if (!out)
        return lam_graph_fail(g, LAM_E_NO_MEMORY, "out of memory");
    for (int64_t element = 0; element < size; element++) {
        int64_t rest = element;
        for (int i = dim->count - 1; i >= 0; i--) {
            const lam_atom *atom = &value->atom[dim->atom[i]];
            out[element] += rest % atom->size * stride[dim->atom[i]];
            rest /= atom->size;
        }
    }
    *order = out;
    return LAM_OK;
}

lam_status lam_graph_axis_of(lam_onnx_graph *g, const lam_placed *value, int dimension, int *atom)
{
    const lam_dimension *dim = &value->dim[dimension];
    if (dim->count != 1 || dim->atom[0] == 0 || lam_placed_is_channel(value, dim->atom[0]))
        return lam_graph_fail(g, LAM_E_UNSUPPORTED,
                              "dimension %d is not an axis of the input by itself; another --layout may help",
                              dimension + 1);
    *atom = dim->atom[0];
    return LAM_OK;
}
