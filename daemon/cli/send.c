/* `lamina send` and `lamina echo`: a C-STORE and C-ECHO client. */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/io.h"
#include "core/base/text.h"
#include "daemon/cli/cli.h"
#include "daemon/cli/options.h"
#include "dicom/scu.h"
#include "dicom/send.h"
#include "dicom/sop_class.h"
#include "dicom/transfer_syntax.h"

enum {
    CONNECT_TIMEOUT_MS = 10 * 1000,
    RESPONSE_TIMEOUT_MS = 120 * 1000,
    BAR_CELLS = 30,
    MAX_PEM = 1 << 20,
    BAR_EVERY_MS = 100
};

/* ---- whom to talk to ---- */

typedef struct target {
    char host[256];
    lam_net_peer peer; /* points into this */
    char called_ae[LAM_AE_TEXT];
} target;

/* HOST:PORT[/AET]; an IPv6 address stands in brackets. */
static bool parse_target(const char *text, const char *calling_ae, target *out)
{
    const char *slash = strchr(text, '/');
    size_t length = slash ? (size_t)(slash - text) : strlen(text);
    const char *colon = memrchr(text, ':', length);
    if (!colon || colon == text || (size_t)(colon - text) >= sizeof out->host)
        return false;
    char *end = NULL;
    errno = 0;
    unsigned long port = strtoul(colon + 1, &end, 10);
    const char *ae = slash ? slash + 1 : "LAMINA";
    if (errno || end == colon + 1 || end != text + length || port < 1 || port > 65535 || !*ae ||
        strlen(ae) >= LAM_AE_TEXT || !*calling_ae || strlen(calling_ae) >= LAM_AE_TEXT)
        return false;
    bool bracketed = text[0] == '[' && colon[-1] == ']' && colon - text > 2;
    if (!bracketed && memchr(text, ':', (size_t)(colon - text)))
        return false;
    snprintf(out->host, sizeof out->host, "%.*s", (int)(colon - text) - 2 * bracketed, text + bracketed);
    memcpy(out->called_ae, ae, strlen(ae) + 1);
    out->peer = (lam_net_peer){.host = out->host,
                               .port = (uint16_t)port,
                               .called_ae = out->called_ae,
                               .calling_ae = calling_ae,
                               .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                               .response_timeout_ms = RESPONSE_TIMEOUT_MS};
    return true;
}

typedef struct options {
    const char *calling_ae;
    int64_t jobs;
    bool json;
    bool tls;                 /* also set by each of: */
    const char *tls_files[3]; /* authorities, certificate, key; NULL: none */
} options;

/* Options of both commands; `send` has --jobs beside those of `echo`. */
static int parse_options(int argc, char **argv, bool with_jobs, options *out, char ***rest)
{
    const lam_option all[] = {
        {"jobs", .number = &out->jobs, .least = 1, .most = LAM_SEND_MAX_ASSOCIATIONS},
        {"aet", .text = &out->calling_ae},
        {"json", .flag = &out->json},
        {"tls", .flag = &out->tls},
        {"tls-ca", .text = &out->tls_files[0]},
        {"tls-certificate", .text = &out->tls_files[1]},
        {"tls-key", .text = &out->tls_files[2]},
        {0},
    };
    *out = (options){.calling_ae = "LAMINA-SCU", .jobs = 1};
    int status = lam_options_read(argc, argv, with_jobs ? all : all + 1, rest);
    for (size_t i = 0; i < LAM_COUNT(out->tls_files); i++)
        out->tls |= out->tls_files[i] != NULL;
    return status;
}

/* The peer's `tls` from the files of the options; stays NULL without them. */
static lam_status open_tls(const options *o, lam_tls_context **out, lam_error *err)
{
    lam_buffer texts[LAM_COUNT(o->tls_files)];
    lam_status status = LAM_OK;
    if (!o->tls)
        return LAM_OK;
    for (size_t i = 0; i < LAM_COUNT(texts); i++) {
        lam_buffer_init(&texts[i], MAX_PEM);
        if (status == LAM_OK && o->tls_files[i])
            status = lam_io_read_file(o->tls_files[i], &texts[i], err);
    }
    const lam_tls_identity identity = {
        .authorities = texts[0].data, .certificate = texts[1].data, .key = texts[2].data};
    if (status == LAM_OK)
        status = lam_tls_context_create(LAM_TLS_CLIENT, &identity, out, err);
    for (size_t i = 0; i < LAM_COUNT(texts); i++)
        lam_buffer_done(&texts[i]);
    return status;
}

static int bad_target(const char *command, const char *text)
{
    return lam_cli_usage(
        command, "'%s' is not HOST:PORT or HOST:PORT/AET, or an AE title has not 1 to 16 characters", text);
}

/* ---- what to send ---- */

typedef struct file_list {
    lam_send_file *files; /* paths are owned */
    size_t count, capacity;
    size_t skipped;
    uint64_t bytes;
    bool failed; /* a path that was named could not be read */
} file_list;

static void file_list_done(file_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free((char *)(uintptr_t)list->files[i].path);
    free(list->files);
}

static void skip(file_list *list, const char *path, const char *why)
{
    fprintf(stderr, "skipped: %s: %s\n", path, why);
    list->skipped++;
}

static lam_status add_file(file_list *list, const char *path, const lam_send_file *file, lam_error *err)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 256;
        lam_send_file *grown = realloc(list->files, capacity * sizeof *grown);
        if (!grown)
            return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for %zu files", capacity);
        list->files = grown;
        list->capacity = capacity;
    }
    lam_send_file *added = &list->files[list->count];
    *added = *file;
    added->path = strdup(path);
    if (!added->path)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    list->count++;
    list->bytes += file->bytes;
    return LAM_OK;
}

static lam_status look_at(file_list *list, const char *path, lam_error *err)
{
    lam_send_file file = {0};
    lam_error why = {0};
    lam_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        skip(list, path, strerror(errno));
        list->failed = true;
        return LAM_OK;
    }
    if (lam_send_look_at(fd, &file, &why) != LAM_OK) {
        skip(list, path, why.message);
        return LAM_OK;
    }
    if (!lam_sop_class_is_storage(file.meta.sop_class) && !lam_sop_class_is_private(file.meta.sop_class)) {
        skip(list, path, "not an object of a study (a DICOMDIR, for example)");
        return LAM_OK;
    }
    return add_file(list, path, &file, err);
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* All regular files under the paths, folders in the order of names; links are followed. */
static lam_status find_files(char **paths, file_list *list, lam_error *err)
{
    FTS *walk = fts_open(paths, FTS_LOGICAL | FTS_NOCHDIR, by_name);
    if (!walk)
        return lam_fail_errno(err, errno, "cannot walk through the folders");
    lam_status status = LAM_OK;
    for (FTSENT *entry; status == LAM_OK && (entry = fts_read(walk));) {
        switch (entry->fts_info) {
        case FTS_F:
            status = look_at(list, entry->fts_path, err);
            break;
        case FTS_DNR:
        case FTS_ERR:
        case FTS_NS:
            skip(list, entry->fts_path, strerror(entry->fts_errno));
            list->failed = true;
            break;
        case FTS_DC:
            skip(list, entry->fts_path, "a link to a folder around it");
            break;
        case FTS_SLNONE:
        case FTS_DEFAULT:
            skip(list, entry->fts_path, "not a regular file");
            break;
        default: /* folders themselves */
            break;
        }
    }
    fts_close(walk);
    return status;
}

/* ---- how it goes ---- */

typedef struct tally {
    size_t sent, warned, failed, total;
    uint64_t done_bytes, sent_bytes, total_bytes;
    int64_t start_ms, drawn_ms;
    bool draw, quiet;
    char last_reason[LAM_SEND_REASON];
} tally;

static void draw_bar(tally *t, bool last)
{
    int64_t now = lam_clock_monotonic_ms();
    if (!t->draw || (!last && now - t->drawn_ms < BAR_EVERY_MS))
        return;
    t->drawn_ms = now;
    size_t done = t->sent + t->warned + t->failed;
    double share = t->total_bytes ? (double)t->done_bytes / (double)t->total_bytes : 1.0;
    double seconds = (double)(now - t->start_ms) / 1000.0;
    double left = share > 0 ? seconds * (1.0 - share) / share : 0;
    int cells = (int)(share * BAR_CELLS);
    fprintf(stderr, "\r[%-*.*s] %zu/%zu  %.1f MB/s  %d:%02d left\033[K", BAR_CELLS, cells,
            "##############################", done, t->total,
            seconds > 0 ? (double)t->sent_bytes / 1e6 / seconds : 0.0, (int)left / 60, (int)left % 60);
    if (last)
        fputs("\r\033[K", stderr);
}

static void on_file(void *user, const lam_send_file *file)
{
    tally *t = user;
    t->done_bytes += file->bytes;
    t->sent_bytes += file->outcome != LAM_SEND_FAILED ? file->bytes : 0;
    t->sent += file->outcome == LAM_SEND_SENT;
    t->warned += file->outcome == LAM_SEND_WARNED;
    t->failed += file->outcome == LAM_SEND_FAILED;
    bool repeated = strcmp(file->reason, t->last_reason) == 0; /* a peer that is gone is said once */
    if (file->outcome != LAM_SEND_SENT && !t->quiet && !repeated) {
        fprintf(stderr, "%s%s: %s: %s\n", t->draw ? "\r\033[K" : "",
                file->outcome == LAM_SEND_FAILED ? "failed" : "warning", file->path, file->reason);
        lam_text_copy(t->last_reason, sizeof t->last_reason, file->reason);
    }
    draw_bar(t, false);
}

static json_t *failures(const file_list *list)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < list->count; i++) {
        const lam_send_file *file = &list->files[i];
        if (file->outcome != LAM_SEND_FAILED)
            continue;
        json_t *row = json_pack("{s:s%, s:s, s:s}", "path", file->path, strlen(file->path),
                                "sop_instance_uid", file->meta.sop_instance, "reason", file->reason);
        if (!row) /* a path that is not UTF-8 */
            row = json_pack("{s:n, s:s, s:s}", "path", "sop_instance_uid", file->meta.sop_instance, "reason",
                            file->reason);
        if (file->dimse_status >= 0)
            json_object_set_new(row, "status", json_integer(file->dimse_status));
        json_array_append_new(rows, row);
    }
    return rows;
}

static void report(const tally *t, const file_list *list, bool json)
{
    double seconds = (double)(lam_clock_monotonic_ms() - t->start_ms) / 1000.0;
    if (json) {
        json_t *root = json_pack("{s:I, s:I, s:I, s:I, s:o, s:f, s:I}", "sent", (json_int_t)t->sent, "warned",
                                 (json_int_t)t->warned, "failed", (json_int_t)t->failed, "skipped",
                                 (json_int_t)list->skipped, "files", failures(list), "seconds", seconds,
                                 "bytes", (json_int_t)t->sent_bytes);
        json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
        putchar('\n');
        json_decref(root);
        return;
    }
    printf("%zu sent", t->sent + t->warned);
    if (t->warned)
        printf(" (%zu with a warning)", t->warned);
    printf(", %zu failed, %zu skipped: %.1f MB in %.2f s (%.1f MB/s)\n", t->failed, list->skipped,
           (double)t->sent_bytes / 1e6, seconds, seconds > 0 ? (double)t->sent_bytes / 1e6 / seconds : 0.0);
}

static int send_list(const target *to, const options *o, file_list *list)
{
    tally t = {.total = list->count,
               .total_bytes = list->bytes,
               .start_ms = lam_clock_monotonic_ms(),
               .draw = isatty(STDERR_FILENO) && !o->json,
               .quiet = o->json};
    /* Each failure is with its file already. */
    lam_send_files(&to->peer, list->files, list->count, (int)o->jobs, on_file, &t, NULL);
    draw_bar(&t, true);
    report(&t, list, o->json);
    return t.failed || list->failed ? LAM_CLI_FAILED : LAM_CLI_OK;
}

int lam_cli_send(int argc, char **argv)
{
    options o;
    target to;
    char **rest;
    int usage = parse_options(argc, argv, true, &o, &rest);
    if (usage != LAM_CLI_OK)
        return usage;
    if (!rest[0] || !rest[1])
        return lam_cli_usage(argv[0], "needs HOST:PORT[/AET] and at least one file or folder");
    if (!parse_target(rest[0], o.calling_ae, &to))
        return bad_target(argv[0], rest[0]);
    lam_error err = {0};
    LAM_AUTO(file_list_done) file_list list = {0};
    LAM_AUTO_PTR(lam_tls_context) *tls = NULL;
    lam_status status = find_files(rest + 1, &list, &err);
    if (status == LAM_OK)
        status = open_tls(&o, &tls, &err);
    to.peer.tls = tls;
    if (status == LAM_OK)
        status = lam_net_start(&err);
    if (status != LAM_OK)
        return lam_cli_fail_error(&err);
    if (!list.count)
        return lam_cli_fail("found no DICOM file to send");
    return send_list(&to, &o, &list);
}

/* ---- echo ---- */

static lam_status echo(const target *to, double *connect_ms, double *echo_ms, lam_error *err)
{
    const lam_net_context verification = {.abstract_syntax = LAM_SOP_CLASS_VERIFICATION,
                                          .transfer_syntax = LAM_TS_IMPLICIT_LITTLE};
    LAM_AUTO_PTR(lam_association) *association = NULL;
    lam_scu_answer answer = {0};
    int64_t start_us = lam_clock_monotonic_us();
    lam_status status = lam_net_request(&to->peer, &verification, 1, &association, err);
    if (status != LAM_OK)
        return status;
    int64_t open_us = lam_clock_monotonic_us();
    status = lam_scu_echo(association, 1, &answer, err);
    int64_t answered_us = lam_clock_monotonic_us();
    if (status == LAM_OK && answer.status != LAM_DIMSE_SUCCESS)
        status =
            lam_fail(err, LAM_E_PEER, "%s answered C-ECHO with status %04XH", to->called_ae, answer.status);
    if (status != LAM_OK) {
        lam_association_abort(association);
        return status;
    }
    lam_association_release(association, NULL);
    *connect_ms = (double)(open_us - start_us) / 1000.0;
    *echo_ms = (double)(answered_us - open_us) / 1000.0;
    return LAM_OK;
}

static void report_echo(const target *to, lam_status status, const lam_error *err, double connect_ms,
                        double echo_ms)
{
    json_t *root =
        json_pack("{s:b, s:s, s:i, s:s, s:s}", "ok", status == LAM_OK, "host", to->host, "port",
                  (int)to->peer.port, "called_ae", to->called_ae, "calling_ae", to->peer.calling_ae);
    if (status == LAM_OK) {
        json_object_set_new(root, "association_ms", json_real(connect_ms));
        json_object_set_new(root, "echo_ms", json_real(echo_ms));
    } else {
        json_object_set_new(root, "reason", json_string(err->message));
    }
    json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(root);
}

int lam_cli_echo(int argc, char **argv)
{
    options o;
    target to;
    char **rest;
    int usage = parse_options(argc, argv, false, &o, &rest);
    if (usage != LAM_CLI_OK)
        return usage;
    if (!rest[0] || rest[1])
        return lam_cli_usage(argv[0], "needs exactly one HOST:PORT[/AET]");
    if (!parse_target(rest[0], o.calling_ae, &to))
        return bad_target(argv[0], rest[0]);
    lam_error err = {0};
    double connect_ms = 0, echo_ms = 0;
    LAM_AUTO_PTR(lam_tls_context) *tls = NULL;
    lam_status status = lam_net_start(&err);
    if (status == LAM_OK)
        status = open_tls(&o, &tls, &err);
    to.peer.tls = tls;
    if (status == LAM_OK)
        status = echo(&to, &connect_ms, &echo_ms, &err);
    if (o.json)
        report_echo(&to, status, &err, connect_ms, echo_ms);
    else if (status == LAM_OK)
        printf("%s at %s:%u answered in %.1f ms (association: %.1f ms)\n", to.called_ae, to.host,
               to.peer.port, echo_ms, connect_ms);
    else
        lam_cli_fail_error(&err);
    return status == LAM_OK ? LAM_CLI_OK : LAM_CLI_FAILED;
}
