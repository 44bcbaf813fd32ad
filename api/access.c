#include "api/access.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "api/reply.h"
#include "api/tls.h"
#include "core/base/buffer.h"
#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "core/base/sha256.h"

enum { MAX_TOKENS = 64, MIN_TOKEN = 16, MAX_TOKEN_FILE = 64 * 1024 };

struct lam_access {
    const lam_http_options *options;
    size_t count;
    struct {
        uint8_t digest[LAM_SHA256_BYTES]; /* tokens themselves are not kept in memory */
        bool may_delete;
        int line; /* of the token file: what it is called where it may not be said */
    } tokens[MAX_TOKENS];
};

static void digest_of(const char *text, size_t length, uint8_t digest[LAM_SHA256_BYTES])
{
    lam_sha256 hash;
    lam_sha256_init(&hash);
    lam_sha256_update(&hash, text, length);
    lam_sha256_final(&hash, digest);
}

/* "TOKEN" or "TOKEN delete": what follows the token are its roles, of which there is one. */
static lam_status add_token(lam_access *access, const char *line, size_t length, int number, lam_error *err)
{
    static const char role[] = "delete";
    const char *path = access->options->token_file;
    size_t token = 0;
    while (token < length && line[token] != ' ' && line[token] != '\t')
        token++;
    size_t at = token;
    while (at < length && (line[at] == ' ' || line[at] == '\t'))
        at++;
    bool has_role = at < length;
    if (has_role && (length - at != strlen(role) || memcmp(line + at, role, length - at) != 0))
        return lam_fail(err, LAM_E_INVALID,
                        "%s line %d: after a token may stand the role \"%s\", not \"%.*s\"", path, number,
                        role, (int)(length - at < 40 ? length - at : 40), line + at);
    if (token < MIN_TOKEN)
        return lam_fail(err, LAM_E_INVALID, "%s line %d: a token needs at least %d characters", path, number,
                        MIN_TOKEN);
    if (access->count == MAX_TOKENS)
        return lam_fail(err, LAM_E_LIMIT, "%s has more than %d tokens", path, MAX_TOKENS);
    digest_of(line, token, access->tokens[access->count].digest);
    access->tokens[access->count].line = number;
    access->tokens[access->count++].may_delete = has_role;
    return LAM_OK;
}

static lam_status add_tokens(lam_access *access, const char *text, lam_error *err)
{
    int line = 1;
    for (const char *at = text; *at; line++) {
        size_t whole = strcspn(at, "\n");
        size_t length = whole;
        while (length && (at[length - 1] == '\r' || at[length - 1] == ' ' || at[length - 1] == '\t'))
            length--;
        lam_status status = length && at[0] != '#' ? add_token(access, at, length, line, err) : LAM_OK;
        if (status != LAM_OK)
            return status;
        at += whole + (at[whole] == '\n');
    }
    if (access->count == 0)
        return lam_fail(err, LAM_E_INVALID, "%s has no token; `openssl rand -hex 32` makes one",
                        access->options->token_file);
    return LAM_OK;
}

static lam_status read_tokens(lam_access *access, lam_error *err)
{
    const char *path = access->options->token_file;
    if (!path || !*path)
        return lam_fail(err, LAM_E_INVALID, "auth = token needs token_file");
    struct stat info;
    if (stat(path, &info) == 0 && (info.st_mode & 0007))
        return lam_fail(err, LAM_E_INVALID, "%s can be read by everybody; `chmod o= %s` closes it", path,
                        path);
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_buffer_init(&text, MAX_TOKEN_FILE);
    lam_status status = lam_io_read_file(path, &text, err);
    return status == LAM_OK ? add_tokens(access, lam_buffer_text(&text), err) : status;
}

lam_status lam_access_create(const lam_http_options *options, lam_access **out, lam_error *err)
{
    lam_access *access = calloc(1, sizeof *access);
    if (!access)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    access->options = options;
    lam_status status = options->auth == LAM_HTTP_AUTH_TOKEN ? read_tokens(access, err) : LAM_OK;
    if (status != LAM_OK) {
        lam_access_free(access);
        return status;
    }
    *out = access;
    return LAM_OK;
}

void lam_access_free(lam_access *access)
{
    free(access);
}

static const char *header(const lam_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

/* Compares with every token in constant time, so that the time tells nothing. */
/* Gives its line, 0 when it is not known. */
static int find_token(const lam_access *access, const char *token, bool *may_delete)
{
    uint8_t digest[LAM_SHA256_BYTES];
    digest_of(token, strlen(token), digest);
    int line = 0;
    *may_delete = false;
    for (size_t i = 0; i < access->count; i++) {
        uint8_t difference = 0;
        for (size_t b = 0; b < LAM_SHA256_BYTES; b++)
            difference |= (uint8_t)(digest[b] ^ access->tokens[i].digest[b]);
        line = difference == 0 ? access->tokens[i].line : line;
        *may_delete |= difference == 0 && access->tokens[i].may_delete;
    }
    return line;
}

static bool check_token(const lam_access *access, lam_request *request)
{
    const char *value = header(request, MHD_HTTP_HEADER_AUTHORIZATION);
    int line = 0;
    if (value && strncasecmp(value, "Bearer ", 7) == 0)
        line = find_token(access, value + 7 + strspn(value + 7, " "), &request->may_delete);
    if (line) {
        snprintf(request->user, sizeof request->user, "token of line %d", line);
        return true;
    }
    lam_reply_problem(request, MHD_HTTP_UNAUTHORIZED,
                      "send one of the tokens of token_file as Authorization: Bearer");
    lam_reply_header(request, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                     value ? "Bearer realm=\"lamina\", error=\"invalid_token\"" : "Bearer realm=\"lamina\"");
    return false;
}

static bool check_certificate(lam_request *request)
{
    if (lam_http_tls_client_is_known(request->connection, request->user))
        return true;
    lam_reply_problem(request, MHD_HTTP_FORBIDDEN,
                      "show a client certificate that one of the authorities in tls_client_ca has signed");
    return false;
}

/* "scheme://authority" of a URL: the length of that part. */
static size_t origin_length(const char *url)
{
    const char *colon = strstr(url, "://");
    return colon ? (size_t)(colon + 3 - url) + strcspn(colon + 3, "/") : 0;
}

/* The host of "host:port", without the port. */
static size_t host_length(const char *authority)
{
    const char *bracket = authority[0] == '[' ? strchr(authority, ']') : NULL;
    return bracket ? (size_t)(bracket + 1 - authority) : strcspn(authority, ":/");
}

static bool host_is(const char *authority, const char *host, size_t length)
{
    return host_length(authority) == length && strncasecmp(authority, host, length) == 0;
}

/* Without authentication the only protection is that we listen on loopback; a page whose name was made to
 * resolve to loopback (DNS rebinding) still shows its own name here. */
static bool check_host(const lam_access *access, lam_request *request)
{
    const char *host = request->host;
    if (!host)
        return true; /* HTTP/1.0: not a browser */
    static const char *const loopback[] = {"localhost", "127.0.0.1", "[::1]"};
    for (size_t i = 0; i < LAM_COUNT(loopback); i++)
        if (host_is(host, loopback[i], strlen(loopback[i])))
            return true;
    const char *url = access->options->public_url;
    const char *authority = url ? strstr(url, "://") : NULL;
    if (authority && host_is(host, authority + 3, host_length(authority + 3)))
        return true;
    lam_reply_problem(
        request, MHD_HTTP_MISDIRECTED_REQUEST,
        "without authentication this server answers only to localhost; set public_url to the name that "
        "clients use");
    return false;
}

static bool origin_is_listed(const lam_access *access, const char *origin)
{
    const char *list = access->options->cors_origins;
    size_t wanted = strlen(origin);
    for (const char *at = list ? list : ""; *at;) {
        at += strspn(at, " \t");
        size_t length = strcspn(at, " \t");
        if ((length == 1 && *at == '*') || (length == wanted && strncasecmp(at, origin, length) == 0))
            return true;
        at += length;
    }
    return false;
}

static bool origin_is_ours(const lam_access *access, const lam_request *request, const char *origin)
{
    const char *url = access->options->public_url;
    if (url && strlen(origin) == origin_length(url) && strncasecmp(origin, url, strlen(origin)) == 0)
        return true;
    const char *authority = strstr(origin, "://");
    size_t length = request->host ? strcspn(request->host, "/") : 0;
    return length && authority && strlen(authority + 3) == length &&
           strncasecmp(authority + 3, request->host, length) == 0;
}

/* A browser names the page that a request comes from; programs send no Origin. */
static bool check_origin(const lam_access *access, lam_request *request)
{
    const char *origin = header(request, MHD_HTTP_HEADER_ORIGIN);
    bool reads = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0 ||
                 strcmp(request->method, "OPTIONS") == 0;
    if (!origin || reads || origin_is_ours(access, request, origin) || origin_is_listed(access, origin))
        return true;
    lam_reply_problem(request, MHD_HTTP_FORBIDDEN,
                      "a page of another site may not do this; cors_origins lists those "
                      "that may");
    return false;
}

static bool check_all(const lam_access *access, lam_request *request, bool open)
{
    if (access->options->auth == LAM_HTTP_AUTH_NONE && !check_host(access, request))
        return false;
    if (!check_origin(access, request))
        return false;
    request->may_delete = access->options->auth != LAM_HTTP_AUTH_TOKEN;
    if (open)
        return true;
    if (access->options->auth == LAM_HTTP_AUTH_MTLS)
        return check_certificate(request);
    return access->options->auth != LAM_HTTP_AUTH_TOKEN || check_token(access, request);
}

bool lam_access_check(const lam_access *access, lam_request *request, bool open)
{
    request->refused = !check_all(access, request, open);
    return !request->refused;
}

/* One header, whatever else the answer depends on: some caches read only the first. */
static void add_vary(lam_request *request, const char *field)
{
    char all[128];
    const char *others = MHD_get_response_header(request->reply, MHD_HTTP_HEADER_VARY);
    snprintf(all, sizeof all, "%s%s%s", others ? others : "", others ? ", " : "", field);
    if (others)
        MHD_del_response_header(request->reply, MHD_HTTP_HEADER_VARY, others);
    lam_reply_header(request, MHD_HTTP_HEADER_VARY, all);
}

void lam_access_add_headers(const lam_access *access, lam_request *request)
{
    if (!access->options->cors_origins)
        return;
    add_vary(request, "Origin");
    const char *origin = header(request, MHD_HTTP_HEADER_ORIGIN);
    if (!origin || !origin_is_listed(access, origin))
        return;
    lam_reply_header(request, MHD_HTTP_HEADER_ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    lam_reply_header(request, MHD_HTTP_HEADER_ACCESS_CONTROL_EXPOSE_HEADERS,
                     "Content-Length, Content-Location, Content-Range, ETag, Location, Warning");
    if (strcmp(request->method, "OPTIONS") != 0)
        return;
    lam_reply_header(request, MHD_HTTP_HEADER_ACCESS_CONTROL_ALLOW_METHODS,
                     "GET, HEAD, POST, PUT, DELETE, OPTIONS");
    lam_reply_header(
        request, MHD_HTTP_HEADER_ACCESS_CONTROL_ALLOW_HEADERS,
        "Accept, Authorization, Cache-Control, Content-Type, If-None-Match, If-Range, Last-Event-ID, "
        "Range");
    lam_reply_header(request, MHD_HTTP_HEADER_ACCESS_CONTROL_MAX_AGE, "600");
}
