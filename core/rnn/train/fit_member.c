/* One member of a bundle: its part of the data, its weights, its epochs with validation and checkpoints. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/rnn/bundle.h"
#include "core/rnn/random.h"
#include "core/rnn/train/fit_internal.h"

/* What belongs to one member. */
static void member_done(lam_fitting *fit)
{
    lam_trainer_free(fit->trainer);
    lam_weights_free(fit->weights);
    lam_samples_free(fit->trusted);
    lam_samples_free(fit->own_train);
    lam_samples_free(fit->own_validation);
    lam_curve_done(&fit->curve);
    fit->trainer = NULL;
    fit->weights = NULL;
    fit->own_train = fit->own_validation = fit->trusted = NULL;
}

/* Cases whose truth is wrong are not learnt from; they are scored like all others. */
static lam_status leave_out(lam_fitting *fit, lam_error *err)
{
    if (lam_jv_count(fit->recipe.leave_out) == 0)
        return LAM_OK;
    lam_status status = lam_samples_without(fit->train, fit->recipe.leave_out, &fit->trusted, err);
    if (status)
        lam_error_prefix(err, "`training.leave_out`");
    else
        fit->train = fit->trusted;
    return status;
}

/* What this member learns from and is judged on. */
static lam_status split_data(lam_fitting *fit, lam_error *err)
{
    fit->train = fit->rest ? fit->rest : fit->data;
    fit->validation = fit->held_out;
    if (!fit->recipe.cross_validate)
        return leave_out(fit, err);
    const lam_samples *all = fit->train;
    lam_status status =
        lam_samples_fold(all, fit->member, fit->manifest->members, true, &fit->own_train, err);
    if (status == LAM_OK)
        status = lam_samples_fold(all, fit->member, fit->manifest->members, false, &fit->own_validation, err);
    fit->train = fit->own_train;
    fit->validation = fit->own_validation;
    return status ? status : leave_out(fit, err);
}

/* Fresh weights, or as far as names and shapes agree those of another bundle. */
static lam_status open_weights(lam_fitting *fit, lam_error *err)
{
    LAM_AUTO_PTR(lam_safetensors) *file = NULL;
    char path[4096];
    size_t taken = 0;
    lam_status status = lam_weights_create(fit->network, fit->seed, &fit->weights, err);
    if (status || !fit->settings->init)
        return status;
    snprintf(path, sizeof path, "%s/%s", fit->settings->init, LAM_BUNDLE_WEIGHTS);
    if ((status = lam_safetensors_open(path, &file, err)) ||
        (status = lam_weights_adopt(fit->weights, file, &taken, err)))
        return status;
    return taken
               ? LAM_OK
               : lam_fail(err, LAM_E_INVALID, "%s: no parameter has a name and shape of this network", path);
}

static lam_status begin_member(lam_fitting *fit, lam_error *err)
{
    lam_status status;
    fit->seed =
        fit->member ? lam_random_mix(fit->settings->seed, (uint64_t)fit->member) : fit->settings->seed;
    fit->best = NAN;
    fit->best_epoch = 0;
    if ((status = split_data(fit, err)) || (status = open_weights(fit, err)))
        return status;
    return lam_trainer_create(fit->manifest, &fit->recipe, fit->train, fit->weights, fit->pool, fit->seed,
                              &fit->trainer, err);
}

static void note_best(lam_fitting *fit, const lam_curve_row *row)
{
    bool better = fit->kind->lower_is_better ? row->metric < fit->best : row->metric > fit->best;
    if (better || (isnan(fit->best) && !isnan(row->metric))) {
        fit->best = row->metric;
        fit->best_epoch = (int64_t)row->epoch;
    }
}

static lam_status resume(lam_fitting *fit, lam_error *err)
{
    lam_autoclose int fd = openat(fit->folder, LAM_FIT_CHECKPOINT, O_RDONLY | O_CLOEXEC);
    lam_autofree char *csv = NULL;
    if (fd < 0 && errno == ENOENT)
        return LAM_OK; /* killed before the first epoch ended */
    if (fd < 0)
        return lam_fail_errno(err, errno, "%s/" LAM_FIT_CHECKPOINT, fit->settings->bundle);
    lam_status status = lam_trainer_restore(fit->trainer, fd, &csv, err);
    if (status == LAM_OK)
        status = lam_curve_read(&fit->curve, csv, err);
    for (size_t i = 0; i < fit->curve.count && status == LAM_OK; i++)
        note_best(fit, &fit->curve.rows[i]);
    return status;
}

/* ---- epochs ---- */

static bool report(lam_fitting *fit, const lam_epoch *epoch, const lam_curve_row *row)
{
    double seconds = (double)(lam_clock_monotonic_us() - fit->start_us) / 1e6;
    double done = (double)(epoch->step - fit->start_step);
    double left = (double)(fit->recipe.epochs * epoch->steps_an_epoch - epoch->step);
    lam_fit_progress progress = {.epoch = epoch,
                                 .epochs = fit->recipe.epochs,
                                 .member = fit->member,
                                 .members = fit->manifest->members,
                                 .finished = row != NULL,
                                 .metric = fit->kind->metric,
                                 .value = row ? row->metric : NAN,
                                 .best = fit->best,
                                 .eta_s = done > 0 ? seconds / done * left : NAN};
    return !fit->report || fit->report(fit->context, &progress);
}

static bool report_step(void *context, const lam_epoch *so_far)
{
    return report(context, so_far, NULL);
}

static bool is_time_to_validate(const lam_fitting *fit)
{
    int64_t epoch = lam_trainer_epochs(fit->trainer);
    return fit->validation && (epoch % fit->recipe.validate_every == 0 || epoch == fit->recipe.epochs);
}

static lam_status keep(const lam_fitting *fit, const lam_weights *weights, lam_error *err)
{
    lam_weight_sets sets = {&weights, 1};
    return lam_fitting_replace(fit, LAM_FIT_KEPT, lam_fitting_write_weights, &sets, err);
}

static lam_status validate(const lam_fitting *fit, const lam_weights *weights, double *metric, lam_error *err)
{
    LAM_AUTO_PTR(lam_evaluation) *evaluation = NULL;
    lam_autofree lam_scores *scores = calloc(1, sizeof *scores);
    if (!scores)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_status status = lam_evaluation_create(fit->manifest, false, false, &evaluation, err);
    if (status == LAM_OK)
        status = lam_evaluation_add(evaluation, &weights, 1, fit->validation, fit->pool, err);
    if (status == LAM_OK)
        status = lam_evaluation_scores(evaluation, 0, scores, err);
    if (status == LAM_OK)
        *metric = lam_scores_get(scores, fit->kind->metric);
    return status;
}

/* Scores the weights and keeps them when they are the best so far. Without a validation set the last ones
 * count. */
static lam_status judge(lam_fitting *fit, lam_curve_row *row, lam_error *err)
{
    const lam_weights *weights = lam_trainer_kept_weights(fit->trainer);
    if (!fit->validation)
        return lam_trainer_epochs(fit->trainer) < fit->recipe.epochs ? LAM_OK : keep(fit, weights, err);
    if (!is_time_to_validate(fit))
        return LAM_OK;
    lam_status status = validate(fit, weights, &row->metric, err);
    if (status)
        return status;
    note_best(fit, row);
    return fit->best_epoch == (int64_t)row->epoch ? keep(fit, weights, err) : LAM_OK;
}

static lam_status write_checkpoint(const lam_fitting *fit, int fd, const void *what, lam_error *err)
{
    return lam_trainer_save(fit->trainer, fd, what, err);
}

static lam_status write_curve(const lam_fitting *fit, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer csv;
    LAM_AUTO(lam_buffer_done) lam_buffer svg;
    lam_buffer_init(&csv, 1 << 26);
    lam_buffer_init(&svg, 1 << 26);
    lam_curve_csv(&fit->curve, fit->kind->metric, &csv);
    lam_curve_svg(&fit->curve, fit->kind->metric, &svg);
    char name[64];
    lam_status status;
    if ((status = lam_fitting_replace(fit, lam_fitting_member_file(fit, "curve", "csv", name),
                                      lam_fitting_write_text, &csv, err)) ||
        (status = lam_fitting_replace(fit, lam_fitting_member_file(fit, "curve", "svg", name),
                                      lam_fitting_write_text, &svg, err)))
        return status;
    return lam_fitting_replace(fit, LAM_FIT_CHECKPOINT, write_checkpoint, lam_buffer_text(&csv), err);
}

static lam_status run_epoch(lam_fitting *fit, lam_error *err)
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

static bool is_patience_over(const lam_fitting *fit)
{
    int64_t since = lam_trainer_epochs(fit->trainer) - fit->best_epoch;
    return fit->validation && fit->recipe.patience > 0 &&
           since >= fit->recipe.patience * fit->recipe.validate_every;
}

/* ---- the member ---- */

static lam_status train(lam_fitting *fit, lam_error *err)
{
    char done[64];
    lam_status status = begin_member(fit, err);
    if (status == LAM_OK && fit->settings->resume)
        status = resume(fit, err);
    if (status)
        return status;
    fit->start_us = lam_clock_monotonic_us();
    fit->start_step = lam_trainer_steps(fit->trainer);
    while (status == LAM_OK && lam_trainer_epochs(fit->trainer) < fit->recipe.epochs &&
           !is_patience_over(fit))
        status = run_epoch(fit, err);
    if (status)
        return status;
    /* In this order: what is killed in between trains this member again, and never goes on from the
     * checkpoint of another. */
    unlinkat(fit->folder, LAM_FIT_CHECKPOINT, 0);
    if (renameat(fit->folder, LAM_FIT_KEPT, fit->folder, lam_fitting_done_file(fit->member, done)) == 0)
        return LAM_OK;
    if (errno == ENOENT)
        return lam_fail(err, LAM_E_INVALID, "no weights were kept: %s was never a number", fit->kind->metric);
    return lam_fail_errno(err, errno, "%s/" LAM_FIT_KEPT, fit->settings->bundle);
}

lam_status lam_fitting_run_member(lam_fitting *fit, lam_error *err)
{
    lam_status status = train(fit, err);
    member_done(fit);
    return status;
}
