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
#include <sys/socket.h>
#include <unistd.h>

#include "api/access.h"
#include "api/admit.h"
#include "api/deed.h"
#include "api/listen.h"
#include "api/reply.h"
#include "api/request.h"
#include "api/routes.h"
#include "api/stats.h"
#include "api/tls.h"
#include "api/watch.h"
#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/log.h"

enum {
    STACK_BYTES = 1024 * 1024,
    CONNECTION_MEMORY = 256 * 1024, /* headers, and then the buffer that a body is read through */
    MAX_PUBLIC_URL = 300,
    DRAINED_BODY = 16 * 1024 * 1024 /* read and dropped, so that a client gets to read why it was refused */
};

struct lam_http_server {
    lam_http_options options;
    lam_backend backend;
    lam_access *access;
    lam_http_tls *tls; /* NULL: plain HTTP */
    lam_stats *stats;
    lam_watch *watch;
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
        .max_header_bytes = 16 * 1024,
    };
}

/* ---- a request ---- */

/* A chunked body announces no size, so the limit is met on the way. False: break off. */
static bool take_body(lam_request *request, const char *bytes, size_t length)
{
    request->body_bytes += (int64_t)length;
    bool has_body = request->route && request->route->body;
    int64_t limit = lam_request_body_limit(request);
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
    if (request->route && (request->route->flags & LAM_ROUTE_NEGOTIATES))
        lam_reply_vary(request);
    /* Without this libmicrohttpd 0.9.75 ends a body in chunks even for HEAD, which has none: it would be read
     * as the next answer. */
    if (request->reply_bytes < 0 && strcmp(request->method, "HEAD") == 0)
        MHD_set_response_options(request->reply, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
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

/* An early refusal goes out at once when the client waits for it (Expect) or has much to send; it ends the
 * connection. Everything else is read to its end first: a connection stays open then, and closing on unread
 * bytes would reset it before the client has seen the answer. */
static bool reply_before_body(const lam_request *request)
{
    int64_t length;
    if (!lam_request_has_body(request, &length))
        return false;
    if (length > DRAINED_BODY || request->status == MHD_HTTP_NOT_IMPLEMENTED) /* its end cannot be known */
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

static lam_watched *watched(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static void on_connection(void *context, struct MHD_Connection *connection, void **state,
                          enum MHD_ConnectionNotificationCode code)
{
    lam_http_server *server = context;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        lam_watch_remove(server->watch, *state);
        *state = NULL;
        return;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info)
        *state = lam_watch_add(server->watch, info->connect_fd);
}

static lam_request *open_request(lam_http_server *server, struct MHD_Connection *connection)
{
    lam_request *request = calloc(1, sizeof *request);
    if (!request)
        return NULL;
    request->options = &server->options;
    request->backend = &server->backend;
    request->stats = server->stats;
    request->connection = connection;
    request->started_us = lam_clock_monotonic_us();
    client_address(connection, request->client);
    lam_watch_stop_clock(server->watch, watched(connection));
    pthread_mutex_lock(&server->mutex);
    server->active++;
    pthread_mutex_unlock(&server->mutex);
    return request;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload_data,
                                  size_t *upload_data_size, void **state)
{
    lam_http_server *server = context;
    lam_request *request = *state;
    if (!request) {
        *state = request = open_request(server, connection);
        if (!request)
            return MHD_NO;
        request->method = method;
        request->version = version;
        lam_request_set_target(request, url);
        lam_request_admit(request, server->access);
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

static void record_request(const lam_request *request, enum MHD_RequestTerminationCode code)
{
    int64_t took_us = lam_clock_monotonic_us() - request->started_us;
    lam_stats_add(request->stats, request->route, request->queued ? request->status : 0, took_us,
                  request->body_bytes);
    bool quiet = request->route && (request->route->flags & LAM_ROUTE_QUIET) && request->status < 400;
    bool without_body = strcmp(request->method, "HEAD") == 0;
    lam_log(quiet ? LAM_LOG_DEBUG : LAM_LOG_INFO, "http",
            "client=%s method=%s route=%s status=%u received=%lld bytes=%lld ms=%.1f%s", request->client,
            LAM_QUOTE(request->method), request->route ? request->route->path : "-",
            request->queued ? request->status : 0, (long long)request->body_bytes,
            without_body || !request->queued ? 0LL : (long long)request->reply_bytes,
            (double)took_us / 1000.0, code == MHD_REQUEST_TERMINATED_COMPLETED_OK ? "" : " aborted=yes");
}

static void on_completed(void *context, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    lam_http_server *server = context;
    lam_request *request = *state;
    if (!request)
        return;
    lam_watch_start_clock(server->watch, watched(connection));
    record_request(request, code);
    lam_request_note_deed(request, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
    if (request->route && request->route->body)
        request->route->body->discard(request);
    if (request->reply)
        MHD_destroy_response(request->reply);
    lam_transfers_done(&request->transfers);
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

static lam_status start_daemon(lam_http_server *server, lam_error *err)
{
    const lam_http_options *options = &server->options;
    struct MHD_OptionItem tls[LAM_HTTP_TLS_OPTIONS];
    lam_http_tls_options(server->tls, tls);
    server->daemon = MHD_start_daemon(
        MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC |
            MHD_USE_ERROR_LOG | (server->tls ? (unsigned)MHD_USE_TLS : 0),
        0, NULL, NULL, on_request, server, MHD_OPTION_EXTERNAL_LOGGER, on_library_message, NULL,
        MHD_OPTION_LISTEN_SOCKET, server->listen_fd, MHD_OPTION_NOTIFY_COMPLETED, on_completed, server,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_UNESCAPE_CALLBACK, unescape, NULL,
        MHD_OPTION_CONNECTION_LIMIT, options->max_connections, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        options->max_connections_per_ip, MHD_OPTION_CONNECTION_TIMEOUT, options->idle_timeout_s,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_THREAD_STACK_SIZE,
        (size_t)STACK_BYTES, MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
    if (!server->daemon)
        return lam_fail_errno(err, errno, "cannot start the HTTP server");
    return LAM_OK;
}

enum { TEXTS = 8 };

/* The texts among the options. */
static void list_texts(lam_http_options *o, const char **texts[TEXTS])
{
    const char **all[TEXTS] = {&o->address,  &o->public_url,      &o->token_file, &o->cors_origins,
                               &o->ohif_dir, &o->tls_certificate, &o->tls_key,    &o->tls_client_ca};
    memcpy(texts, all, sizeof all);
}

static lam_status copy_options(lam_http_server *server, const lam_http_options *options, lam_error *err)
{
    const char **texts[TEXTS];
    bool copied = true;
    server->options = *options;
    list_texts(&server->options, texts);
    for (size_t i = 0; i < TEXTS; i++)
        if (*texts[i]) {
            *texts[i] = strdup(*texts[i]);
            copied &= *texts[i] != NULL;
        }
    return copied ? LAM_OK : lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
}

static void free_server(lam_http_server *server)
{
    const char **texts[TEXTS];
    if (server->listen_fd >= 0 && server->listen_fd != server->options.listen_fd)
        close(server->listen_fd);
    lam_access_free(server->access);
    lam_stats_free(server->stats);
    lam_watch_free(server->watch);
    pthread_cond_destroy(&server->idle);
    pthread_mutex_destroy(&server->mutex);
    list_texts(&server->options, texts);
    for (size_t i = 0; i < TEXTS; i++)
        free((void *)*texts[i]);
    lam_http_tls_free(server->tls);
    free(server);
}

static lam_status check_url(const char *url, lam_error *err)
{
    size_t length = url ? strlen(url) : 0;
    bool web = url && (strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0);
    if (!url || (web && length < MAX_PUBLIC_URL && url[length - 1] != '/'))
        return LAM_OK;
    return lam_fail(err, LAM_E_INVALID,
                    "public_url must be an http or https URL without a slash at its end, not \"%.100s\"",
                    url);
}

static lam_status start(lam_http_server *server, const lam_http_options *options, lam_error *err)
{
    lam_status status = copy_options(server, options, err);
    if (status == LAM_OK && !server->stats)
        status = lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    if (status == LAM_OK)
        status = check_url(options->public_url, err);
    if (status == LAM_OK)
        status = lam_http_tls_create(&server->options, &server->tls, err);
    if (status == LAM_OK)
        status = lam_access_create(&server->options, &server->access, err);
    if (status == LAM_OK)
        status = lam_http_listen(&server->options, &server->listen_fd, &server->port, err);
    if (status == LAM_OK)
        status = lam_watch_create((int64_t)options->idle_timeout_s * 1000, &server->watch, err);
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
    server->stats = lam_stats_create();
    pthread_mutex_init(&server->mutex, NULL);
    lam_clock_condition_init(&server->idle);
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
    struct timespec deadline = lam_clock_after_ms(server->options.drain_timeout_ms);
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
