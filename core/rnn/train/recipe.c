#include "core/rnn/train/recipe.h"

#include <string.h>

#include "core/rnn/options.h"

/* A member that is an object; absent counts as empty. */
static lam_status open_object(const lam_jv *parent, const char *key, const char *const *allowed,
                              const lam_jv **out, lam_error *err)
{
    const lam_jv *value = lam_jv_get(parent, key);
    if (value && !lam_jv_is(value, LAM_JSON_OBJECT))
        return lam_fail(err, LAM_E_INVALID, "`%s` must be an object", key);
    lam_status status = lam_options_only(value, allowed, err);
    if (status)
        lam_error_prefix(err, "`%s`", key);
    *out = value;
    return status;
}

static lam_status read_optimiser(const lam_jv *parent, lam_optimiser *out, lam_error *err)
{
    static const char *const members[] = {"kind",  "rate",    "momentum", "beta1",
                                          "beta2", "epsilon", "decay",    NULL};
    static const char *const kinds[] = {"sgd", "adam", "adamw", NULL};
    const lam_jv *object;
    int kind;
    lam_status status;
    if ((status = open_object(parent, "optimiser", members, &object, err)) ||
        (status = lam_options_choice(object, "kind", kinds, LAM_OPTIMISER_ADAMW, &kind, err)) ||
        (status = lam_options_number(object, "rate", 1e-3, 0, 100, &out->rate, err)) ||
        (status = lam_options_number(object, "momentum", 0.9, 0, 1, &out->momentum, err)) ||
        (status = lam_options_number(object, "beta1", 0.9, 0, 1, &out->beta1, err)) ||
        (status = lam_options_number(object, "beta2", 0.999, 0, 1, &out->beta2, err)) ||
        (status = lam_options_number(object, "epsilon", 1e-8, 0, 1, &out->epsilon, err)) ||
        (status = lam_options_number(object, "decay", kind == LAM_OPTIMISER_ADAMW ? 0.01 : 0, 0, 10,
                                     &out->decay, err)))
        return status;
    if (out->beta1 == 1 ||
        out->beta2 == 1) /* nothing new would ever count, and the correction divides by 0 */
        return lam_fail(err, LAM_E_INVALID, "`optimiser`: `beta1` and `beta2` must be below 1");
    out->kind = (lam_optimiser_kind)kind;
    return LAM_OK;
}

static lam_status read_schedule(const lam_jv *parent, lam_schedule *out, lam_error *err)
{
    static const char *const members[] = {"kind", "warm_up", "floor", "every", "factor", NULL};
    static const char *const kinds[] = {"constant", "step", "cosine", NULL};
    const lam_jv *object;
    int kind;
    lam_status status;
    if ((status = open_object(parent, "schedule", members, &object, err)) ||
        (status = lam_options_choice(object, "kind", kinds, LAM_SCHEDULE_CONSTANT, &kind, err)) ||
        (status = lam_options_integer(object, "warm_up", 0, 0, 1000000000, &out->warm_up, err)) ||
        (status = lam_options_number(object, "floor", 0, 0, 1, &out->floor, err)) ||
        (status = lam_options_integer(object, "every", 1, 1, 1000000, &out->every, err)) ||
        (status = lam_options_number(object, "factor", 0.1, 0, 1, &out->factor, err)))
        return status;
    out->kind = (lam_schedule_kind)kind;
    return LAM_OK;
}

/* An optional event: {probability, and one number}. */
static lam_status read_event(const lam_jv *parent, const char *key, const char *number, double maximum,
                             double *probability, double *value, lam_error *err)
{
    const char *const members[] = {"probability", number, NULL};
    const lam_jv *object;
    lam_status status = open_object(parent, key, members, &object, err);
    *probability = *value = 0;
    if (status || !object)
        return status;
    if ((status = lam_options_number(object, "probability", 1, 0, 1, probability, err)))
        return status;
    return number ? lam_options_number(object, number, 0, 0, maximum, value, err) : LAM_OK;
}

/* {probability, NUMBER of `count` values, grid} */
static lam_status read_field(const lam_jv *parent, const char *key, const char *number, int count,
                             int64_t nodes, double *probability, double *values, int64_t grid[3],
                             lam_error *err)
{
    const char *const members[] = {"probability", number, "grid", NULL};
    const lam_jv *object;
    lam_status status = open_object(parent, key, members, &object, err);
    if (status || !object)
        return status;
    if ((status = lam_options_number(object, "probability", 1, 0, 1, probability, err)) ||
        (status = lam_options_numbers(object, number, 1, 0, 100, count, values, err)))
        return status;
    return lam_options_integers(object, "grid", nodes, 2, LAM_MAX_ELASTIC_GRID, 3, grid, err);
}

/* {probability, axes}; all axes when none are named. */
static lam_status read_blur(const lam_jv *parent, lam_augmentation *out, lam_error *err)
{
    static const char *const members[] = {"probability", "axes", NULL};
    const lam_jv *object;
    lam_status status = open_object(parent, "blur", members, &object, err);
    if (status || !object ||
        (status = lam_options_number(object, "probability", 1, 0, 1, &out->blur_probability, err)) ||
        (status = lam_options_axes(object, "axes", out->blur, err)))
        return status;
    for (int axis = 0; axis < 3 && !lam_jv_get(object, "axes"); axis++)
        out->blur[axis] = true;
    return LAM_OK;
}

static lam_status read_crops(const lam_jv *parent, lam_augmentation *out, lam_error *err)
{
    const lam_jv *list = lam_jv_get(parent, "crops");
    if (list && (!lam_jv_is(list, LAM_JSON_ARRAY) || lam_jv_count(list) > LAM_MAX_CROPS))
        return lam_fail(err, LAM_E_INVALID, "`crops` must be a list of at most %d sizes z, y, x",
                        LAM_MAX_CROPS);
    for (size_t i = 0; i < lam_jv_count(list); i++)
        for (int axis = 0; axis < 3; axis++) {
            int64_t side = lam_jv_integer(lam_jv_at(lam_jv_at(list, i), (size_t)axis), -1);
            if (side < 0 || side > 4096 || lam_jv_count(lam_jv_at(list, i)) != 3)
                return lam_fail(err, LAM_E_INVALID, "`crops[%zu]` must be three sizes from 0 to 4096", i);
            out->crops[i][axis] = side;
        }
    out->crop_count = (int)lam_jv_count(list);
    return LAM_OK;
}

static bool any(const double triple[3])
{
    return triple[0] > 0 || triple[1] > 0 || triple[2] > 0;
}

static lam_status read_geometry(const lam_jv *object, lam_augmentation *out, lam_error *err)
{
    lam_status status;
    if ((status = lam_options_numbers(object, "rotate_degrees", 0, 0, 180, 3, out->rotate_degrees, err)) ||
        (status = lam_options_numbers(object, "scale_log", 0, 0, 2, 3, out->scale_log, err)) ||
        (status = lam_options_numbers(object, "stretch_log", 0, 0, 2, 3, out->stretch_log, err)) ||
        (status = lam_options_numbers(object, "shift", 0, 0, 1000, 3, out->shift, err)) ||
        (status = lam_options_axes(object, "flip", out->flip, err)) ||
        (status = read_event(object, "slice_jitter", "voxels", 100, &out->jitter_probability,
                             &out->jitter_voxels, err)) ||
        (status = read_field(object, "elastic", "voxels", 3, 5, &out->elastic_probability,
                             out->elastic_voxels, out->elastic_grid, err)))
        return status;
    out->spatial = any(out->rotate_degrees) || any(out->scale_log) || any(out->stretch_log) ||
                   any(out->shift) || out->flip[0] || out->flip[1] || out->flip[2] ||
                   out->elastic_probability > 0 || out->jitter_probability > 0;
    return read_crops(object, out, err);
}

static lam_status read_augmentation(const lam_jv *parent, lam_augmentation *out, lam_error *err)
{
    static const char *const members[] = {"rotate_degrees", "scale_log",  "stretch_log",  "shift", "flip",
                                          "elastic",        "gain_log",   "offset",       "gamma", "noise",
                                          "blur",           "bias_field", "slice_jitter", "crops", NULL};
    const lam_jv *object;
    lam_status status;
    if ((status = open_object(parent, "augmentation", members, &object, err)) ||
        (status = read_geometry(object, out, err)) ||
        (status = read_field(object, "bias_field", "log", 1, 3, &out->bias_probability, &out->bias_log,
                             out->bias_grid, err)) ||
        (status = lam_options_number(object, "gain_log", 0, 0, 10, &out->gain_log, err)) ||
        (status = lam_options_number(object, "offset", 0, 0, 10, &out->offset, err)) ||
        (status = read_event(object, "gamma", "log", 5, &out->gamma_probability, &out->gamma_log, err)) ||
        (status = read_event(object, "noise", "deviation", 100, &out->noise_probability,
                             &out->noise_deviation, err)) ||
        (status = read_blur(object, out, err)))
        lam_error_prefix(err, "`augmentation`");
    return status;
}

static lam_status parse(const lam_manifest *manifest, lam_recipe *out, lam_error *err)
{
    /* `loss`, `class_weights` and `stacks` are read where they are used: task.h, stacks.c. */
    static const char *const members[] = {
        "epochs",         "batch",     "shard",     "optimiser",       "schedule",     "loss",
        "class_weights",  "stacks",    "clip_norm", "average",         "augmentation", "validate_every",
        "cross_validate", "leave_out", "patience",  "fit_temperature", "shuffle",      NULL};
    const lam_jv *object = manifest->training;
    lam_status status;
    if ((status = lam_options_only(object, members, err)) ||
        (status = lam_options_integer(object, "epochs", 10, 1, 1000000, &out->epochs, err)) ||
        (status = lam_options_integer(object, "batch", 1, 1, 65536, &out->batch, err)) ||
        (status = lam_options_integer(object, "shard", 1, 1, out->batch, &out->shard, err)) ||
        (status = lam_options_bool(object, "shuffle", true, &out->shuffle, err)) ||
        (status = read_optimiser(object, &out->optimiser, err)) ||
        (status = read_schedule(object, &out->schedule, err)) ||
        (status = lam_options_number(object, "clip_norm", 0, 0, 1e9, &out->clip_norm, err)) ||
        (status = lam_options_number(object, "average", 0, 0, 0.999999, &out->average, err)) ||
        (status = read_augmentation(object, &out->augmentation, err)) ||
        (status = lam_options_integer(object, "validate_every", 1, 1, 1000000, &out->validate_every, err)) ||
        (status = lam_options_integer(object, "patience", 0, 0, 1000000, &out->patience, err)) ||
        (status = lam_options_bool(object, "cross_validate", false, &out->cross_validate, err)) ||
        (status = lam_options_bool(object, "fit_temperature", false, &out->fit_temperature, err)))
        return status;
    out->leave_out = lam_jv_get(object, "leave_out");
    if (out->leave_out && !lam_jv_is(out->leave_out, LAM_JSON_ARRAY))
        return lam_fail(err, LAM_E_INVALID, "`leave_out` must be a list of names");
    if (out->cross_validate && manifest->members < 2)
        return lam_fail(err, LAM_E_INVALID, "`cross_validate` needs `postprocessing.members` of 2 or more");
    return LAM_OK;
}

lam_status lam_recipe_parse(const lam_manifest *manifest, lam_recipe *out, lam_error *err)
{
    lam_recipe recipe = {0};
    if (!manifest->training)
        return lam_fail(err, LAM_E_NOT_FOUND, "model.json has no `training`");
    lam_status status = parse(manifest, &recipe, err);
    if (status)
        lam_error_prefix(err, "model.json: `training`");
    else
        *out = recipe;
    return status;
}
