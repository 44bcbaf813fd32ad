#include "core/rnn/train/samples.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rnn/elements.h"
#include "core/rnn/prepare.h"
#include "core/rnn/safetensors.h"
#include "core/rnn/train/samples_internal.h"

enum { MAX_SAMPLES = 10000000 };

void lam_samples_free(lam_samples *dataset)
{
    if (!dataset)
        return;
    for (size_t i = 0; i < dataset->count && !dataset->borrowed; i++) {
        free(dataset->samples[i].id);
        free(dataset->samples[i].raw);
        free(dataset->samples[i].prepared);
        free(dataset->samples[i].map);
        free(dataset->samples[i].boxes);
    }
    for (size_t i = 0; i < dataset->file_count; i++)
        lam_safetensors_free(dataset->files[i]);
    free(dataset->samples);
    free(dataset);
}

/* ---- one sample ---- */

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

lam_status lam_samples_add(lam_samples *dataset, const char *id, lam_sample **out, lam_error *err)
{
    if (dataset->count == dataset->room) {
        size_t room = dataset->room ? dataset->room * 2 : 256;
        lam_sample *samples = room > MAX_SAMPLES ? NULL : realloc(dataset->samples, room * sizeof *samples);
        if (!samples)
            return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for %zu samples", room);
        dataset->samples = samples;
        dataset->room = room;
    }
    lam_sample *sample = &dataset->samples[dataset->count];
    *sample =
        (lam_sample){.id = strdup(id), .group = (int)dataset->groups, .phase = -1, .truth = {.label = -1}};
    if (!sample->id)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    dataset->count++;
    dataset->groups++;
    *out = sample;
    return LAM_OK;
}

static size_t values_of(const lam_samples *dataset, const lam_sample *sample)
{
    return (size_t)(sample->size[0] * sample->size[1] * sample->size[2] * dataset->channels);
}

lam_status lam_samples_allocate(const lam_samples *dataset, lam_sample *sample, lam_error *err)
{
    size_t bytes = values_of(dataset, sample) * sizeof(float);
    sample->raw = malloc(bytes);
    sample->prepared = malloc(bytes);
    return sample->raw && sample->prepared ? LAM_OK : lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
}

lam_status lam_samples_prepare(const lam_samples *dataset, lam_sample *sample, lam_error *err)
{
    lam_autofree float *scratch = malloc(values_of(dataset, sample) * sizeof *scratch);
    if (!scratch)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_prepare_intensities(&dataset->manifest->preprocessing, sample->size, dataset->channels, sample->raw,
                            scratch, sample->prepared);
    return LAM_OK;
}

/* Samples of a patient who was there before join that group. `sample` is the last one. */
static void join_patient(lam_samples *dataset, const lam_sample_source *source, lam_sample *sample)
{
    lam_tensor name;
    if (!lam_samples_field(source, "patient", "patients", &name) || name.dtype != LAM_DTYPE_U8)
        return;
    const char *patient = name.data;
    while (name.bytes && !patient[name.bytes - 1]) /* files pad as they like */
        name.bytes--;
    if (!name.bytes)
        return;
    sample->patient = patient;
    sample->patient_bytes = name.bytes;
    dataset->named_groups = true;
    for (const lam_sample *other = sample; other-- > dataset->samples;)
        if (other->patient && other->patient_bytes == name.bytes &&
            memcmp(other->patient, patient, name.bytes) == 0) {
            sample->group = other->group;
            dataset->groups--;
            return;
        }
}

/* Reads the image that starts at element `first`, normalises it, and has the task read what is true of it. */
static lam_status fill_sample(lam_samples *dataset, const lam_tensor *tensor, int64_t first,
                              const lam_sample_source *source, lam_sample *sample, lam_error *err)
{
    lam_status status;
    if ((status = lam_samples_allocate(dataset, sample, err)))
        return status;
    lam_elements_read(tensor, first, (int64_t)values_of(dataset, sample), sample->raw);
    if ((status = lam_samples_prepare(dataset, sample, err)))
        return status;
    join_patient(dataset, source, sample);
    return dataset->kind->read(source, sample, err);
}

/* ---- fields ---- */

bool lam_samples_field(const lam_sample_source *source, const char *name, const char *plural, lam_tensor *out)
{
    char key[256];
    snprintf(key, sizeof key, "%s.%s", source->id, name);
    const lam_tensor *tensor = lam_safetensors_find(source->file, source->row < 0 ? key : plural);
    if (!tensor)
        return false;
    if (source->row < 0) {
        *out = *tensor;
        return true;
    }
    if (tensor->shape.rank < 1 || source->row >= tensor->shape.dim[0])
        return false;
    lam_tensor row = *tensor;
    row.bytes = tensor->bytes / (size_t)tensor->shape.dim[0];
    row.data = (const char *)tensor->data + (size_t)source->row * row.bytes;
    row.shape.rank--;
    memmove(row.shape.dim, row.shape.dim + 1, (size_t)row.shape.rank * sizeof row.shape.dim[0]);
    *out = row;
    return true;
}

lam_status lam_samples_labels(const lam_sample_source *source, int64_t count, uint8_t *out, lam_error *err)
{
    lam_tensor tensor;
    if (!lam_samples_field(source, "label", "labels", &tensor) ||
        (int64_t)(tensor.bytes / lam_dtype_size(tensor.dtype)) != count)
        return lam_fail(err, LAM_E_INVALID, "needs a tensor %s%s with %lld values%s",
                        source->row < 0 ? source->id : "", source->row < 0 ? ".label" : "labels",
                        (long long)count, source->row < 0 ? "" : " a sample");
    for (int64_t i = 0; i < count; i++) {
        double label = lam_element_at(&tensor, i);
        if (!(label >= 0 && label < source->classes && label == floor(label)))
            return lam_fail(err, LAM_E_INVALID, "label %.9g; the model has %d classes, counted from 0", label,
                            source->classes);
        out[i] = (uint8_t)label;
    }
    return LAM_OK;
}

/* ---- files ---- */

static lam_sample_source source_of(const lam_samples *dataset, const lam_safetensors *file, const char *id,
                                   int64_t row)
{
    return (lam_sample_source){dataset->manifest, dataset->classes, file, id, row};
}

/* ID.image and its fields. */
static lam_status add_case(lam_samples *dataset, const lam_safetensors *file, const lam_tensor *image,
                           lam_error *err)
{
    char id[200];
    lam_sample *sample;
    snprintf(id, sizeof id, "%.*s", (int)(strlen(image->name) - strlen(".image")), image->name);
    lam_sample_source source = source_of(dataset, file, id, -1);
    lam_status status;
    if ((status = lam_samples_add(dataset, id, &sample, err)) ||
        (status = read_size(dataset, &image->shape, 0, sample->size, err)) ||
        (status = fill_sample(dataset, image, 0, &source, sample, err)))
        lam_error_prefix(err, "%s", id);
    return status;
}

/* `images` and the arrays beside it. */
static lam_status add_array(lam_samples *dataset, const lam_safetensors *file, const lam_tensor *images,
                            lam_error *err)
{
    char id[32];
    int64_t size[3], count = images->shape.rank ? images->shape.dim[0] : 0;
    lam_status status = count ? read_size(dataset, &images->shape, 1, size, err) : LAM_OK;
    for (int64_t i = 0; i < count && status == LAM_OK; i++) {
        lam_sample *sample;
        snprintf(id, sizeof id, "%lld", (long long)i);
        lam_sample_source source = source_of(dataset, file, id, i);
        if ((status = lam_samples_add(dataset, id, &sample, err)))
            return status;
        memcpy(sample->size, size, sizeof size);
        if ((status =
                 fill_sample(dataset, images, i * (int64_t)values_of(dataset, sample), &source, sample, err)))
            lam_error_prefix(err, "sample %s", id);
    }
    return status;
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
    if (dataset->file_count == LAM_MAX_SAMPLE_FILES)
        return lam_fail(err, LAM_E_LIMIT, "more than %d files", LAM_MAX_SAMPLE_FILES);
    lam_status status = lam_safetensors_open(path, &file, err);
    if (status)
        return status;
    dataset->files[dataset->file_count++] = file;
    read_spacing(dataset, file);
    const lam_tensor *images = lam_safetensors_find(file, "images");
    const lam_jv *stacks = lam_jv_get(dataset->manifest->training, "stacks");
    if (stacks)
        status = lam_stacks_read(dataset, file, err);
    else if (images)
        status = add_array(dataset, file, images, err);
    for (size_t i = 0; i < lam_safetensors_count(file) && status == LAM_OK && !images && !stacks; i++)
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
    lam_status status = lam_task_kind_of(manifest, &dataset->kind, err);
    if (status)
        return status;
    dataset->axes = lam_network_axes(network);
    dataset->channels = dataset->kind->image_channels ? dataset->kind->image_channels(manifest, network)
                                                      : lam_network_input_channels(network);
    dataset->classes =
        (int)(manifest->task == LAM_TASK_SEGMENTATION ? manifest->segment_count + 1 : manifest->class_count);
    for (int i = 0; i < 3; i++)
        dataset->spacing_mm[i] = 1;
    for (size_t i = 0; i < path_count; i++)
        if ((status = add_file(dataset, paths[i], err)))
            return status;
    if (dataset->count == 0)
        return lam_fail(err, LAM_E_INVALID,
                        "the files hold no samples (tensors named ID.image and ID.label, or "
                        "images and labels)");
    *out = LAM_TAKE_PTR(dataset);
    return LAM_OK;
}

/* A dataset without samples that has room for all of those of another and borrows from it. */
static lam_status start_part(const lam_samples *dataset, lam_samples **out, lam_error *err)
{
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
    *out = part;
    return LAM_OK;
}

/* Which of the groups that have samples here a group is, by its number; and how many there are. */
static lam_status rank_groups(const lam_samples *dataset, size_t **out, size_t *count, lam_error *err)
{
    size_t *ranks = calloc(dataset->groups + 1, sizeof *ranks);
    if (!ranks)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < dataset->count; i++)
        ranks[dataset->samples[i].group] = 1;
    *count = 0;
    for (size_t g = 0; g < dataset->groups; g++) {
        size_t there = ranks[g];
        ranks[g] = *count;
        *count += there;
    }
    *out = ranks;
    return LAM_OK;
}

lam_status lam_samples_fold(const lam_samples *dataset, int fold, int folds, bool others, lam_samples **out,
                            lam_error *err)
{
    lam_autofree size_t *ranks = NULL;
    lam_samples *part;
    size_t groups = 0;
    lam_status status = rank_groups(dataset, &ranks, &groups, err);
    if (status)
        return status;
    if (folds < 2 || fold < 0 || fold >= folds || (size_t)folds > groups)
        return lam_fail(err, LAM_E_INVALID, "part %d of %d cannot be made from %zu patients", fold + 1, folds,
                        groups);
    if ((status = start_part(dataset, &part, err)))
        return status;
    size_t begin = groups * (size_t)fold / (size_t)folds, end = groups * ((size_t)fold + 1) / (size_t)folds;
    for (size_t i = 0; i < dataset->count; i++) {
        size_t rank = ranks[dataset->samples[i].group];
        bool inside =
            dataset->named_groups ? rank % (size_t)folds == (size_t)fold : rank >= begin && rank < end;
        if (inside != others)
            part->samples[part->count++] = dataset->samples[i];
    }
    *out = part;
    return LAM_OK;
}

bool lam_samples_is_named(const char *id, const lam_jv *names)
{
    for (size_t i = 0; i < lam_jv_count(names); i++) {
        const char *name = lam_jv_text(lam_jv_at(names, i), "");
        size_t length = strlen(name);
        if (length && strncmp(id, name, length) == 0 && (id[length] == '\0' || id[length] == '/'))
            return true;
    }
    return false;
}

lam_status lam_samples_without(const lam_samples *dataset, const lam_jv *names, lam_samples **out,
                               lam_error *err)
{
    lam_samples *part;
    lam_status status = start_part(dataset, &part, err);
    if (status)
        return status;
    for (size_t i = 0; i < dataset->count; i++)
        if (!lam_samples_is_named(dataset->samples[i].id, names))
            part->samples[part->count++] = dataset->samples[i];
    if (part->count == 0) {
        lam_samples_free(part);
        return lam_fail(err, LAM_E_NOT_FOUND, "nothing is left to learn from");
    }
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

size_t lam_samples_groups(const lam_samples *dataset)
{
    return dataset->groups;
}

const double *lam_samples_spacing(const lam_samples *dataset)
{
    return dataset->spacing_mm;
}
