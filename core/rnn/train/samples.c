#include "core/rnn/train/samples.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rnn/prepare.h"
#include "core/rnn/safetensors.h"

enum { MAX_SAMPLES = 10000000, MAX_FILES = 1024 };

struct lam_samples {
    const lam_manifest *manifest;
    int axes;
    int64_t channels;
    int classes;
    double spacing_mm[3];
    lam_sample *samples;
    size_t count, room;
    lam_safetensors *files[MAX_FILES];
    size_t file_count;
    bool borrowed; /* samples belong to another dataset */
};

void lam_samples_free(lam_samples *dataset)
{
    if (!dataset)
        return;
    for (size_t i = 0; i < dataset->count && !dataset->borrowed; i++) {
        free(dataset->samples[i].id);
        free(dataset->samples[i].raw);
        free(dataset->samples[i].prepared);
    }
    for (size_t i = 0; i < dataset->file_count; i++)
        lam_safetensors_free(dataset->files[i]);
    free(dataset->samples);
    free(dataset);
}

/* ---- one sample ---- */

static lam_status convert(const lam_tensor *tensor, size_t first, size_t count, float *out, lam_error *err)
{
    switch (tensor->dtype) {
    case LAM_DTYPE_F32:
        memcpy(out, (const float *)tensor->data + first, count * sizeof *out);
        return LAM_OK;
    case LAM_DTYPE_U8:
        for (size_t i = 0; i < count; i++)
            out[i] = ((const uint8_t *)tensor->data)[first + i];
        return LAM_OK;
    case LAM_DTYPE_I16:
        for (size_t i = 0; i < count; i++)
            out[i] = ((const int16_t *)tensor->data)[first + i];
        return LAM_OK;
    case LAM_DTYPE_U16:
        for (size_t i = 0; i < count; i++)
            out[i] = ((const uint16_t *)tensor->data)[first + i];
        return LAM_OK;
    default:
        return lam_fail(err, LAM_E_UNSUPPORTED, "images of type %s are not read; use F32, U8, I16 or U16",
                        lam_dtype_name(tensor->dtype));
    }
}

/* Axis sizes of one image, given its dimensions from `skip` on. */
static lam_status read_size(const lam_samples *dataset, const lam_shape *shape, int skip, int64_t size[3],
                            lam_error *err)
{
    char text[LAM_SHAPE_TEXT];
    int rank = shape->rank - skip;
    bool fits = rank == dataset->axes
                    ? dataset->channels == 1
                    : rank == dataset->axes + 1 && shape->dim[shape->rank - 1] == dataset->channels;
    if (!fits || dataset->axes > 3 || lam_shape_check(shape, NULL))
        return lam_fail(err, LAM_E_INVALID,
                        "an image of shape %s does not fit a network of %d axes and %lld channels",
                        lam_shape_text(shape, text), dataset->axes, (long long)dataset->channels);
    size[0] = size[1] = size[2] = 1;
    for (int i = 0; i < dataset->axes; i++)
        size[3 - dataset->axes + i] = shape->dim[skip + i];
    return LAM_OK;
}

static lam_status add_sample(lam_samples *dataset, const char *id, lam_sample **out, lam_error *err)
{
    if (dataset->count == dataset->room) {
        size_t room = dataset->room ? dataset->room * 2 : 256;
        lam_sample *samples = realloc(dataset->samples, room * sizeof *samples);
        if (!samples || room > MAX_SAMPLES)
            return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for %zu samples", room);
        dataset->samples = samples;
        dataset->room = room;
    }
    lam_sample *sample = &dataset->samples[dataset->count];
    *sample = (lam_sample){.id = strdup(id), .label = -1};
    if (!sample->id)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    dataset->count++;
    *out = sample;
    return LAM_OK;
}

/* Reads the image that starts at element `first` and normalises it. */
static lam_status fill_image(const lam_samples *dataset, const lam_tensor *tensor, size_t first,
                             lam_sample *sample, lam_error *err)
{
    size_t count = (size_t)(sample->size[0] * sample->size[1] * sample->size[2] * dataset->channels);
    lam_autofree float *scratch = malloc(count * sizeof *scratch);
    sample->raw = malloc(count * sizeof *sample->raw);
    sample->prepared = malloc(count * sizeof *sample->prepared);
    if (!scratch || !sample->raw || !sample->prepared)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_status status = convert(tensor, first, count, sample->raw, err);
    if (status == LAM_OK)
        lam_prepare_intensities(&dataset->manifest->preprocessing, sample->raw, (int64_t)count, scratch,
                                sample->prepared);
    return status;
}

static lam_status check_labels(const lam_samples *dataset, const uint8_t *labels, size_t count,
                               lam_error *err)
{
    for (size_t i = 0; i < count; i++)
        if (labels[i] >= dataset->classes)
            return lam_fail(err, LAM_E_INVALID, "label %d; the model has %d classes", labels[i],
                            dataset->classes);
    return LAM_OK;
}

/* ---- files ---- */

/* ID.image and ID.label. */
static lam_status add_case(lam_samples *dataset, const lam_safetensors *file, const lam_tensor *image,
                           lam_error *err)
{
    char id[200], key[208];
    lam_sample *sample;
    snprintf(id, sizeof id, "%.*s", (int)(strlen(image->name) - strlen(".image")), image->name);
    snprintf(key, sizeof key, "%s.label", id);
    const lam_tensor *label = lam_safetensors_find(file, key);
    lam_status status = add_sample(dataset, id, &sample, err);
    if (status || (status = read_size(dataset, &image->shape, 0, sample->size, err)) ||
        (status = fill_image(dataset, image, 0, sample, err)))
        return status;
    int64_t voxels = sample->size[0] * sample->size[1] * sample->size[2];
    bool map = dataset->manifest->task == LAM_TASK_SEGMENTATION;
    if (!label || label->dtype != LAM_DTYPE_U8 || (int64_t)label->bytes != (map ? voxels : 1))
        return lam_fail(err, LAM_E_INVALID, "%s needs a tensor %s of type U8 with %lld values", id, key,
                        (long long)(map ? voxels : 1));
    if ((status = check_labels(dataset, label->data, label->bytes, err))) {
        lam_error_prefix(err, "%s", key);
        return status;
    }
    if (map)
        sample->map = label->data;
    else
        sample->label = *(const uint8_t *)label->data;
    return LAM_OK;
}

/* images and labels. */
static lam_status add_array(lam_samples *dataset, const lam_tensor *images, const lam_tensor *labels,
                            lam_error *err)
{
    char id[32];
    int64_t size[3], count = images->shape.rank ? images->shape.dim[0] : 0;
    lam_status status = read_size(dataset, &images->shape, 1, size, err);
    if (status)
        return status;
    if (!labels || labels->dtype != LAM_DTYPE_U8 || (int64_t)labels->bytes != count ||
        dataset->manifest->task == LAM_TASK_SEGMENTATION)
        return lam_fail(err, LAM_E_INVALID, "`images` needs `labels` of type U8, one number each");
    if ((status = check_labels(dataset, labels->data, labels->bytes, err)))
        return status;
    size_t values = (size_t)(size[0] * size[1] * size[2] * dataset->channels);
    for (int64_t i = 0; i < count; i++) {
        lam_sample *sample;
        snprintf(id, sizeof id, "%lld", (long long)i);
        if ((status = add_sample(dataset, id, &sample, err)))
            return status;
        memcpy(sample->size, size, sizeof size);
        sample->label = ((const uint8_t *)labels->data)[i];
        if ((status = fill_image(dataset, images, (size_t)i * values, sample, err)))
            return status;
    }
    return LAM_OK;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), part = strlen(end);
    return length > part && strcmp(text + length - part, end) == 0;
}

static void read_spacing(lam_samples *dataset, const lam_safetensors *file)
{
    const char *text = lam_safetensors_metadata(file, "spacing_mm");
    double spacing[3];
    if (!text)
        return;
    for (int i = 0; i < 3; i++) {
        char *end;
        spacing[i] = strtod(text, &end);
        if (!(spacing[i] > 0) || (i < 2 && *end != ','))
            return;
        text = end + 1;
    }
    memcpy(dataset->spacing_mm, spacing, sizeof spacing);
}

static lam_status add_file(lam_samples *dataset, const char *path, lam_error *err)
{
    lam_safetensors *file = NULL;
    if (dataset->file_count == MAX_FILES)
        return lam_fail(err, LAM_E_LIMIT, "more than %d files", MAX_FILES);
    lam_status status = lam_safetensors_open(path, &file, err);
    if (status)
        return status;
    dataset->files[dataset->file_count++] = file;
    read_spacing(dataset, file);
    const lam_tensor *images = lam_safetensors_find(file, "images");
    if (images)
        status = add_array(dataset, images, lam_safetensors_find(file, "labels"), err);
    for (size_t i = 0; i < lam_safetensors_count(file) && status == LAM_OK && !images; i++)
        if (ends_with(lam_safetensors_at(file, i)->name, ".image"))
            status = add_case(dataset, file, lam_safetensors_at(file, i), err);
    if (status)
        lam_error_prefix(err, "%s", path);
    return status;
}

lam_status lam_samples_load(const lam_manifest *manifest, const lam_network *network,
                            const char *const *paths, size_t path_count, lam_samples **out, lam_error *err)
{
    LAM_AUTO_PTR(lam_samples) *dataset = calloc(1, sizeof *dataset);
    if (!dataset)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    dataset->manifest = manifest;
    dataset->axes = lam_network_axes(network);
    dataset->channels = lam_network_input_channels(network);
    dataset->classes =
        (int)(manifest->task == LAM_TASK_SEGMENTATION ? manifest->segment_count + 1 : manifest->class_count);
    for (int i = 0; i < 3; i++)
        dataset->spacing_mm[i] = 1;
    for (size_t i = 0; i < path_count; i++) {
        lam_status status = add_file(dataset, paths[i], err);
        if (status)
            return status;
    }
    if (dataset->count == 0)
        return lam_fail(err, LAM_E_INVALID,
                        "the files hold no samples (tensors named ID.image and ID.label, or "
                        "images and labels)");
    *out = LAM_TAKE_PTR(dataset);
    return LAM_OK;
}

lam_status lam_samples_fold(const lam_samples *dataset, int fold, int folds, bool others, lam_samples **out,
                            lam_error *err)
{
    if (folds < 2 || fold < 0 || fold >= folds || (size_t)folds > dataset->count)
        return lam_fail(err, LAM_E_INVALID, "fold %d of %d cannot be made from %zu samples", fold, folds,
                        dataset->count);
    lam_samples *part = calloc(1, sizeof *part);
    lam_sample *samples = calloc(dataset->count, sizeof *samples);
    if (!part || !samples) {
        free(part);
        free(samples);
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    }
    *part = *dataset;
    part->samples = samples;
    part->borrowed = true;
    part->file_count = part->count = 0;
    size_t begin = dataset->count * (size_t)fold / (size_t)folds;
    size_t end = dataset->count * ((size_t)fold + 1) / (size_t)folds;
    for (size_t i = 0; i < dataset->count; i++)
        if ((i >= begin && i < end) != others)
            samples[part->count++] = dataset->samples[i];
    *out = part;
    return LAM_OK;
}

size_t lam_samples_count(const lam_samples *dataset)
{
    return dataset->count;
}

const lam_sample *lam_samples_at(const lam_samples *dataset, size_t index)
{
    return &dataset->samples[index];
}

const double *lam_samples_spacing(const lam_samples *dataset)
{
    return dataset->spacing_mm;
}
