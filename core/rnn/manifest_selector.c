/* `selector` of model.json: which series a model wants, and in which roles. */
#include <regex.h>
#include <string.h>

#include "core/base/pattern.h"
#include "core/rnn/manifest_parts.h"
#include "core/rnn/options.h"

enum { MAX_SLICES = 1000000, MAX_SPACING_MM = 1000, MAX_ROLE = 32 };

static lam_status read_match(const lam_jv *value, lam_model_match *match, lam_error *err)
{
    static const char *const members[] = {"keyword", "pattern", "ignore_case", NULL};
    lam_status status;
    if ((status = lam_options_only(value, members, err)) ||
        (status = lam_jv_need_text(value, "keyword", &match->keyword, err)) ||
        (status = lam_jv_need_text(value, "pattern", &match->pattern, err)) ||
        (status = lam_options_bool(value, "ignore_case", false, &match->ignore_case, err)))
        return status;
    regex_t regex;
    int flags = REG_NOSUB | (match->ignore_case ? REG_ICASE : 0);
    if ((status = lam_pattern_compile(match->pattern, flags, &regex, err))) {
        lam_error_prefix(err, "`pattern`");
        return status;
    }
    regfree(&regex);
    return LAM_OK;
}

static lam_status read_matches(const lam_jv *object, lam_model_match **matches, lam_model_selector *out,
                               lam_error *err)
{
    const lam_jv *list;
    lam_status status = lam_manifest_list(object, "match", LAM_MANIFEST_MAX_MATCHES, sizeof **matches, &list,
                                          matches, &out->match_count, err);
    out->matches = *matches;
    for (size_t i = 0; status == LAM_OK && i < out->match_count; i++)
        if ((status = read_match(lam_jv_at(list, i), &(*matches)[i], err)))
            lam_error_prefix(err, "`match[%zu]`", i);
    return status;
}

/* A list of texts, each one of `known` (NULL: anything but ""). */
static lam_status read_words(const lam_jv *object, const char *key, const char *const *known,
                             lam_model_words *out, lam_error *err)
{
    const lam_jv *list = lam_jv_get(object, key);
    size_t count = lam_jv_count(list);
    if (list && (!lam_jv_is(list, LAM_JSON_ARRAY) || count < 1 || count > LAM_MANIFEST_MAX_WORDS))
        return lam_fail(err, LAM_E_INVALID, "`%s` must be a list of 1 to %d texts", key,
                        LAM_MANIFEST_MAX_WORDS);
    for (size_t i = 0; i < count; i++) {
        const char *word = lam_jv_text(lam_jv_at(list, i), "");
        bool good = !known && *word;
        for (size_t k = 0; known && known[k]; k++)
            good |= strcmp(known[k], word) == 0;
        if (!good)
            return lam_fail(err, LAM_E_INVALID, "`%s[%zu]`: '%.32s' is not what can be asked for", key, i,
                            word);
        out->word[i] = word;
    }
    out->count = count;
    return LAM_OK;
}

/* [smallest, largest] in mm. */
static lam_status read_range(const lam_jv *object, const char *key, double out[2], lam_error *err)
{
    lam_status status = lam_options_numbers(object, key, 0, 0, MAX_SPACING_MM, 2, out, err);
    if (status == LAM_OK && lam_jv_get(object, key) && !(out[0] <= out[1] && out[1] > 0))
        return lam_fail(err, LAM_E_INVALID, "`%s` must be the smallest and the largest distance in mm", key);
    return status;
}

static lam_status read_conditions(const lam_jv *object, lam_model_match **matches, lam_model_selector *out,
                                  lam_error *err)
{
    static const char *const planes[] = {"axial", "coronal", "sagittal", NULL};
    int64_t minimum = 1, maximum = 0;
    lam_status status;
    if ((status = lam_options_text(object, "modality", "", &out->modality, err)) ||
        (status = read_words(object, "sop_class", NULL, &out->sop_classes, err)) ||
        (status = read_words(object, "body_part", NULL, &out->body_parts, err)) ||
        (status = read_words(object, "plane", planes, &out->planes, err)) ||
        (status = read_range(object, "pixel_spacing_mm", out->pixel_mm, err)) ||
        (status = read_range(object, "slice_spacing_mm", out->slice_mm, err)) ||
        (status = lam_options_integer(object, "minimum_slices", 1, 1, MAX_SLICES, &minimum, err)) ||
        (status = lam_options_integer(object, "maximum_slices", 0, 0, MAX_SLICES, &maximum, err)) ||
        (status = read_matches(object, matches, out, err)))
        return status;
    out->minimum_slices = (int)minimum;
    out->maximum_slices = (int)maximum;
    return LAM_OK;
}

#define CONDITIONS                                                                                           \
    "modality", "sop_class", "body_part", "plane", "pixel_spacing_mm", "slice_spacing_mm", "match",          \
        "minimum_slices", "maximum_slices"

static lam_status read_role(const lam_jv *object, lam_model_match **matches, lam_model_role *out,
                            lam_error *err)
{
    static const char *const members[] = {CONDITIONS, "role", "prior", NULL};
    lam_status status;
    if ((status = lam_options_only(object, members, err)) ||
        (status = lam_manifest_token(object, "role", "_-", MAX_ROLE, &out->name, err)) ||
        (status = lam_options_bool(object, "prior", false, &out->prior, err)))
        return status;
    return read_conditions(object, matches, &out->selector, err);
}

/* Of one role a reader could not tell which series is meant, and the first one's series says which study a
 * result belongs to. */
static lam_status check_roles(const lam_manifest *manifest, lam_error *err)
{
    size_t count = manifest->role_count;
    if (count == 0)
        return LAM_OK;
    if (count < 2 || manifest->roles[0].prior)
        return lam_fail(err, LAM_E_INVALID,
                        "`series` must have 2 to %d roles, and the first must not be a prior",
                        LAM_MANIFEST_MAX_ROLES);
    for (size_t i = 1; i < count; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(manifest->roles[i].name, manifest->roles[k].name) == 0)
                return lam_fail(err, LAM_E_INVALID, "`series` has the role %s twice",
                                manifest->roles[i].name);
    return LAM_OK;
}

lam_status lam_manifest_read_selectors(const lam_jv *root, lam_model_matches *matches, lam_manifest *out,
                                       lam_error *err)
{
    static const char *const members[] = {CONDITIONS, "series", "alone", "on_request", NULL};
    const lam_jv *object;
    lam_status status = lam_manifest_object(root, "selector", members, &object, err);
    if (status)
        return status;
    const lam_jv *roles = lam_jv_get(object, "series");
    out->role_count = lam_jv_count(roles);
    if (roles && (!lam_jv_is(roles, LAM_JSON_ARRAY) || out->role_count > LAM_MANIFEST_MAX_ROLES))
        status = lam_fail(err, LAM_E_INVALID, "`series` must be a list of at most %d roles",
                          LAM_MANIFEST_MAX_ROLES);
    if (status == LAM_OK)
        status = read_conditions(object, &matches->of[0], &out->selector, err);
    for (size_t i = 0; i < out->role_count && status == LAM_OK; i++)
        if ((status = read_role(lam_jv_at(roles, i), &matches->of[1 + i], &out->roles[i], err)))
            lam_error_prefix(err, "`series[%zu]`", i);
    if (status == LAM_OK)
        status = lam_options_bool(object, "alone", out->role_count == 0, &out->alone, err);
    if (status == LAM_OK)
        status = lam_options_bool(object, "on_request", false, &out->on_request, err);
    if (status == LAM_OK)
        status = check_roles(out, err);
    if (status)
        lam_error_prefix(err, "`selector`");
    return status;
}
