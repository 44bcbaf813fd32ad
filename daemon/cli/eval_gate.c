#include "daemon/cli/eval_gate.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>

#include "core/base/buffer.h"
#include "core/base/io.h"
#include "core/rnn/train/fit_gate.h"

static lam_status count_refused(const lam_bundle *bundle, const lam_samples *samples, size_t *out,
                                lam_error *err)
{
    const lam_manifest *manifest = lam_bundle_manifest(bundle);
    const lam_network *network = lam_bundle_network(bundle);
    size_t refused = 0;
    for (size_t i = 0; i < lam_samples_count(samples); i++) {
        const lam_sample *sample = lam_samples_at(samples, i);
        lam_gate_case input = {.prepared = sample->prepared};
        double score;
        memcpy(input.size, sample->size, sizeof input.size);
        lam_status status =
            lam_gate_score(lam_bundle_gate(bundle), &manifest->preprocessing, lam_network_axes(network),
                           lam_network_input_channels(network), &input, &score, err);
        if (status)
            return status;
        refused += score > manifest->gate.threshold;
    }
    *out = refused;
    return LAM_OK;
}

lam_status lam_eval_add_gate(const lam_bundle *bundle, const lam_samples *samples, lam_scores *scores,
                             lam_error *err)
{
    size_t refused = 0, room = scores->count;
    lam_status status = LAM_OK;
    if (!lam_bundle_gate(bundle) || (status = count_refused(bundle, samples, &refused, err)))
        return status;
    double n = (double)lam_samples_count(samples), share = (double)refused / n, z2 = 1.96 * 1.96;
    double middle = (share + z2 / (2 * n)) / (1 + z2 / n);
    double half = sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n);
    lam_scores_add(scores, share, "gate_refused", "");
    if (scores->count > room) {
        scores->items[room].low = fmax(middle - half, 0);
        scores->items[room].high = fmin(middle + half, 1);
    }
    return LAM_OK;
}

static lam_status write_text(void *context, int fd, lam_error *err)
{
    const lam_buffer *text = context;
    return lam_io_write_all(fd, text->data, text->length, err);
}

lam_status lam_eval_fit_gate(const char *directory, const lam_bundle *bundle, const lam_samples *samples,
                             double false_alarms, lam_model_gate *out, lam_error *err)
{
    const lam_manifest *manifest = lam_bundle_manifest(bundle);
    const lam_model_provenance *provenance = &manifest->provenance;
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    char sha256[65];
    lam_manifest_update update = {.metrics = provenance->metrics,
                                  .metric_count = provenance->metric_count,
                                  .date = provenance->date,
                                  .weights_sha256 = provenance->weights_sha256,
                                  .temperature = manifest->temperature};
    lam_buffer_init(&text, LAM_MANIFEST_MAX_BYTES);
    lam_autoclose int folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return lam_fail_errno(err, errno, "%s", directory);
    lam_status status = lam_fit_gate(manifest, lam_bundle_network(bundle), samples, false_alarms, folder,
                                     sha256, &update.gate, err);
    if (status == LAM_OK && !*sha256)
        status =
            lam_fail(err, LAM_E_UNSUPPORTED,
                     "model %s gets no gate: it needs more samples, of images, and a task that reads them",
                     manifest->name);
    if (status == LAM_OK)
        status = lam_manifest_rewrite(manifest, &update, &text, err);
    if (status == LAM_OK)
        status = lam_io_replace(folder, LAM_BUNDLE_MANIFEST, write_text, &text, err);
    if (status == LAM_OK) {
        *out = update.gate;
        out->sha256 = ""; /* the text does not outlive this call */
    }
    return status;
}
