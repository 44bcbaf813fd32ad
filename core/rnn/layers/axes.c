/* Layers that change the axes: transpose reorders axes, merge turns axes into channels. */
#include <string.h>

#include "core/rnn/layers/kinds.h"
#include "core/rnn/options.h"

/* ---- transpose: axes in another order ---- */

struct transpose_options {
    int from[LAM_MAX_RANK]; /* axis i of the result is this axis of the input */
};

static lam_status transpose_setup(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    struct transpose_options *options = layer->options;
    const lam_signature in = layer->in[0];
    int axes = in.shape.rank - 2;
    const lam_jv *list = lam_jv_get(json, "axes");
    unsigned used = 0;
    if (!lam_jv_is(list, LAM_JSON_ARRAY) || (int)lam_jv_count(list) != axes)
        return lam_fail(err, LAM_E_INVALID, "`axes` must name all %d axes in their new order", axes);
    for (int i = 0; i < axes; i++) {
        const char *name = lam_jv_text(lam_jv_at(list, (size_t)i), "");
        int axis = lam_signature_axis(&in, name, strlen(name));
        if (axis < 0 || used >> axis & 1)
            return lam_fail(err, LAM_E_INVALID, "`axes` must name each axis once");
        used |= 1u << axis;
        options->from[i] = axis;
        layer->out.shape.dim[1 + i] = in.shape.dim[1 + axis];
        memcpy(layer->out.axis[i], in.axis[axis], LAM_AXIS_NAME);
    }
    return LAM_OK;
}

static lam_status transpose_shape(const lam_layer *layer, const lam_shape *const *in, lam_shape *out,
                                  lam_error *err)
{
    const struct transpose_options *options = layer->options;
    (void)err;
    lam_shape result = *in[0];
    for (int i = 0; i < result.rank - 2; i++)
        result.dim[1 + i] = in[0]->dim[1 + options->from[i]];
    *out = result;
    return LAM_OK;
}

/* The row of the input that a row of the result shows. */
static int64_t transposed_row(const lam_layer_run *run, int64_t row)
{
    const struct transpose_options *options = run->layer->options;
    int axes = run->out_shape->rank - 2;
    int64_t at[LAM_MAX_RANK] = {0}, source;
    for (int i = axes - 1; i >= 0; i--) {
        at[options->from[i]] = row % run->out_shape->dim[1 + i];
        row /= run->out_shape->dim[1 + i];
    }
    source = row;
    for (int i = 0; i < axes; i++)
        source = source * run->in_shape[0]->dim[1 + i] + at[i];
    return source;
}

static void transpose_forward(const lam_layer_run *run)
{
    size_t channels = (size_t)lam_shape_channels(run->out_shape);
    for (int64_t r = 0; r < lam_shape_rows(run->out_shape); r++)
        memcpy(run->out + (size_t)r * channels, run->in[0] + (size_t)transposed_row(run, r) * channels,
               channels * sizeof(float));
}

static void transpose_backward(const lam_layer_run *run)
{
    size_t channels = (size_t)lam_shape_channels(run->out_shape);
    for (int64_t r = 0; r < lam_shape_rows(run->out_shape) && run->d_in[0]; r++)
        memcpy(run->d_in[0] + (size_t)transposed_row(run, r) * channels, run->d_out + (size_t)r * channels,
               channels * sizeof(float));
}

static const char *const transpose_members[] = {"axes", NULL};

const lam_layer_kind lam_layer_transpose = {
    .name = "transpose",
    .members = transpose_members,
    .minimum_inputs = 1,
    .maximum_inputs = 1,
    .options_size = sizeof(struct transpose_options),
    .setup = transpose_setup,
    .shape = transpose_shape,
    .forward = transpose_forward,
    .backward = transpose_backward,
};

/* ---- merge: the last axes become channels; their sizes must be known from the network's input ---- */

struct merge_options {
    int kept;
};

static lam_status merge_setup(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    struct merge_options *options = layer->options;
    lam_shape *out = &layer->out.shape;
    int axes = out->rank - 2;
    int64_t count, channels = lam_shape_channels(out);
    lam_status status = lam_options_integer(json, "count", axes, 1, axes < 1 ? 1 : axes, &count, err);
    if (status)
        return status;
    if (axes < 1)
        return lam_fail(err, LAM_E_INVALID, "there are no axes to merge");
    options->kept = axes - (int)count;
    for (int i = options->kept; i < axes; i++) {
        if (out->dim[1 + i] == 0)
            return lam_fail(err, LAM_E_INVALID,
                            "axis %s has no fixed size; give `size` with the network's input",
                            layer->out.axis[i]);
        channels *= out->dim[1 + i];
        if (channels > LAM_MAX_CHANNELS)
            return lam_fail(err, LAM_E_LIMIT, "more than %d channels", LAM_MAX_CHANNELS);
    }
    out->rank = options->kept + 2;
    out->dim[out->rank - 1] = channels;
    return LAM_OK;
}

static lam_status merge_shape(const lam_layer *layer, const lam_shape *const *in, lam_shape *out,
                              lam_error *err)
{
    const struct merge_options *options = layer->options;
    (void)err;
    lam_shape result = *in[0];
    result.rank = options->kept + 2;
    result.dim[result.rank - 1] = lam_shape_channels(&layer->out.shape);
    *out = result;
    return LAM_OK;
}

static void merge_forward(const lam_layer_run *run)
{
    memcpy(run->out, run->in[0], (size_t)lam_shape_count(run->out_shape) * sizeof(float));
}

static void merge_backward(const lam_layer_run *run)
{
    if (run->d_in[0])
        memcpy(run->d_in[0], run->d_out, (size_t)lam_shape_count(run->out_shape) * sizeof(float));
}

static const char *const merge_members[] = {"count", NULL};

const lam_layer_kind lam_layer_merge = {
    .name = "merge",
    .members = merge_members,
    .minimum_inputs = 1,
    .maximum_inputs = 1,
    .options_size = sizeof(struct merge_options),
    .setup = merge_setup,
    .shape = merge_shape,
    .forward = merge_forward,
    .backward = merge_backward,
};
