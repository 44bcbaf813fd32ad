/* Layers that move values without changing them: patches to channels and back.
 *
 * Channel index of a patch of f along every axis: ((dz·f + dy)·f + dx)·C + c, on 1 to 3 axes. */
#include <string.h>

#include "core/rnn/layers/kinds.h"
#include "core/rnn/options.h"

struct patch_options {
    int64_t factor;
    int64_t patch; /* positions in one patch: factor to the power of the axes */
};

static lam_status read_factor(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    struct patch_options *options = layer->options;
    int axes = layer->in[0].shape.rank - 2;
    if (axes < 1 || axes > 3)
        return lam_fail(err, LAM_E_INVALID, "works on 1 to 3 axes, not %d", axes);
    lam_status status = lam_jv_need_integer(json, "factor", 1, 64, &options->factor, err);
    options->patch = 1;
    for (int i = 0; i < axes; i++)
        options->patch *= options->factor;
    return status;
}

/* ---- the copy, in either direction ---- */

/* Copies between the coarse grid [.., Z, Y, X, patch·C] and the fine one [.., Z·f, Y·f, X·f, C]. Runs of f·C
 * along x are contiguous in both. */
static void copy_patches(const lam_shape *coarse_shape, int64_t factor, int axes, float *coarse, float *fine,
                         bool to_fine)
{
    lam_grid grid = lam_grid_of(coarse_shape);
    int64_t fz = axes > 2 ? factor : 1, fy = axes > 1 ? factor : 1;
    size_t run = (size_t)(grid.channels / (fz * fy));
    for (int64_t plane = 0; plane < grid.batch * grid.size[0]; plane++)
        for (int64_t y = 0; y < grid.size[1]; y++)
            for (int64_t x = 0; x < grid.size[2]; x++)
                for (int64_t d = 0; d < fz * fy; d++) {
                    int64_t fine_plane = plane * fz + d / fy, fine_y = y * fy + d % fy;
                    float *f =
                        fine + (size_t)((fine_plane * grid.size[1] * fy + fine_y) * grid.size[2] + x) * run;
                    float *c = coarse;
                    coarse += run;
                    if (to_fine)
                        memcpy(f, c, run * sizeof *f);
                    else
                        memcpy(c, f, run * sizeof *f);
                }
}

static int axes_of(const lam_layer_run *run)
{
    return run->out_shape->rank - 2;
}

static int64_t factor_of(const lam_layer_run *run)
{
    return ((const struct patch_options *)run->layer->options)->factor;
}

/* ---- depth_to_space ---- */

static lam_status depth_setup(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    const struct patch_options *options = layer->options;
    int64_t channels = lam_shape_channels(&layer->in[0].shape);
    lam_status status = read_factor(layer, json, err);
    if (status)
        return status;
    if (channels % options->patch != 0)
        return lam_fail(err, LAM_E_INVALID, "%lld channels are not a multiple of a patch's %lld positions",
                        (long long)channels, (long long)options->patch);
    for (int i = 1; i < layer->out.shape.rank - 1; i++)
        layer->out.shape.dim[i] *= options->factor;
    layer->out.shape.dim[layer->out.shape.rank - 1] = channels / options->patch;
    return LAM_OK;
}

static lam_status depth_shape(const lam_layer *layer, const lam_shape *const *in, lam_shape *out,
                              lam_error *err)
{
    const struct patch_options *options = layer->options;
    (void)err;
    *out = *in[0];
    for (int i = 1; i < out->rank - 1; i++)
        out->dim[i] *= options->factor;
    out->dim[out->rank - 1] /= options->patch;
    return LAM_OK;
}

static void depth_forward(const lam_layer_run *run)
{
    copy_patches(run->in_shape[0], factor_of(run), axes_of(run), (float *)run->in[0], run->out, true);
}

static void depth_backward(const lam_layer_run *run)
{
    if (run->d_in[0])
        copy_patches(run->in_shape[0], factor_of(run), axes_of(run), run->d_in[0], run->d_out, false);
}

static const char *const patch_members[] = {"factor", NULL};

const lam_layer_kind lam_layer_depth_to_space = {
    .name = "depth_to_space",
    .members = patch_members,
    .minimum_inputs = 1,
    .maximum_inputs = 1,
    .options_size = sizeof(struct patch_options),
    .setup = depth_setup,
    .shape = depth_shape,
    .forward = depth_forward,
    .backward = depth_backward,
};

/* ---- space_to_depth ---- */

static lam_status space_setup(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    const struct patch_options *options = layer->options;
    lam_status status = read_factor(layer, json, err);
    if (status)
        return status;
    int64_t channels = lam_shape_channels(&layer->in[0].shape) * options->patch;
    if (channels > LAM_MAX_CHANNELS)
        return lam_fail(err, LAM_E_LIMIT, "more than %d channels", LAM_MAX_CHANNELS);
    for (int i = 1; i < layer->out.shape.rank - 1; i++)
        layer->out.shape.dim[i] /= options->factor;
    layer->out.shape.dim[layer->out.shape.rank - 1] = channels;
    return LAM_OK;
}

static lam_status space_shape(const lam_layer *layer, const lam_shape *const *in, lam_shape *out,
                              lam_error *err)
{
    const struct patch_options *options = layer->options;
    char text[LAM_SHAPE_TEXT];
    lam_shape shape = *in[0];
    for (int i = 1; i < shape.rank - 1; i++) {
        if (shape.dim[i] % options->factor != 0)
            return lam_fail(err, LAM_E_INVALID,
                            "an input of shape %s is not a multiple of %lld along every axis",
                            lam_shape_text(in[0], text), (long long)options->factor);
        shape.dim[i] /= options->factor;
    }
    shape.dim[shape.rank - 1] *= options->patch;
    *out = shape;
    return LAM_OK;
}

static void space_forward(const lam_layer_run *run)
{
    copy_patches(run->out_shape, factor_of(run), axes_of(run), run->out, (float *)run->in[0], false);
}

static void space_backward(const lam_layer_run *run)
{
    if (run->d_in[0])
        copy_patches(run->out_shape, factor_of(run), axes_of(run), run->d_out, run->d_in[0], true);
}

const lam_layer_kind lam_layer_space_to_depth = {
    .name = "space_to_depth",
    .members = patch_members,
    .minimum_inputs = 1,
    .maximum_inputs = 1,
    .options_size = sizeof(struct patch_options),
    .setup = space_setup,
    .shape = space_shape,
    .forward = space_forward,
    .backward = space_backward,
};
