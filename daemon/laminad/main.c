/* laminad: reads the configuration, opens what the daemon is made of in order, waits for signals, closes it
 * in reverse. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "api/server.h"
#include "core/base/clock.h"
#include "core/base/io.h"
#include "core/base/log.h"
#include "daemon/laminad/audit.h"
#include "daemon/laminad/backend.h"
#include "daemon/laminad/child.h"
#include "daemon/laminad/data_lock.h"
#include "daemon/laminad/listen.h"
#include "daemon/laminad/recovery.h"

enum {
    READY_MS = 10000,
    GRACE_MS = 20000,
    DELIVERY_GRACE_MS = 3000,
    PIXELS_MS = 30000,
    MAX_RELOADS = 1024,
    MAX_TEXT = 1 << 20
};

typedef struct laminad {
    lam_daemon daemon;
    lam_backend backend;
    lam_http_server *http;
    int lock_fd;
    int dicom_socket, http_socket;
    int signals;
    /* Threads hold on to a configuration for as long as they like, so replaced ones are kept until the end.
     */
    lam_config *configs[MAX_RELOADS + 1];
    size_t config_count;
} laminad;

static lam_config *config_of(const laminad *d)
{
    return d->configs[d->config_count - 1];
}

/* What is legal and will still surprise. */
static void log_warnings(const lam_config *config)
{
    LAM_AUTO(lam_buffer_done) lam_buffer warnings;
    lam_buffer_init(&warnings, MAX_TEXT);
    lam_config_warnings(config, &warnings);
    for (const char *line = lam_buffer_text(&warnings); *line; line += strcspn(line, "\n") + 1) {
        char text[LAM_LOG_QUOTE];
        snprintf(text, sizeof text, "%.*s", (int)strcspn(line, "\n"), line);
        lam_log(LAM_LOG_WARNING, "configuration", "reason=%s", LAM_QUOTE(text));
    }
}

/* ---- start ---- */

/* One daemon a data_dir: two would hand out the same file numbers. What root writes, the user of the data
 * could not read when it takes over. */
static lam_status lock_data(laminad *d, lam_error *err)
{
    struct stat info;
    const char *data_dir = config_of(d)->data_dir;
    lam_status status = lam_io_make_directories(data_dir, 0750, err);
    if (status != LAM_OK)
        return status;
    if (geteuid() == 0 && stat(data_dir, &info) == 0 && info.st_uid != 0)
        return lam_fail(
            err, LAM_E_DENIED,
            "data_dir %s belongs to the user %u: run laminad as that user, or give the folder to root",
            data_dir, info.st_uid);
    status = lam_data_lock(data_dir, &d->lock_fd, err);
    if (status == LAM_E_BUSY)
        return lam_fail(err, status, "another laminad uses data_dir %s: stop it or choose another folder",
                        data_dir);
    return status;
}

/* Said at the start rather than at the first object. */
static lam_status find_children(lam_error *err)
{
    char path[4096];
    lam_status status = lam_child_find("lamina-dimse", path, err);
    return status == LAM_OK ? lam_child_find("lamina-worker", path, err) : status;
}

static lam_status open_storage(laminad *d, lam_error *err)
{
    const lam_config *config = config_of(d);
    char path[4096];
    size_t removed = 0;
    snprintf(path, sizeof path, "%s/lamina.db", config->data_dir);
    lam_status status = lam_database_open(path, &d->daemon.database, err);
    if (status == LAM_OK)
        status = lam_store_open(config->data_dir, &d->daemon.store, err);
    if (status == LAM_OK)
        status = lam_recovery_run(d->daemon.database, d->daemon.store, &removed, err);
    if (status == LAM_OK && removed)
        lam_log(LAM_LOG_INFO, "orphans_removed", "count=%zu", removed);
    if (status == LAM_E_DENIED)
        lam_error_prefix(err, "every file in data_dir %s must be writable (chown -R)", config->data_dir);
    return status;
}

static lam_status start_audit(laminad *d, lam_error *err)
{
    const lam_config *config = config_of(d);
    const lam_audit_options options = {.data_dir = config->data_dir,
                                       .ae_title = config->ae_title,
                                       .database = d->daemon.database,
                                       .keep_ms = config->keep_audit_ms};
    return config->audit ? lam_audit_start(&options, &d->daemon.audit, err) : LAM_OK;
}

static void on_stored(void *context)
{
    const laminad *d = context;
    lam_scheduler_notice_objects(d->daemon.scheduler);
}

static void on_published(void *context)
{
    const laminad *d = context;
    lam_delivery_notice(d->daemon.delivery);
}

/* Before the scheduler, whose results need the destinations. */
static lam_status start_delivery(laminad *d, lam_error *err)
{
    const lam_delivery_options options = {.config = config_of(d),
                                          .database = d->daemon.database,
                                          .store = d->daemon.store,
                                          .audit = d->daemon.audit,
                                          .renderers = d->daemon.renderers};
    return lam_delivery_start(&options, &d->daemon.delivery, err);
}

static lam_status start_analysis(laminad *d, lam_error *err)
{
    const lam_config *config = config_of(d);
    lam_status status = lam_models_load(config->models_dir, lam_models_log, NULL, &d->daemon.models, err);
    if (status != LAM_OK)
        return status;
    if (lam_models_count(d->daemon.models) == 0)
        lam_log(LAM_LOG_WARNING, "no_models", "models_dir=%s", LAM_QUOTE(config->models_dir));
    const lam_scheduler_options options = {.config = config,
                                           .models = d->daemon.models,
                                           .database = d->daemon.database,
                                           .store = d->daemon.store,
                                           .published = on_published,
                                           .context = d};
    return lam_scheduler_start(&options, &d->daemon.scheduler, err);
}

static lam_status start_intake(laminad *d, lam_error *err)
{
    const lam_intake_options options = {.config = config_of(d),
                                        .database = d->daemon.database,
                                        .store = d->daemon.store,
                                        .audit = d->daemon.audit,
                                        .dicom_socket = d->dicom_socket,
                                        .stored = on_stored,
                                        .context = d};
    return lam_intake_start(&options, &d->daemon.intake, err);
}

static lam_status start_http(laminad *d, lam_error *err)
{
    const lam_config *config = config_of(d);
    lam_http_options options = lam_http_options_default();
    options.address = config->http_listen.host;
    options.listen_fd = d->http_socket;
    options.public_url = config->public_url[0] ? config->public_url : NULL;
    static const lam_http_auth auths[] = {[LAM_AUTH_NONE] = LAM_HTTP_AUTH_NONE,
                                          [LAM_AUTH_TOKEN] = LAM_HTTP_AUTH_TOKEN,
                                          [LAM_AUTH_MTLS] = LAM_HTTP_AUTH_MTLS};
    options.auth = auths[config->auth];
    options.tls_certificate = config->http_certificate[0] ? config->http_certificate : NULL;
    options.tls_key = config->http_key[0] ? config->http_key : NULL;
    options.tls_client_ca = config->http_client_ca[0] ? config->http_client_ca : NULL;
    options.token_file = config->token_file[0] ? config->token_file : NULL;
    options.ohif_dir = config->ohif_dir[0] ? config->ohif_dir : NULL;
    options.allow_delete = config->allow_delete;
    options.cors_origins = config->cors_origins[0] ? config->cors_origins : NULL;
    options.max_connections = (unsigned)config->max_connections;
    lam_backend_init(&d->backend, &d->daemon);
    lam_status status = lam_http_server_create(&options, &d->backend, &d->http, err);
    if (status == LAM_OK)
        d->http_socket = -1; /* the server's now */
    return status;
}

static lam_status start_all(laminad *d, lam_error *err)
{
    const lam_config *config = config_of(d);
    lam_status status = find_children(err);
    if (status == LAM_OK)
        status = lock_data(d, err);
    if (status == LAM_OK)
        status = lam_listen(&config->dicom_listen, "[dicom] listen", &d->dicom_socket, err);
    if (status == LAM_OK)
        status = lam_listen(&config->http_listen, "[http] listen", &d->http_socket, err);
    if (status == LAM_OK)
        status = open_storage(d, err);
    if (status == LAM_OK)
        status = start_audit(d, err);
    if (status == LAM_OK)
        status = lam_render_pool_create(PIXELS_MS, &d->daemon.renderers, err);
    if (status == LAM_OK)
        status = start_delivery(d, err);
    if (status == LAM_OK)
        status = start_analysis(d, err);
    if (status == LAM_OK)
        status = start_intake(d, err);
    if (status == LAM_OK)
        status = start_http(d, err);
    return status;
}

/* In reverse: no new requests, then no new objects, then no new jobs, then the files. */
static void stop_all(laminad *d)
{
    if (d->daemon.database)
        lam_changes_end(lam_database_changes(d->daemon.database)); /* else its readers would be waited for */
    lam_http_server_free(d->http);
    lam_intake_stop(d->daemon.intake, GRACE_MS);
    lam_scheduler_stop(d->daemon.scheduler, GRACE_MS);
    lam_delivery_stop(d->daemon.delivery, DELIVERY_GRACE_MS);
    lam_render_pool_free(d->daemon.renderers);
    lam_audit_stop(d->daemon.audit); /* after all that has something to note */
    lam_models_unref(d->daemon.models);
    lam_store_close(d->daemon.store);
    lam_database_close(d->daemon.database);
    const int fds[] = {d->dicom_socket, d->http_socket, d->signals, d->lock_fd};
    for (size_t i = 0; i < LAM_COUNT(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    for (size_t i = 0; i < d->config_count; i++)
        lam_config_free(d->configs[i]);
    pthread_mutex_destroy(&d->daemon.unpacking);
    pthread_mutex_destroy(&d->daemon.lock);
}

/* ---- run ---- */

static void reload(laminad *d)
{
    lam_error err = {0};
    lam_config *config = NULL;
    lam_models *models = NULL;
    lam_buffer restart;
    lam_buffer_init(&restart, 8192);
    sd_notify(0, "RELOADING=1");
    lam_status status = LAM_OK;
    if (d->config_count > MAX_RELOADS)
        status = lam_fail(&err, LAM_E_LIMIT, "reloaded %d times: restart the daemon", MAX_RELOADS);
    if (status == LAM_OK)
        status = lam_config_reload(config_of(d), &config, &restart, &err);
    if (status == LAM_OK)
        status = lam_models_load(config->models_dir, lam_models_log, NULL, &models, &err);
    if (status != LAM_OK) {
        lam_config_free(config);
        lam_log(LAM_LOG_ERROR, "reload_failed", "reason=%s", LAM_QUOTE(err.message));
    } else {
        d->configs[d->config_count++] = config;
        log_warnings(config);
        pthread_mutex_lock(&d->daemon.lock);
        lam_models *old = d->daemon.models;
        d->daemon.config = config;
        d->daemon.models = models;
        pthread_mutex_unlock(&d->daemon.lock);
        lam_intake_reload(d->daemon.intake, config);
        lam_delivery_reload(d->daemon.delivery, config);
        lam_audit_set_keep(d->daemon.audit, config->keep_audit_ms);
        lam_scheduler_reload(d->daemon.scheduler, config, models);
        lam_models_unref(old);
        lam_log(LAM_LOG_INFO, "reloaded", "models=%zu needs_restart=%s", lam_models_count(models),
                LAM_QUOTE(lam_buffer_text(&restart)));
    }
    lam_buffer_done(&restart);
    sd_notify(0, "READY=1");
}

/* Who waits for READY=1 or the banner may connect at once. */
static void wait_until_ready(const laminad *d)
{
    int64_t deadline = lam_clock_monotonic_ms() + READY_MS;
    while (!lam_intake_ready(d->daemon.intake) && lam_clock_monotonic_ms() < deadline) {
        struct pollfd poller = {.fd = d->signals, .events = POLLIN};
        if (poll(&poller, 1, 5) > 0)
            return; /* told to stop already */
    }
}

static void announce(const laminad *d)
{
    const lam_config *config = config_of(d);
    int dicom_port = lam_listen_port(d->dicom_socket);
    unsigned http_port = lam_http_server_port(d->http);
    char url[LAM_CONFIG_HOST + 32];
    bool bracket = strchr(config->http_listen.host, ':') != NULL;
    snprintf(url, sizeof url, "%s://%s%s%s:%u", config->http_certificate[0] ? "https" : "http",
             bracket ? "[" : "", config->http_listen.host, bracket ? "]" : "", http_port);
    printf("Lamina %s\n  AE title   %s\n  DICOM      %s port %d\n  DICOMweb   %s/dicom-web\n  REST       "
           "%s/api/v1\n"
           "  Web page   %s/\n  Data       %s\n  Research software, not a medical device.\n",
           LAMINA_VERSION, config->ae_title, config->dicom_listen.host, dicom_port, url, url, url,
           config->data_dir);
    fflush(stdout);
    lam_log(LAM_LOG_INFO, "serving",
            "version=%s ae_title=%s dicom_port=%d http_port=%u models=%zu workers=%d", LAMINA_VERSION,
            LAM_QUOTE(config->ae_title), dicom_port, http_port, lam_models_count(d->daemon.models),
            config->workers);
    sd_notifyf(0, "READY=1\nSTATUS=Serving %s on DICOM port %d, HTTP port %u", config->ae_title, dicom_port,
               http_port);
}

static void run(laminad *d)
{
    uint64_t watchdog_us = 0;
    bool watched = sd_watchdog_enabled(0, &watchdog_us) > 0;
    int period_ms = watched ? (int)(watchdog_us / 2000) : -1;
    for (;;) {
        struct pollfd poller = {.fd = d->signals, .events = POLLIN};
        int got = poll(&poller, 1, period_ms);
        if (watched && lam_intake_alive(d->daemon.intake) && lam_scheduler_alive(d->daemon.scheduler) &&
            lam_delivery_alive(d->daemon.delivery))
            sd_notify(0, "WATCHDOG=1");
        struct signalfd_siginfo signal;
        if (got <= 0 || read(d->signals, &signal, sizeof signal) != (ssize_t)sizeof signal)
            continue;
        if (signal.ssi_signo != SIGHUP)
            return;
        reload(d);
    }
}

static lam_status take_signals(laminad *d, lam_error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL); /* before any thread, so that all inherit it */
    signal(SIGPIPE, SIG_IGN);
    d->signals = signalfd(-1, &set, SFD_CLOEXEC);
    return d->signals < 0 ? lam_fail_errno(err, errno, "cannot take signals") : LAM_OK;
}

/* Every connection, every object of a request and every input of a job is an open file; children have limits
 * of their own. */
static lam_status raise_open_files(lam_error *err)
{
    enum { LEAST = 256 };
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return lam_fail_errno(err, errno, "cannot ask how many files may be open");
    if (files.rlim_max < LEAST)
        return lam_fail(
            err, LAM_E_LIMIT,
            "only %llu files may be open, and %d is the least: raise LimitNOFILE in the unit, or ulimit -Hn",
            (unsigned long long)files.rlim_max, LEAST);
    files.rlim_cur = files.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &files) < 0
               ? lam_fail_errno(err, errno, "cannot raise the limit of open files")
               : LAM_OK;
}

/* Why it does not start; what is forbidden is so for a user. */
static void say_why_not(lam_status status, const lam_error *err)
{
    char user[64] = "";
    if (status == LAM_E_DENIED)
        snprintf(user, sizeof user, " (laminad runs as user %u)", geteuid());
    fprintf(stderr, "laminad: %s%s\n", err->message, user);
    sd_notifyf(0, "STATUS=%s%s", err->message, user);
}

static int serve(lam_config *config)
{
    static laminad d;
    lam_error err = {0};
    d.lock_fd = d.dicom_socket = d.http_socket = d.signals = -1;
    d.configs[d.config_count++] = config;
    pthread_mutex_init(&d.daemon.lock, NULL);
    pthread_mutex_init(&d.daemon.unpacking, NULL);
    d.daemon.config = config;
    d.daemon.started_ms = lam_clock_monotonic_ms();
    lam_log_open("laminad", config->log_level, getenv("JOURNAL_STREAM") != NULL);
    log_warnings(config);
    lam_status status = take_signals(&d, &err);
    if (status == LAM_OK)
        status = raise_open_files(&err);
    if (status == LAM_OK)
        status = start_all(&d, &err);
    if (status == LAM_OK) {
        wait_until_ready(&d);
        announce(&d);
        run(&d);
        sd_notify(0, "STOPPING=1");
        lam_log(LAM_LOG_INFO, "stopping", "uptime_s=%lld",
                (long long)((lam_clock_monotonic_ms() - d.daemon.started_ms) / 1000));
    } else {
        say_why_not(status, &err);
    }
    stop_all(&d);
    return status == LAM_OK ? 0 : 1;
}

/* ---- command line ---- */

static int check_config(const char *path)
{
    LAM_AUTO(lam_buffer_done) lam_buffer report;
    lam_buffer_init(&report, MAX_TEXT);
    lam_status status = lam_config_check(path, &report);
    fputs(lam_buffer_text(&report), status == LAM_OK ? stdout : stderr);
    if (status == LAM_OK)
        puts("configuration is good");
    return status == LAM_OK ? 0 : 1;
}

/* Without a configuration: what `write` says of all there could be. */
static int print_with(lam_status (*write)(lam_buffer *))
{
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_buffer_init(&text, MAX_TEXT);
    lam_status status = write(&text);
    fputs(lam_buffer_text(&text), stdout);
    return status == LAM_OK ? 0 : 1;
}

static int print_config(lam_config *config)
{
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_buffer_init(&text, MAX_TEXT);
    lam_status status = lam_config_write(config, &text);
    fputs(lam_buffer_text(&text), stdout);
    lam_config_free(config);
    return status == LAM_OK ? 0 : 1;
}

static void usage(FILE *out)
{
    fputs("usage: laminad [--config FILE] [--check-config | --print-config]\n"
          "       laminad --print-config-example | --print-config-man | --version | --help\n\n"
          "Runs the Lamina daemon in the foreground. Without --config it reads " LAM_CONFIG_DEFAULT_FILE ",\n"
          "or uses built-in defaults when that is not there. SIGTERM drains and ends it, SIGHUP reloads\n"
          "configuration and models. See laminad(8) and lamina.conf(5).\n",
          out);
}

int main(int argc, char **argv)
{
    enum { CONFIG = 'c', CHECK = 'k', PRINT = 'p', EXAMPLE = 'e', MAN = 'm', VERSION = 'V', HELP = 'h' };
    static const struct option options[] = {
        {"config", required_argument, NULL, CONFIG},
        {"check-config", no_argument, NULL, CHECK},
        {"print-config", no_argument, NULL, PRINT},
        {"print-config-example", no_argument, NULL, EXAMPLE},
        {"print-config-man", no_argument, NULL, MAN},
        {"version", no_argument, NULL, VERSION},
        {"help", no_argument, NULL, HELP},
        {NULL, 0, NULL, 0},
    };
    lam_io_fill_standard();
    const char *path = NULL;
    int action = 0;
    for (int option; (option = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        switch (option) {
        case CONFIG:
            path = optarg;
            break;
        case CHECK:
        case PRINT:
            action = option;
            break;
        case EXAMPLE:
            return print_with(lam_config_write_example);
        case MAN:
            return print_with(lam_config_write_man);
        case VERSION:
            puts("laminad " LAMINA_VERSION);
            return 0;
        case HELP:
            usage(stdout);
            return 0;
        default:
            usage(stderr);
            return 2;
        }
    }
    if (optind < argc) {
        usage(stderr);
        return 2;
    }
    if (action == CHECK)
        return check_config(path);
    lam_error err = {0};
    lam_config *config = NULL;
    if (lam_config_load(path, &config, &err) != LAM_OK) {
        fprintf(stderr, "laminad: %s\n", err.message);
        return 2; /* the unit does not try again */
    }
    if (action == PRINT)
        return print_config(config);
    umask(0027);
    prctl(PR_SET_DUMPABLE, 0); /* holds patients' data in memory */
    return serve(config);
}
