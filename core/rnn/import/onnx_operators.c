/* ONNX operators that compute: products, convolutions, pooling, normalisation, elementwise functions. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rnn/import/onnx_graph.h"

static lam_status no_memory(lam_onnx_graph *g)
{
    return lam_graph_fail(g, LAM_E_NO_MEMORY, "out of memory");
}

static lam_status set_output(lam_onnx_graph *g, const lam_placed *value)
{
    return lam_graph_set_placed(g, g->node->outputs[0], value);
}

/* Input `index` as floats, exactly `count` of them. */
static lam_status need_floats(lam_onnx_graph *g, size_t index, int64_t count, const float **out)
{
    const lam_onnx_tensor *tensor = lam_graph_constant(g, index);
    if (!tensor || !tensor->floats)
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "input %zu is not a constant of floating-point numbers",
                              index + 1);
    if (tensor->count != count)
        return lam_graph_fail(g, LAM_E_INVALID, "input %zu has %lld numbers, not %lld", index + 1,
                              (long long)tensor->count, (long long)count);
    *out = tensor->floats;
    return LAM_OK;
}

/* Writes one value a channel of dimension `dimension` in the order of memory. */
static lam_status write_per_channel(lam_onnx_graph *g, const lam_placed *value, int dimension,
                                    const char *layer, const char *parameter, const float *values)
{
    int64_t *order = NULL, count = lam_placed_channels(value);
    lam_status status = lam_graph_channel_order(g, value, dimension, &order);
    float *out = status ? NULL : lam_graph_weight(g, layer, parameter, count);
    if (status == LAM_OK && !out)
        status = no_memory(g);
    for (int64_t i = 0; status == LAM_OK && i < count; i++)
        out[order[i]] = values ? values[i] : 0;
    free(order);
    return status;
}

/* ---- functions of one value ---- */

static lam_status convert_activation(lam_onnx_graph *g)
{
    lam_placed value;
    const char *function = lam_onnx_detail(g);
    lam_status status = lam_graph_placed(g, 0, &value);
    if (status)
        return status;
    if (strcmp(function, "leaky_relu") == 0 && fabs(lam_graph_number(g, "alpha", 0.01) - 0.01) > 1e-7)
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "a slope other than 0.01");
    lam_graph_layer_on(g, "activation", &value);
    lam_jw_text(&g->writer, "function", function);
    lam_jw_end(&g->writer);
    return set_output(g, &value);
}

static lam_status convert_softmax(lam_onnx_graph *g)
{
    lam_placed value;
    int axis;
    lam_status status = lam_graph_placed(g, 0, &value);
    if (status || (status = lam_graph_axis(g, lam_graph_integer(g, "axis", g->model->opset < 13 ? 1 : -1),
                                           value.rank, &axis)))
        return status;
    if (g->model->opset < 13 && axis != value.rank - 1)
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "a softmax over several dimensions");
    if ((status = lam_graph_channels(g, &value, axis)))
        return status;
    lam_graph_layer_on(g, "softmax", &value);
    lam_jw_end(&g->writer);
    return set_output(g, &value);
}

/* ---- dense ---- */

/* A dense layer on dimension `dimension`: weight [k, n] by strides, bias of n or NULL. */
static lam_status write_dense(lam_onnx_graph *g, lam_placed *value, int dimension, const float *weight,
                              int64_t outputs, int64_t stride_in, int64_t stride_out, double scale,
                              const float *bias, double bias_scale)
{
    lam_status status = lam_graph_channels(g, value, dimension);
    if (status)
        return status;
    int64_t *order, inputs = lam_placed_channels(value);
    if ((status = lam_graph_channel_order(g, value, dimension, &order)))
        return status;
    lam_graph_layer_on(g, "dense", value);
    lam_jw_integer(&g->writer, "units", outputs);
    if (!bias)
        lam_jw_bool(&g->writer, "bias", false);
    lam_jw_end(&g->writer);
    float *w = lam_graph_weight(g, value->layer, "weight", outputs * inputs);
    float *b = bias && w ? lam_graph_weight(g, value->layer, "bias", outputs) : w;
    if (!w || !b) {
        free(order);
        return no_memory(g);
    }
    for (int64_t n = 0; n < outputs; n++) {
        for (int64_t k = 0; k < inputs; k++)
            w[n * inputs + order[k]] = (float)(scale * weight[k * stride_in + n * stride_out]);
        if (bias)
            b[n] = (float)(bias_scale * bias[n]);
    }
    free(order);
    lam_placed_rechannel(value, dimension, outputs);
    return LAM_OK;
}

/* The constant second factor of a product with `inputs` rows. */
static lam_status need_matrix(lam_onnx_graph *g, int64_t inputs, bool transposed, const lam_onnx_tensor **out)
{
    const lam_onnx_tensor *weight = lam_graph_constant(g, 1);
    if (!weight || !weight->floats || weight->rank != 2)
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "its second factor is not a constant matrix");
    if (weight->dim[transposed] != inputs || weight->dim[!transposed] < 1)
        return lam_graph_fail(g, LAM_E_INVALID, "a matrix for %lld inputs, but there are %lld",
                              (long long)weight->dim[transposed], (long long)inputs);
    *out = weight;
    return LAM_OK;
}

static lam_status convert_gemm(lam_onnx_graph *g)
{
    lam_placed value;
    const lam_onnx_tensor *weight, *bias = lam_graph_constant(g, 2);
    bool transposed = lam_graph_integer(g, "transB", 0);
    lam_status status = lam_graph_placed(g, 0, &value);
    if (status)
        return status;
    if (value.rank != 2 || lam_graph_integer(g, "transA", 0) || (g->node->input_count > 2 && !bias))
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "transA, more than two dimensions or a computed bias");
    if ((status = need_matrix(g, lam_dimension_size(&value, 1), transposed, &weight)))
        return status;
    int64_t outputs = weight->dim[!transposed];
    if (bias && (!bias->floats || bias->count != outputs))
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "a bias that is not one number an output");
    status = write_dense(g, &value, 1, weight->floats, outputs, transposed ? 1 : outputs,
                         transposed ? weight->dim[1] : 1, lam_graph_number(g, "alpha", 1),
                         bias ? bias->floats : NULL, lam_graph_number(g, "beta", 1));
    return status ? status : set_output(g, &value);
}

/* The node that alone reads this one's output, if it adds `count` constants to it: a bias. */
static const lam_onnx_node *following_bias(lam_onnx_graph *g, int64_t count, const float **bias)
{
    const lam_onnx_node *found = NULL;
    size_t uses = 0;
    for (size_t n = 0; n < g->model->node_count; n++)
        for (size_t i = 0; i < g->model->nodes[n].input_count; i++)
            if (strcmp(g->model->nodes[n].inputs[i], g->node->outputs[0]) == 0) {
                found = &g->model->nodes[n];
                uses++;
            }
    for (size_t i = 0; i < g->model->output_count; i++)
        uses += strcmp(g->model->outputs[i].name, g->node->outputs[0]) == 0;
    if (!found || uses != 1 || strcmp(found->operation, "Add") != 0 || found->input_count != 2)
        return NULL;
    for (int i = 0; i < 2; i++) {
        const lam_onnx_known *known = lam_graph_find(g, found->inputs[i]);
        if (known && known->constant && known->constant->floats && known->constant->count == count &&
            known->constant->rank >= 1 && known->constant->dim[known->constant->rank - 1] == count) {
            *bias = known->constant->floats;
            return found;
        }
    }
    return NULL;
}

static lam_status convert_matmul(lam_onnx_graph *g)
{
    lam_placed value;
    const lam_onnx_tensor *weight;
    const float *bias = NULL;
    lam_status status = lam_graph_placed(g, 0, &value);
    if (status || (status = need_matrix(g, lam_dimension_size(&value, value.rank - 1), false, &weight)))
        return status;
    int64_t outputs = weight->dim[1];
    const lam_onnx_node *add = following_bias(g, outputs, &bias);
    status = write_dense(g, &value, value.rank - 1, weight->floats, outputs, outputs, 1, 1, bias, 1);
    if (status)
        return status;
    if (add) {
        g->skipped[add - g->model->nodes] = true;
        return lam_graph_set_placed(g, add->outputs[0], &value);
    }
    return set_output(g, &value);
}

/* ---- convolution and pooling ---- */

/* Windows over the dimensions behind the second: the value's axes put in order, the spatial ones last. */
struct window {
    int spatial; /* dimensions */
    int lead;    /* axes before them, which the window does not cover */
    int64_t kernel[LAM_ONNX_MAX_RANK], stride[LAM_ONNX_MAX_RANK], dilation[LAM_ONNX_MAX_RANK];
    int64_t padding[LAM_ONNX_MAX_RANK];
};

static lam_status fill(lam_onnx_graph *g, const char *name, const struct window *window, int64_t *out)
{
    const int64_t *list;
    size_t count;
    lam_status status = lam_graph_integers(g, name, 0, &list, &count);
    if (status == LAM_OK && count && count != (size_t)window->spatial)
        status = lam_graph_fail(g, LAM_E_INVALID, "`%s` has %zu numbers for %d dimensions", name, count,
                                window->spatial);
    for (int i = 0; i < window->spatial && status == LAM_OK; i++) {
        out[i] = count ? list[i] : out[i];
        if (out[i] < 1 || out[i] > LAM_MAX_CHANNELS)
            status = lam_graph_fail(g, LAM_E_INVALID, "`%s` is out of range", name);
    }
    return status;
}

/* Symmetric padding, or what auto_pad makes of odd kernels at stride 1. */
static lam_status read_padding(lam_onnx_graph *g, struct window *window)
{
    const int64_t *list;
    size_t count;
    const char *automatic = lam_graph_text(g, "auto_pad", "NOTSET");
    lam_status status = lam_graph_integers(g, "pads", 0, &list, &count);
    if (status)
        return status;
    if (count && count != 2 * (size_t)window->spatial)
        return lam_graph_fail(g, LAM_E_INVALID, "`pads` has %zu numbers", count);
    for (int i = 0; i < window->spatial; i++) {
        int64_t reach = (window->kernel[i] - 1) * window->dilation[i];
        if (strncmp(automatic, "SAME", 4) == 0) {
            if (window->stride[i] != 1 || reach % 2)
                return lam_graph_fail(g, LAM_E_UNSUPPORTED, "auto_pad with a stride or an even kernel");
            window->padding[i] = reach / 2;
        } else if (count) {
            if (list[i] != list[i + window->spatial] || list[i] < 0 || list[i] > LAM_MAX_CHANNELS)
                return lam_graph_fail(g, LAM_E_UNSUPPORTED,
                                      "padding that differs between the two sides, or is out of range");
            window->padding[i] = list[i];
        }
    }
    return LAM_OK;
}

/* Reads the attributes and brings the axes in order. */
static lam_status prepare_window(lam_onnx_graph *g, lam_placed *value, struct window *window)
{
    int axes[LAM_ONNX_MAX_RANK];
    lam_status status;
    window->spatial = value->rank - 2;
    if (window->spatial < 1)
        return lam_graph_fail(g, LAM_E_INVALID, "its input has %d dimensions", value->rank);
    for (int i = 0; i < window->spatial; i++)
        window->stride[i] = window->dilation[i] = 1;
    if ((status = fill(g, "kernel_shape", window, window->kernel)) ||
        (status = fill(g, "strides", window, window->stride)) ||
        (status = fill(g, "dilations", window, window->dilation)) || (status = read_padding(g, window)))
        return status;
    for (int i = 0; i < window->spatial; i++)
        if ((status = lam_graph_axis_of(g, value, 2 + i, &axes[i])))
            return status;
    int before = value->axes;
    if ((status = lam_graph_channels(g, value, 1)) ||
        (status = lam_graph_axes_last(g, value, axes, window->spatial)))
        return status;
    if (value->axes != before)
        return lam_graph_fail(g, LAM_E_UNSUPPORTED,
                              "its channels are an axis of the input; another --layout may help");
    window->lead = value->axes - window->spatial;
    return LAM_OK;
}

/* An option with `lead` times `neutral` before the spatial numbers. */
static void write_option(lam_onnx_graph *g, const char *name, const struct window *window,
                         const int64_t *numbers, int64_t neutral)
{
    lam_jw_array(&g->writer, name);
    for (int i = 0; i < window->lead + window->spatial; i++)
        lam_jw_integer(&g->writer, NULL, i < window->lead ? neutral : numbers[i - window->lead]);
    lam_jw_end(&g->writer);
}

static void write_window(lam_onnx_graph *g, const struct window *window)
{
    write_option(g, "kernel", window, window->kernel, 1);
    write_option(g, "stride", window, window->stride, 1);
    write_option(g, "padding", window, window->padding, 0);
    bool dilated = false;
    for (int i = 0; i < window->spatial; i++)
        dilated = dilated || window->dilation[i] != 1;
    if (dilated)
        write_option(g, "dilation", window, window->dilation, 1);
}

static lam_status resize(lam_onnx_graph *g, lam_placed *value, const struct window *window)
{
    lam_status status = LAM_OK;
    for (int i = 0; i < window->spatial && status == LAM_OK; i++) {
        lam_atom *atom = &value->atom[1 + window->lead + i];
        int64_t reach = (window->kernel[i] - 1) * window->dilation[i] + 1;
        int64_t way = atom->size + 2 * window->padding[i] - reach;
        status = way < 0 ? lam_graph_fail(g, LAM_E_INVALID, "its window is larger than its input")
                         : lam_graph_resize(g, atom, way / window->stride[i] + 1);
    }
    return status;
}

/* Weights [out, in / groups, taps] as [out, in, taps] with zeros between groups, channels in memory order. */
static lam_status write_kernel(lam_onnx_graph *g, const char *layer, const lam_onnx_tensor *weight,
                               int64_t groups, const int64_t *order)
{
    int64_t out = weight->dim[0], part = weight->dim[1], in = part * groups;
    int64_t taps = weight->count / (out * part);
    float *values = lam_graph_weight(g, layer, "weight", out * in * taps);
    if (!values)
        return no_memory(g);
    for (int64_t o = 0; o < out; o++)
        for (int64_t c = 0; c < part; c++)
            memcpy(values + (o * in + order[o / (out / groups) * part + c]) * taps,
                   weight->floats + (o * part + c) * taps, (size_t)taps * sizeof values[0]);
    return LAM_OK;
}

static lam_status write_bias(lam_onnx_graph *g, const char *layer, const float *bias, int64_t count)
{
    float *values = bias ? lam_graph_weight(g, layer, "bias", count) : NULL;
    if (bias && !values)
        return no_memory(g);
    if (bias)
        memcpy(values, bias, (size_t)count * sizeof values[0]);
    return LAM_OK;
}

/* The weight of a convolution, which also says its kernel when no attribute does. */
static lam_status need_kernel(lam_onnx_graph *g, const lam_placed *value, struct window *window,
                              const lam_onnx_tensor **out)
{
    const lam_onnx_tensor *weight = lam_graph_constant(g, 1);
    if (!weight || !weight->floats || weight->rank != value->rank || weight->count < 1)
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "its weight is not a constant of %d dimensions",
                              value->rank);
    for (int i = 2; i < weight->rank; i++)
        window->kernel[i - 2] = weight->dim[i];
    *out = weight;
    return LAM_OK;
}

static lam_status convert_conv(lam_onnx_graph *g)
{
    lam_placed value;
    struct window window = {0};
    const lam_onnx_tensor *weight;
    const float *bias = NULL;
    int64_t groups = lam_graph_integer(g, "group", 1), *order;
    lam_status status;
    if ((status = lam_graph_placed(g, 0, &value)) || (status = need_kernel(g, &value, &window, &weight)) ||
        (status = prepare_window(g, &value, &window)))
        return status;
    int64_t channels = weight->dim[0];
    if (groups < 1 || channels % groups || weight->dim[1] * groups != lam_placed_channels(&value))
        return lam_graph_fail(g, LAM_E_INVALID, "its weight does not fit %lld channels in %lld groups",
                              (long long)lam_placed_channels(&value), (long long)groups);
    if (g->node->input_count > 2 && *g->node->inputs[2] && (status = need_floats(g, 2, channels, &bias)))
        return status;
    if ((status = lam_graph_channel_order(g, &value, 1, &order)))
        return status;
    lam_graph_layer_on(g, "conv", &value);
    lam_jw_integer(&g->writer, "channels", channels);
    write_window(g, &window);
    if (!bias)
        lam_jw_bool(&g->writer, "bias", false);
    lam_jw_end(&g->writer);
    status = write_kernel(g, value.layer, weight, groups, order);
    free(order);
    if (status || (status = write_bias(g, value.layer, bias, channels)) ||
        (status = resize(g, &value, &window)))
        return status;
    lam_placed_rechannel(&value, 1, channels);
    return set_output(g, &value);
}

static lam_status convert_conv_transpose(lam_onnx_graph *g)
{
    lam_placed value;
    struct window window = {0};
    const lam_onnx_tensor *weight;
    const float *bias = NULL;
    const int64_t *extra, *shape;
    int64_t output_padding[LAM_ONNX_MAX_RANK] = {0}, *order;
    size_t extra_count, shape_count;
    lam_status status;
    if ((status = lam_graph_placed(g, 0, &value)) || (status = need_kernel(g, &value, &window, &weight)) ||
        (status = prepare_window(g, &value, &window)) ||
        (status = lam_graph_integers(g, "output_padding", 0, &extra, &extra_count)) ||
        (status = lam_graph_integers(g, "output_shape", 0, &shape, &shape_count)))
        return status;
    int64_t channels = weight->dim[1], inputs = weight->dim[0], taps = weight->count / (inputs * channels);
    if (lam_graph_integer(g, "group", 1) != 1 || shape_count || inputs != lam_placed_channels(&value))
        return lam_graph_fail(g, LAM_E_UNSUPPORTED,
                              "groups, output_shape, or other channels than its input's");
    for (size_t i = 0; i < extra_count && i < (size_t)window.spatial; i++) {
        output_padding[i] = extra[i];
        if (extra[i] < 0 || extra[i] > LAM_MAX_CHANNELS)
            return lam_graph_fail(g, LAM_E_INVALID, "`output_padding` is out of range");
    }
    if (g->node->input_count > 2 && *g->node->inputs[2] && (status = need_floats(g, 2, channels, &bias)))
        return status;
    if ((status = lam_graph_channel_order(g, &value, 1, &order)))
        return status;
    lam_graph_layer_on(g, "conv_transpose", &value);
    lam_jw_integer(&g->writer, "channels", channels);
    write_window(g, &window);
    write_option(g, "output_padding", &window, output_padding, 0);
    if (!bias)
        lam_jw_bool(&g->writer, "bias", false);
    lam_jw_end(&g->writer);
    float *values = lam_graph_weight(g, value.layer, "weight", weight->count);
    for (int64_t i = 0; values && i < inputs; i++)
        memcpy(values + order[i] * channels * taps, weight->floats + i * channels * taps,
               (size_t)(channels * taps) * sizeof values[0]);
    free(order);
    if (!values)
        return no_memory(g);
    if ((status = write_bias(g, value.layer, bias, channels)))
        return status;
    for (int i = 0; i < window.spatial && status == LAM_OK; i++) {
        lam_atom *atom = &value.atom[1 + window.lead + i];
        status = lam_graph_resize(g, atom,
                                  (atom->size - 1) * window.stride[i] - 2 * window.padding[i] +
                                      (window.kernel[i] - 1) * window.dilation[i] + 1 + output_padding[i]);
    }
    lam_placed_rechannel(&value, 1, channels);
    return status ? status : set_output(g, &value);
}

static lam_status convert_pool(lam_onnx_graph *g)
{
    lam_placed value;
    struct window window = {0};
    lam_status status;
    if ((status = lam_graph_placed(g, 0, &value)) || (status = prepare_window(g, &value, &window)))
        return status;
    bool padded = false, exact = true;
    for (int i = 0; i < window.spatial; i++) {
        const lam_atom *atom = &value.atom[1 + window.lead + i];
        padded = padded || window.padding[i] > 0;
        exact = exact && atom->fixed &&
                (atom->size + 2 * window.padding[i] - window.dilation[i] * (window.kernel[i] - 1) - 1) %
                        window.stride[i] ==
                    0;
    }
    if (lam_graph_integer(g, "ceil_mode", 0) && !exact)
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "ceil_mode where it makes a difference");
    if (lam_graph_integer(g, "count_include_pad", 0) && padded)
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "count_include_pad with padding");
    lam_graph_layer_on(g, "pool", &value);
    lam_jw_text(&g->writer, "function", lam_onnx_detail(g));
    write_window(g, &window);
    lam_jw_end(&g->writer);
    status = resize(g, &value, &window);
    return status ? status : set_output(g, &value);
}

/* ---- over whole axes ---- */

/* Pools the axes `axes` away. Their dimensions stay, with size 1. */
static lam_status pool_away(lam_onnx_graph *g, lam_placed *value, const int *axes, int count)
{
    bool drop[LAM_MAX_ATOMS] = {false};
    lam_status status = lam_graph_axes_last(g, value, axes, count);
    if (status)
        return status;
    lam_graph_layer_on(g, "global_pool", value);
    lam_jw_text(&g->writer, "function", lam_onnx_detail(g));
    lam_jw_array(&g->writer, "over");
    for (int i = value->axes - count + 1; i <= value->axes; i++) {
        lam_jw_text(&g->writer, NULL, value->atom[i].axis);
        drop[i] = true;
    }
    lam_jw_end(&g->writer);
    lam_jw_end(&g->writer);
    lam_placed_drop(value, drop);
    return LAM_OK;
}

static lam_status convert_global_pool(lam_onnx_graph *g)
{
    lam_placed value;
    int axes[LAM_ONNX_MAX_RANK];
    lam_status status = lam_graph_placed(g, 0, &value);
    for (int i = 2; i < value.rank && status == LAM_OK; i++)
        status = lam_graph_axis_of(g, &value, i, &axes[i - 2]);
    if (status == LAM_OK && value.rank < 3)
        status = lam_graph_fail(g, LAM_E_INVALID, "its input has %d dimensions", value.rank);
    if (status || (status = pool_away(g, &value, axes, value.rank - 2)))
        return status;
    return set_output(g, &value);
}

static lam_status convert_reduce(lam_onnx_graph *g)
{
    lam_placed value;
    const int64_t *list;
    size_t count;
    int axes[LAM_ONNX_MAX_RANK];
    bool gone[LAM_ONNX_MAX_RANK] = {false};
    lam_status status = lam_graph_placed(g, 0, &value);
    if (status || (status = lam_graph_integers(g, "axes", 1, &list, &count)))
        return status;
    if (count < 1 || count > (size_t)value.rank)
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "a reduction of the whole array");
    for (size_t i = 0; i < count; i++) {
        int axis = 0;
        if ((status = lam_graph_axis(g, list[i], value.rank, &axis)) ||
            (status = lam_graph_axis_of(g, &value, axis, &axes[i])))
            return status;
        gone[axis] = true;
    }
    if ((status = pool_away(g, &value, axes, (int)count)))
        return status;
    int kept = 0;
    for (int i = 0; i < value.rank; i++)
        if (!gone[i] || lam_graph_integer(g, "keepdims", 1))
            value.dim[kept++] = value.dim[i];
    value.rank = kept;
    return set_output(g, &value);
}

/* ---- normalisation ---- */

/* `names` in the order of the node's inputs from 1 on. */
static lam_status write_norm(lam_onnx_graph *g, const char *kind, lam_placed *value, int dimension,
                             const char *const *names, int count)
{
    const float *values[4];
    lam_status status = lam_graph_channels(g, value, dimension);
    int64_t channels = lam_placed_channels(value);
    for (int i = 0; i < count && status == LAM_OK; i++) {
        values[i] = NULL; /* a bias may be left out */
        if (i != 1 || g->node->input_count > 2)
            status = need_floats(g, 1 + (size_t)i, channels, &values[i]);
    }
    if (status)
        return status;
    lam_graph_layer_on(g, kind, value);
    lam_jw_number(&g->writer, "epsilon", lam_graph_number(g, "epsilon", 1e-5));
    lam_jw_end(&g->writer);
    for (int i = 0; i < count && status == LAM_OK; i++)
        status = write_per_channel(g, value, dimension, value->layer, names[i], values[i]);
    return status;
}

static const char *const norm_names[] = {"weight", "bias", "running_mean", "running_var"};

static lam_status convert_norm(lam_onnx_graph *g)
{
    lam_placed value;
    bool batch = strcmp(lam_onnx_detail(g), "batch_norm") == 0;
    lam_status status = lam_graph_placed(g, 0, &value);
    if (status == LAM_OK && value.rank < 2)
        status = lam_graph_fail(g, LAM_E_INVALID, "its input has %d dimensions", value.rank);
    if (status == LAM_OK)
        status = write_norm(g, lam_onnx_detail(g), &value, 1, norm_names, batch ? 4 : 2);
    return status ? status : set_output(g, &value);
}

static lam_status convert_layer_norm(lam_onnx_graph *g)
{
    lam_placed value;
    int axis;
    lam_status status = lam_graph_placed(g, 0, &value);
    if (status || (status = lam_graph_axis(g, lam_graph_integer(g, "axis", -1), value.rank, &axis)))
        return status;
    if (axis != value.rank - 1)
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "normalisation over several dimensions");
    status = write_norm(g, "layer_norm", &value, axis, norm_names, 2);
    return status ? status : set_output(g, &value);
}

/* ---- two values ---- */

/* Whether dimension for dimension the two are made of parts of the same sizes; then `to[i]` is the atom of
 * `b` where `a` has atom i (-1 where a has none in any dimension). */
static bool correspond(const lam_placed *a, const lam_placed *b, int skip, int to[LAM_MAX_ATOMS])
{
    for (int i = 0; i < LAM_MAX_ATOMS; i++)
        to[i] = -1;
    if (a->rank != b->rank || a->axes != b->axes)
        return false;
    for (int d = 0; d < a->rank; d++) {
        if (a->dim[d].count != b->dim[d].count)
            return false;
        for (int i = 0; i < a->dim[d].count; i++) {
            int x = a->dim[d].atom[i], y = b->dim[d].atom[i];
            if ((d != skip && a->atom[x].size != b->atom[y].size) || (x == 0) != (y == 0) ||
                lam_placed_is_channel(a, x) != lam_placed_is_channel(b, y))
                return false;
            to[x] = y;
        }
    }
    return true;
}

/* Brings `b` into the memory order of `a`. */
static lam_status align(lam_onnx_graph *g, const lam_placed *a, lam_placed *b, int skip)
{
    int to[LAM_MAX_ATOMS], order[LAM_MAX_ATOMS], last = -1;
    if (!correspond(a, b, skip, to))
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "its inputs differ in shape (broadcasting)");
    for (int i = 1; i <= a->axes; i++) {
        if (to[i] < 0)
            return lam_graph_fail(g, LAM_E_UNSUPPORTED, "its inputs differ in shape");
        order[i - 1] = to[i];
    }
    for (int i = a->axes + 1; i < a->atoms; i++) {
        if (to[i] >= 0 && to[i] < last)
            return lam_graph_fail(g, LAM_E_UNSUPPORTED, "the channels of its inputs are in different orders");
        last = to[i] >= 0 ? to[i] : last;
    }
    return lam_graph_order_axes(g, b, order);
}

/* value × scale + shift with one constant a channel, or one for all: a batch norm of mean 0 and variance 1
 * that is not trained. */
static lam_status write_affine(lam_onnx_graph *g, lam_placed *value, const lam_onnx_tensor *constant,
                               bool product, bool inverse)
{
    int dimension = -1;
    for (int i = 0; i < constant->rank; i++)
        if (constant->dim[i] > 1)
            dimension = dimension == -1 ? value->rank - constant->rank + i : -2;
    if (dimension == -1) /* one number: any dimension of channels will do */
        for (int d = 0; d < value->rank; d++)
            if (value->dim[d].count && lam_placed_is_channel(value, value->dim[d].atom[0]))
                dimension = d;
    if (dimension < 0 || !constant->floats)
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "a constant that is not one number a channel");
    lam_status status = lam_graph_channels(g, value, dimension);
    int64_t count = lam_placed_channels(value);
    if (status)
        return status;
    if (constant->count != 1 && constant->count != count)
        return lam_graph_fail(g, LAM_E_INVALID, "%lld constants for %lld channels",
                              (long long)constant->count, (long long)count);
    LAM_AUTO(lam_cleanup_free) float *values = calloc(4 * (size_t)count, sizeof *values);
    if (!values)
        return no_memory(g);
    const float epsilon = 1e-5f;
    for (int64_t i = 0; i < count; i++) {
        float c = constant->floats[constant->count == 1 ? 0 : i];
        values[i] = product ? (inverse ? 1 / c : c) : 1;
        values[count + i] = product ? 0 : inverse ? -c : c;
        values[3 * count + i] = 1 - epsilon;
    }
    lam_graph_layer_on(g, "batch_norm", value);
    lam_jw_number(&g->writer, "epsilon", (double)epsilon);
    lam_jw_bool(&g->writer, "frozen", true);
    lam_jw_end(&g->writer);
    for (int i = 0; i < 4 && status == LAM_OK; i++)
        status = write_per_channel(g, value, dimension, value->layer, norm_names[i], values + i * count);
    return status;
}

/* Arithmetic of two integer constants, as exporters write it to compute shapes. */
static lam_status compute_constant(lam_onnx_graph *g, const lam_onnx_tensor *a, const lam_onnx_tensor *b,
                                   char operation)
{
    if (!a->integers || !b->integers || (a->count != b->count && a->count != 1 && b->count != 1))
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "arithmetic on constants that are not shapes");
    const lam_onnx_tensor *shape = a->count >= b->count ? a : b;
    lam_onnx_tensor *result = lam_graph_new_constant(g, true, shape->rank, shape->dim);
    if (!result)
        return no_memory(g);
    for (int64_t i = 0; i < result->count; i++) {
        int64_t x = a->integers[a->count == 1 ? 0 : i], y = b->integers[b->count == 1 ? 0 : i];
        bool overflow = operation == '*'   ? __builtin_mul_overflow(x, y, &result->integers[i])
                        : operation == '+' ? __builtin_add_overflow(x, y, &result->integers[i])
                        : operation == '-' ? __builtin_sub_overflow(x, y, &result->integers[i])
                                           : y == 0 || (x == INT64_MIN && y == -1);
        if (overflow)
            return lam_graph_fail(g, LAM_E_INVALID, "its result is out of range");
        if (operation == '/')
            result->integers[i] = x / y;
    }
    return lam_graph_set_constant(g, g->node->outputs[0], result);
}

/* value += the node's input `index`, a computed one. */
static lam_status add_input(lam_onnx_graph *g, size_t index, lam_placed *value)
{
    lam_placed other;
    lam_status status = lam_graph_placed(g, index, &other);
    if (status)
        return status;
    lam_placed_simplify(value);
    lam_placed_simplify(&other);
    if ((status = align(g, value, &other, -1)))
        return status;
    const lam_placed *from[] = {value, &other};
    lam_graph_layer(g, "add", from, 2, value->layer);
    lam_jw_end(&g->writer);
    return LAM_OK;
}

static lam_status convert_arithmetic(lam_onnx_graph *g)
{
    const lam_onnx_tensor *a = lam_graph_constant(g, 0), *b = lam_graph_constant(g, 1);
    char operation = *lam_onnx_detail(g);
    bool commutes = operation == '+' || operation == '*';
    lam_placed value;
    lam_status status;
    if (g->node->input_count != 2)
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "%zu inputs", g->node->input_count);
    if (a && b)
        return compute_constant(g, a, b, operation);
    if ((status = lam_graph_placed(g, a ? 1 : 0, &value)))
        return status;
    if (a && !commutes)
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "a constant minus or divided by a value");
    if (a || b) {
        status = write_affine(g, &value, a ? a : b, operation == '*' || operation == '/', !commutes);
        return status ? status : set_output(g, &value);
    }
    if (operation != '+')
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "of two computed values only the sum is supported");
    status = add_input(g, 1, &value);
    return status ? status : set_output(g, &value);
}

static lam_status convert_sum(lam_onnx_graph *g)
{
    lam_placed value;
    if (g->node->input_count == 2)
        return convert_arithmetic(g); /* one may be a constant */
    lam_status status = lam_graph_placed(g, 0, &value);
    for (size_t i = 1; i < g->node->input_count && status == LAM_OK; i++)
        status = add_input(g, i, &value);
    return status ? status : set_output(g, &value);
}

/* ---- concat ---- */

static lam_status concat_constants(lam_onnx_graph *g)
{
    int64_t count = 0, at = 0;
    for (size_t i = 0; i < g->node->input_count; i++) {
        const lam_onnx_tensor *part = lam_graph_constant(g, i);
        if (!part || !part->integers || part->rank > 1)
            return lam_graph_fail(g, LAM_E_UNSUPPORTED, "constants and computed values together");
        count += part->count;
    }
    lam_onnx_tensor *result = lam_graph_new_constant(g, true, 1, &count);
    if (!result)
        return no_memory(g);
    for (size_t i = 0; i < g->node->input_count; i++) {
        const lam_onnx_tensor *part = lam_graph_constant(g, i);
        memcpy(result->integers + at, part->integers, (size_t)part->count * sizeof(int64_t));
        at += part->count;
    }
    return lam_graph_set_constant(g, g->node->outputs[0], result);
}

/* The dimension must be the slowest channels, so that the parts stand one after another. */
static bool is_outermost(const lam_placed *value, int dimension)
{
    const lam_dimension *dim = &value->dim[dimension];
    return dim->count == 1 && dim->atom[0] == value->axes + 1;
}

static lam_status convert_concat(lam_onnx_graph *g)
{
    lam_placed parts[LAM_MAX_INPUTS];
    const lam_placed *from[LAM_MAX_INPUTS];
    size_t count = g->node->input_count;
    int axis;
    lam_status status;
    if (lam_graph_constant(g, 0))
        return concat_constants(g);
    if (count < 1 || count > LAM_MAX_INPUTS)
        return lam_graph_fail(g, LAM_E_LIMIT, "%zu inputs; at most %d are supported", count, LAM_MAX_INPUTS);
    for (size_t i = 0; i < count; i++) {
        if ((status = lam_graph_placed(g, i, &parts[i])))
            return status;
        lam_placed_simplify(&parts[i]);
        from[i] = &parts[i];
    }
    if ((status = lam_graph_axis(g, lam_graph_integer(g, "axis", 0), parts[0].rank, &axis)))
        return status;
    for (size_t i = 0; i < count; i++) {
        if (!is_outermost(&parts[i], axis))
            return lam_graph_fail(g, LAM_E_UNSUPPORTED, "only channels can be concatenated");
        if (i && (status = align(g, &parts[0], &parts[i], axis)))
            return status;
    }
    lam_placed value = parts[0];
    lam_graph_layer(g, "concat", from, (int)count, value.layer);
    lam_jw_end(&g->writer);
    for (size_t i = 1; i < count; i++)
        value.atom[value.axes + 1].size += parts[i].atom[parts[i].axes + 1].size;
    return set_output(g, &value);
}

/* ---- upsampling ---- */

enum { MOST_UPSAMPLING = 64 };

/* 0 where it is none. */
static int64_t whole_factor(float scale)
{
    return scale >= 1 && scale <= MOST_UPSAMPLING && scale == rintf(scale) ? (int64_t)scale : 0;
}

static lam_status convert_upsample(lam_onnx_graph *g)
{
    lam_placed value;
    const lam_onnx_tensor *scales =
        lam_graph_constant(g, strcmp(g->node->operation, "Upsample") == 0 ? 1 : 2);
    const lam_onnx_tensor *sizes = lam_graph_constant(g, 3);
    struct window window = {0};
    lam_status status = lam_graph_placed(g, 0, &value);
    if (status)
        return status;
    if (strcmp(lam_graph_text(g, "mode", "nearest"), "nearest") != 0)
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "a mode other than nearest");
    for (int i = 0; i < value.rank; i++) {
        int64_t size = lam_dimension_size(&value, i), factor = 0;
        if (scales && scales->floats && scales->count == value.rank)
            factor = whole_factor(scales->floats[i]);
        else if (sizes && sizes->integers && sizes->count == value.rank && sizes->integers[i] % size == 0)
            factor = sizes->integers[i] / size;
        if (factor < 1 || factor > MOST_UPSAMPLING || (i < 2 && factor != 1))
            return lam_graph_fail(g, LAM_E_UNSUPPORTED, "factors that are not whole, or not constant");
        window.stride[i < 2 ? LAM_ONNX_MAX_RANK - 1 : i - 2] = factor;
    }
    int64_t factor[LAM_ONNX_MAX_RANK];
    memcpy(factor, window.stride, sizeof factor);
    int axes[LAM_ONNX_MAX_RANK];
    window.spatial = value.rank - 2;
    for (int i = 0; i < window.spatial; i++)
        if ((status = lam_graph_axis_of(g, &value, 2 + i, &axes[i])))
            return status;
    if ((status = lam_graph_axes_last(g, &value, axes, window.spatial)))
        return status;
    window.lead = value.axes - window.spatial;
    lam_graph_layer_on(g, "upsample", &value);
    write_option(g, "factor", &window, factor, 1);
    lam_jw_end(&g->writer);
    for (int i = 0; i < window.spatial && status == LAM_OK; i++) {
        lam_atom *atom = &value.atom[1 + window.lead + i];
        status = lam_graph_resize(g, atom, atom->size * factor[i]);
    }
    return status ? status : set_output(g, &value);
}

const lam_onnx_operator lam_onnx_operators[] = {
    {"Relu", convert_activation, "relu"},
    {"LeakyRelu", convert_activation, "leaky_relu"},
    {"Tanh", convert_activation, "tanh"},
    {"Sigmoid", convert_activation, "sigmoid"},
    {"Softmax", convert_softmax, NULL},
    {"Gemm", convert_gemm, NULL},
    {"MatMul", convert_matmul, NULL},
    {"Conv", convert_conv, NULL},
    {"ConvTranspose", convert_conv_transpose, NULL},
    {"MaxPool", convert_pool, "max"},
    {"AveragePool", convert_pool, "average"},
    {"GlobalMaxPool", convert_global_pool, "max"},
    {"GlobalAveragePool", convert_global_pool, "average"},
    {"ReduceMax", convert_reduce, "max"},
    {"ReduceMean", convert_reduce, "average"},
    {"BatchNormalization", convert_norm, "batch_norm"},
    {"InstanceNormalization", convert_norm, "instance_norm"},
    {"LayerNormalization", convert_layer_norm, NULL},
    {"Add", convert_arithmetic, "+"},
    {"Sum", convert_sum, "+"},
    {"Sub", convert_arithmetic, "-"},
    {"Mul", convert_arithmetic, "*"},
    {"Div", convert_arithmetic, "/"},
    {"Concat", convert_concat, NULL},
    {"Resize", convert_upsample, NULL},
    {"Upsample", convert_upsample, NULL},
    {NULL, NULL, NULL},
};
