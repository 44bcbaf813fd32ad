/* The life of the server and of a request in it: libmicrohttpd calls `on_request` for the headers, each piece
 * of the body and the end; `on_completed` follows whatever happened. A thread a connection: see README.md. */
#include "api/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "api/access.h"
#include "api/negotiate.h"
#include "api/reply.h"
#include "api/request.h"
#include "api/routes.h"
#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/log.h"

enum {
    BACKLOG = 512,
    STACK_BYTES = 1024 * 1024,
    CONNECTION_MEMORY = 128 * 1024, /* headers, and then the buffer that a body is read through */
    IGNORED_BODY = 64 * 1024,       /* on a route that takes none */
    DRAINED_BODY = 16 * 1024 * 1024 /* read and dropped, so that a client gets to read why it was refused */
};

struct lam_http_server {
    lam_http_options options;
    lam_backend backend;
    lam_access *access;
    struct MHD_Daemon *daemon;
    int listen_fd;
    unsigned port;
    atomic_bool draining;
    pthread_mutex_t mutex; /* guards `active` */
    pthread_cond_t idle;
    unsigned active;
};

lam_http_options lam_http_options_default(void)
{
    return (lam_http_options){
        .address = "127.0.0.1",
        .port = 8080,
        .max_connections = 256,
        .max_connections_per_ip = 256,
        .idle_timeout_s = 60,
        .drain_timeout_ms = 10000,
        .max_body_bytes = INT64_C(64) << 30,
        .max_parts = 10000,
        .max_header_bytes = 32 * 1024,
    };
}

/* ---- a request ---- */

typedef struct header_size {
    size_t bytes;
} header_size;

static enum MHD_Result add_header_size(void *context, enum MHD_ValueKind kind, const char *key,
                                       const char *value)
{
    (void)kind;
    header_size *size = context;
    size->bytes += strlen(key) + (value ? strlen(value) : 0) + 4;
    return MHD_YES;
}

typedef struct unknown_query {
    const lam_query_parameter *known;
    const char *name;
} unknown_query;

static enum MHD_Result find_unknown(void *context, enum MHD_ValueKind kind, const char *key,
                                    const char *value)
{
    (void)kind;
    (void)value;
    unknown_query *search = context;
    for (const lam_query_parameter *known = search->known; known && known->name; known++)
        if (strcmp(known->name, key) == 0)
            return MHD_YES;
    search->name = key;
    return MHD_NO;
}

static bool check_headers(lam_request *request)
{
    header_size size = {.bytes = strlen(request->path)};
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, add_header_size, &size);
    if (size.bytes <= request->options->max_header_bytes)
        return true;
    lam_reply_problem(request, MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE,
                      "the headers have %zu bytes; at most %zu are taken", size.bytes,
                      request->options->max_header_bytes);
    return false;
}

static bool check_query(lam_request *request)
{
    if (request->route->flags & LAM_ROUTE_FREE_QUERY)
        return true;
    unknown_query search = {.known = request->route->query};
    MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, find_unknown, &search);
    if (!search.name)
        return true;
    lam_reply_problem(request, MHD_HTTP_BAD_REQUEST, "query parameter %.60s is not known here", search.name);
    return false;
}

static bool check_accept(lam_request *request)
{
    if (!request->route->produces)
        return true;
    LAM_AUTO(lam_buffer_done) lam_buffer scratch;
    lam_buffer_init(&scratch, CONNECTION_MEMORY);
    lam_offer offer = {.type = request->route->produces};
    if (lam_negotiate(lam_request_header(request, "Accept", &scratch), &offer, 1) == 0)
        return true;
    lam_reply_problem(request, MHD_HTTP_NOT_ACCEPTABLE, "on offer here: %s", request->route->produces);
    return false;
}

static bool check_body_size(lam_request *request)
{
    int64_t length;
    int64_t limit = request->route->body ? request->options->max_body_bytes : IGNORED_BODY;
    if (!lam_request_has_body(request, &length) || length <= limit)
        return true;
    lam_reply_problem(request, MHD_HTTP_CONTENT_TOO_LARGE,
                      "the body has %lld bytes; at most %lld are taken here", (long long)length,
                      (long long)limit);
    return false;
}

/* Finds the route; otherwise answers 404, 405, 400, or OPTIONS (RFC 9110 section 9.3.7). */
static bool find_route(lam_request *request)
{
    LAM_AUTO(lam_buffer_done) lam_buffer allow;
    lam_buffer_init(&allow, 256);
    lam_error error;
    lam_status status =
        lam_route_find(request->method, request->path, &request->route, request->parameters, &allow, &error);
    if (status == LAM_OK)
        return true;
    if (status == LAM_E_STATE && strcmp(request->method, "OPTIONS") == 0)
        lam_reply_empty(request, MHD_HTTP_NO_CONTENT);
    else if (status == LAM_E_STATE)
        lam_reply_problem(request, MHD_HTTP_METHOD_NOT_ALLOWED, "%s", error.message);
    else
        lam_reply_problem(request, status == LAM_E_INVALID ? MHD_HTTP_BAD_REQUEST : MHD_HTTP_NOT_FOUND, "%s",
                          error.message);
    if (status == LAM_E_STATE)
        lam_reply_header(request, MHD_HTTP_HEADER_ALLOW, lam_buffer_text(&allow));
    return false;
}

/* Everything that can be said before the body is here. */
static void begin(const lam_http_server *server, lam_request *request)
{
    bool found = check_headers(request) && find_route(request);
    bool open = !request->route || (request->route->flags & LAM_ROUTE_OPEN);
    if (!found) /* an answer about the URL, which tells nothing about data */
        return;
    if (!lam_access_check(server->access, request, open) || !check_query(request) || !check_accept(request) ||
        !check_body_size(request))
        return;
    if (request->route->body)
        request->route->body->begin(request);
}

/* A chunked body announces no size, so the limit is met on the way. False: break off. */
static bool take_body(lam_request *request, const char *bytes, size_t length)
{
    request->body_bytes += (int64_t)length;
    bool has_body = request->route && request->route->body;
    int64_t limit = has_body ? request->options->max_body_bytes : IGNORED_BODY;
    if (!request->reply && request->body_bytes > limit)
        lam_reply_problem(request, MHD_HTTP_CONTENT_TOO_LARGE,
                          "the body has more than the %lld bytes that are taken here", (long long)limit);
    if (!request->reply && has_body)
        request->route->body->data(request, bytes, length);
    if (!request->reply)
        return true;
    request->dropped_bytes += (int64_t)length;
    return request->dropped_bytes <= DRAINED_BODY;
}

static enum MHD_Result send_reply(lam_http_server *server, lam_request *request)
{
    if (!request->reply)
        return MHD_NO;
    lam_access_add_headers(server->access, request);
    lam_reply_header(request, "X-Content-Type-Options", "nosniff");
    if (!MHD_get_response_header(request->reply, MHD_HTTP_HEADER_CACHE_CONTROL))
        lam_reply_header(request, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (atomic_load(&server->draining))
        lam_reply_header(request, MHD_HTTP_HEADER_CONNECTION, "close");
    enum MHD_Result queued = MHD_queue_response(request->connection, request->status, request->reply);
    request->queued = queued == MHD_YES;
    return queued;
}

/* An early refusal goes out at once when the client waits for it (Expect) or has much to send; a short body
 * is read first, because closing on unread bytes resets the connection and the client may never see the
 * answer. */
static bool reply_before_body(const lam_request *request)
{
    int64_t length;
    if (!lam_request_has_body(request, &length) || length > DRAINED_BODY)
        return true;
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_EXPECT) != NULL;
}

static void client_address(struct MHD_Connection *connection, char text[LAM_CLIENT_TEXT])
{
    snprintf(text, LAM_CLIENT_TEXT, "unknown");
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (!info || !info->client_addr)
        return;
    const struct sockaddr *address = info->client_addr;
    if (address->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)address)->sin_addr, text,
                  LAM_CLIENT_TEXT);
    else if (address->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, text,
                  LAM_CLIENT_TEXT);
}

static lam_request *open_request(lam_http_server *server, struct MHD_Connection *connection, const char *url,
                                 const char *method)
{
    lam_request *request = calloc(1, sizeof *request);
    if (!request)
        return NULL;
    request->options = &server->options;
    request->backend = &server->backend;
    request->connection = connection;
    request->path = url;
    request->method = method;
    request->started_us = lam_clock_monotonic_us();
    client_address(connection, request->client);
    pthread_mutex_lock(&server->mutex);
    server->active++;
    pthread_mutex_unlock(&server->mutex);
    return request;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload_data,
                                  size_t *upload_data_size, void **state)
{
    (void)version;
    lam_http_server *server = context;
    lam_request *request = *state;
    if (!request) {
        *state = request = open_request(server, connection, url, method);
        if (!request)
            return MHD_NO;
        begin(server, request);
        return request->reply && reply_before_body(request) ? send_reply(server, request) : MHD_YES;
    }
    if (*upload_data_size) {
        bool go_on = take_body(request, upload_data, *upload_data_size);
        *upload_data_size = 0;
        return go_on ? MHD_YES : MHD_NO;
    }
    if (request->queued)
        return MHD_YES;
    if (!request->reply)
        request->route->handle(request);
    return send_reply(server, request);
}

static void log_request(const lam_request *request, enum MHD_RequestTerminationCode code)
{
    bool quiet = request->route && (request->route->flags & LAM_ROUTE_QUIET) && request->status < 400;
    bool without_body = strcmp(request->method, "HEAD") == 0;
    lam_log(quiet ? LAM_LOG_DEBUG : LAM_LOG_INFO, "http",
            "client=%s method=%s route=%s status=%u received=%lld bytes=%lld ms=%.1f%s", request->client,
            LAM_QUOTE(request->method), request->route ? request->route->path : "-",
            request->queued ? request->status : 0, (long long)request->body_bytes,
            without_body || !request->queued ? 0LL : (long long)request->reply_bytes,
            (double)(lam_clock_monotonic_us() - request->started_us) / 1000.0,
            code == MHD_REQUEST_TERMINATED_COMPLETED_OK ? "" : " aborted=yes");
}

static void on_completed(void *context, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    (void)connection;
    lam_http_server *server = context;
    lam_request *request = *state;
    if (!request)
        return;
    log_request(request, code);
    if (request->route && request->route->body)
        request->route->body->discard(request);
    if (request->reply)
        MHD_destroy_response(request->reply);
    free(request);
    *state = NULL;
    pthread_mutex_lock(&server->mutex);
    if (--server->active == 0)
        pthread_cond_broadcast(&server->idle);
    pthread_mutex_unlock(&server->mutex);
}

/* ---- the server ---- */

static void on_library_message(void *context, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

static void on_library_message(void *context, const char *format, va_list arguments)
{
    (void)context;
    char text[256];
    vsnprintf(text, sizeof text, format, arguments);
    text[strcspn(text, "\n")] = '\0';
    lam_log(LAM_LOG_DEBUG, "http_library", "message=%s", LAM_QUOTE(text));
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decoding in place (paths and query values). What is malformed, and NUL, stays as it is written and
 * fails where the value is checked. */
static size_t unescape(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context;
    (void)connection;
    char *to = text;
    for (const char *from = text; *from;) {
        int high = from[0] == '%' ? hex_digit(from[1]) : -1;
        int low = high >= 0 ? hex_digit(from[2]) : -1;
        if (low >= 0 && (high || low)) {
            *to++ = (char)(high * 16 + low);
            from += 3;
        } else {
            *to++ = *from++;
        }
    }
    *to = '\0';
    return (size_t)(to - text);
}

typedef union socket_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} socket_address;

static lam_status parse_address(const lam_http_options *options, socket_address *address, socklen_t *length,
                                lam_error *err)
{
    memset(address, 0, sizeof *address);
    if (options->port > 65535)
        return lam_fail(err, LAM_E_INVALID, "HTTP port %u is not a port", options->port);
    if (inet_pton(AF_INET, options->address, &address->v4.sin_addr) == 1) {
        address->v4.sin_family = AF_INET;
        address->v4.sin_port = htons((uint16_t)options->port);
        *length = sizeof address->v4;
        return LAM_OK;
    }
    if (inet_pton(AF_INET6, options->address, &address->v6.sin6_addr) == 1) {
        address->v6.sin6_family = AF_INET6;
        address->v6.sin6_port = htons((uint16_t)options->port);
        *length = sizeof address->v6;
        return LAM_OK;
    }
    return lam_fail(err, LAM_E_INVALID, "HTTP address \"%s\" is not a numeric IPv4 or IPv6 address",
                    options->address);
}

static bool is_loopback(const socket_address *address)
{
    if (address->any.sa_family == AF_INET)
        return ntohl(address->v4.sin_addr.s_addr) >> 24 == 127;
    return address->any.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&address->v6.sin6_addr);
}

/* Promise 10, for a socket of our own and for one that was handed in. */
static lam_status check_address(const lam_http_options *options, const socket_address *address,
                                lam_error *err)
{
    if (options->auth != LAM_HTTP_AUTH_NONE || is_loopback(address))
        return LAM_OK;
    return lam_fail(
        err, LAM_E_DENIED,
        "HTTP would listen beyond loopback without authentication; set [http] auth = token, or listen on "
        "127.0.0.1");
}

static lam_status bind_socket(const lam_http_options *options, int *out, lam_error *err)
{
    socket_address address;
    socklen_t length = 0;
    lam_status status = parse_address(options, &address, &length, err);
    if (status == LAM_OK)
        status = check_address(options, &address, err);
    if (status != LAM_OK)
        return status;
    lam_autoclose int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return lam_fail_errno(err, errno, "cannot make a socket for HTTP");
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, &address.any, length) < 0 || listen(fd, BACKLOG) < 0) {
        int reason = errno;
        lam_fail_errno(err, reason, "cannot listen for HTTP on %s port %u", options->address, options->port);
        if (reason == EADDRINUSE)
            return lam_fail(
                err, LAM_E_EXISTS,
                "HTTP port %u of %s is in use by another program; stop it or change [http] listen",
                options->port, options->address);
        return err ? err->status : LAM_E_IO;
    }
    *out = LAM_TAKE_FD(fd);
    return LAM_OK;
}

static lam_status open_listener(lam_http_server *server, lam_error *err)
{
    const lam_http_options *options = &server->options;
    int fd = options->listen_fd;
    if (fd <= 0) {
        lam_status status = bind_socket(options, &fd, err);
        if (status != LAM_OK)
            return status;
    }
    socket_address address;
    socklen_t length = sizeof address;
    lam_status status = LAM_OK;
    if (getsockname(fd, &address.any, &length) < 0)
        status = lam_fail_errno(err, errno, "the HTTP socket handed in is not usable");
    else
        status = check_address(options, &address, err);
    if (status != LAM_OK) {
        if (fd != options->listen_fd)
            close(fd);
        return status;
    }
    server->listen_fd = fd;
    server->port = ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
    return LAM_OK;
}

static lam_status start_daemon(lam_http_server *server, lam_error *err)
{
    const lam_http_options *options = &server->options;
    server->daemon = MHD_start_daemon(
        MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC |
            MHD_USE_ERROR_LOG,
        0, NULL, NULL, on_request, server, MHD_OPTION_EXTERNAL_LOGGER, on_library_message, NULL,
        MHD_OPTION_LISTEN_SOCKET, server->listen_fd, MHD_OPTION_NOTIFY_COMPLETED, on_completed, server,
        MHD_OPTION_UNESCAPE_CALLBACK, unescape, NULL, MHD_OPTION_CONNECTION_LIMIT, options->max_connections,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, options->max_connections_per_ip, MHD_OPTION_CONNECTION_TIMEOUT,
        options->idle_timeout_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    if (!server->daemon)
        return lam_fail_errno(err, errno, "cannot start the HTTP server");
    return LAM_OK;
}

static lam_status copy_text(const char **text, lam_error *err)
{
    if (!*text)
        return LAM_OK;
    *text = strdup(*text);
    return *text ? LAM_OK : lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
}

static lam_status copy_options(lam_http_server *server, const lam_http_options *options, lam_error *err)
{
    server->options = *options;
    const char **texts[] = {&server->options.address, &server->options.public_url,
                            &server->options.token_file, &server->options.cors_origins};
    lam_status status = LAM_OK;
    for (size_t i = 0; i < LAM_COUNT(texts); i++) {
        lam_status copied = copy_text(texts[i], err);
        status = copied == LAM_OK ? status : copied;
    }
    return status;
}

static void free_server(lam_http_server *server)
{
    if (server->listen_fd >= 0 && server->listen_fd != server->options.listen_fd)
        close(server->listen_fd);
    lam_access_free(server->access);
    pthread_cond_destroy(&server->idle);
    pthread_mutex_destroy(&server->mutex);
    free((void *)server->options.address);
    free((void *)server->options.public_url);
    free((void *)server->options.token_file);
    free((void *)server->options.cors_origins);
    free(server);
}

static lam_status start(lam_http_server *server, const lam_http_options *options, lam_error *err)
{
    lam_status status = copy_options(server, options, err);
    if (status == LAM_OK && options->auth == LAM_HTTP_AUTH_MTLS)
        status = lam_fail(err, LAM_E_UNSUPPORTED,
                          "auth = mtls is not in this version; use auth = token, or a proxy that ends TLS");
    if (status == LAM_OK)
        status = lam_access_create(&server->options, &server->access, err);
    if (status == LAM_OK)
        status = open_listener(server, err);
    return status == LAM_OK ? start_daemon(server, err) : status;
}

lam_status lam_http_server_create(const lam_http_options *options, const lam_backend *backend,
                                  lam_http_server **out, lam_error *err)
{
    lam_http_server *server = calloc(1, sizeof *server);
    if (!server)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    server->backend = *backend;
    server->listen_fd = -1;
    pthread_mutex_init(&server->mutex, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&server->idle, &monotonic);
    pthread_condattr_destroy(&monotonic);
    lam_status status = start(server, options, err);
    if (status != LAM_OK) {
        free_server(server);
        return status;
    }
    *out = server;
    return LAM_OK;
}

unsigned lam_http_server_port(const lam_http_server *server)
{
    return server->port;
}

static void wait_until_idle(lam_http_server *server)
{
    struct timespec deadline;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += server->options.drain_timeout_ms / 1000;
    deadline.tv_nsec += (long)(server->options.drain_timeout_ms % 1000) * 1000000L;
    if (deadline.tv_nsec >= 1000000000L) {
        deadline.tv_sec++;
        deadline.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&server->mutex);
    while (server->active && pthread_cond_timedwait(&server->idle, &server->mutex, &deadline) == 0)
        ;
    pthread_mutex_unlock(&server->mutex);
}

void lam_http_server_free(lam_http_server *server)
{
    if (!server)
        return;
    atomic_store(&server->draining, true);
    MHD_quiesce_daemon(server->daemon);
    wait_until_idle(server);
    MHD_stop_daemon(server->daemon);
    server->options.listen_fd = -1; /* ours since create succeeded */
    free_server(server);
}
