#include "core/rnn/options.h"

#include <inttypes.h>
#include <string.h>

lam_status lam_options_only(const lam_jv *object, const char *const *allowed, lam_error *err)
{
    for (size_t i = 0; i < lam_jv_count(object); i++) {
        const char *key = lam_jv_key_at(object, i);
        const char *const *name = allowed;
        while (*name && strcmp(*name, key) != 0)
            name++;
        if (!*name)
            return lam_fail(err, LAM_E_INVALID, "`%.64s` is not a known member", key);
    }
    return LAM_OK;
}

lam_status lam_options_text(const lam_jv *object, const char *key, const char *otherwise, const char **out,
                            lam_error *err)
{
    const lam_jv *value = lam_jv_get(object, key);
    if (value && !lam_jv_is(value, LAM_JSON_STRING))
        return lam_fail(err, LAM_E_INVALID, "`%s` must be text", key);
    *out = lam_jv_text(value, otherwise);
    return LAM_OK;
}

static lam_status read_integer(const lam_jv *value, const char *key, int64_t minimum, int64_t maximum,
                               int64_t *out, lam_error *err)
{
    int64_t number = lam_jv_integer(value, INT64_MIN);
    if (number < minimum || number > maximum)
        return lam_fail(err, LAM_E_INVALID, "`%s` must be an integer from %" PRId64 " to %" PRId64, key,
                        minimum, maximum);
    *out = number;
    return LAM_OK;
}

static lam_status read_number(const lam_jv *value, const char *key, double minimum, double maximum,
                              double *out, lam_error *err)
{
    double number = lam_jv_number(value, 0);
    if (!lam_jv_is(value, LAM_JSON_NUMBER) || !(number >= minimum && number <= maximum))
        return lam_fail(err, LAM_E_INVALID, "`%s` must be a number from %g to %g", key, minimum, maximum);
    *out = number;
    return LAM_OK;
}

lam_status lam_options_integer(const lam_jv *object, const char *key, int64_t otherwise, int64_t minimum,
                               int64_t maximum, int64_t *out, lam_error *err)
{
    const lam_jv *value = lam_jv_get(object, key);
    if (value)
        return read_integer(value, key, minimum, maximum, out, err);
    *out = otherwise;
    return LAM_OK;
}

lam_status lam_options_number(const lam_jv *object, const char *key, double otherwise, double minimum,
                              double maximum, double *out, lam_error *err)
{
    const lam_jv *value = lam_jv_get(object, key);
    if (value)
        return read_number(value, key, minimum, maximum, out, err);
    *out = otherwise;
    return LAM_OK;
}

lam_status lam_options_bool(const lam_jv *object, const char *key, bool otherwise, bool *out, lam_error *err)
{
    const lam_jv *value = lam_jv_get(object, key);
    if (value && !lam_jv_is(value, LAM_JSON_BOOL))
        return lam_fail(err, LAM_E_INVALID, "`%s` must be true or false", key);
    *out = lam_jv_bool(value, otherwise);
    return LAM_OK;
}

lam_status lam_options_choice(const lam_jv *object, const char *key, const char *const *names, int otherwise,
                              int *out, lam_error *err)
{
    const lam_jv *value = lam_jv_get(object, key);
    if (!value && otherwise >= 0) {
        *out = otherwise;
        return LAM_OK;
    }
    const char *text = lam_jv_text(value, "");
    char list[256] = "";
    for (int i = 0; names[i]; i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = i;
            return LAM_OK;
        }
        strncat(list, i ? ", " : "", sizeof list - strlen(list) - 1);
        strncat(list, names[i], sizeof list - strlen(list) - 1);
    }
    return lam_fail(err, LAM_E_INVALID, "`%s` must be one of: %s", key, list);
}

lam_status lam_options_integers(const lam_jv *object, const char *key, int64_t otherwise, int64_t minimum,
                                int64_t maximum, int count, int64_t *out, lam_error *err)
{
    const lam_jv *value = lam_jv_get(object, key);
    bool list = lam_jv_is(value, LAM_JSON_ARRAY);
    int64_t numbers[16];
    if (count > (int)(sizeof numbers / sizeof numbers[0]) || (list && lam_jv_count(value) != (size_t)count))
        return lam_fail(err, LAM_E_INVALID, "`%s` must be one integer or a list of %d", key, count);
    for (int i = 0; i < count; i++) {
        numbers[i] = otherwise;
        const lam_jv *item = list ? lam_jv_at(value, (size_t)i) : value;
        lam_status status = item ? read_integer(item, key, minimum, maximum, &numbers[i], err) : LAM_OK;
        if (status)
            return status;
    }
    memcpy(out, numbers, (size_t)count * sizeof *out);
    return LAM_OK;
}

lam_status lam_options_numbers(const lam_jv *object, const char *key, double otherwise, double minimum,
                               double maximum, int count, double *out, lam_error *err)
{
    const lam_jv *value = lam_jv_get(object, key);
    bool list = lam_jv_is(value, LAM_JSON_ARRAY);
    double numbers[16];
    if (count > (int)(sizeof numbers / sizeof numbers[0]) || (list && lam_jv_count(value) != (size_t)count))
        return lam_fail(err, LAM_E_INVALID, "`%s` must be one number or a list of %d", key, count);
    for (int i = 0; i < count; i++) {
        numbers[i] = otherwise;
        const lam_jv *item = list ? lam_jv_at(value, (size_t)i) : value;
        lam_status status = item ? read_number(item, key, minimum, maximum, &numbers[i], err) : LAM_OK;
        if (status)
            return status;
    }
    memcpy(out, numbers, (size_t)count * sizeof *out);
    return LAM_OK;
}

lam_status lam_options_axes(const lam_jv *object, const char *key, bool out[3], lam_error *err)
{
    const lam_jv *list = lam_jv_get(object, key);
    bool axes[3] = {false};
    if (list && !lam_jv_is(list, LAM_JSON_ARRAY))
        return lam_fail(err, LAM_E_INVALID, "`%s` must be a list of z, y, x", key);
    for (size_t i = 0; i < lam_jv_count(list); i++) {
        const char *axis = lam_jv_text(lam_jv_at(list, i), "");
        const char *at = strlen(axis) == 1 ? strchr("zyx", axis[0]) : NULL;
        if (!at)
            return lam_fail(err, LAM_E_INVALID, "`%s` must be a list of z, y, x", key);
        axes[at - "zyx"] = true;
    }
    memcpy(out, axes, sizeof axes);
    return LAM_OK;
}
