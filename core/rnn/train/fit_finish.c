/* The end of a training: the members' weights in one file, scored, and the manifest that says so. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/io.h"
#include "core/rnn/bundle.h"
#include "core/rnn/train/fit_gate.h"
#include "core/rnn/train/fit_internal.h"

static lam_status open_set(const lam_fitting *fit, const char *name, int member, int members,
                           lam_weights **weights, char sha256[65], lam_error *err)
{
    LAM_AUTO_PTR(lam_safetensors) *file = NULL;
    lam_autoclose int fd = openat(fit->folder, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return lam_fail_errno(err, errno, "%s/%s", fit->settings->bundle, name);
    lam_status status = lam_safetensors_map(fd, &file, err);
    if (status)
        return status;
    if (sha256)
        lam_safetensors_sha256(file, sha256);
    return lam_weights_load_member(fit->network, file, member, members, weights, err);
}

/* The kept weights of all members into one file; its hash. `sets` are to be freed by the caller. */
static lam_status join_members(const lam_fitting *fit, lam_weights **sets, char sha256[65], lam_error *err)
{
    char done[64];
    lam_status status = LAM_OK;
    lam_weights *written = NULL;
    size_t count = (size_t)fit->manifest->members;
    for (size_t m = 0; m < count && status == LAM_OK; m++)
        status = open_set(fit, lam_fitting_done_file((int)m, done), 0, 1, &sets[m], NULL, err);
    if (status)
        return status;
    lam_weight_sets all = {(const lam_weights *const *)sets, count};
    if ((status = lam_fitting_replace(fit, LAM_BUNDLE_WEIGHTS, lam_fitting_write_weights, &all, err)) ==
        LAM_OK)
        status = open_set(fit, LAM_BUNDLE_WEIGHTS, 0, (int)count, &written, sha256, err);
    lam_weights_free(written);
    return status;
}

static lam_status write_manifest(const lam_fitting *fit, const lam_scores *scores, const char *sha256,
                                 lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_autofree lam_model_metric *metrics = calloc(scores->count + 1, sizeof *metrics);
    char date[LAM_CLOCK_TEXT], gate_sha256[65];
    lam_buffer_init(&text, LAM_MANIFEST_MAX_BYTES);
    if (!metrics)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_clock_iso8601(lam_clock_wall_ms(), date);
    date[10] = '\0'; /* the day */
    lam_manifest_update update = {.metrics = metrics,
                                  .date = date,
                                  .weights_sha256 = sha256,
                                  .temperature = fit->manifest->temperature};
    for (size_t i = 0; i < scores->count; i++)
        if (isfinite(scores->items[i].value))
            metrics[update.metric_count++] =
                (lam_model_metric){scores->items[i].name, scores->items[i].value};
    lam_status status = lam_fit_gate(fit->manifest, fit->network, fit->data, LAM_FIT_GATE_FALSE_ALARMS,
                                     fit->folder, gate_sha256, &update.gate, err);
    if (status)
        return status;
    status = lam_manifest_rewrite(fit->manifest, &update, &text, err);
    return status ? status
                  : lam_fitting_replace(fit, LAM_BUNDLE_MANIFEST, lam_fitting_write_text, &text, err);
}

/* All members on what none has seen; or each on the part that it has not. */
static lam_status evaluate(lam_fitting *fit, lam_weights *const *sets, bool calibrate, lam_evaluation **out,
                           lam_error *err)
{
    LAM_AUTO_PTR(lam_evaluation) *evaluation = NULL;
    size_t count = (size_t)fit->manifest->members;
    lam_status status = lam_evaluation_create(fit->manifest, !calibrate, calibrate, &evaluation, err);
    if (status == LAM_OK && fit->held_out)
        status = lam_evaluation_add(evaluation, (const lam_weights *const *)sets, count, fit->held_out,
                                    fit->pool, err);
    for (size_t m = 0; m < count && !fit->held_out && status == LAM_OK; m++) {
        if (!fit->parts[m])
            status = lam_samples_fold(fit->data, (int)m, (int)count, false, &fit->parts[m], err);
        if (status == LAM_OK)
            status = lam_evaluation_add(evaluation, (const lam_weights *const *)&sets[m], 1, fit->parts[m],
                                        fit->pool, err);
    }
    if (status == LAM_OK)
        *out = LAM_TAKE_PTR(evaluation);
    return status;
}

static lam_status score(lam_fitting *fit, lam_weights *const *sets, lam_scores *out, lam_error *err)
{
    LAM_AUTO_PTR(lam_evaluation) *warm = NULL;
    LAM_AUTO_PTR(lam_evaluation) * final = NULL;
    lam_status status = LAM_OK;
    if (!fit->held_out && !fit->recipe.cross_validate)
        return LAM_OK;
    if (fit->recipe.fit_temperature) {
        fit->manifest->temperature = 1;
        if ((status = evaluate(fit, sets, true, &warm, err)) ||
            (status = lam_evaluation_temperature(warm, &fit->manifest->temperature, err)))
            return status;
    }
    if ((status = evaluate(fit, sets, false, &final, err)))
        return status;
    return lam_evaluation_scores(final, 0, out, err);
}

lam_status lam_fitting_finish(lam_fitting *fit, lam_scores *out, lam_error *err)
{
    lam_weights *sets[LAM_MANIFEST_MAX_MEMBERS] = {NULL};
    char sha256[65];
    out->count = 0;
    lam_status status = join_members(fit, sets, sha256, err);
    if (status == LAM_OK)
        status = score(fit, sets, out, err);
    if (status == LAM_OK)
        status = write_manifest(fit, out, sha256, err);
    if (status == LAM_OK)
        lam_fitting_remove_leftovers(fit);
    for (int m = 0; m < LAM_MANIFEST_MAX_MEMBERS; m++)
        lam_weights_free(sets[m]);
    return status;
}
