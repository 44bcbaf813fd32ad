/* What DICOMweb searches, metadata, frames, values, pictures and deletion ask of the backend, and how its
 * answers leave, over a real socket (PS3.18 sections 8.3, 10.4 and 10.6). */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/server.h"
#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "tests/unit/api/client.h"
#include "tests/unit/api/fake.h"

#define STUDY    "/dicom-web/studies/1.1"
#define INSTANCE STUDY "/series/2.1/instances/3.1"
#define JPEG     STUDY "/series/2.2/instances/3.3"

typedef struct fixture {
    fake f;
    lam_backend backend;
    lam_http_server *server;
    unsigned port;
} fixture;

static void start(fixture *x, bool allow_delete)
{
    lam_http_options options = lam_http_options_default();
    lam_error err = {0};
    char bytes[3 * FAKE_FRAME];
    options.port = 0;
    options.allow_delete = allow_delete;
    fake_init(&x->f);
    x->backend = fake_backend(&x->f);
    assert_ok(lam_http_server_create(&options, &x->backend, &x->server, &err), err);
    x->port = lam_http_server_port(x->server);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)i;
    fake_store(&x->f, "1.1", "2.1", "3.1", FAKE_SYNTAX, bytes, sizeof bytes);
    fake_store(&x->f, "1.1", "2.1", "3.2", FAKE_SYNTAX, bytes, sizeof bytes);
    fake_store(&x->f, "1.1", "2.2", "3.3", FAKE_JPEG, bytes, sizeof bytes);
    fake_store(&x->f, "1.2", "2.3", "3.4", FAKE_SYNTAX, bytes, sizeof bytes);
}

static int set_up(void **state)
{
    fixture *x = calloc(1, sizeof *x);
    start(x, false);
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

static void searches_find_each_thing_once(void **state)
{
    fixture *x = *state;
    static const struct {
        const char *path;
        int status;
        size_t count;
        bool more;
    } cases[] = {
        {"/dicom-web/studies", 200, 2, false},
        {"/dicom-web/studies?limit=1", 200, 1, true},
        {"/dicom-web/studies?limit=1&offset=1", 200, 1, false},
        {"/dicom-web/studies?offset=2", 204, 0, false},
        {"/dicom-web/series", 200, 3, false},
        {STUDY "/series", 200, 2, false},
        {"/dicom-web/instances", 200, 4, false},
        {STUDY "/instances", 200, 3, false},
        {STUDY "/series/2.1/instances", 200, 2, false},
        {"/dicom-web/studies?limit=x", 400, 0, false},
        {"/dicom-web/studies?limit=-1", 400, 0, false},
        {"/dicom-web/studies?offset=1e3", 400, 0, false},
        {"/dicom-web/studies?fuzzymatching=yes", 400, 0, false},
        {"/dicom-web/studies?Nonsense=1", 400, 0, false},
        {"/dicom-web/studies?accept=image/png", 406, 0, false},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        answer a = client_get(x->port, cases[i].path, "");
        if (a.status != cases[i].status)
            fail_msg("%s: %d", cases[i].path, a.status);
        if (a.status == 200) {
            assert_string_equal(answer_header(&a, "Content-Type"), "application/dicom+json");
            json_t *list = answer_json(&a);
            assert_int_equal(json_array_size(list), cases[i].count);
            json_decref(list);
            assert_int_equal(cases[i].more, answer_header(&a, "Warning")[0] != '\0');
        }
        answer_done(&a);
    }
}

static void searches_hand_their_terms_on(void **state)
{
    fixture *x = *state;
    answer a = client_get(x->port,
                          "/dicom-web/studies?PatientName=Mei%5Eer&00080060=MR&fuzzymatching=true&"
                          "includefield=00081030,PatientAge&includefield=all&limit=7&offset=1",
                          "");
    answer_done(&a);
    const fake_search_seen *seen = &x->f.last_search;
    assert_string_equal(seen->term, "PatientName=Mei^er");
    assert_int_equal(seen->terms, 2);
    assert_int_equal(seen->includes, 2);
    assert_true(seen->fuzzy && seen->all);
    assert_int_equal(seen->limit, 7);
    assert_int_equal(seen->offset, 1);
    assert_int_equal(seen->level, LAM_LEVEL_STUDY);
}

static void metadata_are_one_array(void **state)
{
    fixture *x = *state;
    static const struct {
        const char *path;
        int status;
        size_t count;
    } cases[] = {{STUDY "/metadata", 200, 3},
                 {STUDY "/series/2.1/metadata", 200, 2},
                 {INSTANCE "/metadata", 200, 1},
                 {"/dicom-web/studies/1.9/metadata", 404, 0}};
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        answer a = client_get(x->port, cases[i].path, "");
        assert_int_equal(a.status, cases[i].status);
        json_t *list = answer_json(&a);
        if (a.status == 200)
            assert_int_equal(json_array_size(list), cases[i].count);
        json_decref(list);
        answer_done(&a);
    }
}

static void frames_are_the_bytes_of_the_file(void **state)
{
    fixture *x = *state;
    answer a = client_get(x->port, INSTANCE "/frames/2", "Accept: application/octet-stream\r\n");
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body.length, FAKE_FRAME);
    for (size_t i = 0; i < FAKE_FRAME; i++)
        assert_int_equal((unsigned char)a.body.data[i], (i + FAKE_FRAME) % 256);
    answer_done(&a);
    a = client_get(x->port, INSTANCE "/frames/3,1", "");
    assert_int_equal(a.status, 200);
    const char *first = strstr(lam_buffer_text(&a.body), "/frames/3\r\n\r\n");
    assert_non_null(first);
    assert_int_equal((unsigned char)first[13], 2 * FAKE_FRAME);
    assert_int_equal(strtoul(answer_header(&a, "Content-Length"), NULL, 10), a.body.length);
    answer_done(&a);
}

static void what_pixels_may_be_asked_for(void **state)
{
    fixture *x = *state;
    static const struct {
        const char *path, *accept;
        int status;
    } cases[] = {
        {INSTANCE "/frames/1", "*/*", 200},
        {INSTANCE "/frames/1,2", "application/octet-stream", 406}, /* several cannot be a single part */
        {INSTANCE "/frames/0", "*/*", 400},
        {INSTANCE "/frames/1,", "*/*", 400},
        {INSTANCE "/frames/1%2C2", "*/*", 200},
        {INSTANCE "/frames/-1", "*/*", 400},
        {INSTANCE "/frames/x", "*/*", 400},
        {INSTANCE "/frames/4", "*/*", 404},
        {STUDY "/series/2.1/instances/9/frames/1", "*/*", 404},
        {INSTANCE "/frames/1", "image/jpeg", 406}, /* is not stored so */
        {JPEG "/frames/1", "image/jpeg", 200},
        {JPEG "/frames/1", "multipart/related; type=image/jpeg; transfer-syntax=*", 200},
        {JPEG "/frames/1", "multipart/related; type=\"image/jpeg\"; transfer-syntax=" FAKE_JPEG, 200},
        {JPEG "/frames/1", "image/jls", 406},
        {JPEG, "application/dicom; transfer-syntax=" FAKE_SYNTAX, 200},
        {INSTANCE "/bulkdata/00420011", "*/*", 200},
        {INSTANCE "/bulkdata/00420011", "multipart/related; type=\"application/octet-stream\"", 200},
        {INSTANCE "/bulkdata/00420012", "*/*", 404},
        {INSTANCE "/bulkdata/00420011", "image/png", 406},
        {INSTANCE "/rendered", "image/png", 200},
        {INSTANCE "/rendered", "application/dicom", 406},
        {INSTANCE "/frames/2/rendered", "image/jpeg", 200},
        {INSTANCE "/frames/1,2/rendered", "image/jpeg", 406},
        {INSTANCE "/frames/1,2/rendered", "multipart/related; type=\"image/jpeg\"", 200},
        {INSTANCE "/frames/1-2/rendered", "image/jpeg", 400},
        {INSTANCE "/frames/1,2/thumbnail", "image/jpeg", 400},
        {INSTANCE "/thumbnail", "*/*", 200},
        {STUDY "/rendered", "image/png", 200},
        {STUDY "/rendered", "multipart/related; type=\"image/png\"", 200},
        {STUDY "/series/2.1/thumbnail", "*/*", 200},
        {"/dicom-web/studies/1.9/rendered", "*/*", 404},
        {INSTANCE "/rendered?viewport=10", "*/*", 400},
        {INSTANCE "/rendered?viewport=0,5", "*/*", 400},
        {INSTANCE "/rendered?viewport=nan,5", "*/*", 400},
        {INSTANCE "/rendered?viewport=10,5,1,1,2,2", "*/*", 200},
        {INSTANCE "/rendered?viewport=10,5,1", "*/*", 400},
        {INSTANCE "/rendered?window=40,0,linear", "*/*", 400},
        {INSTANCE "/rendered?window=40,400,cubic", "*/*", 400},
        {INSTANCE "/rendered?window=40,400,sigmoid", "*/*", 200},
        {INSTANCE "/rendered?quality=101", "*/*", 400},
        {INSTANCE "/rendered?annotation=patient,technique", "*/*", 200},
        {INSTANCE "/rendered?annotation=all", "*/*", 400},
        {INSTANCE "/rendered?overlay=..%2F", "*/*", 400},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        char headers[256];
        snprintf(headers, sizeof headers, "Accept: %s\r\n", cases[i].accept);
        answer a = client_get(x->port, cases[i].path, headers);
        if (a.status != cases[i].status)
            fail_msg("%s as %s: %d: %.200s", cases[i].path, cases[i].accept, a.status,
                     lam_buffer_text(&a.body));
        answer_done(&a);
    }
}

static void pictures_are_asked_for_as_the_query_says(void **state)
{
    fixture *x = *state;
    static const struct {
        const char *path, *text;
    } cases[] = {
        {INSTANCE "/frames/3/rendered?accept=image/png&viewport=64,32&window=40,400",
         "image/png of 3.1 frame 3 in 64x32 window 40,400 quality 90"},
        {INSTANCE "/rendered?quality=17", "image/jpeg of 3.1 frame 0 in 0x0 window 0,0 quality 17"},
        {INSTANCE "/thumbnail", "image/jpeg of 3.1 frame 0 in 160x160 window 0,0 quality 90"},
        {STUDY "/series/2.2/rendered", "image/jpeg of 3.3 frame 0 in 0x0 window 0,0 quality 90"},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        answer a = client_get(x->port, cases[i].path, "");
        assert_int_equal(a.status, 200);
        assert_string_equal(lam_buffer_text(&a.body), cases[i].text);
        answer_done(&a);
    }
}

/* What a worker refuses or does not survive is one answer, and the server goes on. */
static void failures_of_pixel_work_are_answered(void **state)
{
    fixture *x = *state;
    static const struct {
        lam_status status;
        int http;
    } cases[] = {{LAM_E_UNSUPPORTED, 406}, {LAM_E_CORRUPT, 406}, {LAM_E_BUSY, 503}, {LAM_E_INTERNAL, 500},
                 {LAM_E_LIMIT, 413},       {LAM_E_INVALID, 400}, {LAM_OK, 200}};
    static const char *const paths[] = {INSTANCE "/frames/1", INSTANCE "/rendered",
                                        INSTANCE "/bulkdata/00420011"};
    for (size_t i = 0; i < LAM_COUNT(cases); i++)
        for (size_t k = 0; k < LAM_COUNT(paths); k++) {
            x->f.pixels_fail = cases[i].status;
            answer a = client_get(x->port, paths[k], "");
            assert_int_equal(a.status, cases[i].http);
            if (a.status != 200)
                assert_string_equal(answer_header(&a, "Content-Type"), "application/problem+json");
            answer_done(&a);
        }
}

static void nothing_is_deleted_unless_allowed(void **state)
{
    fixture *x = *state;
    answer a = client_ask(x->port, "DELETE", STUDY, "", NULL, 0);
    assert_int_equal(a.status, 403);
    assert_int_equal(x->f.count, 4);
    answer_done(&a);
}

static void what_is_allowed_is_deleted(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int status;
        size_t left;
    } cases[] = {{INSTANCE, 204, 3}, {INSTANCE, 404, 3}, {STUDY "/series/2.2", 204, 2}, {STUDY, 204, 1}};
    fixture x;
    start(&x, true);
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        answer a = client_ask(x.port, "DELETE", cases[i].path, "", NULL, 0);
        assert_int_equal(a.status, cases[i].status);
        assert_int_equal(x.f.count, cases[i].left);
        answer_done(&a);
    }
    lam_http_server_free(x.server);
    fake_done(&x.f);
}

int main(void)
{
    lam_log_open("test_dicomweb", LAM_LOG_ERROR, false);
#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_SERVER(searches_find_each_thing_once),
        WITH_SERVER(searches_hand_their_terms_on),
        WITH_SERVER(metadata_are_one_array),
        WITH_SERVER(frames_are_the_bytes_of_the_file),
        WITH_SERVER(what_pixels_may_be_asked_for),
        WITH_SERVER(pictures_are_asked_for_as_the_query_says),
        WITH_SERVER(failures_of_pixel_work_are_answered),
        WITH_SERVER(nothing_is_deleted_unless_allowed),
        cmocka_unit_test(what_is_allowed_is_deleted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
