/* upsample: `factor` times as many positions along each axis. "nearest" repeats positions; "linear"
 * interpolates between the two nearest of each axis, with position i of the result at (i + ½)/factor - ½ of
 * the input and the ends held (PyTorch's linear, bilinear and trilinear with align_corners=false). */
#include <string.h>

#include "core/rnn/layers/kinds.h"
#include "core/rnn/options.h"

struct upsample_options {
    int axes;
    int64_t factor[3];
    bool linear;
};

static lam_status setup(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    static const char *const methods[] = {"nearest", "linear", NULL};
    struct upsample_options *options = layer->options;
    int method;
    options->axes = layer->in[0].shape.rank - 2;
    if (options->axes < 1 || options->axes > 3)
        return lam_fail(err, LAM_E_INVALID, "works on 1 to 3 axes, not %d", options->axes);
    int first = 3 - options->axes;
    for (int i = 0; i < 3; i++)
        options->factor[i] = 1;
    lam_status status =
        lam_options_integers(json, "factor", 2, 1, 64, options->axes, options->factor + first, err);
    if (status || (status = lam_options_choice(json, "method", methods, 0, &method, err)))
        return status;
    options->linear = method == 1;
    for (int i = 0; i < options->axes; i++)
        layer->out.shape.dim[1 + i] *= options->factor[first + i];
    return LAM_OK;
}

static lam_status shape(const lam_layer *layer, const lam_shape *const *in, lam_shape *out, lam_error *err)
{
    const struct upsample_options *options = layer->options;
    (void)err;
    lam_shape result = *in[0];
    for (int i = 0; i < options->axes; i++)
        result.dim[1 + i] *= options->factor[3 - options->axes + i];
    *out = result;
    return LAM_OK;
}

/* The rows of the input that a row of the result is a mean of, with their shares. */
struct mixture {
    int count;
    int64_t row[8];
    float share[8];
};

/* The position at or before `at` along an axis of the input, the next one, and the next one's share. */
static float neighbours(const struct upsample_options *options, int axis, int64_t size, int64_t at,
                        int64_t pair[2])
{
    int64_t factor = options->factor[axis];
    if (!options->linear || factor == 1) {
        pair[0] = pair[1] = at / factor;
        return 0;
    }
    float place = ((float)at + 0.5f) / (float)factor - 0.5f;
    place = place < 0 ? 0 : place;
    pair[0] = (int64_t)place;
    pair[1] = pair[0] + 1 < size ? pair[0] + 1 : pair[0];
    return place - (float)pair[0];
}

static struct mixture mixture_of(const lam_layer_run *run, int64_t row)
{
    const struct upsample_options *options = run->layer->options;
    lam_grid in = lam_grid_of(run->in_shape[0]), out = lam_grid_of(run->out_shape);
    int64_t pair[3][2];
    float next[3];
    for (int i = 2; i >= 0; i--) {
        next[i] = neighbours(options, i, in.size[i], row % out.size[i], pair[i]);
        row /= out.size[i];
    }
    struct mixture mix = {.count = 0};
    for (int corner = 0; corner < 8; corner++) {
        int z = corner >> 2, y = corner >> 1 & 1, x = corner & 1;
        float share = (z ? next[0] : 1 - next[0]) * (y ? next[1] : 1 - next[1]) * (x ? next[2] : 1 - next[2]);
        if (share == 0)
            continue;
        mix.row[mix.count] =
            ((row * in.size[0] + pair[0][z]) * in.size[1] + pair[1][y]) * in.size[2] + pair[2][x];
        mix.share[mix.count++] = share;
    }
    return mix;
}

static void forward(const lam_layer_run *run)
{
    int64_t channels = lam_shape_channels(run->out_shape);
    for (int64_t r = 0; r < lam_shape_rows(run->out_shape); r++) {
        struct mixture mix = mixture_of(run, r);
        float *to = run->out + r * channels;
        for (int64_t c = 0; c < channels; c++)
            to[c] = mix.share[0] * run->in[0][mix.row[0] * channels + c];
        for (int i = 1; i < mix.count; i++)
            for (int64_t c = 0; c < channels; c++)
                to[c] += mix.share[i] * run->in[0][mix.row[i] * channels + c];
    }
}

static void backward(const lam_layer_run *run)
{
    int64_t channels = lam_shape_channels(run->out_shape);
    if (!run->d_in[0])
        return;
    memset(run->d_in[0], 0, (size_t)lam_shape_count(run->in_shape[0]) * sizeof(float));
    for (int64_t r = 0; r < lam_shape_rows(run->out_shape); r++) {
        struct mixture mix = mixture_of(run, r);
        for (int i = 0; i < mix.count; i++)
            for (int64_t c = 0; c < channels; c++)
                run->d_in[0][mix.row[i] * channels + c] += mix.share[i] * run->d_out[r * channels + c];
    }
}

static const char *const members[] = {"factor", "method", NULL};

const lam_layer_kind lam_layer_upsample = {
    .name = "upsample",
    .members = members,
    .minimum_inputs = 1,
    .maximum_inputs = 1,
    .options_size = sizeof(struct upsample_options),
    .setup = setup,
    .shape = shape,
    .forward = forward,
    .backward = backward,
};
