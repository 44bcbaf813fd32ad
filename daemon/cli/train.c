/* `lamina train`: trains the network that a bundle's model.json describes. */
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/buffer.h"
#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/rnn/train/fit.h"
#include "daemon/cli/cli.h"
#include "daemon/cli/dicom_samples.h"
#include "daemon/cli/options.h"

enum { REDRAW_MS = 200 };

struct train_options {
    lam_fit_settings settings;
    lam_option_paths data, validation;
    int64_t seed, threads;
    bool json, quiet;
};

struct display {
    bool quiet, terminal;
    int64_t drawn_ms;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

/* ---- arguments ---- */

/* "2/5": the second of five parts. */
static bool read_fold(const char *text, void *into)
{
    lam_fit_settings *settings = into;
    char *slash, *end;
    long fold = strtol(text, &slash, 10);
    if (slash == text || *slash != '/')
        return false;
    long folds = strtol(slash + 1, &end, 10);
    if (end == slash + 1 || *end || folds < 2 || folds > 1000 || fold < 1 || fold > folds)
        return false;
    settings->fold = (int)fold - 1;
    settings->folds = (int)folds;
    return true;
}

static int parse_arguments(int argc, char **argv, struct train_options *out)
{
    lam_fit_settings *s = &out->settings;
    const lam_option known[] = {
        {"bundle", .text = &s->bundle},
        {"data", .paths = &out->data},
        {"val", .paths = &out->validation},
        {"init", .text = &s->init},
        {"fold", .read = read_fold, .into = s, .takes = "a part such as 2/5, the second of five"},
        {"epochs", .number = &s->epochs, .least = 1, .most = 1000000},
        {"seed", .number = &out->seed, .least = 0, .most = INT64_MAX},
        {"threads", .number = &out->threads, .least = 1, .most = 256},
        {"resume", .flag = &s->resume},
        {"json", .flag = &out->json},
        {"quiet", .flag = &out->quiet},
        {0},
    };
    char **rest;
    int status = lam_options_read(argc, argv, known, &rest);
    if (status != LAM_CLI_OK)
        return status;
    if (!s->bundle || out->data.count == 0 || *rest)
        return lam_cli_usage(argv[0], "--bundle and --data are needed");
    if (s->folds && out->validation.count)
        return lam_cli_usage(argv[0], "--fold and --val exclude each other");
    s->seed = (uint64_t)out->seed;
    s->threads = (int)out->threads;
    s->data = out->data.items;
    s->data_count = out->data.count;
    s->validation = out->validation.items;
    s->validation_count = out->validation.count;
    return LAM_CLI_OK;
}

/* ---- progress ---- */

static void print_duration(FILE *to, double seconds)
{
    long s = isfinite(seconds) && seconds < 1e9 ? lround(seconds) : 0;
    if (s >= 3600)
        fprintf(to, "%ld h %02ld min", s / 3600, s / 60 % 60);
    else
        fprintf(to, "%ld:%02ld", s / 60, s % 60);
}

static void print_line(const lam_fit_progress *p)
{
    const lam_epoch *e = p->epoch;
    int64_t within = (e->step - 1) % e->steps_an_epoch + 1;
    if (p->members > 1)
        fprintf(stderr, "member %d/%d  ", p->member + 1, p->members);
    fprintf(stderr, "epoch %lld/%lld  step %lld/%lld  loss %.4f  %.1f samples/s", (long long)e->epoch,
            (long long)p->epochs, (long long)within, (long long)e->steps_an_epoch, e->loss, e->samples_per_s);
    if (!isnan(p->value))
        fprintf(stderr, "  %s %.4f", p->metric, p->value);
    if (!isnan(p->best))
        fprintf(stderr, "  best %.4f", p->best);
    fputs("  ETA ", stderr);
    print_duration(stderr, p->eta_s);
}

/* On a terminal one line that is drawn again, elsewhere one line an epoch. */
static bool show(void *context, const lam_fit_progress *progress)
{
    struct display *display = context;
    int64_t now = lam_clock_monotonic_ms();
    bool due = progress->finished || (display->terminal && now - display->drawn_ms >= REDRAW_MS);
    if (due && !display->quiet) {
        fputs(display->terminal ? "\r\033[K" : "", stderr);
        print_line(progress);
        fputs(progress->finished ? "\n" : "", stderr);
        fflush(stderr);
        display->drawn_ms = now;
    }
    return !interrupted;
}

/* ---- result ---- */

static void print_json(const lam_fit_settings *settings, const lam_scores *scores)
{
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_buffer_init(&text, 1 << 20);
    lam_json_writer w = lam_json_write_to(&text);
    lam_jw_object(&w, NULL);
    lam_jw_text(&w, "bundle", settings->bundle);
    lam_jw_object(&w, "metrics");
    for (size_t i = 0; i < scores->count; i++)
        lam_jw_number(&w, scores->items[i].name, scores->items[i].value);
    lam_jw_end(&w);
    lam_jw_end(&w);
    puts(lam_buffer_text(&text));
}

/* Of this process: a run that was stopped and went on has spent more. */
static double cpu_seconds(void)
{
    struct rusage used = {0};
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void print_table(const lam_fit_settings *settings, const lam_scores *scores)
{
    printf("%s: trained, %.0f CPU s\n", settings->bundle, cpu_seconds());
    for (size_t i = 0; i < scores->count; i++)
        printf("  %-28s %.4f\n", scores->items[i].name, scores->items[i].value);
}

/* Folders hold DICOM: what is drawn in them becomes sets first. */
static lam_status fit(struct train_options *options, struct display *display, lam_scores *scores,
                      lam_error *err)
{
    lam_fit_settings *s = &options->settings;
    LAM_AUTO(lam_dicom_set_done) lam_dicom_set data = LAM_DICOM_SET_NONE;
    LAM_AUTO(lam_dicom_set_done) lam_dicom_set validation = LAM_DICOM_SET_NONE;
    lam_status status = lam_dicom_samples_replace(s->bundle, options->data.items, &s->data_count, &data, err);
    if (status == LAM_OK)
        status = lam_dicom_samples_replace(s->bundle, options->validation.items, &s->validation_count,
                                           &validation, err);
    return status == LAM_OK ? lam_fit(s, show, display, scores, err) : status;
}

int lam_cli_train(int argc, char **argv)
{
    struct train_options options = {.seed = 1};
    struct display display = {.terminal = isatty(STDERR_FILENO)};
    lam_autofree lam_scores *scores = calloc(1, sizeof *scores);
    lam_error err = {0};
    int status = parse_arguments(argc, argv, &options);
    if (status)
        return status;
    if (!scores)
        return lam_cli_fail("out of memory");
    display.quiet = options.quiet;
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    if (fit(&options, &display, scores, &err)) {
        if (display.terminal && !display.quiet)
            fputc('\n', stderr);
        if (err.status == LAM_E_CANCELLED)
            return lam_cli_fail("stopped; --resume goes on from the last epoch");
        return lam_cli_fail_error(&err);
    }
    if (options.json)
        print_json(&options.settings, scores);
    else
        print_table(&options.settings, scores);
    return LAM_CLI_OK;
}
