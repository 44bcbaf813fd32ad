/* Building the graph from JSON. Layers come in an order in which each names only what stands before it, so
 * the graph is acyclic by construction. */
#include "core/rnn/network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rnn/layer.h"
#include "core/rnn/options.h"

/* Each parameter starts at a multiple of so many floats (64 bytes) in the flat buffer. */
enum { PARAMETER_ALIGNMENT = 16, MAX_AXES = LAM_MAX_RANK - 2 };
#define MAX_PARAMETER_FLOATS ((int64_t)1 << 30)

void lam_network_free(lam_network *network)
{
    if (!network)
        return;
    for (int i = 0; i < network->layer_count; i++)
        free(network->layers[i].options);
    free(network->layers);
    free(network->parameters);
    free(network);
}

/* ---- the input ---- */

static bool is_axis_name(const char *text)
{
    size_t length = strlen(text);
    return length > 0 && length < LAM_AXIS_NAME && strspn(text, "abcdefghijklmnopqrstuvwxyz") == length;
}

static lam_status read_axis(const lam_jv *axes, const lam_jv *sizes, int index, lam_signature *input,
                            lam_error *err)
{
    const char *name = lam_jv_text(lam_jv_at(axes, (size_t)index), "");
    int64_t size = sizes ? lam_jv_integer(lam_jv_at(sizes, (size_t)index), -1) : 0;
    if (!is_axis_name(name))
        return lam_fail(err, LAM_E_INVALID, "`axes` must be names of 1 to %d letters a-z", LAM_AXIS_NAME - 1);
    for (int i = 0; i < index; i++)
        if (strcmp(input->axis[i], name) == 0)
            return lam_fail(err, LAM_E_INVALID, "`axes` names '%s' twice", name);
    if (size < 0 || size > LAM_MAX_CHANNELS)
        return lam_fail(err, LAM_E_INVALID, "`size` must be a list of sizes, 0 where it varies");
    snprintf(input->axis[index], LAM_AXIS_NAME, "%s", name);
    input->shape.dim[1 + index] = size;
    return LAM_OK;
}

static lam_status read_input(const lam_jv *json, lam_signature *out, lam_error *err)
{
    static const char *const members[] = {"axes", "channels", "size", NULL};
    const lam_jv *input, *axes, *sizes;
    lam_signature signature = {0};
    int64_t channels;
    lam_status status;
    if ((status = lam_jv_need(json, "input", LAM_JSON_OBJECT, &input, err)) ||
        (status = lam_options_only(input, members, err)) ||
        (status = lam_jv_need(input, "axes", LAM_JSON_ARRAY, &axes, err)) ||
        (status = lam_jv_need_integer(input, "channels", 1, LAM_MAX_CHANNELS, &channels, err)))
        return status;
    int count = (int)lam_jv_count(axes);
    sizes = lam_jv_get(input, "size");
    if (count > MAX_AXES)
        return lam_fail(err, LAM_E_LIMIT, "`axes` has %d names, at most %d are supported", count, MAX_AXES);
    if (sizes && lam_jv_count(sizes) != (size_t)count)
        return lam_fail(err, LAM_E_INVALID, "`size` must have as many numbers as `axes` has names");
    signature.shape.rank = count + 2;
    signature.shape.dim[count + 1] = channels;
    for (int i = 0; i < count; i++)
        if ((status = read_axis(axes, sizes, i, &signature, err)))
            return status;
    *out = signature;
    return LAM_OK;
}

/* ---- layers ---- */

/* The number of the value with this name among the input and the layers before `before`; -1 when unknown. */
static int find_value(const lam_network *network, const char *name, int before)
{
    if (strcmp(name, "input") == 0)
        return 0;
    for (int i = 0; i < before; i++)
        if (strcmp(network->layers[i].name, name) == 0)
            return i + 1;
    return -1;
}

static lam_status read_name(const lam_network *network, lam_layer *layer, const lam_jv *json, lam_error *err)
{
    const char *name;
    lam_status status = lam_jv_need_text(json, "name", &name, err);
    if (status)
        return status;
    size_t length = strlen(name);
    if (length == 0 || length >= LAM_MAX_LAYER_NAME ||
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") != length)
        return lam_fail(err, LAM_E_INVALID, "`name` must be 1 to %d letters, digits or _.-",
                        LAM_MAX_LAYER_NAME - 1);
    if (find_value(network, name, layer->index) >= 0)
        return lam_fail(err, LAM_E_INVALID, "the name '%s' is used twice", name);
    snprintf(layer->name, sizeof layer->name, "%s", name);
    return LAM_OK;
}

static lam_status add_source(const lam_network *network, lam_layer *layer, const lam_jv *value,
                             lam_error *err)
{
    const char *name = lam_jv_text(value, "");
    int number = find_value(network, name, layer->index);
    if (number < 0)
        return lam_fail(err, LAM_E_INVALID,
                        "`from` names '%.64s', which is neither `input` nor a layer before this one", name);
    layer->from[layer->inputs++] = number;
    return LAM_OK;
}

/* `from`: a name, a list of names, or absent for the layer before. */
static lam_status read_sources(const lam_network *network, lam_layer *layer, const lam_jv *json,
                               lam_error *err)
{
    const lam_jv *from = lam_jv_get(json, "from");
    lam_status status = LAM_OK;
    if (!from)
        layer->from[layer->inputs++] = layer->index;
    else if (lam_jv_is(from, LAM_JSON_ARRAY) && lam_jv_count(from) <= LAM_MAX_INPUTS)
        for (size_t i = 0; i < lam_jv_count(from) && status == LAM_OK; i++)
            status = add_source(network, layer, lam_jv_at(from, i), err);
    else
        status = add_source(network, layer, from, err);
    if (status)
        return status;
    if (layer->inputs < layer->kind->minimum_inputs || layer->inputs > layer->kind->maximum_inputs)
        return lam_fail(err, LAM_E_INVALID, "a layer of kind '%s' has %d to %d inputs, not %d",
                        layer->kind->name, layer->kind->minimum_inputs, layer->kind->maximum_inputs,
                        layer->inputs);
    for (int i = 0; i < layer->inputs; i++)
        layer->in[i] = layer->from[i] == 0 ? network->input : network->layers[layer->from[i] - 1].out;
    return LAM_OK;
}

static lam_status check_members(const lam_layer *layer, const lam_jv *json, lam_error *err)
{
    static const char *const common[] = {"name", "kind", "from", "frozen"};
    const char *allowed[32];
    size_t count = LAM_COUNT(common);
    memcpy(allowed, common, sizeof common);
    for (const char *const *m = layer->kind->members; m && *m; m++)
        allowed[count++] = *m;
    allowed[count] = NULL;
    return lam_options_only(json, allowed, err);
}

/* Sizes that no array can have are refused before the layers after it reckon with them. */
static lam_status check_size(const lam_layer *layer, lam_error *err)
{
    for (int i = 0; i < layer->out.shape.rank; i++)
        if (layer->out.shape.dim[i] > LAM_MAX_ELEMENTS)
            return lam_fail(err, LAM_E_LIMIT, "its result is too large");
    return LAM_OK;
}

static lam_status read_layer(const lam_network *network, lam_layer *layer, const lam_jv *json, lam_error *err)
{
    const char *kind;
    bool frozen;
    lam_status status;
    if ((status = read_name(network, layer, json, err)) ||
        (status = lam_jv_need_text(json, "kind", &kind, err)))
        return status;
    layer->kind = lam_layer_find_kind(kind);
    if (!layer->kind)
        return lam_fail(err, LAM_E_UNSUPPORTED, "there is no layer kind '%.64s'", kind);
    if ((status = check_members(layer, json, err)) || (status = read_sources(network, layer, json, err)) ||
        (status = lam_options_bool(json, "frozen", false, &frozen, err)))
        return status;
    layer->trainable = !frozen;
    layer->out = layer->in[0];
    if (layer->kind->options_size && !(layer->options = calloc(1, layer->kind->options_size)))
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    status = layer->kind->setup(layer, json, err);
    return status ? status : check_size(layer, err);
}

static lam_status read_layers(lam_network *network, const lam_jv *list, lam_error *err)
{
    size_t count = lam_jv_count(list);
    if (count < 1 || count > LAM_MAX_LAYERS)
        return lam_fail(err, LAM_E_LIMIT, "`layers` must have 1 to %d items", LAM_MAX_LAYERS);
    network->layers = calloc(count, sizeof network->layers[0]);
    if (!network->layers)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++) {
        lam_layer *layer = &network->layers[i];
        layer->index = (int)i;
        network->layer_count++;
        lam_status status = read_layer(network, layer, lam_jv_at(list, i), err);
        if (status) {
            lam_error_prefix(err, "layer %zu%s%s", i + 1, *layer->name ? " " : "", layer->name);
            return status;
        }
    }
    return LAM_OK;
}

static lam_status read_output(lam_network *network, const lam_jv *json, lam_error *err)
{
    const char *name;
    lam_status status = lam_options_text(json, "output", NULL, &name, err);
    if (status)
        return status;
    network->output = name ? find_value(network, name, network->layer_count) : network->layer_count;
    if (network->output < 1)
        return lam_fail(err, LAM_E_INVALID, "`output` must name a layer");
    return LAM_OK;
}

/* Lays out the flat buffer. */
static lam_status place_parameters(lam_network *network, lam_error *err)
{
    size_t count = 0;
    for (int i = 0; i < network->layer_count; i++)
        count += (size_t)network->layers[i].parameter_count;
    network->parameters = calloc(count + 1, sizeof network->parameters[0]);
    if (!network->parameters)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (int i = 0; i < network->layer_count; i++) {
        lam_layer *layer = &network->layers[i];
        layer->first_parameter = network->parameter_count;
        for (int p = 0; p < layer->parameter_count; p++) {
            const lam_parameter_spec *spec = &layer->parameters[p];
            lam_parameter *parameter = &network->parameters[network->parameter_count++];
            lam_status status = lam_shape_check(&spec->shape, err);
            if (status)
                return status;
            snprintf(parameter->name, sizeof parameter->name, "%s.%.22s", layer->name, spec->name);
            parameter->shape = spec->shape;
            parameter->offset = network->floats;
            parameter->count = lam_shape_count(&spec->shape);
            parameter->trainable = layer->trainable && !spec->statistic;
            parameter->statistic = layer->trainable && spec->statistic;
            parameter->decay = strncmp(spec->name, "weight", 6) == 0 && spec->shape.rank > 1;
            parameter->layer = i;
            network->floats +=
                (parameter->count + PARAMETER_ALIGNMENT - 1) / PARAMETER_ALIGNMENT * PARAMETER_ALIGNMENT;
            if (network->floats > MAX_PARAMETER_FLOATS)
                return lam_fail(err, LAM_E_LIMIT, "the network has more than 2^30 parameters");
        }
    }
    return LAM_OK;
}

lam_status lam_network_create(const lam_jv *json, lam_network **out, lam_error *err)
{
    static const char *const members[] = {"input", "layers", "output", NULL};
    LAM_AUTO_PTR(lam_network) *network = calloc(1, sizeof *network);
    const lam_jv *layers;
    lam_status status;
    if (!network)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    if ((status = lam_options_only(json, members, err)) ||
        (status = read_input(json, &network->input, err)) ||
        (status = lam_jv_need(json, "layers", LAM_JSON_ARRAY, &layers, err)) ||
        (status = read_layers(network, layers, err)) || (status = read_output(network, json, err)) ||
        (status = place_parameters(network, err))) {
        lam_error_prefix(err, "`network`");
        return status;
    }
    *out = LAM_TAKE_PTR(network);
    return LAM_OK;
}

/* ---- what others read ---- */

int lam_network_axes(const lam_network *network)
{
    return network->input.shape.rank - 2;
}

int64_t lam_network_input_channels(const lam_network *network)
{
    return lam_shape_channels(&network->input.shape);
}

int64_t lam_network_output_channels(const lam_network *network)
{
    return lam_shape_channels(&network->layers[network->output - 1].out.shape);
}

bool lam_network_gives_probabilities(const lam_network *network)
{
    return network->layers[network->output - 1].probabilities;
}

size_t lam_network_parameter_count(const lam_network *network)
{
    return network->parameter_count;
}

const lam_parameter *lam_network_parameter(const lam_network *network, size_t index)
{
    return index < network->parameter_count ? &network->parameters[index] : NULL;
}

int64_t lam_network_parameter_floats(const lam_network *network)
{
    return network->floats;
}
