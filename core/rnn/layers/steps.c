#include "core/rnn/layers/steps.h"

#include <string.h>

#include "core/rnn/options.h"

enum { MAX_UNITS = 4096 };

void lam_signature_drop_axis(lam_signature *signature, int axis)
{
    for (int i = axis; i < signature->shape.rank - 2; i++) {
        signature->shape.dim[i + 1] = signature->shape.dim[i + 2];
        memcpy(signature->axis[i], signature->axis[i + 1], LAM_AXIS_NAME);
    }
    signature->shape.rank--;
}

static lam_status read_directions(const lam_layer *layer, lam_steps_options *options, const lam_jv *json,
                                  lam_error *err)
{
    const lam_jv *list = lam_jv_get(json, "directions");
    size_t count = lam_jv_count(list);
    options->directions = 1;
    if (!list && layer->in[0].shape.rank == 3)
        return LAM_OK;
    if (!lam_jv_is(list, LAM_JSON_ARRAY) || count < 1 || count > LAM_STEPS_DIRECTIONS)
        return lam_fail(err, LAM_E_INVALID, "`directions` must be a list of 1 or 2, such as \"t+\", \"t-\"");
    for (size_t i = 0; i < count; i++) {
        const char *text = lam_jv_text(lam_jv_at(list, i), "");
        size_t length = strlen(text);
        char sign = length ? text[length - 1] : 0;
        int axis = sign == '+' || sign == '-' ? lam_signature_axis(&layer->in[0], text, length - 1) : -1;
        if (axis < 0)
            return lam_fail(err, LAM_E_INVALID,
                            "`directions`: '%.16s' is not an axis name followed by + or -", text);
        options->reverse[i] = sign == '-';
        if (i > 0 && (axis != options->axis || options->reverse[i] == options->reverse[0]))
            return lam_fail(err, LAM_E_INVALID, "two `directions` must be the two of one axis");
        options->axis = axis;
    }
    options->directions = (int)count;
    return LAM_OK;
}

lam_status lam_steps_read(lam_layer *layer, const lam_jv *json, lam_steps_options *out, lam_error *err)
{
    static const char *const returns[] = {"sequence", "last", NULL};
    lam_steps_options options = {.inputs = lam_shape_channels(&layer->in[0].shape)};
    int result;
    lam_status status;
    if ((status = read_directions(layer, &options, json, err)) ||
        (status = lam_jv_need_integer(json, "units", 1, MAX_UNITS, &options.units, err)) ||
        (status = lam_options_choice(json, "return", returns, 0, &result, err)))
        return status;
    for (int k = 1; k < layer->inputs; k++)
        if (layer->in[k].shape.rank != layer->in[0].shape.rank - 1 ||
            lam_shape_channels(&layer->in[k].shape) != options.directions * options.units)
            return lam_fail(
                err, LAM_E_INVALID,
                "an initial state has one axis less than the input, and directions × units channels");
    options.last = result == 1;
    layer->out.shape.dim[layer->out.shape.rank - 1] = options.directions * options.units;
    if (options.last)
        lam_signature_drop_axis(&layer->out, options.axis);
    *out = options;
    return LAM_OK;
}

lam_status lam_steps_shape(const lam_layer *layer, const lam_steps_options *options,
                           const lam_shape *const *in, lam_shape *out, lam_error *err)
{
    char want[LAM_SHAPE_TEXT], have[LAM_SHAPE_TEXT];
    lam_signature sequence = {.shape = *in[0]}, state;
    sequence.shape.dim[sequence.shape.rank - 1] = options->directions * options->units;
    state = sequence;
    lam_signature_drop_axis(&state, options->axis);
    for (int k = 1; k < layer->inputs; k++)
        if (!lam_shape_equal(in[k], &state.shape))
            return lam_fail(err, LAM_E_INVALID, "an initial state is %s, it must be %s",
                            lam_shape_text(in[k], have), lam_shape_text(&state.shape, want));
    *out = options->last ? state.shape : sequence.shape;
    return LAM_OK;
}

lam_steps lam_steps_begin(const lam_steps_options *options, const lam_shape *in, const lam_layer_run *run,
                          int direction)
{
    lam_signature step = {.shape = *in};
    lam_steps s = {.run = run,
                   .options = options,
                   .steps = in->dim[1 + options->axis],
                   .inner = 1,
                   .direction = direction};
    for (int i = options->axis + 2; i < in->rank - 1; i++)
        s.inner *= in->dim[i];
    lam_signature_drop_axis(&step, options->axis);
    s.frame = step.shape;
    s.rows = lam_shape_rows(&s.frame);
    return s;
}

void lam_steps_to(lam_steps *s, int64_t step)
{
    bool reverse = s->options->reverse[s->direction];
    s->t = reverse ? s->steps - 1 - step : step;
    s->before = step == 0 ? -1 : reverse ? s->t + 1 : s->t - 1;
}

int64_t lam_steps_row(const lam_steps *s, int64_t row)
{
    return (row / s->inner * s->steps + s->t) * s->inner + row % s->inner;
}

int64_t lam_steps_state(const lam_steps *s, int64_t row)
{
    return (row * s->options->directions + s->direction) * s->options->units;
}

int64_t lam_steps_output(const lam_steps *s, int64_t row)
{
    return lam_steps_state(s, s->options->last ? row : lam_steps_row(s, row));
}

bool lam_steps_ended(const lam_steps *s, int64_t row)
{
    const uint32_t *lengths = s->run->in_shape[0]->rank == 3 ? s->run->lengths : NULL;
    return lengths && s->t >= (int64_t)lengths[row];
}

void lam_steps_load(const lam_steps *s, int input, float *state)
{
    size_t units = (size_t)s->options->units;
    for (int64_t r = 0; r < s->rows; r++)
        if (s->run->layer->inputs > input)
            memcpy(state + (size_t)r * units, s->run->in[input] + lam_steps_state(s, r),
                   units * sizeof *state);
        else
            memset(state + (size_t)r * units, 0, units * sizeof *state);
}

void lam_steps_give(const lam_steps *s, int input, const float *d_state)
{
    int64_t units = s->options->units;
    if (s->run->layer->inputs <= input || !s->run->d_in[input])
        return;
    for (int64_t r = 0; r < s->rows; r++) {
        float *to = s->run->d_in[input] + lam_steps_state(s, r);
        for (int64_t u = 0; u < units; u++)
            to[u] = (s->run->add[input] ? to[u] : 0) + d_state[r * units + u];
    }
}
