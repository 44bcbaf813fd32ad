/* api/multipart: the same parts however the body is cut, what looks like a boundary, truncation, limits. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/multipart.h"
#include "core/base/buffer.h"
#include "core/base/cleanup.h"

/* What the reader said, as a transcript: "[headers|content]" a part. */
typedef struct transcript {
    lam_buffer text;
    lam_status stop_with; /* returned from part_data when not LAM_OK */
} transcript;

static lam_status on_begin(void *context, const char *headers, lam_error *err)
{
    (void)err;
    transcript *t = context;
    lam_buffer_printf(&t->text, "[%s|", headers);
    return LAM_OK;
}

static lam_status on_data(void *context, const char *bytes, size_t length, lam_error *err)
{
    transcript *t = context;
    if (t->stop_with != LAM_OK)
        return lam_fail(err, t->stop_with, "stopped");
    lam_buffer_append(&t->text, bytes, length);
    return LAM_OK;
}

static lam_status on_end(void *context, lam_error *err)
{
    (void)err;
    transcript *t = context;
    lam_buffer_append_text(&t->text, "]");
    return LAM_OK;
}

static const lam_multipart_events events = {on_begin, on_data, on_end};

/* Feeds the body in pieces that end at `cut` and then every `step` bytes. */
static lam_status read_cut(const char *boundary, const char *body, size_t length, size_t cut, size_t step,
                           transcript *t, lam_error *err)
{
    lam_multipart *reader = NULL;
    lam_buffer_init(&t->text, 1 << 20);
    lam_status status = lam_multipart_create(boundary, 100, &events, t, &reader, err);
    size_t from = 0;
    for (size_t to = cut; status == LAM_OK && from < length; to += step) {
        if (to > length)
            to = length;
        status = lam_multipart_feed(reader, body + from, to - from, err);
        from = to;
    }
    if (status == LAM_OK)
        status = lam_multipart_finish(reader, err);
    lam_multipart_free(reader);
    return status;
}

/* However it is cut, the transcript is the same. */
static void expect(const char *boundary, const char *body, size_t length, const char *wanted)
{
    for (size_t step = 1; step <= length; step = step < 4 ? step + 1 : step * 3) {
        for (size_t cut = 0; cut <= length; cut++) {
            transcript t = {0};
            lam_error err = {0};
            assert_ok(read_cut(boundary, body, length, cut, step, &t, &err), err);
            assert_int_equal(t.text.length, strlen(wanted));
            assert_memory_equal(lam_buffer_text(&t.text), wanted, strlen(wanted));
            lam_buffer_done(&t.text);
        }
    }
}

#define EXPECT(boundary, body, wanted) expect(boundary, body, sizeof(body) - 1, wanted)

static void refuses(const char *body, size_t length, lam_status wanted)
{
    for (size_t step = 1; step <= length + 1; step += length / 3 + 1) {
        transcript t = {0};
        lam_error err = {0};
        lam_status status = read_cut("b", body, length, step, step, &t, &err);
        if (status != wanted)
            fail_msg("%.60s…: %s instead of %s", body, lam_status_name(status), lam_status_name(wanted));
        assert_true(err.message[0]);
        lam_buffer_done(&t.text);
    }
}

#define REFUSES(body, wanted) refuses(body, sizeof(body) - 1, wanted)

static void reads_parts(void **state)
{
    (void)state;
    EXPECT("b", "--b\r\nA: 1\r\n\r\nhello\r\n--b--\r\n", "[A: 1\n\n|hello]");
    EXPECT("b", "--b\r\nA: 1\r\nB:2\r\n\r\none\r\n--b\r\nA: 3\r\n\r\ntwo\r\n--b--",
           "[A: 1\nB:2\n\n|one][A: 3\n\n|two]");
    EXPECT("b", "\r\n--b\r\n\r\nno headers\r\n--b--", "[\n|no headers]");
    EXPECT("b", "preamble\r\nmore\r\n--b\r\n\r\nx\r\n--b--\r\nepilogue\r\n--b\r\n\r\nnot a part", "[\n|x]");
    EXPECT("b", "--b \t\r\n\r\npadding\r\n--b  \r\n\r\ny\r\n--b-- \r\n", "[\n|padding][\n|y]");
    EXPECT("b", "--b\r\nA: folded\r\n value\r\n\r\nx\r\n--b--", "[A: folded  value\n\n|x]");
}

static void empty_parts(void **state)
{
    (void)state;
    EXPECT("b", "--b\r\n\r\n\r\n--b--", "[\n|]");
    EXPECT("b", "--b\r\nA: 1\r\n\r\n--b--", "[A: 1\n\n|]");
    EXPECT("b", "--b\r\nA: 1\r\n\r\n--b\r\n\r\nx\r\n--b--", "[A: 1\n\n|][\n|x]");
}

static void likenesses_are_content(void **state)
{
    (void)state;
    EXPECT("b", "--b\r\n\r\nx--b--\r\n--b--", "[\n|x--b--]");               /* not at the start of a line */
    EXPECT("b", "--b\r\n\r\nx\n--b\n--b--\r\n--b--", "[\n|x\n--b\n--b--]"); /* after a bare LF */
    EXPECT("b", "--b\r\n\r\nx\r--b\r\n--b--", "[\n|x\r--b]");               /* after a bare CR */
    EXPECT("b", "--b\r\n\r\nx\r\n--bc\r\n--b--", "[\n|x\r\n--bc]");         /* longer boundary */
    EXPECT("b", "--b\r\n\r\nx\r\n--b-\r\n--b--", "[\n|x\r\n--b-]");         /* one hyphen */
    EXPECT("b", "--b\r\n\r\nx\r\n--b z\r\n--b--", "[\n|x\r\n--b z]");       /* text after blanks */
    EXPECT("b", "--b\r\n\r\nx\r\n-b\r\n--b--", "[\n|x\r\n-b]");
    EXPECT("b", "--b\r\n\r\n\r\r\n\r\n--\r\n--\r\n--b--", "[\n|\r\r\n\r\n--\r\n--]");
    EXPECT("b", "--b\r\n\r\nx\r\n--b\r\r\n--b--", "[\n|x\r\n--b\r]"); /* CR that begins the real delimiter */
    EXPECT("b", "--b\r\n\r\nx\r\n--b \r\n\r\ny\r\n--b--", "[\n|x][\n|y]");
    EXPECT("bb", "--bb\r\n\r\nx\r\n--b\r\n--bb--", "[\n|x\r\n--b]"); /* shorter one */
    EXPECT("--b", "----b\r\n\r\nx\r\n--b\r\n----b--", "[\n|x\r\n--b]");
}

static void long_padding_is_content(void **state)
{
    (void)state;
    char body[256], wanted[256];
    snprintf(body, sizeof body, "--b\r\n\r\nx\r\n--b%80s\r\n--b--", "");
    snprintf(wanted, sizeof wanted, "[\n|x\r\n--b%80s]", "");
    expect("b", body, strlen(body), wanted);
}

static void longest_boundary(void **state)
{
    (void)state;
    enum { MOST = LAM_MULTIPART_BOUNDARY, SHORT = MOST - 1 };
    char boundary[MOST + 2], body[3 * MOST + 64];
    memset(boundary, 'x', MOST);
    memcpy(boundary, "a'()+_,-./:=? z", 15);
    boundary[MOST] = '\0';
    snprintf(body, sizeof body, "--%s\r\n\r\nok\r\n--%.*s\r\n--%s--", boundary, SHORT, boundary, boundary);
    char wanted[MOST + 32];
    snprintf(wanted, sizeof wanted, "[\n|ok\r\n--%.*s]", SHORT, boundary);
    expect(boundary, body, strlen(body), wanted);

    transcript t = {0};
    lam_multipart *reader = NULL;
    lam_error err;
    boundary[MOST] = 'x';
    boundary[MOST + 1] = '\0';
    assert_fails(lam_multipart_create(boundary, 1, &events, &t, &reader, &err), LAM_E_INVALID, err);
    assert_fails(lam_multipart_create("", 1, &events, &t, &reader, &err), LAM_E_INVALID, err);
    assert_fails(lam_multipart_create("a\r\nb", 1, &events, &t, &reader, &err), LAM_E_INVALID, err);
    assert_null(reader);
}

/* Every truncation of a whole body is refused, and says so only at the end. */
static void truncation_is_refused(void **state)
{
    (void)state;
    static const char body[] = "--b\r\nA: 1\r\n\r\nhello\r\n--b\r\n\r\nworld\r\n--b--";
    for (size_t length = 0; length < sizeof body - 1; length++) {
        transcript t = {0};
        lam_error err = {0};
        assert_fails(read_cut("b", body, length, length, 1, &t, &err), LAM_E_INVALID, err);
        lam_buffer_done(&t.text);
    }
}

static void hostile_bodies(void **state)
{
    (void)state;
    REFUSES("", LAM_E_INVALID);
    REFUSES("no boundary at all", LAM_E_INVALID);
    REFUSES("--b--", LAM_E_INVALID); /* closed without a part */
    REFUSES("--b\r\nA: 1\n\r\nx\r\n--b--", LAM_E_INVALID);
    REFUSES("--b\r\nA: \0\r\n\r\nx\r\n--b--", LAM_E_INVALID);
    size_t length = 3 * LAM_MULTIPART_PREAMBLE;
    lam_autofree char *large = malloc(length);
    memset(large, 'x', length);
    refuses(large, length, LAM_E_INVALID); /* an endless preamble */
    memcpy(large, "--b\r\nA: ", 8);
    refuses(large, length, LAM_E_LIMIT); /* an endless header */
}

static void too_many_parts(void **state)
{
    (void)state;
    lam_buffer body;
    lam_buffer_init(&body, 1 << 20);
    for (int i = 0; i < 101; i++)
        lam_buffer_append_text(&body, "--b\r\n\r\nx\r\n");
    lam_buffer_append_text(&body, "--b--");
    refuses(body.data, body.length, LAM_E_LIMIT);
    lam_buffer_done(&body);
}

static void errors_of_the_taker_end_it(void **state)
{
    (void)state;
    static const char body[] = "--b\r\n\r\nx\r\n--b--";
    transcript t = {.stop_with = LAM_E_NO_SPACE};
    lam_error err = {0};
    assert_fails(read_cut("b", body, sizeof body - 1, 3, 1, &t, &err), LAM_E_NO_SPACE, err);
    lam_buffer_done(&t.text);
}

static void finds_headers(void **state)
{
    (void)state;
    static const char headers[] =
        "Content-Type: application/dicom\nX:  \nCONTENT-length:12 \nContent-TypeX: no\n\n";
    char value[32];
    assert_true(lam_multipart_header(headers, "content-type", value, sizeof value));
    assert_string_equal(value, "application/dicom");
    assert_true(lam_multipart_header(headers, "Content-Length", value, sizeof value));
    assert_string_equal(value, "12");
    assert_true(lam_multipart_header(headers, "x", value, sizeof value));
    assert_string_equal(value, "");
    assert_false(lam_multipart_header(headers, "Content", value, sizeof value));
    assert_false(lam_multipart_header(headers, "content-type", value, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_parts),
        cmocka_unit_test(empty_parts),
        cmocka_unit_test(likenesses_are_content),
        cmocka_unit_test(long_padding_is_content),
        cmocka_unit_test(longest_boundary),
        cmocka_unit_test(truncation_is_refused),
        cmocka_unit_test(hostile_bodies),
        cmocka_unit_test(too_many_parts),
        cmocka_unit_test(errors_of_the_taker_end_it),
        cmocka_unit_test(finds_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
