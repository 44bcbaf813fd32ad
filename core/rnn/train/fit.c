/* A bundle from data: opens both, trains the members that are not done yet, and finishes. */
#include "core/rnn/train/fit_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/rnn/bundle.h"

static void fit_done(lam_fitting *fit)
{
    lam_pool_free(fit->pool);
    for (int m = 0; m < LAM_MANIFEST_MAX_MEMBERS; m++)
        lam_samples_free(fit->parts[m]);
    lam_samples_free(fit->held_out);
    lam_samples_free(fit->rest);
    lam_samples_free(fit->data);
    lam_network_free(fit->network);
    lam_manifest_free(fit->manifest);
    if (fit->folder >= 0)
        close(fit->folder);
}

static lam_status open_folder(lam_fitting *fit, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_buffer_init(&text, LAM_MANIFEST_MAX_BYTES);
    fit->folder = open(fit->settings->bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fit->folder < 0)
        return lam_fail_errno(err, errno, "%s", fit->settings->bundle);
    lam_autoclose int fd = openat(fit->folder, LAM_BUNDLE_MANIFEST, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return lam_fail_errno(err, errno, "%s/" LAM_BUNDLE_MANIFEST, fit->settings->bundle);
    lam_status status = lam_io_read_to_end(fd, &text, err);
    if (status == LAM_OK)
        status = lam_manifest_parse(lam_buffer_text(&text), text.length, &fit->manifest, err);
    if (status == LAM_OK)
        status = lam_network_create(fit->manifest->network, &fit->network, err);
    return status;
}

static lam_status open_data(lam_fitting *fit, lam_error *err)
{
    const lam_fit_settings *s = fit->settings;
    lam_status status =
        lam_samples_load(fit->manifest, fit->network, s->data, s->data_count, &fit->data, err);
    if (status)
        return status;
    if (s->validation_count)
        return lam_samples_load(fit->manifest, fit->network, s->validation, s->validation_count,
                                &fit->held_out, err);
    if (s->folds < 2)
        return LAM_OK;
    status = lam_samples_fold(fit->data, s->fold, s->folds, false, &fit->held_out, err);
    return status ? status : lam_samples_fold(fit->data, s->fold, s->folds, true, &fit->rest, err);
}

static lam_status begin(lam_fitting *fit, lam_error *err)
{
    lam_status status;
    if ((status = open_folder(fit, err)) || (status = lam_recipe_parse(fit->manifest, &fit->recipe, err)) ||
        (status = lam_task_kind_of(fit->manifest, &fit->kind, err)))
        return status;
    if (fit->settings->epochs > 0)
        fit->recipe.epochs = fit->settings->epochs;
    if (fit->settings->threads < 0)
        return lam_fail(err, LAM_E_INVALID, "%d threads", fit->settings->threads);
    if ((status = open_data(fit, err)))
        return status;
    return lam_pool_create((size_t)fit->settings->threads, &fit->pool, err);
}

/* Trains the members that are not done yet. */
static lam_status run_members(lam_fitting *fit, lam_error *err)
{
    char done[64];
    lam_status status = LAM_OK;
    if (!fit->settings->resume)
        lam_fitting_remove_leftovers(fit);
    for (fit->member = 0; fit->member < fit->manifest->members && status == LAM_OK; fit->member++) {
        if (faccessat(fit->folder, lam_fitting_done_file(fit->member, done), F_OK, 0) == 0)
            continue;
        status = lam_fitting_run_member(fit, err);
    }
    return status;
}

lam_status lam_fit(const lam_fit_settings *settings, lam_fit_report *report_function, void *context,
                   lam_scores *out, lam_error *err)
{
    lam_fitting fit = {
        .settings = settings, .folder = -1, .report = report_function, .context = context, .best = NAN};
    lam_status status = begin(&fit, err);
    if (status == LAM_OK)
        status = run_members(&fit, err);
    if (status == LAM_OK)
        status = lam_fitting_finish(&fit, out, err);
    fit_done(&fit);
    return status;
}
