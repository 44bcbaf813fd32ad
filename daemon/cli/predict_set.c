/* `lamina predict` on a safetensors set: one case after the other, labels neither needed nor read. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "core/rnn/safetensors.h"
#include "daemon/cli/cli.h"
#include "daemon/cli/predict.h"

enum { MAX_CASES = 200000 };

/* The label maps of segmentations, kept until they are written. */
struct maps {
    lam_tensor *items; /* names and data are owned */
    size_t count;
};

static void maps_done(struct maps *maps)
{
    for (size_t i = 0; i < maps->count; i++) {
        free((char *)(uintptr_t)maps->items[i].name);
        free((void *)(uintptr_t)maps->items[i].data);
    }
    free(maps->items);
}

/* ---- reading ---- */

static bool read_floats(const lam_tensor *tensor, int64_t first, int64_t count, float *out)
{
    for (int64_t i = 0; i < count; i++)
        switch (tensor->dtype) {
        case LAM_DTYPE_F32:
            out[i] = ((const float *)tensor->data)[first + i];
            break;
        case LAM_DTYPE_BOOL:
        case LAM_DTYPE_U8:
            out[i] = ((const uint8_t *)tensor->data)[first + i];
            break;
        case LAM_DTYPE_I8:
            out[i] = ((const int8_t *)tensor->data)[first + i];
            break;
        case LAM_DTYPE_I16:
            out[i] = ((const int16_t *)tensor->data)[first + i];
            break;
        case LAM_DTYPE_U16:
            out[i] = ((const uint16_t *)tensor->data)[first + i];
            break;
        default:
            return false;
        }
    return true;
}

/* The case in a tensor's dimensions from `from` on: axes of the network, channels if it has several. */
static lam_status shape_of(const lam_network *network, const lam_tensor *tensor, int from, lam_volume *out,
                           int64_t *count, lam_error *err)
{
    int axes = lam_network_axes(network), rank = tensor->shape.rank - from;
    int64_t channels = lam_network_input_channels(network);
    char text[LAM_SHAPE_TEXT];
    bool with_channels = rank == axes + 1;
    if (axes > 3 || (rank != axes && !with_channels) || (!with_channels && channels != 1) ||
        (with_channels && tensor->shape.dim[tensor->shape.rank - 1] != channels))
        return lam_fail(err, LAM_E_INVALID,
                        "%.80s has the shape %s; the model takes %d axes and %lld channels", tensor->name,
                        lam_shape_text(&tensor->shape, text), axes, (long long)channels);
    *count = channels;
    for (int i = 0; i < 3; i++) {
        out->size[i] = i < 3 - axes ? 1 : tensor->shape.dim[from + i - (3 - axes)];
        out->spacing_mm[i] = 1;
        *count *= out->size[i];
    }
    return LAM_OK;
}

/* ---- predicting ---- */

static lam_status keep_map(struct maps *maps, const char *id, const lam_segmentation *found, lam_error *err)
{
    size_t voxels = (size_t)(found->size[0] * found->size[1] * found->size[2]);
    lam_tensor *grown = realloc(maps->items, (maps->count + 1) * sizeof *grown);
    char *name = malloc(strlen(id) + sizeof ".label");
    uint8_t *data = malloc(voxels);
    if (grown)
        maps->items = grown;
    if (!grown || !name || !data) {
        free(name);
        free(data);
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    }
    strcpy(stpcpy(name, id), ".label");
    memcpy(data, found->labels, voxels);
    maps->items[maps->count++] =
        (lam_tensor){name, LAM_DTYPE_U8, {3, {found->size[0], found->size[1], found->size[2]}}, data, voxels};
    return LAM_OK;
}

static lam_status segment(const lam_prediction_job *job, const char *id, const lam_volume *volume,
                          struct maps *maps, json_t *out, lam_error *err)
{
    const lam_manifest *manifest = lam_bundle_manifest(job->bundle);
    lam_segmentation found;
    lam_status status = lam_predict_segment(job->predictor, volume, &found, err);
    if (status)
        return status;
    json_t *segments = json_array();
    for (size_t i = 0; i < manifest->segment_count; i++) {
        const lam_model_segment *segment = &manifest->segments[i];
        json_array_append_new(segments,
                              json_pack("{s:i,s:s,s:I,s:f}", "number", segment->number, "label",
                                        segment->label, "voxels", (json_int_t)found.voxels[segment->number],
                                        "volume_ml", found.volume_ml[segment->number]));
    }
    json_object_set_new(out, "segments", segments);
    if (job->out)
        status = keep_map(maps, id, &found, err);
    lam_segmentation_done(&found);
    return status;
}

static lam_status classify(const lam_prediction_job *job, const lam_volume *volume, json_t *out,
                           lam_error *err)
{
    const lam_manifest *manifest = lam_bundle_manifest(job->bundle);
    lam_autofree float *probabilities = calloc(manifest->class_count, sizeof *probabilities);
    if (!probabilities)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_status status = lam_predict_classes(job->predictor, volume, probabilities, err);
    if (status)
        return status;
    json_t *classes = json_array();
    for (size_t i = 0; i < manifest->class_count; i++)
        json_array_append_new(classes,
                              json_pack("{s:s,s:s,s:f}", "name", manifest->classes[i].name, "label",
                                        manifest->classes[i].label, "probability", (double)probabilities[i]));
    json_object_set_new(out, "classification", json_pack("{s:o}", "classes", classes));
    return LAM_OK;
}

static lam_status predict_case(const lam_prediction_job *job, const lam_tensor *tensor, int64_t row,
                               const char *id, struct maps *maps, json_t *results, lam_error *err)
{
    lam_volume volume = {.voxels = NULL};
    int64_t count;
    lam_task task = lam_bundle_manifest(job->bundle)->task;
    lam_status status = shape_of(lam_bundle_network(job->bundle), tensor, row >= 0, &volume, &count, err);
    if (status)
        return status;
    lam_autofree float *voxels = malloc((size_t)count * sizeof *voxels);
    if (!voxels)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    if (!read_floats(tensor, row > 0 ? row * count : 0, count, voxels))
        return lam_fail(err, LAM_E_UNSUPPORTED, "%.80s has elements of type %s", tensor->name,
                        lam_dtype_name(tensor->dtype));
    volume.voxels = voxels;
    json_t *result = json_pack("{s:s,s:s}", "id", id, "task", lam_task_name(task));
    lam_error why = {0};
    if (task == LAM_TASK_SEGMENTATION)
        status = segment(job, id, &volume, maps, result, &why);
    else if (task == LAM_TASK_CLASSIFICATION)
        status = classify(job, &volume, result, &why);
    else
        status = lam_fail(&why, LAM_E_UNSUPPORTED, "models for %s are not run on sets", lam_task_name(task));
    json_object_set_new(result, "state", json_string(status ? "failed" : "done"));
    if (status)
        json_object_set_new(result, "reason", json_string(why.message));
    json_array_append_new(results, result);
    return LAM_OK;
}

/* ---- writing ---- */

static lam_status write_maps(void *context, int fd, lam_error *err)
{
    const struct maps *maps = context;
    return lam_safetensors_write(fd, maps->items, maps->count, NULL, 0, err);
}

static lam_status write_set(const lam_prediction_job *job, struct maps *maps, lam_error *err)
{
    if (!job->out || maps->count == 0)
        return LAM_OK;
    lam_autoclose int folder = open(job->out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return lam_fail_errno(err, errno, "%s", job->out);
    return lam_io_replace(folder, "predictions.safetensors", write_maps, maps, err);
}

lam_status lam_predict_set(const lam_prediction_job *job, const char *path, json_t *results, lam_error *err)
{
    static const char suffix[] = ".image";
    LAM_AUTO_PTR(lam_safetensors) *file = NULL;
    LAM_AUTO(maps_done) struct maps maps = {.items = NULL};
    char id[256];
    size_t cases = 0;
    lam_status status = lam_safetensors_open(path, &file, err);
    for (size_t i = 0; status == LAM_OK && i < lam_safetensors_count(file); i++) {
        const lam_tensor *tensor = lam_safetensors_at(file, i);
        size_t length = strlen(tensor->name), tail = sizeof suffix - 1;
        bool all = strcmp(tensor->name, "images") == 0 && tensor->shape.rank > 0;
        bool one =
            length > tail && length - tail < sizeof id && strcmp(tensor->name + length - tail, suffix) == 0;
        int64_t rows = all ? tensor->shape.dim[0] : one;
        for (int64_t row = 0; row < rows && status == LAM_OK; row++, cases++) {
            if (all)
                snprintf(id, sizeof id, "%lld", (long long)row);
            else
                snprintf(id, sizeof id, "%.*s", (int)(length - tail), tensor->name);
            status = cases < MAX_CASES
                         ? predict_case(job, tensor, all ? row : -1, id, &maps, results, err)
                         : lam_fail(err, LAM_E_LIMIT, "%s has more than %d cases", path, MAX_CASES);
        }
    }
    if (status == LAM_OK && cases == 0)
        status = lam_fail(err, LAM_E_NOT_FOUND, "%s has neither `images` nor tensors named ID.image", path);
    return status ? status : write_set(job, &maps, err);
}
