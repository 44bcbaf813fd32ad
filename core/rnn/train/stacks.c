/* Slices that were stored one by one, put together into stacks, as their names say (stack_names.h). A sample
 * is all slices of one patient and phase in order; gaps between them are closed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rnn/elements.h"
#include "core/rnn/train/samples_internal.h"
#include "core/rnn/train/stack_names.h"

struct slice {
    lam_slice_place place;
    char id[200];
    const lam_tensor *image; /* [y, x] */
};

static int by_place(const void *a, const void *b)
{
    const struct slice *x = a, *y = b;
    return lam_slice_place_compare(&x->place, &y->place);
}

static lam_status find_slices(const lam_safetensors *file, const lam_stack_names *names, struct slice *slices,
                              size_t *count, lam_error *err)
{
    for (size_t i = 0; i < lam_safetensors_count(file); i++) {
        const lam_tensor *tensor = lam_safetensors_at(file, i);
        const char *dot = strrchr(tensor->name, '.');
        struct slice *slice = &slices[*count];
        if (!dot || strcmp(dot, ".image") != 0)
            continue;
        snprintf(slice->id, sizeof slice->id, "%.*s", (int)(dot - tensor->name), tensor->name);
        slice->image = tensor;
        lam_status status = lam_stack_names_read(names, slice->id, &slice->place, err);
        if (status)
            return status;
        if (tensor->shape.rank != 2 || lam_shape_check(&tensor->shape, NULL))
            return lam_fail(err, LAM_E_INVALID, "%s: a slice of a stack has two axes", slice->id);
        ++*count;
    }
    return LAM_OK;
}

/* The stack of `count` slices of one patient and phase. */
static lam_status add_stack(lam_samples *dataset, const lam_safetensors *file, const struct slice *slices,
                            size_t count, lam_error *err)
{
    char id[sizeof slices->place.patient + 16];
    lam_sample *sample;
    size_t area = (size_t)lam_shape_count(&slices[0].image->shape);
    snprintf(id, sizeof id, "%s/%d", slices[0].place.patient, slices[0].place.phase);
    lam_status status = lam_samples_add(dataset, id, &sample, err);
    if (status)
        return status;
    sample->phase = slices[0].place.phase;
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
        lam_sample_source source = {dataset->manifest, dataset->classes, file, slices[i].id, -1};
        lam_elements_read(slices[i].image, 0, (int64_t)area, sample->raw + i * area);
        if ((status = lam_samples_labels(&source, (int64_t)area, sample->map + i * area, err)))
            return status;
    }
    return lam_samples_prepare(dataset, sample, err);
}

static lam_status add_stacks(lam_samples *dataset, const lam_safetensors *file, const struct slice *slices,
                             size_t count, lam_error *err)
{
    for (size_t begin = 0, end; begin < count; begin = end) {
        bool same = begin > 0 && strcmp(slices[begin].place.patient, slices[begin - 1].place.patient) == 0;
        for (end = begin + 1;
             end < count && lam_slice_place_is_one_stack(&slices[begin].place, &slices[end].place);)
            end++;
        lam_status status = add_stack(dataset, file, slices + begin, end - begin, err);
        if (status)
            return status;
        if (same) { /* the patient of the stack before */
            dataset->groups--;
            dataset->samples[dataset->count - 1].group = (int)dataset->groups - 1;
        }
    }
    return LAM_OK;
}

lam_status lam_stacks_read(lam_samples *dataset, const lam_safetensors *file, lam_error *err)
{
    LAM_AUTO_PTR(lam_stack_names) *names = NULL;
    size_t count = 0;
    if (dataset->axes != 3 || dataset->channels != 1 || dataset->manifest->task != LAM_TASK_SEGMENTATION)
        return lam_fail(err, LAM_E_UNSUPPORTED,
                        "`training.stacks` is for segmentation with the axes z, y, x and one channel");
    lam_status status = lam_stack_names_create(dataset->manifest, &names, err);
    if (status)
        return status;
    dataset->named_groups = true;
    lam_autofree struct slice *slices = calloc(lam_safetensors_count(file) + 1, sizeof *slices);
    if (!slices)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    if ((status = find_slices(file, names, slices, &count, err)))
        return status;
    qsort(slices, count, sizeof *slices, by_place);
    return add_stacks(dataset, file, slices, count, err);
}
