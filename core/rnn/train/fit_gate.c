#include "core/rnn/train/fit_gate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/rnn/bundle.h"

enum { LEAST_SAMPLES = 40 };

static lam_status learn(const lam_manifest *manifest, const lam_network *network, const lam_samples *data,
                        double false_alarms, lam_gate **out, double *threshold, lam_error *err)
{
    size_t count = lam_samples_count(data);
    lam_autofree lam_gate_case *cases = calloc(count, sizeof *cases);
    if (!cases)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++) {
        const lam_sample *sample = lam_samples_at(data, i);
        cases[i].prepared = sample->prepared;
        memcpy(cases[i].size, sample->size, sizeof cases[i].size);
    }
    return lam_gate_fit(&manifest->preprocessing, lam_network_axes(network),
                        lam_network_input_channels(network), cases, count, false_alarms, out, threshold, err);
}

static lam_status write_gate(void *context, int fd, lam_error *err)
{
    return lam_gate_save(context, fd, err);
}

static lam_status hash_file(int folder, char sha256[65], lam_error *err)
{
    LAM_AUTO_PTR(lam_safetensors) *file = NULL;
    lam_autoclose int fd = openat(folder, LAM_BUNDLE_GATE, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return lam_fail_errno(err, errno, LAM_BUNDLE_GATE);
    lam_status status = lam_safetensors_map(fd, &file, err);
    if (status == LAM_OK)
        lam_safetensors_sha256(file, sha256);
    return status;
}

lam_status lam_fit_gate(const lam_manifest *manifest, const lam_network *network, const lam_samples *data,
                        double false_alarms, int folder, char sha256[65], lam_model_gate *out, lam_error *err)
{
    LAM_AUTO_PTR(lam_gate) *gate = NULL;
    lam_model_gate learnt = {.sha256 = sha256, .false_alarms = false_alarms};
    int axes = lam_network_axes(network);
    sha256[0] = '\0';
    if (manifest->task == LAM_TASK_GENERATION || axes < 2 || axes > 3 ||
        lam_samples_count(data) < LEAST_SAMPLES) {
        unlinkat(folder, LAM_BUNDLE_GATE, 0);
        *out = learnt;
        return LAM_OK;
    }
    lam_status status = learn(manifest, network, data, false_alarms, &gate, &learnt.threshold, err);
    if (status == LAM_OK)
        status = lam_io_replace(folder, LAM_BUNDLE_GATE, write_gate, gate, err);
    if (status == LAM_OK)
        status = hash_file(folder, sha256, err);
    if (status == LAM_OK)
        *out = learnt;
    return status;
}
