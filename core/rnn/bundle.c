#include "core/rnn/bundle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/base/sha256.h"
#include "core/rnn/detect.h"
#include "core/rnn/prepare.h"

struct lam_bundle {
    lam_manifest *manifest;
    lam_network *network;
    lam_weights *members[LAM_MANIFEST_MAX_MEMBERS];
    size_t member_count;
    lam_gate *gate;
    char sha256[LAM_SHA256_TEXT];
};

void lam_bundle_free(lam_bundle *bundle)
{
    if (!bundle)
        return;
    for (size_t i = 0; i < bundle->member_count; i++)
        lam_weights_free(bundle->members[i]);
    lam_gate_free(bundle->gate);
    lam_network_free(bundle->network);
    lam_manifest_free(bundle->manifest);
    free(bundle);
}

static lam_status read_manifest(int fd, lam_manifest **out, lam_error *err)
{
    const void *text;
    size_t length;
    lam_status status = lam_io_map(fd, LAM_MANIFEST_MAX_BYTES, &text, &length, err);
    if (status) {
        lam_error_prefix(err, LAM_BUNDLE_MANIFEST);
        return status;
    }
    status = lam_manifest_parse(text, length, out, err);
    lam_io_unmap(text, length);
    return status;
}

static lam_status read_weights(lam_bundle *bundle, int fd, lam_error *err)
{
    LAM_AUTO_PTR(lam_safetensors) *file = NULL;
    const char *expected = bundle->manifest->provenance.weights_sha256;
    lam_status status = lam_safetensors_map(fd, &file, err);
    for (int i = 0; i < bundle->manifest->members && status == LAM_OK; i++) {
        status = lam_weights_load_member(bundle->network, file, i, bundle->manifest->members,
                                         &bundle->members[i], err);
        bundle->member_count += status == LAM_OK;
    }
    if (status) {
        lam_error_prefix(err, LAM_BUNDLE_WEIGHTS);
        return status;
    }
    lam_safetensors_sha256(file, bundle->sha256);
    if (*expected && strcmp(expected, bundle->sha256) != 0)
        return lam_fail(err, LAM_E_CORRUPT, "%s: its SHA-256 %s is not the %s that %s states",
                        LAM_BUNDLE_WEIGHTS, bundle->sha256, expected, LAM_BUNDLE_MANIFEST);
    return LAM_OK;
}

static lam_status read_gate(lam_bundle *bundle, int fd, lam_error *err)
{
    LAM_AUTO_PTR(lam_safetensors) *file = NULL;
    const char *expected = bundle->manifest->gate.sha256;
    char sha256[LAM_SHA256_TEXT];
    if (!*expected)
        return LAM_OK;
    if (fd < 0)
        return lam_fail(err, LAM_E_INVALID, "%s is missing", LAM_BUNDLE_GATE);
    lam_status status = lam_safetensors_map(fd, &file, err);
    if (status == LAM_OK)
        status = lam_gate_load(file, &bundle->gate, err);
    if (status) {
        lam_error_prefix(err, LAM_BUNDLE_GATE);
        return status;
    }
    lam_safetensors_sha256(file, sha256);
    if (strcmp(expected, sha256) != 0)
        return lam_fail(err, LAM_E_CORRUPT, "%s: its SHA-256 %s is not the %s that %s states",
                        LAM_BUNDLE_GATE, sha256, expected, LAM_BUNDLE_MANIFEST);
    return LAM_OK;
}

/* Planned for the smallest sizes the model accepts, so that a network that only fits some of them is found
 * here; prediction looks again at the size it gets. */
static lam_status check_task(const lam_bundle *bundle, lam_error *err)
{
    enum { SIZES = 8 };
    const lam_model_preprocessing *pre = &bundle->manifest->preprocessing;
    const lam_network *network = bundle->network;
    LAM_AUTO_PTR(lam_session) *session = NULL;
    if (lam_network_axes(network) > 3)
        return lam_fail(err, LAM_E_INVALID, "`network`: a model of images has at most the axes z, y, x");
    lam_status status = lam_session_create(bundle->members[0], LAM_MODE_INFER, NULL, &session, err);
    for (int step = 0; step < SIZES && status == LAM_OK; step++) {
        int64_t size[3];
        for (int i = 0; i < 3; i++) {
            int64_t multiple = pre->pad_multiple[i], least = (pre->minimum_size[i] + multiple - 1) / multiple;
            size[i] = (least + step) * multiple;
            if (size[i] > (pre->maximum_size[i] + multiple - 1) / multiple * multiple)
                size[i] = (pre->maximum_size[i] + multiple - 1) / multiple * multiple;
        }
        lam_frame frame = lam_prepare_frame(pre, size);
        lam_shape shape =
            lam_prepare_shape(&frame, lam_network_axes(network), 1, lam_network_input_channels(network));
        status = lam_bundle_plan(bundle->manifest, session, &shape, err);
    }
    return status;
}

lam_status lam_bundle_load(int manifest_fd, int weights_fd, int gate_fd, lam_bundle **out, lam_error *err)
{
    LAM_AUTO_PTR(lam_bundle) *bundle = calloc(1, sizeof *bundle);
    lam_status status;
    if (!bundle)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    if ((status = read_manifest(manifest_fd, &bundle->manifest, err)))
        return status;
    if ((status = lam_network_create(bundle->manifest->network, &bundle->network, err)) ||
        (status = read_weights(bundle, weights_fd, err)) || (status = read_gate(bundle, gate_fd, err)) ||
        (status = check_task(bundle, err))) {
        lam_error_prefix(err, "model %s %s", bundle->manifest->name, bundle->manifest->version);
        return status;
    }
    *out = LAM_TAKE_PTR(bundle);
    return LAM_OK;
}

lam_status lam_bundle_load_dir(int directory_fd, lam_bundle **out, lam_error *err)
{
    lam_autoclose int manifest = openat(directory_fd, LAM_BUNDLE_MANIFEST, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (manifest < 0)
        return lam_fail_errno(err, errno, LAM_BUNDLE_MANIFEST);
    lam_autoclose int weights = openat(directory_fd, LAM_BUNDLE_WEIGHTS, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (weights < 0)
        return lam_fail_errno(err, errno, LAM_BUNDLE_WEIGHTS);
    lam_autoclose int gate = openat(directory_fd, LAM_BUNDLE_GATE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return lam_bundle_load(manifest, weights, gate, out, err);
}

/* False: no folder in it is a bundle. */
static bool newest_version(int fd, char newest[NAME_MAX + 1])
{
    char manifest[NAME_MAX + sizeof "/" LAM_BUNDLE_MANIFEST];
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = copy < 0 ? NULL : fdopendir(copy);
    bool found = false;
    for (const struct dirent *e; entries && (e = readdir(entries));) {
        snprintf(manifest, sizeof manifest, "%s/" LAM_BUNDLE_MANIFEST, e->d_name);
        if (e->d_name[0] == '.' || (found && strverscmp(e->d_name, newest) < 0) ||
            faccessat(fd, manifest, F_OK, 0) != 0)
            continue;
        snprintf(newest, NAME_MAX + 1, "%s", e->d_name);
        found = true;
    }
    if (entries)
        closedir(entries);
    else if (copy >= 0)
        close(copy);
    return found;
}

lam_status lam_bundle_find(const char *path, char *out, size_t size, lam_error *err)
{
    char newest[NAME_MAX + 1] = "";
    lam_autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return lam_fail_errno(err, errno, "%s", path);
    bool itself = faccessat(fd, LAM_BUNDLE_MANIFEST, F_OK, 0) == 0;
    if (!itself && !newest_version(fd, newest))
        return lam_fail(err, LAM_E_NOT_FOUND, "%s: neither " LAM_BUNDLE_MANIFEST " nor folders with one",
                        path);
    if ((size_t)snprintf(out, size, "%s%s%s", path, itself ? "" : "/", newest) >= size)
        return lam_fail(err, LAM_E_LIMIT, "%s: too long a path", path);
    return LAM_OK;
}

lam_status lam_bundle_load_path(const char *path, lam_bundle **out, lam_error *err)
{
    char directory[PATH_MAX];
    lam_status status = lam_bundle_find(path, directory, sizeof directory, err);
    if (status)
        return status;
    lam_autoclose int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return lam_fail_errno(err, errno, "%s", directory);
    if ((status = lam_bundle_load_dir(fd, out, err)))
        lam_error_prefix(err, "%s", directory);
    return status;
}

const lam_manifest *lam_bundle_manifest(const lam_bundle *bundle)
{
    return bundle->manifest;
}

const lam_network *lam_bundle_network(const lam_bundle *bundle)
{
    return bundle->network;
}

const lam_weights *lam_bundle_weights(const lam_bundle *bundle)
{
    return bundle->members[0];
}

const lam_gate *lam_bundle_gate(const lam_bundle *bundle)
{
    return bundle->gate;
}

const lam_weights *const *lam_bundle_members(const lam_bundle *bundle, size_t *count)
{
    *count = bundle->member_count;
    return (const lam_weights *const *)bundle->members;
}

/* A detector gives a grid whose cells are as wide as they are high, whole pixels each. */
static lam_status check_head(const lam_manifest *manifest, const lam_shape *input, const lam_shape *head,
                             lam_error *err)
{
    char text[LAM_SHAPE_TEXT], have[LAM_SHAPE_TEXT];
    int64_t channels = LAM_HEAD_CLASSES + (int64_t)manifest->class_count;
    if (input->rank == 4 && head->rank == 4 && head->dim[0] == input->dim[0] && head->dim[3] == channels &&
        input->dim[1] % head->dim[1] == 0 && input->dim[2] % head->dim[2] == 0 &&
        input->dim[1] / head->dim[1] == input->dim[2] / head->dim[2])
        return LAM_OK;
    return lam_fail(
        err, LAM_E_INVALID,
        "`network`: for an input of %s its result is %s; detection needs [batch, rows, columns, %lld] with "
        "square cells",
        lam_shape_text(input, text), lam_shape_text(head, have), (long long)channels);
}

lam_status lam_bundle_plan(const lam_manifest *manifest, lam_session *session, const lam_shape *input,
                           lam_error *err)
{
    char text[LAM_SHAPE_TEXT], have[LAM_SHAPE_TEXT];
    lam_status status = lam_session_plan(session, input, err);
    if (status)
        return status;
    lam_shape want = *input;
    if (manifest->task == LAM_TASK_SEGMENTATION)
        want.dim[want.rank - 1] = (int64_t)manifest->segment_count + 1;
    else if (manifest->task == LAM_TASK_CLASSIFICATION)
        want = (lam_shape){.rank = 2, .dim = {input->dim[0], (int64_t)manifest->class_count}};
    else if (manifest->task == LAM_TASK_DETECTION)
        return check_head(manifest, input, lam_session_output_shape(session), err);
    else
        return LAM_OK;
    if (lam_shape_equal(lam_session_output_shape(session), &want))
        return LAM_OK;
    return lam_fail(err, LAM_E_INVALID, "`network`: for an input of %s its result is %s; %s needs %s",
                    lam_shape_text(input, text), lam_shape_text(lam_session_output_shape(session), have),
                    lam_task_name(manifest->task),
                    manifest->task == LAM_TASK_SEGMENTATION ? "the size of the input and one channel a class"
                                                            : "[batch, classes]");
}

const char *lam_bundle_weights_sha256(const lam_bundle *bundle)
{
    return bundle->sha256;
}
