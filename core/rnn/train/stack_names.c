#include "core/rnn/train/stack_names.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/pattern.h"
#include "core/rnn/options.h"

enum { MAX_PHASES = 1000, MAX_NUMBER = 1000000, MAX_DIGITS = 16 };

struct lam_stack_names {
    regex_t regex;
    int64_t phases;
};

static lam_status read_pattern(const lam_jv *stacks, lam_stack_names *out, lam_error *err)
{
    static const char *const members[] = {"pattern", "phases", NULL};
    const char *pattern;
    lam_status status;
    if ((status = lam_options_only(stacks, members, err)) ||
        (status = lam_jv_need_text(stacks, "pattern", &pattern, err)) ||
        (status = lam_options_integer(stacks, "phases", 1, 1, MAX_PHASES, &out->phases, err)))
        return status;
    if ((status = lam_pattern_compile(pattern, 0, &out->regex, err))) {
        lam_error_prefix(err, "`pattern`");
        return status;
    }
    if (out->regex.re_nsub >= 2)
        return LAM_OK;
    regfree(&out->regex);
    return lam_fail(err, LAM_E_INVALID, "`pattern` needs two groups: the patient and the number");
}

lam_status lam_stack_names_create(const lam_manifest *manifest, lam_stack_names **out, lam_error *err)
{
    const lam_jv *stacks = lam_jv_get(manifest->training, "stacks");
    if (!stacks)
        return lam_fail(err, LAM_E_NOT_FOUND, "model.json has no `training.stacks`");
    lam_stack_names *names = calloc(1, sizeof *names);
    if (!names)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_status status = read_pattern(stacks, names, err);
    if (status) {
        lam_error_prefix(err, "`training.stacks`");
        free(names);
        return status;
    }
    *out = names;
    return LAM_OK;
}

void lam_stack_names_free(lam_stack_names *names)
{
    if (!names)
        return;
    regfree(&names->regex);
    free(names);
}

lam_status lam_stack_names_read(const lam_stack_names *names, const char *name, lam_slice_place *out,
                                lam_error *err)
{
    regmatch_t match[3];
    char digits[MAX_DIGITS + 1] = "";
    bool fits = regexec(&names->regex, name, 3, match, 0) == 0 && match[1].rm_so >= 0 && match[2].rm_so >= 0;
    if (fits &&
        match[2].rm_eo - match[2].rm_so <= MAX_DIGITS) /* of the group alone: more digits may follow it */
        memcpy(digits, name + match[2].rm_so, (size_t)(match[2].rm_eo - match[2].rm_so));
    long number = strtol(digits, NULL, 10);
    if (!fits || number < 1 || number > MAX_NUMBER)
        return lam_fail(err, LAM_E_INVALID, "%.80s does not match `training.stacks.pattern`", name);
    size_t length = (size_t)(match[1].rm_eo - match[1].rm_so);
    if (length >= sizeof out->patient) /* cut, two patients could become one */
        return lam_fail(err, LAM_E_LIMIT, "%.80s: the patient is named with more than %zu bytes", name,
                        sizeof out->patient - 1);
    memcpy(out->patient, name + match[1].rm_so, length);
    out->patient[length] = '\0';
    out->number = (int)((number - 1) / names->phases);
    out->phase = (int)((number - 1) % names->phases);
    return LAM_OK;
}

int lam_slice_place_compare(const lam_slice_place *a, const lam_slice_place *b)
{
    int order = strcmp(a->patient, b->patient);
    order = order ? order : a->phase - b->phase;
    return order ? order : a->number - b->number;
}

bool lam_slice_place_is_one_stack(const lam_slice_place *a, const lam_slice_place *b)
{
    return strcmp(a->patient, b->patient) == 0 && a->phase == b->phase;
}
