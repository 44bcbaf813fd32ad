/* The server over a real socket: routes, errors, what is checked before a handler runs, access, and stopping.
 */
#include "tests/unit/unit.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/routes.h"
#include "api/server.h"
#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/io.h"
#include "core/base/log.h"
#include "tests/unit/api/client.h"
#include "tests/unit/api/fake.h"

typedef struct fixture {
    fake f;
    lam_backend backend;
    lam_http_server *server;
    unsigned port;
} fixture;

static void start(fixture *x, const lam_http_options *options)
{
    lam_error err = {0};
    fake_init(&x->f);
    x->backend = fake_backend(&x->f);
    assert_ok(lam_http_server_create(options, &x->backend, &x->server, &err), err);
    x->port = lam_http_server_port(x->server);
    assert_true(x->port > 0);
}

static void stop(fixture *x)
{
    lam_http_server_free(x->server);
    fake_done(&x->f);
}

static lam_http_options options_on_any_port(void)
{
    lam_http_options options = lam_http_options_default();
    options.port = 0;
    return options;
}

static int set_up(void **state)
{
    fixture *x = calloc(1, sizeof *x);
    lam_http_options options = options_on_any_port();
    start(x, &options);
    *state = x;
    return 0;
}

static int tear_down(void **state)
{
    stop(*state);
    free(*state);
    return 0;
}

/* The status, and for an error that it is a problem of RFC 9457 that says the same. */
static void expect_status(const answer *a, int status, const char *what)
{
    if (a->status != status)
        fail_msg("%s: %d instead of %d: %.300s", what, a->status, status, lam_buffer_text(&a->body));
    if (status < 400)
        return;
    assert_string_equal(answer_header(a, "Content-Type"), "application/problem+json");
    json_t *problem = answer_json(a);
    assert_int_equal(json_integer_value(json_object_get(problem, "status")), status);
    static const char *const members[] = {"type", "title", "detail", "instance"};
    for (size_t i = 0; i < LAM_COUNT(members); i++)
        assert_true(json_is_string(json_object_get(problem, members[i])));
    json_decref(problem);
}

static void answers_each_route(void **state)
{
    fixture *x = *state;
    static const struct {
        const char *method, *path, *headers;
        int status;
    } cases[] = {
        {"GET", "/healthz", "", 200},
        {"GET", "/readyz", "", 200},
        {"GET", "/metrics", "", 200},
        {"GET", "/", "", 200},
        {"GET", "/ui/app.js", "", 200},
        {"GET", "/ui/style.css", "", 200},
        {"GET", "/ui/nothing", "", 404},
        {"GET", "/api/v1/studies", "", 200},
        {"GET", "/api/v1/studies/", "", 200},
        {"GET", "/api/v1/studies?state=done&limit=5&offset=2", "", 200},
        {"GET", "/api/v1/studies?limit=0", "", 400},
        {"GET", "/api/v1/studies?limit=1001", "", 400},
        {"GET", "/api/v1/studies?limit=5x", "", 400},
        {"GET", "/api/v1/studies?limit", "", 400},
        {"GET", "/api/v1/studies?offset=-1", "", 400},
        {"GET", "/api/v1/studies?offset=99999999999999999999", "", 400},
        {"GET", "/api/v1/studies?stat=done", "", 400},
        {"GET", "/api/v1/studies?state=Done%27--", "", 400},
        {"GET", "/api/v1/jobs?state=nonsense", "", 400},
        {"GET", "/api/v1/studies/1.2.3", "", 200},
        {"GET", "/api/v1/studies/1.2.4", "", 404},
        {"GET", "/api/v1/studies/1..3", "", 400},
        {"GET", "/api/v1/studies/..", "", 400},
        {"GET", "/api/v1/studies/%2e%2e%2f", "", 400},
        {"GET", "/api/v1/studies/1.2%003", "", 400},
        {"GET", "/api/v1/studies/12345678901234567890123456789012345678901234567890123456789012345", "", 400},
        {"GET", "/api/v1/studies/1234567890123456789012345678901234567890123456789012345678901234", "", 404},
        {"GET", "/api/v1/studies/abc", "", 400},
        {"GET", "/api/v1/studies/1.2.3/results", "", 200},
        {"GET", "/api/v1/studies/1.2.3/nothing", "", 404},
        {"POST", "/api/v1/studies/1.2.3/analyze", "", 202},
        {"POST", "/api/v1/studies/1.2.3/analyze?model=hippocampus", "", 202},
        {"POST", "/api/v1/studies/1.2.3/analyze?model=../x", "", 400},
        {"GET", "/api/v1/studies/1.2.3/analyze", "", 405},
        {"GET", "/api/v1/jobs", "", 200},
        {"GET", "/api/v1/jobs/7", "", 200},
        {"GET", "/api/v1/jobs/8", "", 404},
        {"GET", "/api/v1/jobs/x", "", 400},
        {"GET", "/api/v1/jobs/-7", "", 400},
        {"GET", "/api/v1/jobs/9999999999999999999999", "", 400},
        {"POST", "/api/v1/jobs/7/retry", "", 202},
        {"POST", "/api/v1/jobs/7/cancel", "", 409},
        {"PUT", "/api/v1/jobs/7", "", 405},
        {"DELETE", "/dicom-web/studies/1.2.3", "", 403}, /* off, unless configured */
        {"GET", "/api/v1/jobs/7/pictures/montage", "", 404},
        {"GET", "/api/v1/jobs/7/pictures/.hidden", "", 400},
        {"GET", "/api/v1/models", "", 200},
        {"GET", "/api/v1/models/hippocampus", "", 200},
        {"GET", "/api/v1/models/other", "", 404},
        {"GET", "/api/v1/status", "", 200},
        {"GET", "/api/v1/status", "Accept: text/html\r\n", 406},
        {"GET", "/api/v1/status", "Accept: text/html, */*;q=0.1\r\n", 200},
        {"GET", "/api/v1/openapi.json", "", 200},
        {"GET", "/nothing", "", 404},
        {"GET", "/api/v1", "", 404},
        {"OPTIONS", "/api/v1/status", "", 204},
        {"OPTIONS", "/nothing", "", 404},
        {"OPTIONS", "/dicom-web", "", 200},
        {"GET", "/dicom-web", "", 405},
        {"BREW", "/api/v1/status", "", 405},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        answer a = client_ask(x->port, cases[i].method, cases[i].path, cases[i].headers, NULL, 0);
        expect_status(&a, cases[i].status, cases[i].path);
        answer_done(&a);
    }
}

static void says_what_is_allowed(void **state)
{
    fixture *x = *state;
    answer a = client_ask(x->port, "POST", "/api/v1/status", "", NULL, 0);
    assert_string_equal(answer_header(&a, "Allow"), "GET, HEAD, OPTIONS");
    answer_done(&a);
    a = client_ask(x->port, "OPTIONS", "/dicom-web/studies/1.2", "", NULL, 0);
    assert_string_equal(answer_header(&a, "Allow"), "POST, GET, HEAD, DELETE, OPTIONS");
    assert_int_equal(a.body.length, 0);
    answer_done(&a);
}

static void describes_its_capabilities(void **state)
{
    fixture *x = *state;
    answer a = client_ask(x->port, "OPTIONS", "/dicom-web", "", NULL, 0);
    assert_int_equal(a.status, 200);
    assert_string_equal(answer_header(&a, "Content-Type"), "application/vnd.sun.wadl+xml");
    assert_non_null(strstr(
        lam_buffer_text(&a.body),
        "<resource path=\"studies/{study}\"><param name=\"study\" style=\"template\" type=\"xs:string\" "
        "required=\"true\"/><method name=\"POST\">"));
    answer_done(&a);
}

static void hands_parameters_on(void **state)
{
    fixture *x = *state;
    answer a = client_get(x->port, "/api/v1/studies?state=no_model&limit=5&offset=2", "");
    assert_string_equal(x->f.last_state, "no_model");
    assert_int_equal(x->f.last_limit, 5);
    assert_int_equal(x->f.last_offset, 2);
    json_t *list = answer_json(&a);
    assert_int_equal(json_array_size(json_object_get(list, "studies")), 1);
    assert_int_equal(json_integer_value(json_object_get(list, "limit")), 5);
    json_decref(list);
    answer_done(&a);
    a = client_ask(x->port, "POST", "/api/v1/studies/1.2.3/analyze?model=hippo%63ampus", "", "", 0);
    assert_string_equal(x->f.last_model, "hippocampus");
    answer_done(&a);
}

static void head_has_the_headers_of_get(void **state)
{
    fixture *x = *state;
    answer get = client_get(x->port, "/api/v1/status", "");
    answer head = client_ask(x->port, "HEAD", "/api/v1/status", "", NULL, 0);
    assert_int_equal(head.status, 200);
    assert_int_equal(strtol(answer_header(&head, "Content-Length"), NULL, 10), get.body.length);
    answer_done(&get);
    answer_done(&head);
}

static void not_ready_says_why(void **state)
{
    fixture *x = *state;
    x->f.not_ready = true;
    answer a = client_get(x->port, "/readyz", "Accept: text/plain\r\n");
    expect_status(&a, 503, "/readyz");
    assert_non_null(strstr(lam_buffer_text(&a.body), "the disk is full"));
    assert_string_equal(answer_header(&a, "Retry-After"), "5");
    answer_done(&a);
}

static void counts_requests(void **state)
{
    fixture *x = *state;
    static const struct {
        const char *path, *line;
    } cases[] = {
        {"/api/v1/studies/1.2.3",
         "lamina_http_requests_total{method=\"GET\",route=\"/api/v1/studies/{study}\",status=\"2xx\"} 1\n"},
        {"/api/v1/studies/1.2.4",
         "lamina_http_requests_total{method=\"GET\",route=\"/api/v1/studies/{study}\",status=\"4xx\"} 1\n"},
        {"/nothing/1.2.3", "lamina_http_requests_total{method=\"\",route=\"\",status=\"4xx\"} 1\n"},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        answer a = client_get(x->port, cases[i].path, "");
        answer_done(&a);
    }
    for (size_t i = 0;
         i < LAM_COUNT(cases);) { /* a request is counted when it has ended, a little after its answer */
        answer a = client_get(x->port, "/metrics", "");
        assert_non_null(strstr(lam_buffer_text(&a.body), "lamina_up 1\n")); /* the backend's own */
        assert_null(strstr(lam_buffer_text(&a.body), "1.2.3"));             /* promise 9 */
        if (strstr(lam_buffer_text(&a.body), cases[i].line))
            i++;
        answer_done(&a);
    }
}

static void serves_pictures(void **state)
{
    fixture *x = *state;
    fake_store(&x->f, "1", "2", "3", FAKE_SYNTAX, "\x89PNG", 4);
    answer a = client_get(x->port, "/api/v1/jobs/7/pictures/montage", "Accept: image/png\r\n");
    assert_int_equal(a.status, 200);
    assert_string_equal(answer_header(&a, "Content-Type"), "image/png");
    assert_int_equal(a.body.length, 4);
    assert_memory_equal(a.body.data, "\x89PNG", 4);
    answer_done(&a);
}

static void page_may_load_nothing_else(void **state)
{
    fixture *x = *state;
    answer a = client_get(x->port, "/", "");
    assert_non_null(strstr(answer_header(&a, "Content-Security-Policy"), "default-src 'none'"));
    assert_null(strstr(answer_header(&a, "Content-Security-Policy"), "unsafe"));
    assert_string_equal(answer_header(&a, "X-Content-Type-Options"), "nosniff");
    assert_null(strstr(lam_buffer_text(&a.body), "http://"));
    assert_null(strstr(lam_buffer_text(&a.body), "https://"));
    answer_done(&a);
}

static void document_lists_every_route(void **state)
{
    fixture *x = *state;
    answer a = client_get(x->port, "/api/v1/openapi.json", "");
    json_t *document = answer_json(&a);
    assert_string_equal(json_string_value(json_object_get(document, "openapi")), "3.1.0");
    const json_t *paths = json_object_get(document, "paths");
    const json_t *schemas = json_object_get(json_object_get(document, "components"), "schemas");
    for (size_t i = 0; i < lam_route_count; i++) {
        const json_t *path = json_object_get(paths, lam_routes[i].path);
        char method[16] = "";
        for (size_t c = 0; lam_routes[i].method[c]; c++)
            method[c] = (char)tolower((unsigned char)lam_routes[i].method[c]);
        const json_t *operation = json_object_get(path, method);
        char status[8];
        snprintf(status, sizeof status, "%u", lam_routes[i].success);
        if (!json_object_get(json_object_get(operation, "responses"), status))
            fail_msg("%s %s is not in the document", lam_routes[i].method, lam_routes[i].path);
        if (lam_routes[i].schema && !json_object_get(schemas, lam_routes[i].schema))
            fail_msg("there is no schema %s", lam_routes[i].schema);
    }
    json_decref(document);
    answer_done(&a);
}

static void large_headers_are_refused(void **state)
{
    fixture *x = *state;
    char *headers = malloc(250000);
    size_t used = 0;
    for (int i = 0; i < 200; i++)
        used += (size_t)sprintf(headers + used, "X-%d: %0900d\r\n", i, i);
    answer a = client_get(x->port, "/healthz", headers);
    expect_status(&a, 431, "large headers");
    answer_done(&a);
    free(headers);
}

static void bodies_where_none_belongs(void **state)
{
    fixture *x = *state;
    answer a = client_ask(x->port, "POST", "/api/v1/jobs/7/retry", "", "{}", 2);
    assert_int_equal(a.status, 202);
    answer_done(&a);
    size_t length = 100000;
    lam_autofree char *body = calloc(1, length);
    a = client_ask(x->port, "POST", "/api/v1/jobs/7/retry", "", body, length);
    expect_status(&a, 413, "a large body");
    answer_done(&a);
    /* Chunked: the size is known only on the way. */
    int fd = client_connect(x->port);
    static const char head[] =
        "POST /api/v1/jobs/7/retry HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    client_send(fd, head, sizeof head - 1);
    for (int i = 0; i < 10; i++) {
        client_send(fd, "2710\r\n", 6);
        client_send(fd, body, 10000);
        client_send(fd, "\r\n", 2);
    }
    client_send(fd, "0\r\n\r\n", 5);
    a = client_read(fd, 0);
    expect_status(&a, 413, "a large chunked body");
    answer_done(&a);
    close(fd);
}

static void keeps_connections_open(void **state)
{
    fixture *x = *state;
    int fd = client_connect(x->port);
    for (int i = 0; i < 5; i++) {
        static const char request[] = "GET /healthz HTTP/1.1\r\nHost: localhost:1\r\n\r\n";
        client_send(fd, request, sizeof request - 1);
        answer a = client_read(fd, 0);
        assert_int_equal(a.status, 200);
        answer_done(&a);
    }
    close(fd);
}

static void malformed_requests_are_survived(void **state)
{
    fixture *x = *state;
    static const char *const bad[] = {
        "\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "GET /%ff%fe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /api/v1/studies/%ff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /?%ff=%ff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "\x16\x03\x01\x02",
    };
    for (size_t i = 0; i < LAM_COUNT(bad); i++) {
        int fd = client_connect(x->port);
        client_send(fd, bad[i], strlen(bad[i]));
        shutdown(fd, SHUT_WR);
        answer a = client_read(fd, 0);
        answer_done(&a);
        close(fd);
    }
    answer a = client_get(x->port, "/healthz", "");
    assert_int_equal(a.status, 200);
    answer_done(&a);
}

/* Else what follows one body could pass a proxy as part of it, or one host as another. */
static void what_reads_in_two_ways_ends_the_connection(void **state)
{
    fixture *x = *state;
    static const struct {
        const char *headers;
        int status;
    } cases[] = {
        {"Host: localhost\r\nContent-Length: 0\r\nContent-Length: 5\r\n", 400},
        {"Host: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400},
        {"Host: localhost\r\nTransfer-Encoding: gzip, chunked\r\n", 501},
        {"Host: localhost\r\nTransfer-Encoding: identity\r\n", 501},
        {"Host: localhost\r\nHost: localhost\r\n", 400},
        {"Host : localhost\r\n", 400},
        {"Host: localhost\r\nContent-Length : 5\r\n", 400},
        {"Accept: */*\r\n", 400},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        char text[256];
        snprintf(text, sizeof text, "POST /api/v1/jobs/7/retry HTTP/1.1\r\n%s\r\n0\r\n\r\n",
                 cases[i].headers);
        int fd = client_connect(x->port);
        client_send(fd, text, strlen(text));
        answer a = client_read(fd, 0);
        expect_status(&a, cases[i].status, cases[i].headers);
        assert_non_null(strstr(answer_header(&a, "Content-Type"), "problem+json"));
        assert_string_equal(answer_header(&a, "Connection"), "close");
        answer_done(&a);
        close(fd);
    }
}

static void other_sites_may_not_post(void **state)
{
    fixture *x = *state;
    static const struct {
        const char *method, *headers;
        int status;
    } cases[] = {
        {"POST", "Origin: http://evil.example\r\n", 403},
        {"POST", "Origin: null\r\n", 403},
        {"POST", "Origin: http://127.0.0.1\r\n", 202},
        {"POST", "", 202},
        {"OPTIONS", "Origin: http://evil.example\r\nAccess-Control-Request-Method: POST\r\n", 204},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        answer a = client_ask(x->port, cases[i].method, "/api/v1/jobs/7/retry", cases[i].headers, NULL, 0);
        expect_status(&a, cases[i].status, cases[i].headers);
        assert_string_equal(answer_header(&a, "Access-Control-Allow-Origin"), "");
        answer_done(&a);
    }
}

/* RFC 9112 section 3.2: a whole URL counts as its path, and instead of Host. */
static void targets_of_every_form(void **state)
{
    fixture *x = *state;
    static const struct {
        const char *line, *host;
        int status;
    } cases[] = {
        {"GET http://localhost:8080/healthz", "evil.example", 200},
        {"GET HTTPS://127.0.0.1/healthz", "localhost", 200},
        {"GET http://localhost", "localhost", 200},
        {"GET http://evil.example/healthz", "localhost", 421},
        {"GET http:///healthz", "localhost", 421},
        {"OPTIONS *", "localhost", 204},
        {"GET *", "localhost", 404},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        char request[256];
        snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: %s\r\n\r\n", cases[i].line, cases[i].host);
        int fd = client_connect(x->port);
        client_send(fd, request, strlen(request));
        answer a = client_read(fd, 0);
        expect_status(&a, cases[i].status, cases[i].line);
        answer_done(&a);
        close(fd);
    }
    char path[20000];
    memset(path, 'a', sizeof path - 1);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    answer a = client_get(x->port, path, "");
    assert_int_equal(a.status, 414);
    assert_true(a.body.length < 1000); /* it is not repeated */
    answer_done(&a);
}

static void other_names_are_not_answered(void **state)
{
    fixture *x = *state;
    static const struct {
        const char *host;
        int status;
    } cases[] = {{"localhost", 200},
                 {"LOCALHOST:8080", 200},
                 {"127.0.0.1:1", 200},
                 {"[::1]:8080", 200},
                 {"evil.example", 421},
                 {"localhost.evil.example", 421},
                 {"127.0.0.1.evil.example", 421}};
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        char request[256];
        snprintf(request, sizeof request, "GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n", cases[i].host);
        int fd = client_connect(x->port);
        client_send(fd, request, strlen(request));
        answer a = client_read(fd, 0);
        expect_status(&a, cases[i].status, cases[i].host);
        answer_done(&a);
        close(fd);
    }
}

/* ---- servers with other options ---- */

static void write_token_file(char path[64], const char *text, mode_t mode)
{
    strcpy(path, "/tmp/lamina-tokens-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_ok(lam_io_write_all(fd, text, strlen(text), NULL), (lam_error){0});
    fchmod(fd, mode);
    close(fd);
}

static void tokens_open_the_door(void **state)
{
    (void)state;
    char path[64];
    write_token_file(
        path,
        "# staff\nfirst-token-0123456789\n\nsecond-token-0123456789  \nthird-token-0123456789\t delete \n",
        0600);
    lam_http_options options = options_on_any_port();
    options.auth = LAM_HTTP_AUTH_TOKEN;
    options.token_file = path;
    fixture x;
    start(&x, &options);
    unlink(path);
    static const struct {
        const char *path, *headers;
        int status;
    } cases[] = {
        {"/api/v1/status", "", 401},
        {"/api/v1/status", "Authorization: Bearer first-token-0123456789\r\n", 200},
        {"/api/v1/status", "Authorization: bearer  second-token-0123456789\r\n", 200},
        {"/api/v1/status", "Authorization: Bearer second-token-012345678\r\n", 401},
        {"/api/v1/status", "Authorization: Bearer \r\n", 401},
        {"/api/v1/status", "Authorization: Basic Zmlyc3Q6dG9rZW4=\r\n", 401},
        {"/api/v1/status", "Authorization: Bearer # staff\r\n", 401},
        {"/dicom-web/studies/1.2.3", "", 401},
        {"/metrics", "", 401},
        {"/healthz", "", 200},
        {"/", "", 200},
        {"/api/v1/openapi.json", "", 200},
        {"/api/v1/status", "Authorization: Bearer third-token-0123456789\r\n", 200},
        {"/api/v1/status", "Authorization: Bearer third-token-0123456789 delete\r\n", 401},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        answer a = client_get(x.port, cases[i].path, cases[i].headers);
        expect_status(&a, cases[i].status, cases[i].headers);
        assert_int_equal(a.status == 401, answer_header(&a, "WWW-Authenticate")[0] != '\0');
        answer_done(&a);
    }
    stop(&x);
}

static void removing_is_a_role(void **state)
{
    (void)state;
    static const struct {
        const char *headers;
        int status;
    } cases[] = {
        {"", 401},
        {"Authorization: Bearer reads-0123456789abcdef\r\n", 403},
        {"Authorization: Bearer removes-0123456789abcdef\r\n", 204},
    };
    char path[64];
    write_token_file(path, "reads-0123456789abcdef\nremoves-0123456789abcdef delete\n", 0600);
    lam_http_options options = options_on_any_port();
    options.auth = LAM_HTTP_AUTH_TOKEN;
    options.token_file = path;
    options.allow_delete = true;
    fixture x;
    start(&x, &options);
    unlink(path);
    fake_store(&x.f, "1.1", "2.1", "3.1", FAKE_SYNTAX, "x", 1);
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        answer a = client_ask(x.port, "DELETE", "/dicom-web/studies/1.1", cases[i].headers, NULL, 0);
        expect_status(&a, cases[i].status, cases[i].headers);
        answer_done(&a);
    }
    stop(&x);
}

static void refuses(const lam_http_options *options, lam_status wanted)
{
    fake f;
    fake_init(&f);
    lam_backend backend = fake_backend(&f);
    lam_http_server *server = NULL;
    lam_error err;
    assert_fails(lam_http_server_create(options, &backend, &server, &err), wanted, err);
    assert_null(server);
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    char path[64];
    lam_http_options options = options_on_any_port();
    options.address = "0.0.0.0"; /* promise 10 */
    refuses(&options, LAM_E_DENIED);
    options.address = "::";
    refuses(&options, LAM_E_DENIED);
    options.address = "localhost";
    refuses(&options, LAM_E_INVALID);
    options.address = "127.0.0.1";
    options.port = 65536;
    refuses(&options, LAM_E_INVALID);
    options.port = 0;
    options.public_url = "https://host/";
    refuses(&options, LAM_E_INVALID);
    options.public_url = "";
    refuses(&options, LAM_E_INVALID);
    options.public_url = NULL;
    options.auth = LAM_HTTP_AUTH_MTLS;
    refuses(&options, LAM_E_INVALID);
    options.auth = LAM_HTTP_AUTH_TOKEN;
    refuses(&options, LAM_E_INVALID);
    options.token_file = "/nonexistent/tokens";
    refuses(&options, LAM_E_NOT_FOUND);
    options.token_file = path;
    static const struct {
        const char *text;
        mode_t mode;
    } files[] = {{"# none\n", 0600},
                 {"short\n", 0600},
                 {"long-enough-0123456789\n", 0644},
                 {"long-enough-0123456789 nosuchrole\n", 0600}};
    for (size_t i = 0; i < LAM_COUNT(files); i++) {
        write_token_file(path, files[i].text, files[i].mode);
        refuses(&options, LAM_E_INVALID);
        unlink(path);
    }
}

static void a_port_in_use_is_named(void **state)
{
    fixture *x = *state;
    lam_http_options options = options_on_any_port();
    options.port = x->port;
    refuses(&options, LAM_E_EXISTS);
}

static void allowed_origins_may_read(void **state)
{
    (void)state;
    lam_http_options options = options_on_any_port();
    options.cors_origins = "https://viewer.example  https://other.example:8443";
    fixture x;
    start(&x, &options);
    static const struct {
        const char *method, *path, *origin;
        bool allowed;
    } cases[] = {
        {"GET", "/api/v1/status", "https://viewer.example", true},
        {"GET", "/nothing", "https://viewer.example", true}, /* errors, too */
        {"OPTIONS", "/dicom-web/studies", "https://other.example:8443", true},
        {"GET", "/api/v1/status", "https://viewer.example.evil", false},
        {"GET", "/api/v1/status", "https://other.example", false},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        char headers[128];
        snprintf(headers, sizeof headers, "Origin: %s\r\n", cases[i].origin);
        answer a = client_ask(x.port, cases[i].method, cases[i].path, headers, NULL, 0);
        assert_string_equal(answer_header(&a, "Access-Control-Allow-Origin"),
                            cases[i].allowed ? cases[i].origin : "");
        assert_non_null(strstr(answer_header(&a, "Vary"), "Origin"));
        answer_done(&a);
    }
    answer a =
        client_ask(x.port, "POST", "/api/v1/jobs/7/retry", "Origin: https://viewer.example\r\n", NULL, 0);
    assert_int_equal(a.status, 202);
    answer_done(&a);
    stop(&x);
}

static void public_names_are_answered(void **state)
{
    (void)state;
    lam_http_options options = options_on_any_port();
    options.public_url = "https://pacs.example/lamina";
    fixture x;
    start(&x, &options);
    static const char request[] =
        "POST /api/v1/jobs/7/retry HTTP/1.1\r\nHost: pacs.example\r\nOrigin: https://pacs.example\r\n\r\n";
    int fd = client_connect(x.port);
    client_send(fd, request, sizeof request - 1);
    answer a = client_read(fd, 0);
    assert_int_equal(a.status, 202);
    answer_done(&a);
    close(fd);
    stop(&x);
}

/* ---- stopping ---- */

static void *ask_slowly(void *context)
{
    fixture *x = context;
    static int status;
    answer a = client_ask(x->port, "POST", "/dicom-web/studies", "Content-Type: application/dicom\r\n",
                          "OBJECT 1.2 1.3 1.4 ", 19);
    status = a.status;
    answer_done(&a);
    return &status;
}

/* A request that waits for its commit is answered although the server stops, and idle connections do not hold
 * it up. */
static void stopping_lets_requests_finish(void **state)
{
    (void)state;
    lam_http_options options = options_on_any_port();
    options.idle_timeout_s = 1; /* shorter than the wait: it must not run meanwhile */
    options.drain_timeout_ms = 20000;
    fixture x;
    start(&x, &options);
    x.f.wait_ms = 1500;
    int idle = client_connect(x.port);
    client_send(idle, "GET /hea", 8);
    pthread_t thread;
    pthread_create(&thread, NULL, ask_slowly, &x);
    while (fake_count(&x.f.submitted) == 0)
        usleep(1000);
    int64_t began = lam_clock_monotonic_ms();
    stop(&x);
    int64_t took = lam_clock_monotonic_ms() - began;
    void *status = NULL;
    pthread_join(thread, &status);
    assert_int_equal(*(int *)status, 200);
    assert_int_equal(x.f.waited, 1);
    assert_true(took < options.drain_timeout_ms);
    close(idle);
    assert_int_equal(client_connect(x.port), -1);
}

/* One byte now and then does not keep a connection; one that is used is kept. */
static void slow_headers_are_cut_off(void **state)
{
    (void)state;
    lam_http_options options = options_on_any_port();
    options.idle_timeout_s = 6; /* longer than a busy machine makes us wait between two requests */
    fixture x;
    start(&x, &options);
    int slow = client_connect(x.port), used = client_connect(x.port);
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    int64_t began = lam_clock_monotonic_ms();
    bool cut = false;
    for (int i = 0; i < 300 && !cut; i++) {
        client_send(slow, i ? "a" : "G", 1);
        client_send(used, request, sizeof request - 1);
        answer a = client_read(used, 0);
        assert_int_equal(a.status, 200);
        answer_done(&a);
        char byte;
        ssize_t got = recv(slow, &byte, 1, MSG_DONTWAIT);
        cut = got == 0 || (got < 0 && errno != EAGAIN); /* a reset when bytes were still under way */
        usleep(100000);
    }
    assert_true(cut);
    assert_true(lam_clock_monotonic_ms() - began > 5900);
    close(slow);
    close(used);
    stop(&x);
}

static void an_upload_that_hangs_is_cut_off(void **state)
{
    (void)state;
    lam_http_options options = options_on_any_port();
    options.drain_timeout_ms = 200;
    fixture x;
    start(&x, &options);
    int fd = client_connect(x.port);
    static const char head[] = "POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                               "application/dicom\r\nContent-Length: 1000\r\n\r\nOBJECT 1.2 1.3 1.4 ";
    client_send(fd, head, sizeof head - 1);
    while (fake_count(&x.f.opened) == 0)
        usleep(1000);
    stop(&x);
    assert_int_equal(x.f.discarded, 1);
    assert_int_equal(x.f.submitted, 0);
    close(fd);
}

int main(void)
{
    lam_log_open("test_server", LAM_LOG_ERROR, false);
#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_SERVER(answers_each_route),
        WITH_SERVER(says_what_is_allowed),
        WITH_SERVER(describes_its_capabilities),
        WITH_SERVER(hands_parameters_on),
        WITH_SERVER(head_has_the_headers_of_get),
        WITH_SERVER(not_ready_says_why),
        WITH_SERVER(counts_requests),
        WITH_SERVER(serves_pictures),
        WITH_SERVER(page_may_load_nothing_else),
        WITH_SERVER(document_lists_every_route),
        WITH_SERVER(large_headers_are_refused),
        WITH_SERVER(bodies_where_none_belongs),
        WITH_SERVER(keeps_connections_open),
        WITH_SERVER(malformed_requests_are_survived),
        WITH_SERVER(what_reads_in_two_ways_ends_the_connection),
        WITH_SERVER(targets_of_every_form),
        WITH_SERVER(other_sites_may_not_post),
        WITH_SERVER(other_names_are_not_answered),
        WITH_SERVER(a_port_in_use_is_named),
        cmocka_unit_test(tokens_open_the_door),
        cmocka_unit_test(removing_is_a_role),
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(allowed_origins_may_read),
        cmocka_unit_test(public_names_are_answered),
        cmocka_unit_test(stopping_lets_requests_finish),
        cmocka_unit_test(slow_headers_are_cut_off),
        cmocka_unit_test(an_upload_that_hangs_is_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
