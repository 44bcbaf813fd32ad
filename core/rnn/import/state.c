/* PyTorch's and Keras's parameters as ours: one table a framework, from a layer kind's parameter to the name
 * and the arrangement it has there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rnn/elements.h"
#include "core/rnn/import/gates.h"
#include "core/rnn/import/import.h"
#include "core/rnn/layer.h"

typedef enum arrangement {
    SAME,       /* as ours */
    TRANSPOSED, /* [in, out] */
    KERNEL,     /* [kernel…, in, out] */
    TAPS,       /* [kernel…, channels, 1] */
    GATES,      /* [in, gates × units] */
    BIAS_INPUT, /* [gates × units], or the first row of [2, gates × units] */
    BIAS_STATE, /* the second row of [2, gates × units], else 0 */
} arrangement;

struct rule {
    const char *kind; /* NULL: any */
    const char *parameter;
    const char *leaf; /* the last part of the name there */
    int variable;     /* Keras 3: its number */
    arrangement how;
};

static const struct rule keras_rules[] = {
    {"dense", "weight", "kernel", 0, TRANSPOSED},
    {"dense", "bias", "bias", 1, SAME},
    {"conv", "weight", "kernel", 0, KERNEL},
    {"conv", "bias", "bias", 1, SAME},
    {"conv_transpose", "weight", "kernel", 0, KERNEL},
    {"conv_transpose", "bias", "bias", 1, SAME},
    {"depthwise", "weight", "depthwise_kernel", 0, TAPS},
    {"depthwise", "bias", "bias", 1, SAME},
    {"sweep", "weight_ih", "kernel", 0, GATES},
    {"sweep", "weight_hh", "recurrent_kernel", 1, GATES},
    {"sweep", "bias_ih", "bias", 2, BIAS_INPUT},
    {"sweep", "bias_hh", "bias", 2, BIAS_STATE},
    {NULL, "weight", "gamma", 0, SAME},
    {NULL, "bias", "beta", 1, SAME},
    {NULL, "running_mean", "moving_mean", 2, SAME},
    {NULL, "running_var", "moving_variance", 3, SAME},
};

/* One import. */
struct import {
    const lam_network *network;
    const lam_safetensors *state;
    const lam_jv *map;
    bool *used; /* by tensor */
    lam_error *err;
};

/* ---- numbers ---- */

/* The whole tensor; free with free(). */
static float *floats_of(struct import *in, const lam_tensor *tensor, lam_status *status)
{
    int64_t count = lam_shape_count(&tensor->shape);
    if (tensor->dtype != LAM_DTYPE_F32 && tensor->dtype != LAM_DTYPE_F64 && tensor->dtype != LAM_DTYPE_F16 &&
        tensor->dtype != LAM_DTYPE_BF16) {
        *status = lam_fail(in->err, LAM_E_UNSUPPORTED, "%.120s has elements of type %s", tensor->name,
                           lam_dtype_name(tensor->dtype));
        return NULL;
    }
    float *values = calloc((size_t)count + 1, sizeof *values);
    if (!values) {
        *status = lam_fail(in->err, LAM_E_NO_MEMORY, "out of memory");
        return NULL;
    }
    lam_elements_read(tensor, 0, count, values);
    return values;
}

static void mark(struct import *in, const lam_tensor *tensor)
{
    for (size_t i = 0; i < lam_safetensors_count(in->state); i++)
        if (lam_safetensors_at(in->state, i) == tensor)
            in->used[i] = true;
}

static lam_status wrong_shape(struct import *in, const lam_tensor *tensor, const lam_parameter *parameter)
{
    char theirs[LAM_SHAPE_TEXT], ours[LAM_SHAPE_TEXT];
    return lam_fail(in->err, LAM_E_INVALID, "%.120s has the shape %s, which does not fit %s of shape %s",
                    tensor->name, lam_shape_text(&tensor->shape, theirs), parameter->name,
                    lam_shape_text(&parameter->shape, ours));
}

/* ---- where a layer comes from ---- */

static const char *source_of(const struct import *in, const lam_layer *layer, int64_t *number)
{
    const lam_jv *entry = lam_jv_get(in->map, layer->name);
    *number = lam_jv_integer(lam_jv_get(entry, "layer"), 0);
    return lam_jv_is(entry, LAM_JSON_OBJECT) ? lam_jv_text(lam_jv_get(entry, "from"), layer->name)
                                             : lam_jv_text(entry, layer->name);
}

static lam_status check_map(const struct import *in)
{
    for (size_t i = 0; i < lam_jv_count(in->map); i++) {
        const char *name = lam_jv_key_at(in->map, i);
        bool known = false;
        for (int k = 0; k < in->network->layer_count; k++)
            known = known || strcmp(in->network->layers[k].name, name) == 0;
        if (!known)
            return lam_fail(in->err, LAM_E_INVALID, "the map names '%.80s', which is no layer of the network",
                            name);
    }
    return LAM_OK;
}

/* ---- PyTorch ---- */

/* A kernel of two axes is one of three that is 1 along the first. */
static bool same_but_for_ones(const lam_shape *a, const lam_shape *b)
{
    int i = 0, k = 0;
    for (;; i++, k++) {
        while (i < a->rank && a->dim[i] == 1)
            i++;
        while (k < b->rank && b->dim[k] == 1)
            k++;
        if (i == a->rank || k == b->rank)
            return i == a->rank && k == b->rank;
        if (a->dim[i] != b->dim[k])
            return false;
    }
}

static lam_status copy_pytorch(struct import *in, const lam_parameter *parameter, const char *name,
                               int64_t part, int64_t parts, float *out)
{
    lam_status status = LAM_OK;
    const lam_tensor *tensor = lam_safetensors_find(in->state, name);
    if (!tensor)
        return lam_fail(in->err, LAM_E_NOT_FOUND,
                        "there is no tensor '%.160s' for %s; say with --map where layer comes from", name,
                        parameter->name);
    int64_t count = parameter->count / parts;
    lam_shape wanted = parameter->shape;
    wanted.dim[0] /= parts;
    if (!same_but_for_ones(&tensor->shape, &wanted))
        return wrong_shape(in, tensor, parameter);
    LAM_AUTO(lam_cleanup_free) float *values = floats_of(in, tensor, &status);
    if (!values)
        return status;
    memcpy(out + part * count, values, (size_t)count * sizeof *out);
    mark(in, tensor);
    return LAM_OK;
}

static lam_status fill_pytorch(struct import *in, const lam_layer *layer, const lam_parameter *parameter,
                               const char *own, float *out)
{
    char name[512];
    int64_t number;
    const char *source = source_of(in, layer, &number);
    bool sweep = strcmp(layer->kind->name, "sweep") == 0;
    int64_t parts = sweep ? parameter->shape.dim[0] : 1;
    lam_status status = LAM_OK;
    for (int64_t d = 0; d < parts && status == LAM_OK; d++) {
        if (sweep)
            snprintf(name, sizeof name, "%s.%s_l%lld%s", source, own, (long long)number, d ? "_reverse" : "");
        else
            snprintf(name, sizeof name, "%s%s%s", source, *source ? "." : "", own);
        status = copy_pytorch(in, parameter, name, d, parts, out);
    }
    return status;
}

/* ---- Keras ---- */

static bool is_separator(char c)
{
    return c == '/' || c == '.';
}

/* Whether `name` is <source>/…/<leaf>, or …/vars/<variable>; ":0" at its end does not count. */
static bool name_matches(const char *name, const char *source, const struct rule *rule)
{
    size_t prefix = strlen(source), length = strcspn(name, ":"), leaf = strlen(rule->leaf);
    char numbered[32];
    int digits = snprintf(numbered, sizeof numbered, "vars/%d", rule->variable);
    if (prefix && (strncmp(name, source, prefix) != 0 || !is_separator(name[prefix])))
        return false;
    if (length > leaf && memcmp(name + length - leaf, rule->leaf, leaf) == 0 &&
        is_separator(name[length - leaf - 1]))
        return true;
    return length > (size_t)digits &&
           strncmp(name + length - (size_t)digits, numbered, (size_t)digits) == 0 &&
           is_separator(name[length - (size_t)digits - 1]);
}

static lam_status find_keras(struct import *in, const char *source, const struct rule *rule,
                             int64_t direction, int64_t directions, const lam_parameter *parameter,
                             const lam_tensor **out)
{
    const lam_tensor *found = NULL;
    for (size_t i = 0; i < lam_safetensors_count(in->state); i++) {
        const lam_tensor *tensor = lam_safetensors_at(in->state, i);
        if (!name_matches(tensor->name, source, rule) ||
            (directions > 1 && !strstr(tensor->name, direction ? "backward" : "forward")))
            continue;
        if (found)
            return lam_fail(in->err, LAM_E_INVALID, "both '%.120s' and '%.120s' could be %s; use a map",
                            found->name, tensor->name, parameter->name);
        found = tensor;
    }
    if (!found)
        return lam_fail(in->err, LAM_E_NOT_FOUND,
                        "there is no tensor '%.120s/…/%s' for %s; say with --map where the layer comes from",
                        source, rule->leaf, parameter->name);
    *out = found;
    return LAM_OK;
}

/* `rows` × `columns` of theirs, transposed. */
static void transpose(const float *theirs, int64_t rows, int64_t columns, float *out)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++)
            out[c * rows + r] = theirs[r * columns + c];
}

static const int *gate_order(int64_t gates)
{
    for (size_t i = 0; i < LAM_COUNT(lam_gate_orders); i++)
        if (lam_gate_orders[i].gates == gates)
            return lam_gate_orders[i].keras;
    return NULL;
}

/* The parts of a sweep's parameter: `out` is one direction's. */
static bool arrange_gates(arrangement how, const lam_tensor *tensor, const float *theirs, int64_t gates,
                          int64_t hidden, int64_t count, float *out)
{
    const int *order = gate_order(gates);
    int64_t rows = gates * hidden, have = lam_shape_count(&tensor->shape), columns = count / rows;
    if (!order)
        return false;
    if (how == GATES && (have != count || tensor->shape.rank != 2 || tensor->shape.dim[1] != rows))
        return false;
    if (how == GATES) {
        lam_gates_copy(order, (int)gates, hidden, columns, theirs, 1, rows, NULL, out);
        return true;
    }
    if (have != rows && have != 2 * rows)
        return false;
    if (how == BIAS_INPUT)
        lam_gates_copy(order, (int)gates, hidden, 1, theirs, 1, 1, NULL, out);
    else if (have == 2 * rows)
        lam_gates_copy(order, (int)gates, hidden, 1, theirs + rows, 1, 1, NULL, out);
    return true;
}

static bool arrange(const struct rule *rule, const lam_tensor *tensor, const lam_parameter *parameter,
                    const float *theirs, float *out)
{
    const lam_shape *ours = &parameter->shape, *shape = &tensor->shape;
    int64_t count = parameter->count, taps = ours->rank > 2 ? count / (ours->dim[0] * ours->dim[1]) : 1;
    if (lam_shape_count(shape) != count)
        return false;
    int last = shape->rank - 1;
    switch (rule->how) {
    case TRANSPOSED:
        if (shape->rank != 2 || shape->dim[1] != ours->dim[0])
            return false;
        transpose(theirs, shape->dim[0], shape->dim[1], out);
        return true;
    case KERNEL:
        if (shape->rank < 2 || shape->dim[last] != ours->dim[0] || shape->dim[last - 1] != ours->dim[1])
            return false;
        for (int64_t o = 0; o < ours->dim[0]; o++)
            for (int64_t i = 0; i < ours->dim[1]; i++)
                for (int64_t t = 0; t < taps; t++)
                    out[(o * ours->dim[1] + i) * taps + t] =
                        theirs[(t * ours->dim[1] + i) * ours->dim[0] + o];
        return true;
    case TAPS:
        if (shape->rank < 2 || shape->dim[last] != 1 || shape->dim[last - 1] != ours->dim[0])
            return false;
        transpose(theirs, taps, ours->dim[0], out);
        return true;
    default:
        memcpy(out, theirs, (size_t)count * sizeof *out);
        return true;
    }
}

static lam_status fill_keras(struct import *in, const lam_layer *layer, const lam_parameter *parameter,
                             const char *own, float *out)
{
    const struct rule *rule = NULL;
    int64_t number;
    const char *source = source_of(in, layer, &number);
    for (size_t i = 0; i < LAM_COUNT(keras_rules) && !rule; i++)
        if (strcmp(keras_rules[i].parameter, own) == 0 &&
            (!keras_rules[i].kind || strcmp(keras_rules[i].kind, layer->kind->name) == 0))
            rule = &keras_rules[i];
    if (!rule)
        return lam_fail(in->err, LAM_E_UNSUPPORTED, "Keras has nothing like %s", parameter->name);
    bool sweep = rule->how >= GATES;
    int64_t directions = sweep ? parameter->shape.dim[0] : 1, count = parameter->count / directions;
    int64_t hidden = lam_shape_channels(&layer->out.shape) / (sweep ? directions : 1);
    for (int64_t d = 0; d < directions; d++) {
        const lam_tensor *tensor = NULL;
        lam_status status = find_keras(in, source, rule, d, directions, parameter, &tensor);
        if (status)
            return status;
        LAM_AUTO(lam_cleanup_free) float *theirs = floats_of(in, tensor, &status);
        if (!theirs)
            return status;
        int64_t gates = sweep ? parameter->shape.dim[1] / hidden : 0;
        if (!(sweep ? arrange_gates(rule->how, tensor, theirs, gates, hidden, count, out + d * count)
                    : arrange(rule, tensor, parameter, theirs, out)))
            return wrong_shape(in, tensor, parameter);
        mark(in, tensor);
    }
    return LAM_OK;
}

/* ---- the whole ---- */

/* BatchNorm's counter is of no use to us. */
static bool is_counter(const char *name)
{
    static const char counter[] = "num_batches_tracked";
    size_t length = strlen(name);
    return length >= sizeof counter - 1 && strcmp(name + length - (sizeof counter - 1), counter) == 0;
}

static lam_status check_all_used(const struct import *in)
{
    for (size_t i = 0; i < lam_safetensors_count(in->state); i++) {
        const char *name = lam_safetensors_at(in->state, i)->name;
        if (!in->used[i] && !is_counter(name))
            return lam_fail(in->err, LAM_E_INVALID,
                            "no parameter of the network takes the tensor '%.200s': is the network the same?",
                            name);
    }
    return LAM_OK;
}

static lam_status fill_all(struct import *in, lam_state_framework framework, lam_weights *weights)
{
    lam_status status = check_map(in);
    for (size_t i = 0; i < in->network->parameter_count && status == LAM_OK; i++) {
        const lam_parameter *parameter = &in->network->parameters[i];
        const lam_layer *layer = &in->network->layers[parameter->layer];
        const char *own = layer->parameters[i - layer->first_parameter].name;
        float *out = lam_weights_data(weights) + parameter->offset;
        memset(out, 0, (size_t)parameter->count * sizeof *out);
        status = framework == LAM_STATE_KERAS ? fill_keras(in, layer, parameter, own, out)
                                              : fill_pytorch(in, layer, parameter, own, out);
    }
    return status ? status : check_all_used(in);
}

lam_status lam_import_state(const lam_network *network, const lam_safetensors *state,
                            lam_state_framework framework, const lam_jv *map, lam_weights **out,
                            lam_error *err)
{
    LAM_AUTO_PTR(lam_weights) *weights = NULL;
    struct import in = {.network = network, .state = state, .map = map, .err = err};
    lam_status status = lam_weights_create(network, 0, &weights, err);
    if (status)
        return status;
    in.used = calloc(lam_safetensors_count(state) + 1, sizeof in.used[0]);
    status = in.used ? fill_all(&in, framework, weights) : lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    free(in.used);
    if (status)
        return status;
    lam_weights_refresh(weights);
    *out = LAM_TAKE_PTR(weights);
    return LAM_OK;
}
