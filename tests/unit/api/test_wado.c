/* WADO-RS retrieval over a real socket (PS3.18 section 10.4): byte for byte (promise 3), as single part and
 * multipart, and what the client may ask for. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/multipart.h"
#include "api/negotiate.h"
#include "api/server.h"
#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "tests/unit/api/client.h"
#include "tests/unit/api/fake.h"

enum { LARGE = 700001 }; /* more than one block of a stream */

typedef struct fixture {
    fake f;
    lam_backend backend;
    lam_http_server *server;
    unsigned port;
} fixture;

static void fill(char *bytes, size_t length, unsigned seed)
{
    for (size_t i = 0; i < length; i++) {
        seed = seed * 1103515245u + 12345u;
        bytes[i] = (char)(seed >> 16);
    }
}

static int set_up(void **state)
{
    fixture *x = calloc(1, sizeof *x);
    lam_http_options options = lam_http_options_default();
    lam_error err = {0};
    options.port = 0;
    options.public_url = "http://localhost/pacs";
    fake_init(&x->f);
    x->backend = fake_backend(&x->f);
    assert_ok(lam_http_server_create(&options, &x->backend, &x->server, &err), err);
    x->port = lam_http_server_port(x->server);
    char *bytes = malloc(LARGE);
    fill(bytes, LARGE, 1);
    fake_store(&x->f, "1.1", "2.1", "3.1", FAKE_SYNTAX, bytes, LARGE);
    fill(bytes, LARGE, 2);
    fake_store(&x->f, "1.1", "2.1", "3.2", FAKE_SYNTAX, bytes, 1000);
    fake_store(&x->f, "1.1", "2.2", "3.3", FAKE_JPEG, "", 0);
    free(bytes);
    *state = x;
    return 0;
}

static int tear_down(void **state)
{
    fixture *x = *state;
    lam_http_server_free(x->server);
    fake_done(&x->f);
    free(x);
    return 0;
}

/* ---- reading a multipart answer with the reader that is tested elsewhere ---- */

typedef struct parts {
    size_t count;
    char headers[4][512];
    lam_buffer content[4];
} parts;

static lam_status on_begin(void *context, const char *headers, lam_error *err)
{
    parts *p = context;
    if (p->count == 4)
        return lam_fail(err, LAM_E_LIMIT, "too many parts");
    lam_buffer_init(&p->content[p->count], 1 << 24);
    snprintf(p->headers[p->count++], sizeof p->headers[0], "%s", headers);
    return LAM_OK;
}

static lam_status on_data(void *context, const char *bytes, size_t length, lam_error *err)
{
    (void)err;
    parts *p = context;
    return lam_buffer_append(&p->content[p->count - 1], bytes, length);
}

static lam_status on_end(void *context, lam_error *err)
{
    (void)context;
    (void)err;
    return LAM_OK;
}

static void read_parts(const answer *a, parts *p)
{
    static const lam_multipart_events events = {on_begin, on_data, on_end};
    lam_media_type media;
    lam_error err = {0};
    lam_multipart *reader = NULL;
    *p = (parts){0};
    assert_true(lam_media_type_parse(answer_header(a, "Content-Type"), &media, NULL));
    assert_string_equal(media.type, "multipart/related");
    assert_string_equal(lam_media_type_get(&media, "type"), "application/dicom");
    assert_ok(lam_multipart_create(lam_media_type_get(&media, "boundary"), 10, &events, p, &reader, &err),
              err);
    assert_ok(lam_multipart_feed(reader, lam_buffer_text(&a->body), a->body.length, &err), err);
    assert_ok(lam_multipart_finish(reader, &err), err);
    lam_multipart_free(reader);
}

static void expect_object(const fixture *x, size_t index, const char *bytes, size_t length)
{
    const fake_object *o = &x->f.objects[index];
    assert_int_equal((int64_t)length, o->bytes);
    lam_autofree char *stored = malloc(length + 1);
    assert_int_equal(pread(o->fd, stored, length, 0), (ssize_t)length);
    assert_memory_equal(bytes, stored, length);
}

static void several_objects_byte_for_byte(void **state)
{
    fixture *x = *state;
    static const struct {
        const char *path;
        size_t first, count;
    } cases[] = {
        {"/dicom-web/studies/1.1", 0, 3},
        {"/dicom-web/studies/1.1/series/2.1", 0, 2},
        {"/dicom-web/studies/1.1/series/2.2", 2, 1},
        {"/dicom-web/studies/1.1/series/2.1/instances/3.2", 1, 1},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        answer a = client_get(x->port, cases[i].path, "");
        assert_int_equal(a.status, 200);
        assert_int_equal(strtoul(answer_header(&a, "Content-Length"), NULL, 10), a.body.length);
        parts p;
        read_parts(&a, &p);
        assert_int_equal(p.count, cases[i].count);
        for (size_t k = 0; k < p.count; k++) {
            const fake_object *o = &x->f.objects[cases[i].first + k];
            char type[128], wanted[128], location[256], url[256];
            assert_true(lam_multipart_header(p.headers[k], "Content-Type", type, sizeof type));
            snprintf(wanted, sizeof wanted, "application/dicom; transfer-syntax=%s", o->syntax);
            assert_string_equal(type, wanted);
            assert_true(lam_multipart_header(p.headers[k], "Content-Location", location, sizeof location));
            snprintf(url, sizeof url, "http://localhost/pacs/dicom-web/studies/%s/series/%s/instances/%s",
                     o->study, o->series, o->sop);
            assert_string_equal(location, url);
            expect_object(x, cases[i].first + k, lam_buffer_text(&p.content[k]), p.content[k].length);
            lam_buffer_done(&p.content[k]);
        }
        answer_done(&a);
    }
}

static void one_object_byte_for_byte(void **state)
{
    fixture *x = *state;
    static const char path[] = "/dicom-web/studies/1.1/series/2.1/instances/3.1";
    answer a = client_get(x->port, path, "Accept: application/dicom\r\n");
    assert_int_equal(a.status, 200);
    assert_string_equal(answer_header(&a, "Content-Type"), "application/dicom; transfer-syntax=" FAKE_SYNTAX);
    expect_object(x, 0, a.body.data, a.body.length);
    answer_done(&a);
    a = client_get(x->port, "/dicom-web/studies/1.1/series/2.1/instances/3.1?accept=application/dicom",
                   "Accept: */*\r\n");
    expect_object(x, 0, a.body.data, a.body.length);
    answer_done(&a);
    a = client_ask(x->port, "HEAD", path, "Accept: application/dicom\r\n", NULL, 0);
    assert_int_equal(strtol(answer_header(&a, "Content-Length"), NULL, 10), LARGE);
    answer_done(&a);
}

#define INSTANCE "/dicom-web/studies/1.1/series/2.1/instances/3.1"

static void what_may_be_asked_for(void **state)
{
    fixture *x = *state;
    static const struct {
        const char *path, *accept;
        int status;
    } cases[] = {
        {INSTANCE, "*/*", 200},
        {INSTANCE, "application/dicom; transfer-syntax=*", 200},
        {INSTANCE, "multipart/related; type=application/dicom; transfer-syntax=" FAKE_SYNTAX, 200},
        {INSTANCE, "application/dicom; transfer-syntax=" FAKE_JPEG, 406},
        {INSTANCE, "application/dicom+json", 406},
        {INSTANCE, "image/png", 406},
        {"/dicom-web/studies/1.1", "application/dicom", 406}, /* several cannot be a single part */
        {"/dicom-web/studies/1.1", "multipart/related; type=\"application/dicom\"; transfer-syntax=*", 200},
        {"/dicom-web/studies/1.1", /* what is stored otherwise is transcoded */
         "multipart/related; type=\"application/dicom\"; transfer-syntax=" FAKE_SYNTAX, 200},
        {"/dicom-web/studies/1.1",
         "multipart/related; type=\"application/dicom\"; transfer-syntax=" FAKE_JPEG, 406},
        {"/dicom-web/studies/1.1/series/2.2",
         "multipart/related; type=\"application/dicom\"; transfer-syntax=" FAKE_JPEG, 200},
        {"/dicom-web/studies/1.2", "*/*", 404},
        {"/dicom-web/studies/1.1/series/9", "*/*", 404},
        {"/dicom-web/studies/1.1/series/2.2/instances/3.1", "*/*", 404}, /* of another series */
        {"/dicom-web/studies/1.1/series/x", "*/*", 400},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        char headers[256];
        snprintf(headers, sizeof headers, "Accept: %s\r\n", cases[i].accept);
        answer a = client_get(x->port, cases[i].path, headers);
        if (a.status != cases[i].status)
            fail_msg("%s as %s: %d", cases[i].path, cases[i].accept, a.status);
        if (a.status == 406) /* says what there is */
            assert_non_null(strstr(lam_buffer_text(&a.body), "multipart/related"));
        answer_done(&a);
    }
}

static void parts_of_an_object(void **state)
{
    fixture *x = *state;
    static const struct {
        const char *headers, *content_range;
        int status;
        size_t first, length;
    } cases[] = {
        {"Range: bytes=100-199\r\n", "bytes 100-199/700001", 206, 100, 100},
        {"Range: bytes=-1\r\n", "bytes 700000-700000/700001", 206, LARGE - 1, 1},
        {"Range: bytes=700001-\r\n", "bytes */700001", 416, 0, 0},
        {"Range: bytes=0-1,5-6\r\n", "", 200, 0, LARGE},
        {"Range: bytes=0-1\r\nIf-Range: \"other\"\r\n", "", 200, 0, LARGE},
    };
    lam_autofree char *stored = malloc(LARGE);
    assert_int_equal(pread(x->f.objects[0].fd, stored, LARGE, 0), LARGE);
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        answer a = client_get(x->port, INSTANCE "?accept=application/dicom", cases[i].headers);
        assert_int_equal(a.status, cases[i].status);
        assert_string_equal(answer_header(&a, "Content-Range"), cases[i].content_range);
        if (a.status != 416) {
            assert_int_equal(a.body.length, cases[i].length);
            assert_memory_equal(a.body.data, stored + cases[i].first, cases[i].length);
        }
        answer_done(&a);
    }
}

static void what_the_client_has_is_not_sent(void **state)
{
    fixture *x = *state;
    static const char *const paths[] = {INSTANCE "?accept=application/dicom", "/ui/style.css", "/"};
    for (size_t i = 0; i < LAM_COUNT(paths); i++) {
        answer a = client_get(x->port, paths[i], "");
        assert_int_equal(a.status, 200);
        char headers[256];
        snprintf(headers, sizeof headers, "If-None-Match: \"other\", %s\r\n", answer_header(&a, "ETag"));
        answer again = client_get(x->port, paths[i], headers);
        assert_int_equal(again.status, 304);
        char etag[128];
        snprintf(etag, sizeof etag, "%s", answer_header(&a, "ETag"));
        assert_string_equal(answer_header(&again, "ETag"), etag);
        answer_done(&a);
        answer_done(&again);
    }
}

/* An object that does not have the size its row says must not be passed on as if it were whole. */
static void a_damaged_store_breaks_off(void **state)
{
    fixture *x = *state;
    assert_int_equal(ftruncate(x->f.objects[1].fd, 10), 0);
    answer a = client_get(x->port, "/dicom-web/studies/1.1", "");
    assert_int_equal(a.status, 200);
    assert_true(a.body.length < strtoul(answer_header(&a, "Content-Length"), NULL, 10));
    answer_done(&a);
}

int main(void)
{
    lam_log_open("test_wado", LAM_LOG_ERROR, false);
#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_SERVER(several_objects_byte_for_byte),   WITH_SERVER(one_object_byte_for_byte),
        WITH_SERVER(what_may_be_asked_for),           WITH_SERVER(parts_of_an_object),
        WITH_SERVER(what_the_client_has_is_not_sent), WITH_SERVER(a_damaged_store_breaks_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
