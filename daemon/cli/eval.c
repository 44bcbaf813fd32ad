/* `lamina eval`: scores a bundle on a labelled set. */
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buffer.h"
#include "core/base/cleanup.h"
#include "core/base/json.h"
#include "core/rnn/bundle.h"
#include "core/rnn/train/fit_gate.h"
#include "core/rnn/train/novelty.h"
#include "daemon/cli/cli.h"
#include "daemon/cli/dicom_samples.h"
#include "daemon/cli/eval_card.h"
#include "daemon/cli/eval_explain.h"
#include "daemon/cli/eval_gate.h"
#include "daemon/cli/options.h"

enum { DEFAULT_ROUNDS = 1000 };

struct eval_options {
    const char *bundle;
    lam_option_paths data;
    lam_option_paths training;          /* of a generator: what its drawings are compared with */
    const char *card;                   /* NULL: none; "" : the set is named after its first file */
    int64_t threads, rounds, explained; /* explained: cases, 0: none */
    double false_alarms;                /* of the gate that is to be learnt; 0: none */
    bool json, out_of_fold;
};

/* "" is the usual share. */
static bool read_share(const char *text, void *into)
{
    char *end = NULL;
    double *share = into;
    *share = *text ? strtod(text, &end) : LAM_FIT_GATE_FALSE_ALARMS;
    return !*text || (!*end && *share > 0 && *share < 1);
}

static int parse_arguments(int argc, char **argv, struct eval_options *out)
{
    const lam_option known[] = {
        {"bundle", .text = &out->bundle},
        {"data", .paths = &out->data},
        {"training", .paths = &out->training},
        {"threads", .number = &out->threads, .least = 1, .most = 256},
        {"bootstrap", .number = &out->rounds, .least = 0, .most = 100000},
        {"explain", .number = &out->explained, .least = 1, .most = 100000, .alone = "30"},
        {"card", .text = &out->card, .alone = ""},
        {"fit-gate", .read = read_share, .into = &out->false_alarms, .takes = "a share between 0 and 1",
         .alone = ""},
        {"out-of-fold", .flag = &out->out_of_fold},
        {"json", .flag = &out->json},
        {0},
    };
    char **rest;
    int status = lam_options_read(argc, argv, known, &rest);
    if (status != LAM_CLI_OK)
        return status;
    if (!out->bundle || out->data.count == 0 || *rest)
        return lam_cli_usage(argv[0], "--bundle and --data are needed");
    return LAM_CLI_OK;
}

/* What an evaluation borrows. */
struct work {
    lam_dicom_set set;
    lam_samples *dataset, *training, *parts[LAM_MANIFEST_MAX_MEMBERS];
    lam_pool *pool;
    lam_evaluation *evaluation;
};

static void work_done(struct work *work)
{
    lam_evaluation_free(work->evaluation);
    for (int m = 0; m < LAM_MANIFEST_MAX_MEMBERS; m++)
        lam_samples_free(work->parts[m]);
    lam_samples_free(work->dataset);
    lam_samples_free(work->training);
    lam_dicom_set_done(&work->set);
    lam_pool_free(work->pool);
}

/* Each part of the data that a cross-validated ensemble was trained on, by the member that left it out. */
static lam_status add_parts(struct work *work, const lam_weights *const *members, size_t count,
                            lam_error *err)
{
    lam_status status = LAM_OK;
    if (count < 2)
        return lam_fail(err, LAM_E_INVALID, "--out-of-fold is for bundles of several weight sets");
    for (size_t m = 0; m < count && status == LAM_OK; m++) {
        status = lam_samples_fold(work->dataset, (int)m, (int)count, false, &work->parts[m], err);
        if (status == LAM_OK)
            status = lam_evaluation_add(work->evaluation, &members[m], 1, work->parts[m], work->pool, err);
    }
    return status;
}

static lam_status fit_gate(const struct eval_options *options, const lam_bundle *bundle,
                           const lam_samples *samples, lam_error *err)
{
    lam_model_gate gate = {0};
    lam_status status =
        lam_eval_fit_gate(options->bundle, bundle, samples, options->false_alarms, &gate, err);
    if (status == LAM_OK)
        fprintf(stderr, "gate written: scores above %.3f are refused, %.3g %% of genuine inputs\n",
                gate.threshold, 100 * gate.false_alarms);
    return status;
}

/* How near what a generator draws comes to what it was trained on. */
static lam_status compare_drawings(const struct eval_options *options, const lam_bundle *bundle,
                                   struct work *work, lam_scores *scores, lam_error *err)
{
    lam_status status =
        lam_samples_load(lam_bundle_manifest(bundle), lam_bundle_network(bundle), options->training.items,
                         options->training.count, &work->training, err);
    return status ? status
                  : lam_novelty_measure(bundle, work->training, work->dataset, work->pool, scores, err);
}

static lam_status evaluate(const struct eval_options *options, const lam_bundle *bundle, size_t *cases,
                           lam_scores *scores, lam_error *err)
{
    LAM_AUTO(work_done) struct work work = {.set = LAM_DICOM_SET_NONE};
    lam_option_paths data = options->data;
    size_t count;
    const lam_weights *const *members = lam_bundle_members(bundle, &count);
    lam_status status;
    if ((status = lam_dicom_samples_replace(options->bundle, data.items, &data.count, &work.set, err)) ||
        (status = lam_samples_load(lam_bundle_manifest(bundle), lam_bundle_network(bundle), data.items,
                                   data.count, &work.dataset, err)) ||
        options->false_alarms > 0)
        return status ? status : fit_gate(options, bundle, work.dataset, err);
    if ((status = lam_pool_create((size_t)options->threads, &work.pool, err)) ||
        (status = lam_evaluation_create(lam_bundle_manifest(bundle), true, false, &work.evaluation, err)))
        return status;
    status = options->out_of_fold
                 ? add_parts(&work, members, count, err)
                 : lam_evaluation_add(work.evaluation, members, count, work.dataset, work.pool, err);
    if (status || (status = lam_evaluation_scores(work.evaluation, (int)options->rounds, scores, err)))
        return status;
    if ((status = lam_eval_add_gate(bundle, work.dataset, scores, err)) ||
        (options->training.count > 0 && (status = compare_drawings(options, bundle, &work, scores, err))) ||
        (options->explained && (status = lam_eval_add_explain(bundle, work.dataset, work.pool,
                                                              (size_t)options->explained, scores, err))))
        return status;
    *cases = lam_evaluation_count(work.evaluation);
    const lam_eval_card card = {
        .bundle = bundle,
        .samples = work.dataset,
        .parts = options->out_of_fold ? (const lam_samples *const *)work.parts : NULL,
        .evaluation = work.evaluation,
        .scores = scores,
        .data = options->card && *options->card ? options->card : options->data.items[0],
    };
    return options->card ? lam_eval_write_card(&card, options->bundle, err) : LAM_OK;
}

static void print_json(const lam_manifest *manifest, size_t cases, const lam_scores *scores)
{
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_buffer_init(&text, 1 << 20);
    lam_json_writer w = lam_json_write_to(&text);
    lam_jw_object(&w, NULL);
    lam_jw_text(&w, "bundle", manifest->name);
    lam_jw_text(&w, "version", manifest->version);
    lam_jw_text(&w, "task", lam_task_name(manifest->task));
    lam_jw_integer(&w, "n", (int64_t)cases);
    lam_jw_object(&w, "metrics");
    for (size_t i = 0; i < scores->count; i++)
        lam_jw_number(&w, scores->items[i].name, scores->items[i].value);
    lam_jw_end(&w);
    lam_jw_object(&w, "intervals");
    for (size_t i = 0; i < scores->count; i++) {
        if (isnan(scores->items[i].low))
            continue;
        lam_jw_array(&w, scores->items[i].name);
        lam_jw_number(&w, NULL, scores->items[i].low);
        lam_jw_number(&w, NULL, scores->items[i].high);
        lam_jw_end(&w);
    }
    lam_jw_end(&w);
    lam_jw_end(&w);
    puts(lam_buffer_text(&text));
}

static void print_table(const lam_manifest *manifest, size_t cases, const lam_scores *scores)
{
    printf("%s %s, %s, %zu cases\n", manifest->name, manifest->version, lam_task_name(manifest->task), cases);
    for (size_t i = 0; i < scores->count; i++) {
        const lam_score *score = &scores->items[i];
        printf("  %-28s %.4f", score->name, score->value);
        if (!isnan(score->low))
            printf("  [%.4f … %.4f]", score->low, score->high);
        putchar('\n');
    }
}

int lam_cli_eval(int argc, char **argv)
{
    struct eval_options options = {.rounds = DEFAULT_ROUNDS};
    LAM_AUTO_PTR(lam_bundle) *bundle = NULL;
    lam_autofree lam_scores *scores = calloc(1, sizeof *scores);
    lam_error err = {0};
    char directory[PATH_MAX];
    size_t cases = 0;
    int status = parse_arguments(argc, argv, &options);
    if (status)
        return status;
    if (!scores)
        return lam_cli_fail("out of memory");
    if (lam_bundle_find(options.bundle, directory, sizeof directory, &err) ||
        lam_bundle_load_path(options.bundle = directory, &bundle, &err) ||
        evaluate(&options, bundle, &cases, scores, &err))
        return lam_cli_fail_error(&err);
    if (options.false_alarms > 0)
        return LAM_CLI_OK;
    (options.json ? print_json : print_table)(lam_bundle_manifest(bundle), cases, scores);
    return LAM_CLI_OK;
}
