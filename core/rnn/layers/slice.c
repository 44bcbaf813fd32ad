/* slice: consecutive positions of one axis, or consecutive channels; a single position may drop its axis (the
 * last step of a sequence). */
#include <string.h>

#include "core/rnn/layers/kinds.h"
#include "core/rnn/options.h"

struct slice_options {
    int dimension; /* of the array: 1 is the first axis, rank - 1 the channels */
    int64_t start; /* negative: from the end */
    int64_t count; /* 0: all that follow */
    bool drop;
};

/* The first position and how many of `size`; 0 when they are not all there. */
static int64_t select_of(const struct slice_options *options, int64_t size, int64_t *first)
{
    *first = options->start < 0 ? size + options->start : options->start;
    int64_t count = options->count ? options->count : size - *first;
    return *first < 0 || count < 1 || count > size - *first ? 0 : count;
}

static lam_status read_axis(const lam_layer *layer, const lam_jv *json, struct slice_options *options,
                            lam_error *err)
{
    const char *name;
    lam_status status = lam_jv_need_text(json, "axis", &name, err);
    if (status)
        return status;
    bool channels = strcmp(name, "channels") == 0;
    int axis = channels ? layer->in[0].shape.rank - 2 : lam_signature_axis(&layer->in[0], name, strlen(name));
    if (axis < 0)
        return lam_fail(err, LAM_E_INVALID, "`axis` is '%.16s', which is neither an axis nor `channels`",
                        name);
    if (channels && options->drop)
        return lam_fail(err, LAM_E_INVALID, "the channels cannot be dropped");
    options->dimension = axis + 1;
    return LAM_OK;
}

static void drop_dimension(lam_shape *shape, int dimension)
{
    for (int i = dimension; i < shape->rank - 1; i++)
        shape->dim[i] = shape->dim[i + 1];
    shape->rank--;
}

static lam_status resize(const struct slice_options *options, const lam_shape *in, lam_shape *out,
                         lam_error *err)
{
    int64_t size = in->dim[options->dimension], first, count = select_of(options, size, &first);
    if (!count)
        return lam_fail(err, LAM_E_INVALID, "positions %lld and the %lld from there are not all among %lld",
                        (long long)options->start, (long long)options->count, (long long)size);
    lam_shape result = *in;
    result.dim[options->dimension] = count;
    if (options->drop)
        drop_dimension(&result, options->dimension);
    *out = result;
    return LAM_OK;
}

static lam_status setup(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    struct slice_options *options = layer->options;
    lam_signature *out = &layer->out;
    lam_status status;
    if ((status = lam_options_integer(json, "start", 0, -LAM_MAX_CHANNELS, LAM_MAX_CHANNELS, &options->start,
                                      err)) ||
        (status = lam_options_integer(json, "count", 0, 0, LAM_MAX_CHANNELS, &options->count, err)) ||
        (status = lam_options_bool(json, "drop", false, &options->drop, err)) ||
        (status = read_axis(layer, json, options, err)))
        return status;
    if (options->drop && options->count != 1)
        return lam_fail(err, LAM_E_INVALID, "`drop` needs a `count` of 1");
    int axis = options->dimension - 1;
    if (layer->in[0].shape.dim[options->dimension]) {
        status = resize(options, &layer->in[0].shape, &out->shape, err);
    } else {
        out->shape.dim[options->dimension] = options->count;
        if (options->drop)
            drop_dimension(&out->shape, options->dimension);
    }
    for (int i = axis; options->drop && i < layer->in[0].shape.rank - 3; i++)
        memcpy(out->axis[i], out->axis[i + 1], LAM_AXIS_NAME);
    return status;
}

static lam_status shape(const lam_layer *layer, const lam_shape *const *in, lam_shape *out, lam_error *err)
{
    return resize(layer->options, in[0], out, err);
}

/* The array as [outer, size, inner] around the sliced dimension, and what is taken of it. */
struct view {
    int64_t outer, size, inner, first, count;
};

static struct view view_of(const lam_layer_run *run)
{
    const struct slice_options *options = run->layer->options;
    const lam_shape *in = run->in_shape[0];
    struct view view = {.outer = 1, .size = in->dim[options->dimension], .inner = 1};
    for (int i = 0; i < in->rank; i++)
        if (i != options->dimension)
            *(i < options->dimension ? &view.outer : &view.inner) *= in->dim[i];
    view.count = select_of(options, view.size, &view.first);
    return view;
}

static void forward(const lam_layer_run *run)
{
    struct view v = view_of(run);
    size_t part = (size_t)(v.count * v.inner);
    for (int64_t o = 0; o < v.outer; o++)
        memcpy(run->out + (size_t)o * part, run->in[0] + (o * v.size + v.first) * v.inner,
               part * sizeof(float));
}

static void backward(const lam_layer_run *run)
{
    struct view v = view_of(run);
    size_t part = (size_t)(v.count * v.inner);
    if (!run->d_in[0])
        return;
    memset(run->d_in[0], 0, (size_t)lam_shape_count(run->in_shape[0]) * sizeof(float));
    for (int64_t o = 0; o < v.outer; o++)
        memcpy(run->d_in[0] + (o * v.size + v.first) * v.inner, run->d_out + (size_t)o * part,
               part * sizeof(float));
}

/* What moves to another position of an axis cannot be followed in steps; other channels can. */
static lam_reach reach(const lam_layer *layer, int axis)
{
    const struct slice_options *options = layer->options;
    bool channels = axis == layer->in[0].shape.rank - 2, sliced = axis == options->dimension - 1;
    if (channels && sliced && options->start >= 0)
        return (lam_reach){options->start, options->start};
    return sliced || channels ? (lam_reach){-LAM_REACH_END, LAM_REACH_END} : (lam_reach){0, 0};
}

static const char *const members[] = {"axis", "start", "count", "drop", NULL};

const lam_layer_kind lam_layer_slice = {
    .name = "slice",
    .members = members,
    .minimum_inputs = 1,
    .maximum_inputs = 1,
    .options_size = sizeof(struct slice_options),
    .setup = setup,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .reach = reach,
};
