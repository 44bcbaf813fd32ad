/* `lamina predict` on slices that were stored one by one: put together by their names, as in training, and
 * the maps taken apart again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/rnn/elements.h"
#include "core/rnn/train/stack_names.h"
#include "daemon/cli/predict_case.h"

struct slice {
    lam_slice_place place;
    const lam_tensor *image;
};

static int by_place(const void *a, const void *b)
{
    const struct slice *x = a, *y = b;
    return lam_slice_place_compare(&x->place, &y->place);
}

/* The tensor's name without ".image"; false when it ends otherwise. */
static bool id_of(const lam_tensor *tensor, char *id, size_t size)
{
    const char *dot = strrchr(tensor->name, '.');
    if (!dot || strcmp(dot, ".image") != 0)
        return false;
    snprintf(id, size, "%.*s", (int)(dot - tensor->name), tensor->name);
    return true;
}

static lam_status find_slices(const lam_stack_names *names, const lam_safetensors *file, struct slice *slices,
                              size_t *count, lam_error *err)
{
    char id[256];
    for (size_t i = 0; i < lam_safetensors_count(file); i++) {
        const lam_tensor *tensor = lam_safetensors_at(file, i);
        if (!id_of(tensor, id, sizeof id))
            continue;
        if (tensor->shape.rank != 2 || lam_shape_check(&tensor->shape, NULL))
            return lam_fail(err, LAM_E_INVALID, "%s: a slice of a stack has two axes", id);
        slices[*count].image = tensor;
        lam_status status = lam_stack_names_read(names, id, &slices[*count].place, err);
        if (status)
            return status;
        ++*count;
    }
    return LAM_OK;
}

static lam_status keep_maps(const struct slice *slices, size_t count, const uint8_t *labels,
                            lam_case_maps *maps, lam_error *err)
{
    const lam_shape *shape = &slices[0].image->shape;
    char id[256];
    lam_status status = LAM_OK;
    for (size_t i = 0; i < count && status == LAM_OK; i++) {
        id_of(slices[i].image, id, sizeof id);
        status = lam_case_maps_add(maps, id, shape, labels + i * (size_t)lam_shape_count(shape), err);
    }
    return status;
}

static lam_status predict_stack(const lam_prediction_job *job, const struct slice *slices, size_t count,
                                lam_case_maps *maps, json_t *results, lam_error *err)
{
    const lam_shape *shape = &slices[0].image->shape;
    size_t area = (size_t)lam_shape_count(shape);
    char id[sizeof slices->place.patient + 16];
    bool mapped = false;
    lam_autofree float *voxels = calloc(count * area, sizeof *voxels);
    lam_autofree uint8_t *labels = calloc(count, area);
    if (!voxels || !labels)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    snprintf(id, sizeof id, "%s/%d", slices[0].place.patient, slices[0].place.phase);
    for (size_t i = 0; i < count; i++) {
        if (!lam_shape_equal(&slices[i].image->shape, shape))
            return lam_fail(err, LAM_E_INVALID, "%s: its slices differ in size", id);
        lam_elements_read(slices[i].image, 0, (int64_t)area, voxels + i * area);
    }
    const lam_volume volume = {
        .voxels = voxels, .size = {(int64_t)count, shape->dim[0], shape->dim[1]}, .spacing_mm = {1, 1, 1}};
    lam_status status = lam_case_predict(job, id, &volume, labels, &mapped, results, err);
    return status == LAM_OK && mapped && job->out ? keep_maps(slices, count, labels, maps, err) : status;
}

lam_status lam_predict_stacks(const lam_prediction_job *job, const lam_safetensors *file, lam_case_maps *maps,
                              json_t *results, lam_error *err)
{
    LAM_AUTO_PTR(lam_stack_names) *names = NULL;
    size_t count = 0;
    lam_autofree struct slice *slices = calloc(lam_safetensors_count(file) + 1, sizeof *slices);
    if (!slices)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_status status = lam_stack_names_create(lam_bundle_manifest(job->bundle), &names, err);
    if (status == LAM_OK)
        status = find_slices(names, file, slices, &count, err);
    qsort(slices, count, sizeof *slices, by_place);
    for (size_t begin = 0, end; begin < count && status == LAM_OK; begin = end) {
        for (end = begin + 1;
             end < count && lam_slice_place_is_one_stack(&slices[begin].place, &slices[end].place);)
            end++;
        status = predict_stack(job, slices + begin, end - begin, maps, results, err);
    }
    if (status == LAM_OK && count == 0)
        status = lam_fail(err, LAM_E_NOT_FOUND, "there are no tensors named ID.image");
    return status;
}
