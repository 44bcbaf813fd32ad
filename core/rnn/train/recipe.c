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

static lam_status read_term(const lam_jv *value, lam_loss_term *out, lam_error *err)
{
    static const char *const members[] = {"kind", "weight", "label_smoothing", "gamma", NULL};
    static const char *const kinds[] = {"cross_entropy", "binary_cross_entropy", "focal", "dice", NULL};
    int kind;
    lam_status status;
    if ((status = lam_options_only(value, members, err)) ||
        (status = lam_options_choice(value, "kind", kinds, -1, &kind, err)) ||
        (status = lam_options_number(value, "weight", 1, 0, 1e6, &out->weight, err)) ||
        (status = lam_options_number(value, "label_smoothing", 0, 0, 0.9, &out->label_smoothing, err)) ||
        (status = lam_options_number(value, "gamma", 2, 0, 10, &out->gamma, err)))
        return status;
    out->kind = (lam_loss_kind)kind;
    return LAM_OK;
}

static lam_status read_class_weights(const lam_jv *parent, size_t classes, lam_loss *out, lam_error *err)
{
    const lam_jv *list = lam_jv_get(parent, "class_weights");
    if (!list)
        return LAM_OK;
    if (!lam_jv_is(list, LAM_JSON_ARRAY) || lam_jv_count(list) != classes || classes > LAM_MAX_LOSS_CLASSES)
        return lam_fail(err, LAM_E_INVALID,
                        "`class_weights` must be a list of %zu numbers, one a class (at most %d)", classes,
                        LAM_MAX_LOSS_CLASSES);
    for (size_t i = 0; i < classes; i++) {
        double weight = lam_jv_number(lam_jv_at(list, i), -1);
        if (!(weight >= 0 && weight <= 1e6))
            return lam_fail(err, LAM_E_INVALID, "`class_weights` must be numbers from 0 to 1e6");
        out->class_weights[i] = (float)weight;
    }
    out->weighted = true;
    return LAM_OK;
}

static lam_status read_loss(const lam_jv *parent, size_t classes, lam_loss *out, lam_error *err)
{
    const lam_jv *list = lam_jv_get(parent, "loss");
    size_t count = lam_jv_count(list);
    if (!list) {
        out->terms[0] = (lam_loss_term){.kind = LAM_LOSS_CROSS_ENTROPY, .weight = 1};
        out->count = 1;
        return read_class_weights(parent, classes, out, err);
    }
    if (!lam_jv_is(list, LAM_JSON_ARRAY) || count < 1 || count > LAM_MAX_LOSS_TERMS)
        return lam_fail(err, LAM_E_INVALID, "`loss` must be a list of 1 to %d terms", LAM_MAX_LOSS_TERMS);
    for (size_t i = 0; i < count; i++) {
        lam_status status = read_term(lam_jv_at(list, i), &out->terms[out->count++], err);
        if (status) {
            lam_error_prefix(err, "`loss[%zu]`", i);
            return status;
        }
    }
    return read_class_weights(parent, classes, out, err);
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

static lam_status read_elastic(const lam_jv *parent, lam_augmentation *out, lam_error *err)
{
    static const char *const members[] = {"probability", "voxels", "grid", NULL};
    const lam_jv *object;
    lam_status status = open_object(parent, "elastic", members, &object, err);
    if (status || !object)
        return status;
    if ((status = lam_options_number(object, "probability", 1, 0, 1, &out->elastic_probability, err)) ||
        (status = lam_options_number(object, "voxels", 1, 0, 100, &out->elastic_voxels, err)))
        return status;
    return lam_options_integers(object, "grid", 5, 2, LAM_MAX_ELASTIC_GRID, 3, out->elastic_grid, err);
}

static lam_status read_flips(const lam_jv *parent, lam_augmentation *out, lam_error *err)
{
    const lam_jv *list = lam_jv_get(parent, "flip");
    for (size_t i = 0; i < lam_jv_count(list); i++) {
        const char *axis = lam_jv_text(lam_jv_at(list, i), "");
        const char *at = strlen(axis) == 1 ? strchr("zyx", axis[0]) : NULL;
        if (!at)
            return lam_fail(err, LAM_E_INVALID, "`flip` must be a list of z, y, x");
        out->flip[at - "zyx"] = true;
    }
    return LAM_OK;
}

static lam_status read_augmentation(const lam_jv *parent, lam_augmentation *out, lam_error *err)
{
    static const char *const members[] = {"rotate_degrees", "scale_log", "stretch_log", "shift",
                                          "flip",           "elastic",   "gain_log",    "offset",
                                          "gamma",          "noise",     "blur",        NULL};
    const lam_jv *object;
    double none;
    lam_status status;
    if ((status = open_object(parent, "augmentation", members, &object, err)) ||
        (status = lam_options_number(object, "rotate_degrees", 0, 0, 180, &out->rotate_degrees, err)) ||
        (status = lam_options_number(object, "scale_log", 0, 0, 2, &out->scale_log, err)) ||
        (status = lam_options_number(object, "stretch_log", 0, 0, 2, &out->stretch_log, err)) ||
        (status = lam_options_number(object, "shift", 0, 0, 1000, &out->shift, err)) ||
        (status = read_flips(object, out, err)) || (status = read_elastic(object, out, err)) ||
        (status = lam_options_number(object, "gain_log", 0, 0, 10, &out->gain_log, err)) ||
        (status = lam_options_number(object, "offset", 0, 0, 10, &out->offset, err)) ||
        (status = read_event(object, "gamma", "log", 5, &out->gamma_probability, &out->gamma_log, err)) ||
        (status = read_event(object, "noise", "deviation", 100, &out->noise_probability,
                             &out->noise_deviation, err)) ||
        (status = read_event(object, "blur", NULL, 0, &out->blur_probability, &none, err))) {
        lam_error_prefix(err, "`augmentation`");
        return status;
    }
    out->spatial = out->rotate_degrees > 0 || out->scale_log > 0 || out->stretch_log > 0 || out->shift > 0 ||
                   out->flip[0] || out->flip[1] || out->flip[2] || out->elastic_probability > 0;
    return LAM_OK;
}

static lam_status parse(const lam_manifest *manifest, lam_recipe *out, lam_error *err)
{
    static const char *const members[] = {
        "epochs",         "batch",         "shard",           "optimiser", "schedule",
        "loss",           "class_weights", "clip_norm",       "average",   "augmentation",
        "validate_every", "patience",      "fit_temperature", "shuffle",   NULL};
    const lam_jv *object = manifest->training;
    size_t classes =
        manifest->task == LAM_TASK_SEGMENTATION ? manifest->segment_count + 1 : manifest->class_count;
    lam_status status;
    if ((status = lam_options_only(object, members, err)) ||
        (status = lam_options_integer(object, "epochs", 10, 1, 1000000, &out->epochs, err)) ||
        (status = lam_options_integer(object, "batch", 1, 1, 65536, &out->batch, err)) ||
        (status = lam_options_integer(object, "shard", 1, 1, out->batch, &out->shard, err)) ||
        (status = lam_options_bool(object, "shuffle", true, &out->shuffle, err)) ||
        (status = read_optimiser(object, &out->optimiser, err)) ||
        (status = read_schedule(object, &out->schedule, err)) ||
        (status = read_loss(object, classes, &out->loss, err)) ||
        (status = lam_options_number(object, "clip_norm", 0, 0, 1e9, &out->clip_norm, err)) ||
        (status = lam_options_number(object, "average", 0, 0, 0.999999, &out->average, err)) ||
        (status = read_augmentation(object, &out->augmentation, err)) ||
        (status = lam_options_integer(object, "validate_every", 1, 1, 1000000, &out->validate_every, err)) ||
        (status = lam_options_integer(object, "patience", 0, 0, 1000000, &out->patience, err)))
        return status;
    return lam_options_bool(object, "fit_temperature", false, &out->fit_temperature, err);
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
