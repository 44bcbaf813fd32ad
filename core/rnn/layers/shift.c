/* shift: content moved by so many positions along one axis, zeros moved in: y_t = x_{t-by}. It is what makes
 * a network causal: a value shifted by 1 before a forward sweep lets position t see only what stands before
 * it, and a convolution with padding "same" after a shift by half its kernel sees nothing later than t. */
#include <string.h>

#include "core/rnn/layers/kinds.h"
#include "core/rnn/options.h"

struct shift_options {
    int axis; /* 0: the first after the batch */
    int64_t by;
};

static lam_status setup(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    struct shift_options *options = layer->options;
    const char *name;
    int64_t by;
    lam_status status;
    if ((status = lam_options_text(json, "axis", layer->in[0].axis[0], &name, err)) ||
        (status = lam_options_integer(json, "by", 1, -LAM_MAX_CHANNELS, LAM_MAX_CHANNELS, &by, err)))
        return status;
    int axis = lam_signature_axis(&layer->in[0], name, strlen(name));
    if (axis < 0 || (!lam_jv_get(json, "axis") && layer->in[0].shape.rank != 3))
        return lam_fail(err, LAM_E_INVALID, "`axis` must name the axis along which values move");
    *options = (struct shift_options){axis, by};
    return LAM_OK;
}

/* Moves whole planes (what lies behind one position of the axis) of every line; `to` and `from` are apart. */
static void move(const lam_layer_run *run, int64_t by, const float *from, float *to)
{
    const struct shift_options *options = run->layer->options;
    const lam_shape *shape = run->out_shape;
    int64_t lines = 1, steps = shape->dim[1 + options->axis], plane = 1;
    for (int i = 0; i <= options->axis; i++)
        lines *= shape->dim[i];
    for (int i = options->axis + 2; i < shape->rank; i++)
        plane *= shape->dim[i];
    int64_t gap = by < 0 ? -by : by;
    gap = gap < steps ? gap : steps;
    size_t kept = (size_t)((steps - gap) * plane), empty = (size_t)(gap * plane);
    for (int64_t l = 0; l < lines; l++, from += steps * plane, to += steps * plane) {
        memset(by < 0 ? to + kept : to, 0, empty * sizeof *to);
        memcpy(by < 0 ? to : to + empty, by < 0 ? from + empty : from, kept * sizeof *to);
    }
}

static void forward(const lam_layer_run *run)
{
    move(run, ((const struct shift_options *)run->layer->options)->by, run->in[0], run->out);
}

static void backward(const lam_layer_run *run)
{
    if (run->d_in[0])
        move(run, -((const struct shift_options *)run->layer->options)->by, run->d_out, run->d_in[0]);
}

static lam_reach reach(const lam_layer *layer, int axis)
{
    const struct shift_options *options = layer->options;
    return axis == options->axis ? (lam_reach){-options->by, -options->by}
                                 : lam_layer_reach_here(layer, axis);
}

static const char *const members[] = {"axis", "by", NULL};

const lam_layer_kind lam_layer_shift = {
    .name = "shift",
    .members = members,
    .minimum_inputs = 1,
    .maximum_inputs = 1,
    .options_size = sizeof(struct shift_options),
    .setup = setup,
    .forward = forward,
    .backward = backward,
    .reach = reach,
};
