/* STOW-RS over a real socket (PS3.18 section 10.5): status codes, the response module, and that nothing is
 * stored of a body that is not whole (promise 1). */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/server.h"
#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "tests/unit/api/client.h"
#include "tests/unit/api/fake.h"

#define RELATED       "Content-Type: multipart/related; type=\"application/dicom\"; boundary=b\r\n"
#define PART(content) "--b\r\nContent-Type: application/dicom\r\n\r\n" content "\r\n"
#define END           "--b--\r\n"

typedef struct fixture {
    fake f;
    lam_backend backend;
    lam_http_server *server;
    unsigned port;
} fixture;

static int set_up(void **state)
{
    fixture *x = calloc(1, sizeof *x);
    lam_http_options options = lam_http_options_default();
    lam_error err = {0};
    options.port = 0;
    options.max_parts = 8;
    options.max_body_bytes = 40 << 20;
    fake_init(&x->f);
    x->backend = fake_backend(&x->f);
    assert_ok(lam_http_server_create(&options, &x->backend, &x->server, &err), err);
    x->port = lam_http_server_port(x->server);
    *state = x;
    return 0;
}

/* Every test ends with no upload under way. */
static int tear_down(void **state)
{
    fixture *x = *state;
    lam_http_server_free(x->server);
    int left = x->f.opened - x->f.waited - x->f.discarded;
    fake_done(&x->f);
    free(x);
    return left;
}

static answer post(const fixture *x, const char *path, const char *headers, const char *body)
{
    return client_ask(x->port, "POST", path, headers, body, strlen(body));
}

static size_t count_items(const json_t *data_set, const char *tag)
{
    return json_array_size(json_object_get(json_object_get(data_set, tag), "Value"));
}

static const json_t *item(const json_t *data_set, const char *tag, size_t index)
{
    return json_array_get(json_object_get(json_object_get(data_set, tag), "Value"), index);
}

static const json_t *value(const json_t *data_set, const char *tag)
{
    return json_array_get(json_object_get(json_object_get(data_set, tag), "Value"), 0);
}

/* POST /api/v1/upload: what the answer says of each file, and which status it has. */
static void archives(void **state)
{
    fixture *x = *state;
    static const struct {
        const char *type, *body;
        int status;
        int stored, failed, ignored;
        size_t studies;
    } cases[] = {
        {"application/zip", "PKIM1\nIM2\nIM1\n", 200, 3, 0, 0, 2},
        {"application/x-zip-compressed", "PKIM1\nREADME\n", 200, 1, 0, 1, 1},
        {"application/zip", "PKIM1\nBAD\n", 202, 1, 1, 0, 1},
        {"application/zip", "PKBAD\n", 409, 0, 1, 0, 0},
        {"application/zip", "PKREADME\n", 409, 0, 0, 1, 0},
        {"application/zip", "BOMB", 413, 0, 0, 0, 0},
        {"application/zip", "no archive", 400, 0, 0, 0, 0},
        {"application/zip", "", 400, 0, 0, 0, 0},
        {"application/dicom", "PKIM1\n", 415, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        char header[64];
        snprintf(header, sizeof header, "Content-Type: %s\r\n", cases[i].type);
        answer a = post(x, "/api/v1/upload", header, cases[i].body);
        if (a.status != cases[i].status)
            fail_msg("case %zu: %d %s", i, a.status, lam_buffer_text(&a.body));
        json_t *said = answer_json(&a);
        assert_int_equal(json_integer_value(json_object_get(said, "stored")), cases[i].stored);
        assert_int_equal(json_integer_value(json_object_get(said, "failed")), cases[i].failed);
        assert_int_equal(json_integer_value(json_object_get(said, "ignored")), cases[i].ignored);
        assert_int_equal(json_array_size(json_object_get(said, "studies")), cases[i].studies);
        assert_int_equal(json_array_size(json_object_get(said, "failures")), cases[i].failed);
        json_decref(said);
        answer_done(&a);
    }
}

static void status_codes(void **state)
{
    fixture *x = *state;
    static const struct {
        const char *path, *headers, *body;
        int status;
        size_t stored, failed, others;
    } cases[] = {
        {"/dicom-web/studies", RELATED, PART("OBJECT 1 2 3 ") PART("OBJECT 1 2 4 ") END, 200, 2, 0, 0},
        {"/dicom-web/studies/1", RELATED, PART("OBJECT 1 2 5 ") END, 200, 1, 0, 0},
        {"/dicom-web/studies/1", RELATED, PART("OBJECT 1 2 6 ") PART("OBJECT 9 2 7 ") END, 202, 1, 1, 0},
        {"/dicom-web/studies/1", RELATED, PART("OBJECT 9 2 8 ") END, 409, 0, 1, 0},
        {"/dicom-web/studies", RELATED, PART("plain text") PART("OBJECT 1 2 9 ") PART("") END, 202, 1, 0, 2},
        {"/dicom-web/studies", RELATED, PART("plain text") END, 409, 0, 0, 1},
        {"/dicom-web/studies", RELATED, PART("COERCED 1 2 10 ") END, 202, 1, 0, 0},
        {"/dicom-web/studies", RELATED, "--b\r\nContent-Type: text/plain\r\n\r\nOBJECT 1 2 3 \r\n" END, 409,
         0, 0, 1},
        {"/dicom-web/studies", RELATED, "--b\r\n\r\nOBJECT 1 2 11 \r\n" END, 200, 1, 0, 0},
        {"/dicom-web/studies", RELATED, "--b\r\nContent-Transfer-Encoding: base64\r\n\r\nT0JK\r\n" END, 409,
         0, 0, 1},
        {"/dicom-web/studies", RELATED,
         "--b\r\nContent-Type: application/dicom; "
         "transfer-syntax=1.2.840.10008.1.2.1\r\nContent-Transfer-Encoding: "
         "binary\r\n\r\nOBJECT 1 2 12 \r\n" END,
         200, 1, 0, 0},
        {"/dicom-web/studies", "Content-Type: application/dicom\r\n", "OBJECT 1 2 13 ", 200, 1, 0, 0},
        {"/dicom-web/studies", "Content-Type: application/dicom\r\n", "plain text", 409, 0, 0, 1},
        {"/dicom-web/studies", "Content-Type: Multipart/Related; Type=APPLICATION/DICOM; Boundary=\"b\"\r\n",
         "preamble\r\n" PART("OBJECT 1 2 14 ") END "epilogue", 200, 1, 0, 0},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        answer a = post(x, cases[i].path, cases[i].headers, cases[i].body);
        if (a.status != cases[i].status)
            fail_msg("case %zu: %d %s", i, a.status, lam_buffer_text(&a.body));
        assert_string_equal(answer_header(&a, "Content-Type"), "application/dicom+json");
        json_t *response = answer_json(&a);
        assert_int_equal(count_items(response, "00081199"), cases[i].stored);
        assert_int_equal(count_items(response, "00081198"), cases[i].failed);
        assert_int_equal(count_items(response, "0008119A"), cases[i].others);
        /* a sequence without items is left out, not empty */
        assert_int_equal(json_object_get(response, "00081198") != NULL, cases[i].failed > 0);
        assert_int_equal(json_object_get(response, "0008119A") != NULL, cases[i].others > 0);
        json_decref(response);
        answer_done(&a);
    }
}

static void bad_requests(void **state)
{
    fixture *x = *state;
    static const struct {
        const char *headers, *body; /* body NULL: none announced */
        int status;
    } cases[] = {
        {RELATED, "", 400},
        {RELATED, NULL, 411},
        {RELATED, "no boundary here", 400},
        {RELATED, "--b--", 400},
        {RELATED, "\r\n", 400},
        {RELATED, PART("OBJECT 1 2 3 "), 400}, /* not closed */
        {RELATED, "--b\r\nContent-Type: application/dicom\r\n\r\nOBJECT 1 2 3", 400},
        {RELATED, "--b\r\nbroken header\n\r\n\r\n" END, 400},
        {"Content-Type: multipart/related; type=\"application/dicom\"\r\n", END, 400},
        {"Content-Type: multipart/related; type=\"application/dicom\"; boundary=\"\"\r\n", END, 400},
        {"Content-Type: application/dicom\r\n", "", 400},
        {"", PART("x") END, 415},
        {"Content-Type: text/plain\r\n", "x", 415},
        {"Content-Type: nonsense\r\n", "x", 415},
        {"Content-Type: multipart/form-data; boundary=b\r\n", END, 415},
        {"Content-Type: multipart/related; type=\"application/dicom+json\"; boundary=b\r\n", END, 415},
        {RELATED "Accept: text/html\r\n", PART("OBJECT 1 2 3 ") END, 406},
        {RELATED,
         PART("1") PART("2") PART("3") PART("4") PART("5") PART("6") PART("7") PART("8") PART("9") END, 413},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        answer a = client_ask(x->port, "POST", "/dicom-web/studies", cases[i].headers, cases[i].body,
                              cases[i].body ? strlen(cases[i].body) : 0);
        if (a.status != cases[i].status)
            fail_msg("case %zu: %d %s", i, a.status, lam_buffer_text(&a.body));
        assert_string_equal(answer_header(&a, "Content-Type"), "application/problem+json");
        answer_done(&a);
    }
    assert_int_equal(x->f.submitted, 0);
    assert_int_equal(x->f.count, 0);
}

static void the_response_module(void **state)
{
    fixture *x = *state;
    answer a = post(x, "/dicom-web/studies", RELATED,
                    PART("OBJECT 1.2 1.3 1.4 ") PART("text") PART("COERCED 1.2 1.3 1.5 ") END);
    assert_int_equal(a.status, 202);
    assert_non_null(
        strstr(answer_header(&a, "Warning"), "299 lamina \"1 of 3 not stored: not a DICOM file 'at all'\""));
    json_t *response = answer_json(&a);
    assert_string_equal(json_string_value(value(response, "00081190")), "/dicom-web/studies/1.2");
    const json_t *stored = item(response, "00081199", 0);
    assert_string_equal(json_string_value(value(stored, "00081150")), FAKE_CLASS);
    assert_string_equal(json_string_value(value(stored, "00081155")), "1.4");
    assert_string_equal(json_string_value(value(stored, "00081190")),
                        "/dicom-web/studies/1.2/series/1.3/instances/1.4");
    assert_null(json_object_get(stored, "00081196"));
    assert_int_equal(json_integer_value(value(item(response, "00081199", 1), "00081196")), 0xB000);
    assert_int_equal(json_integer_value(value(item(response, "0008119A", 0), "00081197")), 0xC000);
    json_decref(response);
    answer_done(&a);
    assert_string_equal(x->f.last_sender, "127.0.0.1");
}

static void the_response_in_xml(void **state)
{
    fixture *x = *state;
    answer a = post(x, "/dicom-web/studies", RELATED "Accept: application/dicom+xml\r\n",
                    PART("OBJECT 1.2 1.3 1.4 ") PART("text") END);
    assert_int_equal(a.status, 202);
    assert_string_equal(answer_header(&a, "Content-Type"), "application/dicom+xml");
    assert_string_equal(
        lam_buffer_text(&a.body),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<NativeDicomModel xmlns=\"http://dicom.nema.org/PS3.19/models/NativeDICOM\" xml:space=\"preserve\">"
        "<DicomAttribute tag=\"00081190\" vr=\"UR\">"
        "<Value number=\"1\">/dicom-web/studies/1.2</Value></DicomAttribute>"
        "<DicomAttribute tag=\"00081199\" vr=\"SQ\"><Item number=\"1\">"
        "<DicomAttribute tag=\"00081150\" vr=\"UI\">"
        "<Value number=\"1\">" FAKE_CLASS "</Value></DicomAttribute>"
        "<DicomAttribute tag=\"00081155\" vr=\"UI\">"
        "<Value number=\"1\">1.4</Value></DicomAttribute>"
        "<DicomAttribute tag=\"00081190\" vr=\"UR\">"
        "<Value number=\"1\">/dicom-web/studies/1.2/series/1.3/instances/1.4</Value></DicomAttribute>"
        "</Item></DicomAttribute>"
        "<DicomAttribute tag=\"0008119A\" vr=\"SQ\"><Item number=\"1\">"
        "<DicomAttribute tag=\"00081197\" vr=\"US\"><Value "
        "number=\"1\">49152</Value>"
        "</DicomAttribute></Item></DicomAttribute></NativeDicomModel>\n");
    answer_done(&a);
}

static void several_studies_have_no_common_url(void **state)
{
    fixture *x = *state;
    answer a = post(x, "/dicom-web/studies", RELATED, PART("OBJECT 1 2 3 ") PART("OBJECT 5 6 7 ") END);
    assert_int_equal(a.status, 200);
    json_t *response = answer_json(&a);
    assert_non_null(json_object_get(response, "00081190"));
    assert_null(value(response, "00081190"));
    json_decref(response);
    answer_done(&a);
}

static void a_full_disk_is_not_the_clients_fault(void **state)
{
    fixture *x = *state;
    x->f.full = true;
    answer a = post(x, "/dicom-web/studies", RELATED, PART("OBJECT 1 2 3 ") PART("OBJECT 1 2 4 ") END);
    assert_int_equal(a.status, 507);
    json_t *response = answer_json(&a);
    assert_int_equal(json_integer_value(value(item(response, "0008119A", 1), "00081197")), 0xA700);
    json_decref(response);
    answer_done(&a);
}

static void too_large_an_object_fails_alone(void **state)
{
    fixture *x = *state;
    x->f.max_bytes = 20;
    answer a = post(x, "/dicom-web/studies", RELATED,
                    PART("OBJECT 1 2 3 and much more than that") PART("OBJECT 1 2 4 ") END);
    assert_int_equal(a.status, 202);
    assert_int_equal(x->f.count, 1);
    answer_done(&a);
}

/* However much of the body arrives before the client goes away, nothing is stored, and every upload is let
 * go. */
static void a_body_that_breaks_off_stores_nothing(void **state)
{
    fixture *x = *state;
    static const char body[] = PART("OBJECT 1 2 3 ") PART("OBJECT 1 2 4 ") END;
    char request[1024];
    int head = snprintf(request, sizeof request,
                        "POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\n" RELATED
                        "Content-Length: %zu\r\n\r\n%s",
                        sizeof body - 1, body);
    for (int cut = 1; cut < head; cut += 7) {
        int fd = client_connect(x->port);
        client_send(fd, request, (size_t)cut);
        shutdown(fd, SHUT_WR);
        answer a = client_read(fd, 0);
        assert_int_not_equal(a.status, 200);
        answer_done(&a);
        close(fd);
    }
    assert_int_equal(x->f.submitted, 0);
    assert_int_equal(x->f.count, 0);
}

static void a_chunked_body_without_its_end_stores_nothing(void **state)
{
    fixture *x = *state;
    static const char request[] =
        "POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/dicom\r\n"
        "Transfer-Encoding: chunked\r\n\r\nd\r\nOBJECT 1 2 3 \r\n";
    int fd = client_connect(x->port);
    client_send(fd, request, sizeof request - 1);
    shutdown(fd, SHUT_WR);
    answer a = client_read(fd, 0);
    answer_done(&a);
    close(fd);
    assert_int_equal(x->f.submitted, 0);
}

static void bytes_come_through_unchanged(void **state)
{
    fixture *x = *state;
    size_t length = 3 << 20;
    lam_autofree char *body = malloc(length + 200);
    int head = sprintf(body, "--bxxb\r\nContent-Type: application/dicom\r\n\r\nOBJECT 1 2 3 ");
    unsigned seed = 1;
    for (size_t i = 0; i < length; i++) { /* many line ends and hyphens */
        seed = seed * 1103515245u + 12345u;
        body[(size_t)head + i] = "\r\n--bx\0y"[(seed >> 16) % 8];
    }
    size_t total = (size_t)head + length;
    total += (size_t)sprintf(body + total, "\r\n--bxxb--");
    answer a = client_ask(x->port, "POST", "/dicom-web/studies",
                          "Content-Type: multipart/related; type=\"application/dicom\"; boundary=bxxb\r\n",
                          body, total);
    assert_int_equal(a.status, 200);
    answer_done(&a);
    a = client_get(x->port, "/dicom-web/studies/1/series/2/instances/3", "Accept: application/dicom\r\n");
    const char *object = strstr(body, "OBJECT");
    assert_int_equal(a.body.length, length + 13);
    assert_memory_equal(a.body.data, object, length + 13);
    answer_done(&a);
}

/* Each part is ended before the next begins, or a request of many would hold as many files open. */
static void one_part_is_open_at_a_time(void **state)
{
    fixture *x = *state;
    answer a = post(x, "/dicom-web/studies", RELATED,
                    PART("OBJECT 1.2 1.3 1.4") PART("OBJECT 1.2 1.3 1.5") PART("OBJECT 1.2 1.3 1.6") END);
    assert_int_equal(a.status, 200);
    assert_int_equal(x->f.opened, 3);
    assert_int_equal(x->f.most_written, 1);
    answer_done(&a);
}

static void chunked_bodies(void **state)
{
    fixture *x = *state;
    static const char body[] = PART("OBJECT 1 2 3 ") END;
    int fd = client_connect(x->port);
    static const char head[] = "POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\n" RELATED
                               "Transfer-Encoding: chunked\r\n\r\n";
    client_send(fd, head, sizeof head - 1);
    for (size_t i = 0; i < sizeof body - 1; i++) {
        char chunk[8];
        client_send(fd, chunk, (size_t)sprintf(chunk, "1\r\n%c\r\n", body[i]));
    }
    client_send(fd, "0\r\n\r\n", 5);
    answer a = client_read(fd, 0);
    assert_int_equal(a.status, 200);
    answer_done(&a);
    close(fd);
}

static void expectations(void **state)
{
    fixture *x = *state;
    static const struct {
        const char *headers;
        int informational, status;
    } cases[] = {{RELATED, 100, 200}, {"Content-Type: text/plain\r\n", 0, 415}};
    static const char body[] = PART("OBJECT 1 2 3 ") END;
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        char head[512];
        snprintf(head, sizeof head,
                 "POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\n%sExpect: "
                 "100-continue\r\nContent-Length: %zu\r\n\r\n",
                 cases[i].headers, sizeof body - 1);
        int fd = client_connect(x->port);
        client_send(fd, head, strlen(head));
        client_wait(fd); /* 100 Continue, or the refusal */
        client_send(fd, body, sizeof body - 1);
        answer a = client_read(fd, 0);
        assert_int_equal(a.informational, cases[i].informational);
        assert_int_equal(a.status, cases[i].status);
        answer_done(&a);
        close(fd);
    }
}

/* A refusal can be read by a client that sends all of its body first. */
static void refusals_reach_clients_that_do_not_wait(void **state)
{
    fixture *x = *state;
    size_t length = 8 << 20;
    lam_autofree char *body = calloc(1, length);
    answer a =
        client_ask(x->port, "POST", "/dicom-web/studies", "Content-Type: text/plain\r\n", body, length);
    assert_int_equal(a.status, 415);
    answer_done(&a);
    a = client_ask(x->port, "POST", "/dicom-web/studies", RELATED, body, length);
    assert_int_equal(a.status, 400);
    answer_done(&a);
}

static void a_body_over_the_limit(void **state)
{
    fixture *x = *state;
    static const char head[] = "POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\n" RELATED
                               "Content-Length: 41943041\r\nExpect: 100-continue\r\n\r\n";
    int fd = client_connect(x->port);
    client_send(fd, head, sizeof head - 1);
    answer a = client_read(fd, 0);
    assert_int_equal(a.status, 413);
    answer_done(&a);
    close(fd);
}

int main(void)
{
    lam_log_open("test_stow", LAM_LOG_ERROR, false);
#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_SERVER(status_codes),
        WITH_SERVER(archives),
        WITH_SERVER(bad_requests),
        WITH_SERVER(the_response_module),
        WITH_SERVER(the_response_in_xml),
        WITH_SERVER(several_studies_have_no_common_url),
        WITH_SERVER(a_full_disk_is_not_the_clients_fault),
        WITH_SERVER(too_large_an_object_fails_alone),
        WITH_SERVER(a_body_that_breaks_off_stores_nothing),
        WITH_SERVER(a_chunked_body_without_its_end_stores_nothing),
        WITH_SERVER(bytes_come_through_unchanged),
        WITH_SERVER(one_part_is_open_at_a_time),
        WITH_SERVER(chunked_bodies),
        WITH_SERVER(expectations),
        WITH_SERVER(refusals_reach_clients_that_do_not_wait),
        WITH_SERVER(a_body_over_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
