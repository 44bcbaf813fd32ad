/* What one key cannot say alone: how the keys of a configuration go together. Promise 10 is kept here:
 * nothing listens beyond loopback without a way to know who asks. */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "api/certificate.h"
#include "core/base/clock.h"
#include "daemon/laminad/config_table.h"

typedef struct findings {
    const char *file;
    lam_buffer *report;
    int errors;
} findings;

static void __attribute__((format(printf, 4, 5)))
say(findings *f, const char *kind, int line, const char *format, ...)
{
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (line > 0)
        lam_buffer_printf(f->report, "%s: %s:%d: %s\n", kind, f->file, line, message);
    else
        lam_buffer_printf(f->report, "%s: %s\n", kind, message);
}

#define add_error(f, line, ...)   (say((f), "error", (line), __VA_ARGS__), (f)->errors++)
#define add_warning(f, line, ...) say((f), "warning", (line), __VA_ARGS__)

/* ---- where it stands ---- */

/* The line of the key whose field lies there, else of its section. 0: it is not this section's, or stands in
 * no file. */
static int line_in(const lam_config_section *section, const lam_config_lines *lines, const void *record,
                   const void *field)
{
    size_t offset = (size_t)((const char *)field - (const char *)record);
    for (size_t k = 0; k < section->key_count; k++)
        if (section->keys[k].offset == offset)
            return lines->keys[k] ? lines->keys[k] : lines->section;
    return 0;
}

static int line_of(const lam_config *c, const void *field)
{
    int line = 0;
    for (size_t i = 0; i < LAM_CONFIG_PLAIN_SECTIONS && line == 0; i++)
        line = line_in(&lam_config_sections[i], &c->lines[i], c, field);
    return line;
}

static int line_of_peer(const lam_config_peer *peer, const void *field)
{
    return line_in(&lam_config_sections[LAM_SECTION_PEER], &peer->lines, peer, field);
}

static int line_of_rule(const lam_config_rule *rule, const void *field)
{
    return line_in(&lam_config_sections[LAM_SECTION_RULE], &rule->lines, rule, field);
}

/* ---- what is wrong ---- */

bool lam_config_is_loopback(const char *host)
{
    struct in_addr ipv4;
    struct in6_addr ipv6;
    if (inet_pton(AF_INET, host, &ipv4) == 1)
        return (ntohl(ipv4.s_addr) >> 24) == 127;
    if (inet_pton(AF_INET6, host, &ipv6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&ipv6) || (IN6_IS_ADDR_V4MAPPED(&ipv6) && ipv6.s6_addr[12] == 127);
    return strcmp(host, "localhost") == 0;
}

static void check_http(const lam_config *c, findings *f)
{
    if (c->auth == LAM_AUTH_NONE && !lam_config_is_loopback(c->http_listen.host))
        add_error(f, line_of(c, &c->http_listen),
                  "http.listen = %s is not a loopback address, and http.auth = none would let anyone in; set "
                  "auth = token and token_file, or listen on 127.0.0.1",
                  c->http_listen.host);
    if (c->auth == LAM_AUTH_TOKEN && !c->token_file[0])
        add_error(f, line_of(c, &c->auth), "http.auth = token needs http.token_file");
    if ((c->http_certificate[0] == '\0') != (c->http_key[0] == '\0'))
        add_error(f, line_of(c, c->http_certificate[0] ? c->http_certificate : c->http_key),
                  "http.tls_certificate and http.tls_key go together");
    if (c->auth == LAM_AUTH_MTLS && (!c->http_certificate[0] || !c->http_client_ca[0]))
        add_error(f, line_of(c, &c->auth),
                  "http.auth = mtls needs http.tls_certificate, http.tls_key and http.tls_client_ca");
    if (c->auth == LAM_AUTH_TOKEN && !c->http_certificate[0] && !lam_config_is_loopback(c->http_listen.host))
        add_warning(
            f, line_of(c, &c->http_listen),
            "http.auth = token beyond loopback without http.tls_certificate: anyone on the way can read "
            "tokens and patient data");
}

static void check_dicom_tls(const lam_config *c, findings *f)
{
    if ((c->dicom_certificate[0] == '\0') != (c->dicom_key[0] == '\0'))
        add_error(f, line_of(c, c->dicom_certificate[0] ? c->dicom_certificate : c->dicom_key),
                  "dicom.tls_certificate and dicom.tls_key go together");
    if (c->dicom_ca[0] && !c->dicom_certificate[0])
        add_error(f, line_of(c, c->dicom_ca), "dicom.tls_ca needs dicom.tls_certificate and dicom.tls_key");
}

/* Files without which nothing is served; a secret is for nobody else to read. */
static void check_files(const lam_config *c, findings *f)
{
    const struct {
        const char *key, *path;
        bool secret;
    } files[] = {
        {"dicom.tls_certificate", c->dicom_certificate, false},
        {"dicom.tls_key", c->dicom_key, true},
        {"dicom.tls_ca", c->dicom_ca, false},
        {"http.tls_certificate", c->http_certificate, false},
        {"http.tls_key", c->http_key, true},
        {"http.tls_client_ca", c->http_client_ca, false},
        {"http.token_file", c->auth == LAM_AUTH_TOKEN ? c->token_file : "", true},
    };
    struct stat info;
    for (size_t i = 0; i < LAM_COUNT(files); i++) {
        if (!files[i].path[0])
            continue;
        if (access(files[i].path, R_OK) != 0)
            add_error(f, line_of(c, files[i].path), "cannot read %s = %s: %s", files[i].key, files[i].path,
                      strerror(errno));
        else if (files[i].secret && stat(files[i].path, &info) == 0 && (info.st_mode & S_IRWXO))
            add_error(f, line_of(c, files[i].path), "%s = %s is accessible to everyone: chmod o= it",
                      files[i].key, files[i].path);
    }
}

/* Certificate, key and authorities of one party: of a peer's nothing can be delivered, without ours nothing
 * is served. */
typedef struct tls_files {
    const char *certificate, *key, *authorities;
    const char *prefix, *authorities_key; /* of the names of their keys */
    const lam_config *config;
    const lam_config_peer *peer; /* NULL: ours */
} tls_files;

static void add_tls(findings *f, const tls_files *files, const char *key, const char *path, const char *why)
{
    if (files->peer)
        add_warning(f, line_of_peer(files->peer, path), "[peer %s] %s: %s; nothing can be delivered",
                    files->peer->name, key, why);
    else
        add_error(f, line_of(files->config, path), "%s%s: %s", files->prefix, key, why);
}

static void warn_of_expiry(findings *f, const tls_files *files, int64_t expires_s)
{
    enum { EARLY_S = 30 * 24 * 60 * 60 };
    int64_t left_s = expires_s - lam_clock_wall_ms() / 1000;
    if (left_s > EARLY_S)
        return;
    char day[24];
    struct tm broken;
    const time_t when = expires_s;
    strftime(day, sizeof day, "%Y-%m-%d", gmtime_r(&when, &broken));
    int line = files->peer ? line_of_peer(files->peer, files->certificate)
                           : line_of(files->config, files->certificate);
    add_warning(f, line, "the certificate %s %s on %s: put a new one in its place", files->certificate,
                left_s < 0 ? "expired" : "expires", day);
}

static void check_tls(const tls_files *files, findings *f)
{
    const struct {
        const char *key, *path;
    } lists[] = {{"tls_certificate", files->certificate}, {files->authorities_key, files->authorities}};
    lam_error err = {LAM_OK, ""};
    int64_t expires_s = 0;
    bool good = true;
    for (size_t i = 0; i < LAM_COUNT(lists); i++) {
        if (!lists[i].path[0] || access(lists[i].path, R_OK) != 0) /* said already */
            continue;
        if (lam_certificate_read(lists[i].path, &expires_s, &err) != LAM_OK) {
            add_tls(f, files, lists[i].key, lists[i].path, err.message);
            good = false;
        } else if (lists[i].path == files->certificate) {
            warn_of_expiry(f, files, expires_s);
        }
    }
    if (good && access(files->certificate, R_OK) == 0 && access(files->key, R_OK) == 0 &&
        lam_certificate_match(files->certificate, files->key, &err) != LAM_OK)
        add_tls(f, files, "tls_key", files->key, err.message);
}

static void check_our_tls(const lam_config *c, findings *f)
{
    check_tls(&(tls_files){c->dicom_certificate, c->dicom_key, c->dicom_ca, "dicom.", "tls_ca", c, NULL}, f);
    check_tls(
        &(tls_files){c->http_certificate, c->http_key, c->http_client_ca, "http.", "tls_client_ca", c, NULL},
        f);
}

static void check_dicom(const lam_config *c, findings *f)
{
    const char *host = c->dicom_listen.host;
    if (c->max_associations_per_peer > c->max_associations)
        add_warning(f, line_of(c, &c->max_associations_per_peer),
                    "dicom.max_associations_per_peer = %d is more than dicom.max_associations = %d",
                    c->max_associations_per_peer, c->max_associations);
    if (lam_config_is_loopback(host))
        return;
    size_t known = 0;
    for (size_t i = 0; i < c->peer_count; i++)
        known +=
            c->peers[i].kind == LAM_PEER_DIMSE && c->peers[i].accept && c->peers[i].address.host[0] != '\0';
    if (c->accept == LAM_ACCEPT_ANY)
        add_error(f, line_of(c, &c->accept),
                  "dicom.listen = %s is not a loopback address, and dicom.accept = any would let anyone in; "
                  "set accept = known and add a [peer NAME] section for each node",
                  host);
    else if (known == 0)
        add_error(f, line_of(c, &c->dicom_listen),
                  "dicom.listen = %s is not a loopback address, and no [peer NAME] with an address may "
                  "associate; add one for each node, or listen on 127.0.0.1",
                  host);
}

static void check_ports(const lam_config *c, findings *f)
{
    if (c->dicom_listen.port != 0 && c->dicom_listen.port == c->http_listen.port &&
        strcmp(c->dicom_listen.host, c->http_listen.host) == 0)
        add_error(f, line_of(c, &c->http_listen),
                  "dicom.listen and http.listen are the same; give each a port of its own");
}

static void check_file(const lam_config_peer *peer, const char *key, const char *path, findings *f)
{
    if (path[0] && access(path, R_OK) != 0)
        add_warning(f, line_of_peer(peer, path),
                    "[peer %s] cannot read %s = %s: %s; nothing can be delivered", peer->name, key, path,
                    strerror(errno));
}

/* What each kind of peer needs to be reached. */
static void check_kind(const lam_config_peer *peer, findings *f)
{
    bool by_url = peer->kind == LAM_PEER_DICOMWEB || peer->kind == LAM_PEER_WEBHOOK;
    if (peer->kind == LAM_PEER_DIMSE && !peer->ae_title[0])
        add_error(f, line_of_peer(peer, peer->ae_title), "[peer %s] needs the key ae_title", peer->name);
    if (peer->deliver != LAM_DELIVER_NONE && !by_url && !peer->address.host[0])
        add_error(f, line_of_peer(peer, &peer->deliver), "[peer %s] deliver = results needs an address",
                  peer->name);
    if (by_url && !peer->url[0])
        add_error(f, line_of_peer(peer, peer->url), "[peer %s] needs the key url", peer->name);
    if (peer->kind == LAM_PEER_WEBHOOK && !peer->secret_file[0])
        add_error(f, line_of_peer(peer, peer->secret_file),
                  "[peer %s] needs the key secret_file, which signs its webhooks", peer->name);
    if (peer->kind != LAM_PEER_DIMSE && peer->commitment)
        add_error(f, line_of_peer(peer, &peer->commitment),
                  "[peer %s] commitment is a service of kind = dimse", peer->name);
    if ((peer->tls_certificate[0] == '\0') != (peer->tls_key[0] == '\0'))
        add_error(f, line_of_peer(peer, peer->tls_certificate[0] ? peer->tls_certificate : peer->tls_key),
                  "[peer %s] tls_certificate and tls_key go together", peer->name);
    check_file(peer, "token_file", peer->token_file, f);
    check_file(peer, "secret_file", peer->secret_file, f);
    check_file(peer, "tls_ca", peer->tls_ca, f);
    check_file(peer, "tls_certificate", peer->tls_certificate, f);
    check_file(peer, "tls_key", peer->tls_key, f);
    check_tls(&(tls_files){peer->tls_certificate, peer->tls_key, peer->tls_ca, "", "tls_ca", NULL, peer}, f);
}

static void check_peers(const lam_config *c, findings *f)
{
    bool open = !lam_config_is_loopback(c->dicom_listen.host);
    for (size_t i = 0; i < c->peer_count; i++) {
        const lam_config_peer *peer = &c->peers[i];
        bool anywhere = peer->address.host[0] == '\0';
        check_kind(peer, f);
        if (open && peer->kind == LAM_PEER_DIMSE && peer->accept && anywhere)
            add_warning(f, line_of_peer(peer, &peer->address),
                        "[peer %s] has no address, so anyone who knows its AE title may send as it",
                        peer->name);
        for (size_t j = 0; j < i; j++)
            if (c->peers[j].kind == LAM_PEER_DIMSE && peer->kind == LAM_PEER_DIMSE &&
                strcmp(c->peers[j].ae_title, peer->ae_title) == 0 &&
                strcmp(c->peers[j].address.host, peer->address.host) == 0)
                add_error(f, line_of_peer(peer, peer->ae_title),
                          "[peer %s] and [peer %s] have the same ae_title and host", c->peers[j].name,
                          peer->name);
    }
}

static void check_models(const lam_config *c, findings *f)
{
    struct stat info;
    if (stat(c->models_dir, &info) != 0 || !S_ISDIR(info.st_mode))
        add_warning(f, line_of(c, c->models_dir),
                    "there is no folder lamina.models_dir = %s, so no study can be analysed", c->models_dir);
}

static void check_rules(const lam_config *c, findings *f)
{
    for (size_t i = 0; i < c->rule_count; i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", c->models_dir, c->rules[i].model);
        if (access(path, F_OK) != 0)
            add_warning(f, line_of_rule(&c->rules[i], c->rules[i].model),
                        "[rule %s] sends series to the model %s, which is not in lamina.models_dir = %s",
                        c->rules[i].name, c->rules[i].model, c->models_dir);
    }
}

static void (*const checks[])(const lam_config *, findings *) = {check_http,  check_dicom,   check_dicom_tls,
                                                                 check_files, check_our_tls, check_ports,
                                                                 check_peers, check_models,  check_rules};

int lam_config_check_together(const lam_config *config, lam_buffer *report)
{
    findings f = {.file = config->source, .report = report};
    for (size_t i = 0; i < LAM_COUNT(checks); i++)
        checks[i](config, &f);
    return f.errors;
}
