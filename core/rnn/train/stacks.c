/* Slices that were stored one by one, put together into stacks. Their names say where they belong:
 * `training.stacks` is {"pattern", "phases"}, where the pattern's first group names the patient and its
 * second is a number n, counted from 1: slice (n - 1) / phases, phase (n - 1) % phases of the heart. A sample
 * is all slices of one patient and phase in order; gaps between them are closed. */
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/pattern.h"
#include "core/rnn/options.h"
#include "core/rnn/train/samples_internal.h"

enum { PATIENT = 96, MAX_PHASES = 1000 };

struct slice {
    char patient[PATIENT];
    int phase, number;
    const lam_tensor *image;
    const uint8_t *map; /* [y, x] */
};

static int by_place(const void *a, const void *b)
{
    const struct slice *x = a, *y = b;
    int order = strcmp(x->patient, y->patient);
    order = order ? order : x->phase - y->phase;
    return order ? order : x->number - y->number;
}

static lam_status read_pattern(const lam_jv *stacks, regex_t *regex, int64_t *phases, lam_error *err)
{
    static const char *const members[] = {"pattern", "phases", NULL};
    const char *pattern;
    lam_status status;
    if ((status = lam_options_only(stacks, members, err)) ||
        (status = lam_jv_need_text(stacks, "pattern", &pattern, err)) ||
        (status = lam_options_integer(stacks, "phases", 1, 1, MAX_PHASES, phases, err)))
        return status;
    if ((status = lam_pattern_compile(pattern, 0, regex, err))) {
        lam_error_prefix(err, "`pattern`");
        return status;
    }
    if (regex->re_nsub >= 2)
        return LAM_OK;
    regfree(regex);
    return lam_fail(err, LAM_E_INVALID, "`pattern` needs two groups: the patient and the number");
}

/* What the name of an image says; false when it is not a slice's. */
static bool read_name(const regex_t *regex, int64_t phases, const char *name, struct slice *out)
{
    regmatch_t match[3];
    if (regexec(regex, name, 3, match, 0) != 0 || match[1].rm_so < 0 || match[2].rm_so < 0)
        return false;
    long number = strtol(name + match[2].rm_so, NULL, 10);
    if (number < 1 || number > 1000000)
        return false;
    snprintf(out->patient, sizeof out->patient, "%.*s", (int)(match[1].rm_eo - match[1].rm_so),
             name + match[1].rm_so);
    out->number = (int)((number - 1) / phases);
    out->phase = (int)((number - 1) % phases);
    return true;
}

static lam_status read_slice(const lam_samples *dataset, const lam_safetensors *file, const char *id,
                             const lam_tensor *image, struct slice *out, lam_error *err)
{
    lam_sample_source source = {dataset->manifest, dataset->classes, file, id, -1};
    if (image->shape.rank != 2 || lam_shape_check(&image->shape, NULL))
        return lam_fail(err, LAM_E_INVALID, "%s: a slice of a stack has two axes", id);
    out->image = image;
    return lam_samples_labels(&source, lam_shape_count(&image->shape), &out->map, err);
}

static lam_status find_slices(const lam_samples *dataset, const lam_safetensors *file, const regex_t *regex,
                              int64_t phases, struct slice *slices, size_t *count, lam_error *err)
{
    for (size_t i = 0; i < lam_safetensors_count(file); i++) {
        const lam_tensor *tensor = lam_safetensors_at(file, i);
        const char *dot = strrchr(tensor->name, '.');
        char id[200];
        if (!dot || strcmp(dot, ".image") != 0)
            continue;
        snprintf(id, sizeof id, "%.*s", (int)(dot - tensor->name), tensor->name);
        if (!read_name(regex, phases, id, &slices[*count]))
            return lam_fail(err, LAM_E_INVALID, "%s does not match `pattern`", id);
        lam_status status = read_slice(dataset, file, id, tensor, &slices[*count], err);
        if (status)
            return status;
        ++*count;
    }
    return LAM_OK;
}

/* The stack of `count` slices of one patient and phase. */
static lam_status add_stack(lam_samples *dataset, const struct slice *slices, size_t count, lam_error *err)
{
    char id[PATIENT + 16];
    lam_sample *sample;
    size_t area = (size_t)lam_shape_count(&slices[0].image->shape);
    snprintf(id, sizeof id, "%s/%d", slices[0].patient, slices[0].phase);
    lam_status status = lam_samples_add(dataset, id, &sample, err);
    if (status)
        return status;
    sample->phase = slices[0].phase;
    sample->size[0] = (int64_t)count;
    sample->size[1] = slices[0].image->shape.dim[0];
    sample->size[2] = slices[0].image->shape.dim[1];
    if ((status = lam_samples_allocate(dataset, sample, err)))
        return status;
    if (!(sample->map = malloc(area * count)))
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    sample->truth.map = sample->map;
    for (size_t i = 0; i < count; i++) {
        if (!lam_shape_equal(&slices[i].image->shape, &slices[0].image->shape))
            return lam_fail(err, LAM_E_INVALID, "%s: its slices differ in size", id);
        memcpy(sample->map + i * area, slices[i].map, area);
        if ((status = lam_samples_convert(slices[i].image, 0, area, sample->raw + i * area, err)))
            return status;
    }
    return lam_samples_prepare(dataset, sample, err);
}

static bool is_one_stack(const struct slice *a, const struct slice *b)
{
    return strcmp(a->patient, b->patient) == 0 && a->phase == b->phase;
}

static lam_status add_stacks(lam_samples *dataset, const struct slice *slices, size_t count, lam_error *err)
{
    for (size_t begin = 0, end; begin < count; begin = end) {
        bool same = begin > 0 && strcmp(slices[begin].patient, slices[begin - 1].patient) == 0;
        for (end = begin + 1; end < count && is_one_stack(&slices[begin], &slices[end]);)
            end++;
        lam_status status = add_stack(dataset, slices + begin, end - begin, err);
        if (status)
            return status;
        if (same) { /* the patient of the stack before */
            dataset->groups--;
            dataset->samples[dataset->count - 1].group = (int)dataset->groups - 1;
        }
    }
    return LAM_OK;
}

lam_status lam_stacks_read(lam_samples *dataset, const lam_safetensors *file, const lam_jv *stacks,
                           lam_error *err)
{
    regex_t regex;
    int64_t phases;
    size_t count = 0;
    if (dataset->axes != 3 || dataset->channels != 1 || dataset->manifest->task != LAM_TASK_SEGMENTATION)
        return lam_fail(err, LAM_E_UNSUPPORTED,
                        "`training.stacks` is for segmentation with the axes z, y, x and one channel");
    lam_status status = read_pattern(stacks, &regex, &phases, err);
    if (status) {
        lam_error_prefix(err, "`training.stacks`");
        return status;
    }
    dataset->named_groups = true;
    lam_autofree struct slice *slices = calloc(lam_safetensors_count(file) + 1, sizeof *slices);
    if (slices)
        status = find_slices(dataset, file, &regex, phases, slices, &count, err);
    else
        status = lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    regfree(&regex);
    if (status)
        return status;
    qsort(slices, count, sizeof *slices, by_place);
    return add_stacks(dataset, slices, count, err);
}
