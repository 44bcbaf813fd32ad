/* lamina doctor: what may keep a daemon with this configuration from working, each finding with what to do
 * about it. Looks and asks, changes nothing. */
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/text.h"
#include "daemon/cli/cli.h"
#include "daemon/cli/options.h"
#include "daemon/cli/table.h"
#include "daemon/laminad/config.h"
#include "daemon/laminad/migrations.h"
#include "daemon/laminad/models.h"
#include "dicom/scu.h"
#include "dicom/sop_class.h"
#include "dicom/transfer_syntax.h"

enum {
    CONNECT_TIMEOUT_MS = 5000,
    RESPONSE_TIMEOUT_MS = 10000,
    MAX_TEXT = 400,
    FULL_BYTES = 64 << 20,
    MAX_ANSWER = 64 * 1024
};

typedef enum verdict { GOOD, WARNING, FAILED } verdict;

static const char *const verdict_names[] = {[GOOD] = "ok", [WARNING] = "warning", [FAILED] = "failed"};

typedef struct report {
    json_t *checks;
    bool failed;
} report;

/* Names in another character set may be no UTF-8; JSON takes nothing else. */
static void __attribute__((format(printf, 5, 6)))
add(report *r, const char *check, verdict v, const char *advice, const char *format, ...)
{
    char text[MAX_TEXT];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    lam_text_end_whole(text);
    lam_text_make_printable(text);
    json_array_append_new(r->checks, json_pack("{s:s,s:s,s:s,s:s}", "check", check, "state", verdict_names[v],
                                               "found", text, "advice", v == GOOD ? "" : advice));
    r->failed |= v == FAILED;
}

/* ---- configuration ---- */

static lam_config *check_configuration(report *r, const char *path)
{
    lam_config *config = NULL;
    lam_error err = {0};
    LAM_AUTO(lam_buffer_done) lam_buffer lines;
    lam_buffer_init(&lines, 1 << 20);
    if (lam_config_load(path, &config, &err) != LAM_OK) {
        add(r, "configuration", FAILED, "correct the file; lamina.conf(5) explains each key", "%s",
            err.message);
        return NULL;
    }
    add(r, "configuration", GOOD, "", "%s", config->source[0] ? config->source : "built-in defaults");
    lam_config_warnings(config, &lines);
    for (const char *line = lam_buffer_text(&lines); *line; line += strcspn(line, "\n") + 1)
        add(r, "configuration", WARNING, "see lamina.conf(5)", "%.*s", (int)strcspn(line, "\n"), line);
    return config;
}

/* ---- directories and disk ---- */

static void check_data_dir(report *r, const lam_config *config)
{
    struct stat info;
    struct statvfs disk;
    const char *path = config->data_dir;
    if (stat(path, &info) < 0) {
        add(r, "data_dir", errno == ENOENT ? WARNING : FAILED,
            "laminad makes it when it starts, if it may write beside it", "%s: %s", path, strerror(errno));
        return;
    }
    if (!S_ISDIR(info.st_mode) || access(path, R_OK | W_OK | X_OK) < 0)
        add(r, "data_dir", FAILED, "run this as the user that laminad runs as, or give that user the folder",
            "%s is no folder that this user may write", path);
    else if (info.st_mode & S_IRWXO)
        add(r, "data_dir", WARNING, "chmod o= it: it holds patient data", "%s is accessible to everyone",
            path);
    else
        add(r, "data_dir", GOOD, "", "%s", path);
    if (statvfs(path, &disk) < 0)
        return;
    double free_bytes = (double)disk.f_bavail * (double)disk.f_frsize;
    double least = config->reserve_bytes > FULL_BYTES ? (double)config->reserve_bytes : FULL_BYTES;
    verdict v = free_bytes < least ? FAILED : free_bytes < 2 * least ? WARNING : GOOD;
    add(r, "disk", v, "free space, or lower [storage] reserve: below it objects are refused",
        "%.1f GB free, reserve %.1f GB", free_bytes / 1e9, (double)config->reserve_bytes / 1e9);
}

/* What somebody else than the owner of data_dir made there, root above all, may be in laminad's way. */
static void check_owners(report *r, const lam_config *config)
{
    static const char *const names[] = {"lock",  "lamina.db",  "lamina.db-wal", "lamina.db-shm",
                                        "store", "quarantine", "spool"};
    struct stat folder, info;
    lam_autoclose int fd = open(config->data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &folder) < 0)
        return;
    for (size_t i = 0; i < LAM_COUNT(names); i++)
        if (fstatat(fd, names[i], &info, AT_SYMLINK_NOFOLLOW) == 0 && info.st_uid != folder.st_uid)
            add(r, "data_dir", FAILED, "chown -R what lies in data_dir to the owner of the folder",
                "%s/%s belongs to the user %u, the folder to %u", config->data_dir, names[i], info.st_uid,
                folder.st_uid);
}

/* By the head of the file (SQLite's file format, 1.3), since to open a database is to write beside it. */
static void check_database(report *r, const lam_config *config)
{
    enum { HEAD = 100, USER_VERSION = 60 };
    static const char magic[] = "SQLite format 3";
    char path[PATH_MAX];
    unsigned char head[HEAD];
    snprintf(path, sizeof path, "%s/lamina.db", config->data_dir);
    lam_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        if (errno != ENOENT)
            add(r, "database", FAILED, "run this as the user that laminad runs as", "%s: %s", path,
                strerror(errno));
        return;
    }
    ssize_t got = pread(fd, head, sizeof head, 0);
    if (got == 0) /* nothing has been written yet */
        return;
    if (got != HEAD || memcmp(head, magic, sizeof magic) != 0) {
        add(r, "database", FAILED, "restore it and the store from a backup", "%s is damaged", path);
        return;
    }
    const unsigned char *v = head + USER_VERSION;
    unsigned version = (unsigned)v[0] << 24 | (unsigned)v[1] << 16 | (unsigned)v[2] << 8 | v[3];
    int newest = lam_migrations[lam_migration_count - 1].number;
    if (version > (unsigned)newest)
        add(r, "database", FAILED, "install the newer Lamina again",
            "%s has schema %u; this program knows up to %d", path, version, newest);
    else
        add(r, "database", GOOD, "", "%s", path);
}

static void refuse_model(void *context, const char *name, const char *version, const lam_error *why)
{
    add(context, "model", WARNING, "laminad leaves it out: install it again, or remove its folder",
        "%s %s: %s", name, version, why->message);
}

static void check_models(report *r, const lam_config *config)
{
    struct stat info;
    bool there = stat(config->models_dir, &info) == 0 && S_ISDIR(info.st_mode);
    add(r, "models_dir", there ? GOOD : FAILED, "install models, or set [lamina] models_dir", "%s%s",
        config->models_dir, there ? "" : " is not a folder");
    lam_models *models = NULL;
    if (there && lam_models_load(config->models_dir, refuse_model, r, &models, NULL) == LAM_OK)
        lam_models_unref(models);
}

/* ---- ports ---- */

static bool can_connect(const lam_config_address *to, char why[MAX_TEXT])
{
    char port[16];
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    snprintf(port, sizeof port, "%d", to->port);
    int code = getaddrinfo(to->host, port, &hints, &found);
    if (code) {
        snprintf(why, MAX_TEXT, "%s", gai_strerror(code));
        return false;
    }
    lam_autoclose int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval timeout = {CONNECT_TIMEOUT_MS / 1000, 0};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    bool connected = fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) == 0;
    if (!connected)
        snprintf(why, MAX_TEXT, "%s", strerror(errno == EINPROGRESS ? ETIMEDOUT : errno));
    freeaddrinfo(found);
    return connected;
}

static const char start_it[] = "start laminad (systemctl start laminad); its log says why if it does not";

static void check_dicom(report *r, const lam_config *config)
{
    const lam_config_address *to = &config->dicom_listen;
    char why[MAX_TEXT] = "";
    if (can_connect(to, why))
        add(r, "dicom port", GOOD, "", "%s port %d answers", to->host, to->port);
    else
        add(r, "dicom port", WARNING, start_it, "%s port %d: %s", to->host, to->port, why);
}

static size_t take_answer(char *bytes, size_t size, size_t count, void *answer)
{
    return lam_buffer_append(answer, bytes, size * count) == LAM_OK ? size * count : 0;
}

/* The reason in a problem (RFC 9457). */
static void judge_answer(report *r, const char *where, long status, lam_buffer *answer)
{
    json_t *problem = json_loads(lam_buffer_text(answer), 0, NULL);
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    if (status == 200 && strcmp(lam_buffer_text(answer), "ok\n") == 0)
        add(r, "http port", GOOD, "", "%s: laminad is ready", where);
    else if (status == 503 && detail)
        add(r, "http port", FAILED, "its log says more (journalctl -u laminad)",
            "%s: laminad is not ready: %s", where, detail);
    else
        add(r, "http port", FAILED,
            "another program has the port (ss -ltnp shows it): stop it, or change [http] listen",
            "%s answers, but not as laminad does", where);
    json_decref(problem);
}

/* Of ourselves no certificate is asked for. */
static void check_http(report *r, const lam_config *config)
{
    const lam_config_address *to = &config->http_listen;
    char url[LAM_CONFIG_HOST + 64], where[LAM_CONFIG_HOST + 16], why[CURL_ERROR_SIZE] = "";
    long status = 0;
    snprintf(where, sizeof where, "%s port %d", to->host, to->port);
    snprintf(url, sizeof url, strchr(to->host, ':') ? "%s://[%s]:%d/readyz" : "%s://%s:%d/readyz",
             config->http_certificate[0] ? "https" : "http", to->host, to->port);
    LAM_AUTO(lam_buffer_done) lam_buffer answer;
    lam_buffer_init(&answer, MAX_ANSWER);
    CURL *curl = curl_easy_init();
    if (!curl)
        return;
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)RESPONSE_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_answer);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    CURLcode result = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (result == CURLE_COULDNT_CONNECT || result == CURLE_COULDNT_RESOLVE_HOST)
        add(r, "http port", WARNING, start_it, "%s: %s", where, *why ? why : curl_easy_strerror(result));
    else
        judge_answer(r, where, status, &answer);
    curl_easy_cleanup(curl);
}

/* ---- peers ---- */

static void check_association(report *r, const char *name, const lam_config *config,
                              const lam_config_peer *peer)
{
    const lam_net_peer to = {.host = peer->address.host,
                             .port = (uint16_t)peer->address.port,
                             .called_ae = peer->ae_title,
                             .calling_ae = config->ae_title,
                             .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                             .response_timeout_ms = RESPONSE_TIMEOUT_MS};
    const lam_net_context verification = {.abstract_syntax = LAM_SOP_CLASS_VERIFICATION,
                                          .transfer_syntax = LAM_TS_IMPLICIT_LITTLE};
    LAM_AUTO_PTR(lam_association) *association = NULL;
    lam_scu_answer answer = {0};
    lam_error err = {0};
    if (lam_net_request(&to, &verification, 1, &association, &err) != LAM_OK) {
        add(r, name, FAILED,
            "the peer must know our AE title and address, and listen under the AE title configured here",
            "%s", err.message);
        return;
    }
    if (lam_scu_echo(association, 1, &answer, &err) != LAM_OK || answer.status != LAM_DIMSE_SUCCESS)
        add(r, name, FAILED, "the association stands but C-ECHO fails: ask who runs the peer", "%s",
            err.status ? err.message : "C-ECHO was answered with a failure");
    else
        add(r, name, GOOD, "", "%s at %s:%d answers C-ECHO", peer->ae_title, peer->address.host,
            peer->address.port);
    lam_association_release(association, NULL);
}

/* TCP, and TLS where there is some. */
static void check_connection(report *r, const char *name, const lam_config_peer *peer)
{
    char url[LAM_CONFIG_URL + 32], why[CURL_ERROR_SIZE] = "";
    const char *scheme = peer->tls ? "https" : "http";
    if (peer->url[0])
        snprintf(url, sizeof url, "%s", peer->url);
    else
        snprintf(url, sizeof url, strchr(peer->address.host, ':') ? "%s://[%s]:%d" : "%s://%s:%d", scheme,
                 peer->address.host, peer->address.port);
    CURL *curl = curl_easy_init();
    if (!curl)
        return;
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
    if (peer->tls_ca[0])
        curl_easy_setopt(curl, CURLOPT_CAINFO, peer->tls_ca);
    if (peer->tls_certificate[0]) {
        curl_easy_setopt(curl, CURLOPT_SSLCERT, peer->tls_certificate);
        curl_easy_setopt(curl, CURLOPT_SSLKEY, peer->tls_key);
    }
    CURLcode result = curl_easy_perform(curl);
    if (result == CURLE_OK)
        add(r, name, GOOD, "", "%s can be reached", url);
    else
        add(r, name, FAILED,
            result == CURLE_PEER_FAILED_VERIFICATION
                ? "tls_ca must hold the authority that signed the peer's certificate"
                : "check address, firewall and whether the peer runs",
            "%s: %s", url, *why ? why : curl_easy_strerror(result));
    curl_easy_cleanup(curl);
}

static void check_peer(report *r, const lam_config *config, const lam_config_peer *peer)
{
    char name[LAM_CONFIG_NAME + 8];
    snprintf(name, sizeof name, "peer %s", peer->name);
    if (!peer->url[0] && !peer->address.host[0])
        add(r, name, GOOD, "", "only calls us: it has no address");
    else if (peer->kind == LAM_PEER_DIMSE && !peer->tls)
        check_association(r, name, config, peer);
    else
        check_connection(r, name, peer);
}

/* ---- the command ---- */

static void print_checks(const report *r)
{
    size_t index;
    json_t *check;
    json_array_foreach(r->checks, index, check)
    {
        const char *advice = lam_json_member_text(check, "advice");
        printf("%-8s %-16s %s\n", lam_json_member_text(check, "state"), lam_json_member_text(check, "check"),
               LAM_PRINTABLE(lam_json_member_text(check, "found")));
        if (*advice)
            printf("%25s → %s\n", "", advice);
    }
}

static void run_checks(report *r, const char *path)
{
    LAM_AUTO_PTR(lam_config) *config = check_configuration(r, path);
    if (!config)
        return;
    check_data_dir(r, config);
    check_owners(r, config);
    check_database(r, config);
    check_models(r, config);
    check_dicom(r, config);
    check_http(r, config);
    for (size_t i = 0; i < config->peer_count; i++)
        check_peer(r, config, &config->peers[i]);
}

int lam_cli_doctor(int argc, char **argv)
{
    const char *path = NULL;
    bool json = false;
    lam_error err = {0};
    char **rest;
    const lam_option known[] = {{"config", .text = &path}, {"json", .flag = &json}, {0}};
    int status = lam_options_read(argc, argv, known, &rest);
    if (status != LAM_CLI_OK)
        return status;
    if (*rest)
        return lam_cli_usage(argv[0], "takes no arguments");
    if (lam_net_start(&err) != LAM_OK)
        return lam_cli_fail_error(&err);
    report r = {.checks = json_array()};
    run_checks(&r, path);
    if (json) {
        json_t *root = json_pack("{s:b,s:O}", "ok", !r.failed, "checks", r.checks);
        json_dumpf(root, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(root);
    } else {
        print_checks(&r);
    }
    json_decref(r.checks);
    return r.failed ? LAM_CLI_FAILED : LAM_CLI_OK;
}
