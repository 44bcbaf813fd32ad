/* `lamina eval`: scores a bundle on a labelled set. */
#include <getopt.h>
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

enum { MAX_FILES = 256, DEFAULT_ROUNDS = 1000, DEFAULT_EXPLAINED = 30 };

struct eval_options {
    const char *bundle;
    const char *data[MAX_FILES];
    size_t data_count;
    const char *training[MAX_FILES]; /* of a generator: what its drawings are compared with */
    size_t training_count;
    const char *card;                /* NULL: none; "" : the set is named after its first file */
    long threads, rounds, explained; /* explained: cases, 0: none */
    double false_alarms;             /* of the gate that is to be learnt; 0: none */
    bool json, out_of_fold;
};

static bool read_share(const char *text, double *out)
{
    char *end = NULL;
    *out = text ? strtod(text, &end) : LAM_FIT_GATE_FALSE_ALARMS;
    return !text || (*text && !*end && *out > 0 && *out < 1);
}

static int parse_arguments(int argc, char **argv, struct eval_options *out)
{
    static const struct option known[] = {
        {"bundle", required_argument, NULL, 'b'},
        {"data", required_argument, NULL, 'd'},
        {"threads", required_argument, NULL, 't'},
        {"bootstrap", required_argument, NULL, 'r'},
        {"card", optional_argument, NULL, 'c'},
        {"out-of-fold", no_argument, NULL, 'o'},
        {"training", required_argument, NULL, 'T'},
        {"json", no_argument, NULL, 'J'},
        {"fit-gate", optional_argument, NULL, 'g'},
        {"explain", optional_argument, NULL, 'e'},
        {0},
    };
    int option, last = 0;
    char *end;
    optind = 1;
    /* A leading '-' hands over plain arguments in their place, so that `--data A B C` takes them all. */
    while ((option = getopt_long(argc, argv, "-", known, NULL)) != -1) {
        last = option == 1 ? last : option;
        switch (last) {
        case 'b':
            out->bundle = optarg;
            break;
        case 'd':
            if (out->data_count == MAX_FILES)
                return lam_cli_usage(argv[0], "more than %d files", MAX_FILES);
            out->data[out->data_count++] = optarg;
            break;
        case 'T':
            if (out->training_count == MAX_FILES)
                return lam_cli_usage(argv[0], "more than %d files", MAX_FILES);
            out->training[out->training_count++] = optarg;
            break;
        case 't':
            out->threads = strtol(optarg ? optarg : "", &end, 10);
            if (*end || out->threads < 1 || out->threads > 256)
                return lam_cli_usage(argv[0], "--threads takes a number from 1 to 256");
            break;
        case 'r':
            out->rounds = strtol(optarg ? optarg : "", &end, 10);
            if (*end || out->rounds < 0 || out->rounds > 100000)
                return lam_cli_usage(argv[0], "--bootstrap takes a number from 0 to 100000");
            break;
        case 'c':
            out->card = optarg ? optarg : "";
            break;
        case 'e':
            out->explained = optarg ? strtol(optarg, &end, 10) : DEFAULT_EXPLAINED;
            if ((optarg && *end) || out->explained < 1 || out->explained > 100000)
                return lam_cli_usage(argv[0], "--explain takes a number of cases from 1 to 100000");
            break;
        case 'g':
            if (!read_share(optarg, &out->false_alarms))
                return lam_cli_usage(argv[0], "--fit-gate takes a share of false alarms between 0 and 1");
            break;
        case 'o':
            out->out_of_fold = true;
            break;
        case 'J':
            out->json = true;
            break;
        default:
            return lam_cli_usage(argv[0], NULL);
        }
    }
    if (!out->bundle || out->data_count == 0)
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
    lam_status status = lam_samples_load(lam_bundle_manifest(bundle), lam_bundle_network(bundle),
                                         options->training, options->training_count, &work->training, err);
    return status ? status
                  : lam_novelty_measure(bundle, work->training, work->dataset, work->pool, scores, err);
}

static lam_status evaluate(const struct eval_options *options, const lam_bundle *bundle, size_t *cases,
                           lam_scores *scores, lam_error *err)
{
    LAM_AUTO(work_done) struct work work = {.set = LAM_DICOM_SET_NONE};
    const char *data[MAX_FILES];
    size_t count, data_count = options->data_count;
    const lam_weights *const *members = lam_bundle_members(bundle, &count);
    lam_status status;
    memcpy(data, options->data, data_count * sizeof *data);
    if ((status = lam_dicom_samples_replace(options->bundle, data, &data_count, &work.set, err)) ||
        (status = lam_samples_load(lam_bundle_manifest(bundle), lam_bundle_network(bundle), data, data_count,
                                   &work.dataset, err)) ||
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
        (options->training_count > 0 && (status = compare_drawings(options, bundle, &work, scores, err))) ||
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
        .data = options->card && *options->card ? options->card : options->data[0],
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
    size_t cases = 0;
    int status = parse_arguments(argc, argv, &options);
    if (status)
        return status;
    if (!scores)
        return lam_cli_fail("out of memory");
    if (lam_bundle_load_path(options.bundle, &bundle, &err) ||
        evaluate(&options, bundle, &cases, scores, &err))
        return lam_cli_fail_error(&err);
    if (options.false_alarms > 0)
        return LAM_CLI_OK;
    (options.json ? print_json : print_table)(lam_bundle_manifest(bundle), cases, scores);
    return LAM_CLI_OK;
}
