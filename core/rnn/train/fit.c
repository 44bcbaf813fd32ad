#include "core/rnn/train/fit.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/io.h"
#include "core/rnn/bundle.h"
#include "core/rnn/train/curve.h"

#define CHECKPOINT "checkpoint.safetensors"

struct fit {
    const lam_fit_settings *settings;
    int folder;
    lam_manifest *manifest;
    lam_network *network;
    lam_recipe recipe;
    lam_samples *data, *train, *validation; /* train may be data itself */
    lam_pool *pool;
    lam_weights *weights;
    lam_trainer *trainer;
    lam_curve curve;
    const char *metric;
    double best;
    int64_t best_epoch;
    lam_fit_report *report;
    void *context;
    int64_t start_us, start_step;
};

static void fit_done(struct fit *fit)
{
    lam_trainer_free(fit->trainer);
    lam_weights_free(fit->weights);
    lam_pool_free(fit->pool);
    if (fit->train != fit->data)
        lam_samples_free(fit->train);
    lam_samples_free(fit->validation);
    lam_samples_free(fit->data);
    lam_network_free(fit->network);
    lam_manifest_free(fit->manifest);
    lam_curve_done(&fit->curve);
    if (fit->folder >= 0)
        close(fit->folder);
}

/* ---- files ---- */

typedef lam_status write_function(const struct fit *fit, int fd, const void *what, lam_error *err);

/* Writes aside, syncs, renames. */
static lam_status replace_file(const struct fit *fit, const char *name, write_function *write,
                               const void *what, lam_error *err)
{
    char aside[64];
    snprintf(aside, sizeof aside, ".%s.new", name);
    lam_autoclose int fd = openat(fit->folder, aside, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return lam_fail_errno(err, errno, "%s/%s", fit->settings->bundle, aside);
    lam_status status = write(fit, fd, what, err);
    if (status == LAM_OK)
        status = lam_io_sync(fd, err);
    if (status == LAM_OK && renameat(fit->folder, aside, fit->folder, name) != 0)
        status = lam_fail_errno(err, errno, "%s/%s", fit->settings->bundle, name);
    if (status)
        unlinkat(fit->folder, aside, 0);
    return status;
}

static lam_status write_text(const struct fit *fit, int fd, const void *what, lam_error *err)
{
    const lam_buffer *text = what;
    (void)fit;
    if (text->status)
        return lam_fail(err, text->status, "out of memory");
    return lam_io_write_all(fd, text->data, text->length, err);
}

static lam_status write_weights(const struct fit *fit, int fd, const void *what, lam_error *err)
{
    const char *const metadata[][2] = {{"format", "pt"},
                                       {"model", fit->manifest->name},
                                       {"version", fit->manifest->version},
                                       {"licence", fit->manifest->provenance.licence}};
    return lam_weights_save(what, fd, metadata, LAM_COUNT(metadata), err);
}

static lam_status write_checkpoint(const struct fit *fit, int fd, const void *what, lam_error *err)
{
    return lam_trainer_save(fit->trainer, fd, what, err);
}

/* ---- beginning ---- */

static lam_status open_folder(struct fit *fit, lam_error *err)
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

static lam_status open_data(struct fit *fit, lam_error *err)
{
    const lam_fit_settings *s = fit->settings;
    lam_status status =
        lam_samples_load(fit->manifest, fit->network, s->data, s->data_count, &fit->data, err);
    fit->train = fit->data;
    if (status)
        return status;
    if (s->validation_count)
        return lam_samples_load(fit->manifest, fit->network, s->validation, s->validation_count,
                                &fit->validation, err);
    if (s->folds < 2)
        return LAM_OK;
    lam_samples *others = NULL;
    if ((status = lam_samples_fold(fit->data, s->fold, s->folds, false, &fit->validation, err)) ||
        (status = lam_samples_fold(fit->data, s->fold, s->folds, true, &others, err)))
        return status;
    fit->train = others;
    return LAM_OK;
}

/* Fresh weights, or those of another bundle whose parameters have the same names and shapes. */
static lam_status open_weights(struct fit *fit, lam_error *err)
{
    LAM_AUTO_PTR(lam_safetensors) *file = NULL;
    char path[4096];
    if (!fit->settings->init)
        return lam_weights_create(fit->network, fit->settings->seed, &fit->weights, err);
    snprintf(path, sizeof path, "%s/%s", fit->settings->init, LAM_BUNDLE_WEIGHTS);
    lam_status status = lam_safetensors_open(path, &file, err);
    return status ? status : lam_weights_load(fit->network, file, &fit->weights, err);
}

static lam_status begin(struct fit *fit, lam_error *err)
{
    lam_status status;
    if ((status = open_folder(fit, err)) || (status = lam_recipe_parse(fit->manifest, &fit->recipe, err)))
        return status;
    if (fit->settings->epochs > 0)
        fit->recipe.epochs = fit->settings->epochs;
    fit->metric = fit->manifest->task == LAM_TASK_SEGMENTATION ? "dice_mean" : "auc";
    if (fit->settings->threads < 0)
        return lam_fail(err, LAM_E_INVALID, "%d threads", fit->settings->threads);
    if ((status = open_data(fit, err)) || (status = open_weights(fit, err)) ||
        (status = lam_pool_create((size_t)fit->settings->threads, &fit->pool, err)))
        return status;
    return lam_trainer_create(fit->manifest, &fit->recipe, fit->train, fit->weights, fit->pool,
                              fit->settings->seed, &fit->trainer, err);
}

static void note_best(struct fit *fit, const lam_curve_row *row)
{
    if (row->metric > fit->best || isnan(fit->best)) {
        fit->best = row->metric;
        fit->best_epoch = (int64_t)row->epoch;
    }
}

static lam_status resume(struct fit *fit, lam_error *err)
{
    lam_autoclose int fd = openat(fit->folder, CHECKPOINT, O_RDONLY | O_CLOEXEC);
    lam_autofree char *csv = NULL;
    if (fd < 0 && errno == ENOENT)
        return LAM_OK; /* killed before the first epoch ended */
    if (fd < 0)
        return lam_fail_errno(err, errno, "%s/" CHECKPOINT, fit->settings->bundle);
    lam_status status = lam_trainer_restore(fit->trainer, fd, &csv, err);
    if (status == LAM_OK)
        status = lam_curve_read(&fit->curve, csv, err);
    for (size_t i = 0; i < fit->curve.count && status == LAM_OK; i++)
        note_best(fit, &fit->curve.rows[i]);
    return status;
}

/* ---- epochs ---- */

static bool report(struct fit *fit, const lam_epoch *epoch, const lam_curve_row *row)
{
    double seconds = (double)(lam_clock_monotonic_us() - fit->start_us) / 1e6;
    double done = (double)(epoch->step - fit->start_step);
    double left = (double)(fit->recipe.epochs * epoch->steps_an_epoch - epoch->step);
    lam_fit_progress progress = {.epoch = epoch,
                                 .epochs = fit->recipe.epochs,
                                 .finished = row != NULL,
                                 .metric = fit->metric,
                                 .value = row ? row->metric : NAN,
                                 .best = fit->best,
                                 .eta_s = done > 0 ? seconds / done * left : NAN};
    return !fit->report || fit->report(fit->context, &progress);
}

static bool report_step(void *context, const lam_epoch *so_far)
{
    return report(context, so_far, NULL);
}

static bool is_time_to_validate(const struct fit *fit)
{
    int64_t epoch = lam_trainer_epochs(fit->trainer);
    return fit->validation && (epoch % fit->recipe.validate_every == 0 || epoch == fit->recipe.epochs);
}

/* Scores the weights and keeps them when they are the best so far. Without a validation set the last ones
 * count. */
static lam_status judge(struct fit *fit, lam_curve_row *row, lam_error *err)
{
    const lam_weights *weights = lam_trainer_kept_weights(fit->trainer);
    if (!fit->validation)
        return lam_trainer_epochs(fit->trainer) < fit->recipe.epochs
                   ? LAM_OK
                   : replace_file(fit, LAM_BUNDLE_WEIGHTS, write_weights, weights, err);
    if (!is_time_to_validate(fit))
        return LAM_OK;
    lam_autofree lam_scores *scores = calloc(1, sizeof *scores);
    if (!scores)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_status status = lam_evaluate(fit->manifest, weights, fit->validation, fit->pool, false, scores, err);
    if (status)
        return status;
    row->metric = lam_scores_get(scores, fit->metric);
    note_best(fit, row);
    if (fit->best_epoch != (int64_t)row->epoch)
        return LAM_OK;
    return replace_file(fit, LAM_BUNDLE_WEIGHTS, write_weights, weights, err);
}

static lam_status write_curve(const struct fit *fit, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer csv;
    LAM_AUTO(lam_buffer_done) lam_buffer svg;
    lam_buffer_init(&csv, 1 << 26);
    lam_buffer_init(&svg, 1 << 26);
    lam_curve_csv(&fit->curve, fit->metric, &csv);
    lam_curve_svg(&fit->curve, fit->metric, &svg);
    lam_status status;
    if ((status = replace_file(fit, "curve.csv", write_text, &csv, err)) ||
        (status = replace_file(fit, "curve.svg", write_text, &svg, err)))
        return status;
    return replace_file(fit, CHECKPOINT, write_checkpoint, lam_buffer_text(&csv), err);
}

static lam_status run_epoch(struct fit *fit, lam_error *err)
{
    lam_epoch epoch;
    lam_status status = lam_trainer_run_epoch(fit->trainer, report_step, fit, &epoch, err);
    if (status)
        return status;
    lam_curve_row row = {(double)epoch.epoch, epoch.loss, epoch.norm, epoch.rate, NAN};
    if ((status = judge(fit, &row, err)) || (status = lam_curve_add(&fit->curve, &row, err)) ||
        (status = write_curve(fit, err)))
        return status;
    return report(fit, &epoch, &row) ? LAM_OK : lam_fail(err, LAM_E_CANCELLED, "stopped");
}

static bool is_patience_over(const struct fit *fit)
{
    int64_t since = lam_trainer_epochs(fit->trainer) - fit->best_epoch;
    return fit->validation && fit->recipe.patience > 0 &&
           since >= fit->recipe.patience * fit->recipe.validate_every;
}

/* ---- end ---- */

/* The kept weights, read back from the file whose hash is noted. */
static lam_status open_kept(const struct fit *fit, lam_weights **weights, char sha256[65], lam_error *err)
{
    LAM_AUTO_PTR(lam_safetensors) *file = NULL;
    lam_autoclose int fd = openat(fit->folder, LAM_BUNDLE_WEIGHTS, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return lam_fail_errno(err, errno, LAM_BUNDLE_WEIGHTS);
    lam_status status = lam_safetensors_map(fd, &file, err);
    if (status)
        return status;
    lam_safetensors_sha256(file, sha256);
    return lam_weights_load(fit->network, file, weights, err);
}

static lam_status write_manifest(const struct fit *fit, const lam_scores *scores, const char *sha256,
                                 lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_autofree lam_model_metric *metrics = calloc(scores->count + 1, sizeof *metrics);
    char date[LAM_CLOCK_TEXT];
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
    lam_buffer_init(&text, LAM_MANIFEST_MAX_BYTES);
    lam_status status = lam_manifest_rewrite(fit->manifest, &update, &text, err);
    return status ? status : replace_file(fit, LAM_BUNDLE_MANIFEST, write_text, &text, err);
}

static lam_status finish(struct fit *fit, lam_scores *out, lam_error *err)
{
    LAM_AUTO_PTR(lam_weights) *weights = NULL;
    char sha256[65];
    lam_status status = open_kept(fit, &weights, sha256, err);
    out->count = 0;
    if (status)
        return status;
    if (fit->validation && fit->recipe.fit_temperature) {
        fit->manifest->temperature = 1;
        status = lam_evaluate_temperature(fit->manifest, weights, fit->validation, fit->pool,
                                          &fit->manifest->temperature, err);
    }
    if (fit->validation && status == LAM_OK)
        status = lam_evaluate(fit->manifest, weights, fit->validation, fit->pool, true, out, err);
    if (status == LAM_OK)
        status = write_manifest(fit, out, sha256, err);
    if (status == LAM_OK)
        unlinkat(fit->folder, CHECKPOINT, 0);
    return status;
}

lam_status lam_fit(const lam_fit_settings *settings, lam_fit_report *report_function, void *context,
                   lam_scores *out, lam_error *err)
{
    struct fit fit = {
        .settings = settings, .folder = -1, .report = report_function, .context = context, .best = NAN};
    lam_status status = begin(&fit, err);
    if (status == LAM_OK && settings->resume)
        status = resume(&fit, err);
    if (status == LAM_OK) {
        fit.start_us = lam_clock_monotonic_us();
        fit.start_step = lam_trainer_steps(fit.trainer);
    }
    while (status == LAM_OK && lam_trainer_epochs(fit.trainer) < fit.recipe.epochs && !is_patience_over(&fit))
        status = run_epoch(&fit, err);
    if (status == LAM_OK)
        status = finish(&fit, out, err);
    fit_done(&fit);
    return status;
}
