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
#include "core/rnn/random.h"
#include "core/rnn/train/curve.h"
#include "core/rnn/train/task.h"

#define CHECKPOINT "checkpoint.safetensors"
#define KEPT       "kept.safetensors"

struct fit {
    const lam_fit_settings *settings;
    int folder;
    lam_manifest *manifest;
    lam_network *network;
    lam_recipe recipe;
    const lam_task_kind *kind;
    lam_samples *data, *held_out;                 /* held_out: --val or --fold, of all members; NULL: none */
    lam_samples *rest;                            /* of --fold: what is not held out */
    lam_samples *parts[LAM_MANIFEST_MAX_MEMBERS]; /* what each member is judged on at the end */
    lam_pool *pool;

    /* Of the member that is being trained. */
    int member;
    uint64_t seed;
    lam_samples *own_train, *own_validation; /* cross_validate */
    const lam_samples *train, *validation;
    lam_weights *weights;
    lam_trainer *trainer;
    lam_curve curve;
    double best;
    int64_t best_epoch;
    lam_fit_report *report;
    void *context;
    int64_t start_us, start_step;
};

/* What belongs to one member. */
static void member_done(struct fit *fit)
{
    lam_trainer_free(fit->trainer);
    lam_weights_free(fit->weights);
    lam_samples_free(fit->own_train);
    lam_samples_free(fit->own_validation);
    lam_curve_done(&fit->curve);
    fit->trainer = NULL;
    fit->weights = NULL;
    fit->own_train = fit->own_validation = NULL;
}

static void fit_done(struct fit *fit)
{
    member_done(fit);
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

/* ---- files ---- */

typedef lam_status write_function(const struct fit *fit, int fd, const void *what, lam_error *err);

struct writing {
    const struct fit *fit;
    write_function *write;
    const void *what;
};

static lam_status run_writing(void *context, int fd, lam_error *err)
{
    const struct writing *w = context;
    return w->write(w->fit, fd, w->what, err);
}

static lam_status replace_file(const struct fit *fit, const char *name, write_function *write,
                               const void *what, lam_error *err)
{
    struct writing writing = {fit, write, what};
    lam_status status = lam_io_replace(fit->folder, name, run_writing, &writing, err);
    if (status)
        lam_error_prefix(err, "%s", fit->settings->bundle);
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

/* Weight sets of one network. */
struct sets {
    const lam_weights *const *members;
    size_t count;
};

static lam_status write_weights(const struct fit *fit, int fd, const void *what, lam_error *err)
{
    const struct sets *sets = what;
    const char *const metadata[][2] = {{"format", "pt"},
                                       {"model", fit->manifest->name},
                                       {"version", fit->manifest->version},
                                       {"licence", fit->manifest->provenance.licence}};
    return lam_weights_save(sets->members, sets->count, fd, metadata, LAM_COUNT(metadata), err);
}

/* "curve.csv", of an ensemble "curve-2.csv". */
static const char *member_file(const struct fit *fit, const char *stem, const char *end, char name[64])
{
    if (fit->manifest->members > 1)
        snprintf(name, 64, "%s-%d.%s", stem, fit->member, end);
    else
        snprintf(name, 64, "%s.%s", stem, end);
    return name;
}

static const char *done_file(int member, char name[64])
{
    snprintf(name, 64, "member-%d.safetensors", member);
    return name;
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

/* What this member learns from and is judged on. */
static lam_status split_data(struct fit *fit, lam_error *err)
{
    fit->train = fit->rest ? fit->rest : fit->data;
    fit->validation = fit->held_out;
    if (!fit->recipe.cross_validate)
        return LAM_OK;
    const lam_samples *all = fit->train;
    lam_status status =
        lam_samples_fold(all, fit->member, fit->manifest->members, true, &fit->own_train, err);
    if (status == LAM_OK)
        status = lam_samples_fold(all, fit->member, fit->manifest->members, false, &fit->own_validation, err);
    fit->train = fit->own_train;
    fit->validation = fit->own_validation;
    return status;
}

/* Fresh weights, or as far as names and shapes agree those of another bundle. */
static lam_status open_weights(struct fit *fit, lam_error *err)
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

static lam_status begin(struct fit *fit, lam_error *err)
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

static lam_status begin_member(struct fit *fit, lam_error *err)
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

static void note_best(struct fit *fit, const lam_curve_row *row)
{
    bool better = fit->kind->lower_is_better ? row->metric < fit->best : row->metric > fit->best;
    if (better || (isnan(fit->best) && !isnan(row->metric))) {
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

static bool is_time_to_validate(const struct fit *fit)
{
    int64_t epoch = lam_trainer_epochs(fit->trainer);
    return fit->validation && (epoch % fit->recipe.validate_every == 0 || epoch == fit->recipe.epochs);
}

static lam_status keep(const struct fit *fit, const lam_weights *weights, lam_error *err)
{
    struct sets sets = {&weights, 1};
    return replace_file(fit, KEPT, write_weights, &sets, err);
}

static lam_status validate(const struct fit *fit, const lam_weights *weights, double *metric, lam_error *err)
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
static lam_status judge(struct fit *fit, lam_curve_row *row, lam_error *err)
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

static lam_status write_curve(const struct fit *fit, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer csv;
    LAM_AUTO(lam_buffer_done) lam_buffer svg;
    lam_buffer_init(&csv, 1 << 26);
    lam_buffer_init(&svg, 1 << 26);
    lam_curve_csv(&fit->curve, fit->kind->metric, &csv);
    lam_curve_svg(&fit->curve, fit->kind->metric, &svg);
    char name[64];
    lam_status status;
    if ((status = replace_file(fit, member_file(fit, "curve", "csv", name), write_text, &csv, err)) ||
        (status = replace_file(fit, member_file(fit, "curve", "svg", name), write_text, &svg, err)))
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

/* ---- members ---- */

static lam_status run_member(struct fit *fit, lam_error *err)
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
    unlinkat(fit->folder, CHECKPOINT, 0);
    if (renameat(fit->folder, KEPT, fit->folder, done_file(fit->member, done)) == 0)
        return LAM_OK;
    if (errno == ENOENT)
        return lam_fail(err, LAM_E_INVALID, "no weights were kept: %s was never a number", fit->kind->metric);
    return lam_fail_errno(err, errno, "%s/" KEPT, fit->settings->bundle);
}

static void remove_leftovers(const struct fit *fit)
{
    char done[64];
    for (int m = 0; m < fit->manifest->members; m++)
        unlinkat(fit->folder, done_file(m, done), 0);
    unlinkat(fit->folder, CHECKPOINT, 0);
    unlinkat(fit->folder, KEPT, 0);
}

/* Trains the members that are not done yet. */
static lam_status run_members(struct fit *fit, lam_error *err)
{
    char done[64];
    lam_status status = LAM_OK;
    if (!fit->settings->resume)
        remove_leftovers(fit);
    for (fit->member = 0; fit->member < fit->manifest->members && status == LAM_OK; fit->member++) {
        if (faccessat(fit->folder, done_file(fit->member, done), F_OK, 0) == 0)
            continue;
        status = run_member(fit, err);
        member_done(fit);
    }
    return status;
}

/* ---- end ---- */

static lam_status open_set(const struct fit *fit, const char *name, int member, int members,
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
static lam_status join_members(const struct fit *fit, lam_weights **sets, char sha256[65], lam_error *err)
{
    char done[64];
    lam_status status = LAM_OK;
    lam_weights *written = NULL;
    size_t count = (size_t)fit->manifest->members;
    for (size_t m = 0; m < count && status == LAM_OK; m++)
        status = open_set(fit, done_file((int)m, done), 0, 1, &sets[m], NULL, err);
    if (status)
        return status;
    struct sets all = {(const lam_weights *const *)sets, count};
    if ((status = replace_file(fit, LAM_BUNDLE_WEIGHTS, write_weights, &all, err)) == LAM_OK)
        status = open_set(fit, LAM_BUNDLE_WEIGHTS, 0, (int)count, &written, sha256, err);
    lam_weights_free(written);
    return status;
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

/* All members on what none has seen; or each on the part that it has not. */
static lam_status evaluate(struct fit *fit, lam_weights *const *sets, bool calibrate, lam_evaluation **out,
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

static lam_status score(struct fit *fit, lam_weights *const *sets, lam_scores *out, lam_error *err)
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

static lam_status finish(struct fit *fit, lam_scores *out, lam_error *err)
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
        remove_leftovers(fit);
    for (int m = 0; m < LAM_MANIFEST_MAX_MEMBERS; m++)
        lam_weights_free(sets[m]);
    return status;
}

lam_status lam_fit(const lam_fit_settings *settings, lam_fit_report *report_function, void *context,
                   lam_scores *out, lam_error *err)
{
    struct fit fit = {
        .settings = settings, .folder = -1, .report = report_function, .context = context, .best = NAN};
    lam_status status = begin(&fit, err);
    if (status == LAM_OK)
        status = run_members(&fit, err);
    if (status == LAM_OK)
        status = finish(&fit, out, err);
    fit_done(&fit);
    return status;
}
