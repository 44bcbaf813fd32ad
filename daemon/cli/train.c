/* `lamina train`: trains the network that a bundle's model.json describes. */
#include <getopt.h>
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

enum { MAX_FILES = 256, REDRAW_MS = 200 };

struct train_options {
    lam_fit_settings settings;
    const char *data[MAX_FILES], *validation[MAX_FILES];
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

static bool parse_number(const char *text, long long minimum, long long maximum, long long *out)
{
    char *end;
    long long number = strtoll(text, &end, 10);
    if (end == text || *end || number < minimum || number > maximum)
        return false;
    *out = number;
    return true;
}

static bool add_file(const char **files, size_t *count, const char *name)
{
    if (*count == MAX_FILES)
        return false;
    files[(*count)++] = name;
    return true;
}

/* "2/5": the second of five parts. */
static bool parse_fold(const char *text, lam_fit_settings *settings)
{
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

static bool parse_option(int option, struct train_options *out)
{
    lam_fit_settings *s = &out->settings;
    long long number = 0;
    switch (option) {
    case 'b':
        s->bundle = optarg;
        return true;
    case 'd':
        return add_file(out->data, &s->data_count, optarg);
    case 'v':
        return add_file(out->validation, &s->validation_count, optarg);
    case 'i':
        s->init = optarg;
        return true;
    case 'f':
        return parse_fold(optarg, s);
    case 'e':
        return parse_number(optarg, 1, 1000000, &number) && (s->epochs = number);
    case 's':
        s->seed = strtoull(optarg, NULL, 10);
        return parse_number(optarg, 0, INT64_MAX, &number);
    case 't':
        if (!parse_number(optarg, 1, 256, &number))
            return false;
        s->threads = (int)number;
        return true;
    case 'r':
        return s->resume = true;
    case 'J':
        return out->json = true;
    case 'q':
        return out->quiet = true;
    default:
        return false;
    }
}

static int parse_arguments(int argc, char **argv, struct train_options *out)
{
    static const struct option known[] = {
        {"bundle", required_argument, NULL, 'b'}, {"data", required_argument, NULL, 'd'},
        {"val", required_argument, NULL, 'v'},    {"init", required_argument, NULL, 'i'},
        {"fold", required_argument, NULL, 'f'},   {"epochs", required_argument, NULL, 'e'},
        {"seed", required_argument, NULL, 's'},   {"threads", required_argument, NULL, 't'},
        {"resume", no_argument, NULL, 'r'},       {"json", no_argument, NULL, 'J'},
        {"quiet", no_argument, NULL, 'q'},        {0},
    };
    int option, last = 'd';
    optind = 1;
    /* A leading '-' hands over plain arguments in their place, so that `--data A B C` takes them all. */
    while ((option = getopt_long(argc, argv, "-", known, NULL)) != -1) {
        if (option == '?')
            return lam_cli_usage(argv[0], NULL);
        if (option == 1 && last != 'd' && last != 'v')
            return lam_cli_usage(argv[0], "'%s' belongs to no option", optarg);
        if (option != 1)
            last = option;
        if (!parse_option(last, out))
            return lam_cli_usage(argv[0], "'%s' is not a value that option takes", optarg ? optarg : "");
    }
    if (!out->settings.bundle || out->settings.data_count == 0)
        return lam_cli_usage(argv[0], "--bundle and --data are needed");
    if (out->settings.folds && out->settings.validation_count)
        return lam_cli_usage(argv[0], "--fold and --val exclude each other");
    out->settings.data = out->data;
    out->settings.validation = out->validation;
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
    lam_status status = lam_dicom_samples_replace(s->bundle, options->data, &s->data_count, &data, err);
    if (status == LAM_OK)
        status =
            lam_dicom_samples_replace(s->bundle, options->validation, &s->validation_count, &validation, err);
    return status == LAM_OK ? lam_fit(s, show, display, scores, err) : status;
}

int lam_cli_train(int argc, char **argv)
{
    struct train_options options = {.settings.seed = 1};
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
