/* `lamina predict` on a safetensors set: one case after the other, labels neither needed nor read. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "core/rnn/elements.h"
#include "daemon/cli/cli.h"
#include "daemon/cli/predict_case.h"

enum { MAX_CASES = 200000 };

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

static lam_status predict_case(const lam_prediction_job *job, const lam_tensor *tensor, int64_t row,
                               const char *id, lam_case_maps *maps, json_t *results, lam_error *err)
{
    lam_volume volume = {.voxels = NULL};
    int64_t count = 0;
    bool mapped = false;
    lam_status status = shape_of(lam_bundle_network(job->bundle), tensor, row >= 0, &volume, &count, err);
    if (status)
        return status;
    lam_autofree float *voxels = malloc((size_t)count * sizeof *voxels);
    lam_autofree uint8_t *labels = malloc((size_t)count);
    if (!voxels || !labels)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_elements_read(tensor, row > 0 ? row * count : 0, count, voxels);
    volume.voxels = voxels;
    status = lam_case_predict(job, id, &volume, labels, &mapped, results, err);
    const lam_shape shape = {3, {volume.size[0], volume.size[1], volume.size[2]}};
    return status == LAM_OK && mapped && job->out ? lam_case_maps_add(maps, id, &shape, labels, err) : status;
}

/* ---- writing ---- */

static lam_status write_maps(void *context, int fd, lam_error *err)
{
    const lam_case_maps *maps = context;
    return lam_safetensors_write(fd, maps->items, maps->count, NULL, 0, err);
}

static lam_status write_set(const lam_prediction_job *job, lam_case_maps *maps, lam_error *err)
{
    if (!job->out || maps->count == 0)
        return LAM_OK;
    lam_autoclose int folder = open(job->out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return lam_fail_errno(err, errno, "%s", job->out);
    return lam_io_replace(folder, "predictions.safetensors", write_maps, maps, err);
}

/* Every row of `images`, or every tensor ID.image. */
static lam_status predict_cases(const lam_prediction_job *job, const lam_safetensors *file,
                                lam_case_maps *maps, json_t *results, lam_error *err)
{
    static const char suffix[] = ".image";
    char id[256];
    size_t cases = 0;
    lam_status status = LAM_OK;
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
            status = cases < MAX_CASES ? predict_case(job, tensor, all ? row : -1, id, maps, results, err)
                                       : lam_fail(err, LAM_E_LIMIT, "more than %d cases", MAX_CASES);
        }
    }
    if (status == LAM_OK && cases == 0)
        status = lam_fail(err, LAM_E_NOT_FOUND, "neither `images` nor tensors named ID.image");
    return status;
}

/* A set may hold the slices that the model was trained on as stacks, or whole volumes. */
static bool has_slices(const lam_prediction_job *job, const lam_safetensors *file)
{
    if (!lam_jv_get(lam_bundle_manifest(job->bundle)->training, "stacks"))
        return false;
    for (size_t i = 0; i < lam_safetensors_count(file); i++) {
        const lam_tensor *tensor = lam_safetensors_at(file, i);
        const char *dot = strrchr(tensor->name, '.');
        if (dot && strcmp(dot, ".image") == 0)
            return tensor->shape.rank == 2;
    }
    return false;
}

lam_status lam_predict_set(const lam_prediction_job *job, const char *path, json_t *results, lam_error *err)
{
    LAM_AUTO_PTR(lam_safetensors) *file = NULL;
    LAM_AUTO(lam_case_maps_done) lam_case_maps maps = {.items = NULL};
    lam_status status = lam_safetensors_open(path, &file, err);
    if (status)
        return status;
    status = has_slices(job, file) ? lam_predict_stacks(job, file, &maps, results, err)
                                   : predict_cases(job, file, &maps, results, err);
    if (status)
        lam_error_prefix(err, "%s", path);
    return status ? status : write_set(job, &maps, err);
}
