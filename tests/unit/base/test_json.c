/* core/base/json: what is read, what is refused and where, the limits, and that what is written reads back.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "tests/unit/unit.h"

static lam_json *parse(const char *text)
{
    lam_json *document = NULL;
    lam_error err;
    assert_ok(lam_json_parse(text, strlen(text), &document, &err), err);
    return document;
}

/* ---- reading ---- */

static void reads_every_kind(void **state)
{
    (void)state;
    LAM_AUTO_PTR(lam_json) *document =
        parse(" {\"a\":[1,-2.5e3,true,false,null,\"x\\n\\u00e9\\ud83d\\ude00\"],\"o\":{},\"e\":[]} ");
    const lam_jv *root = lam_json_root(document), *a = lam_jv_get(root, "a");
    assert_int_equal(lam_jv_count(root), 3);
    assert_string_equal(lam_jv_key_at(root, 2), "e");
    assert_int_equal(lam_jv_count(a), 6);
    assert_int_equal(lam_jv_integer(lam_jv_at(a, 0), -1), 1);
    assert_true(lam_jv_number(lam_jv_at(a, 1), 0) == -2500.0);
    assert_true(lam_jv_bool(lam_jv_at(a, 2), false));
    assert_false(lam_jv_bool(lam_jv_at(a, 3), true));
    assert_true(lam_jv_is(lam_jv_at(a, 4), LAM_JSON_NULL));
    assert_string_equal(lam_jv_text(lam_jv_at(a, 5), ""), "x\n\xc3\xa9\xf0\x9f\x98\x80");
    assert_ptr_equal(lam_jv_at(a, 6), NULL);
    assert_true(lam_jv_is(lam_jv_get(root, "o"), LAM_JSON_OBJECT));
    assert_int_equal(lam_jv_count(lam_jv_get(root, "e")), 0);
}

static void absent_values_chain(void **state)
{
    (void)state;
    const lam_jv *nothing = lam_jv_get(lam_jv_at(lam_jv_get(NULL, "a"), 3), "b");
    assert_ptr_equal(nothing, NULL);
    assert_false(lam_jv_is(NULL, LAM_JSON_NULL));
    assert_int_equal(lam_jv_count(NULL), 0);
    assert_ptr_equal(lam_jv_key_at(NULL, 0), NULL);
    assert_string_equal(lam_jv_text(NULL, "otherwise"), "otherwise");
    assert_int_equal(lam_jv_integer(NULL, 7), 7);
    assert_true(lam_jv_bool(NULL, true));
    assert_ptr_equal(lam_json_root(NULL), NULL);
    lam_json_free(NULL);
}

static void other_kinds_give_the_default(void **state)
{
    (void)state;
    LAM_AUTO_PTR(lam_json) *document = parse("[1.5, 1e30, \"1\", 1]");
    const lam_jv *root = lam_json_root(document);
    assert_int_equal(lam_jv_integer(lam_jv_at(root, 0), -1), -1);
    assert_int_equal(lam_jv_integer(lam_jv_at(root, 1), -1), -1);
    assert_int_equal(lam_jv_integer(lam_jv_at(root, 2), -1), -1);
    assert_string_equal(lam_jv_text(lam_jv_at(root, 3), "no"), "no");
    assert_ptr_equal(lam_jv_get(root, "a"), NULL);
}

static const char *const refused[] = {
    "",
    " ",
    "nul",
    "tru",
    "NaN",
    "Infinity",
    "-",
    "+1",
    "01",
    "-01",
    "1.",
    ".5",
    "1e",
    "1e+",
    "0x10",
    "1e999",
    "-1e999",
    "\"",
    "\"\\",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\u12g4\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\ud800\\u0041\"",
    "\"\\udc00\"",
    "\"a\nb\"",
    "\"\xff\"",
    "\"\xc0\x80\"",
    "\"\xed\xa0\x80\"",
    "\"\xf4\x90\x80\x80\"",
    "\"\xe2\x82\"",
    "'a'",
    "[",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[1 2]",
    "]",
    "{",
    "{\"a\"",
    "{\"a\":",
    "{\"a\":1",
    "{\"a\":1,",
    "{\"a\":1,}",
    "{a:1}",
    "{1:1}",
    "{\"a\" 1}",
    "{\"a\":1,\"a\":2}",
    "1 1",
    "{} x",
    "// comment\n1",
    "[1] \xef\xbb\xbf",
};

static void refuses_what_is_not_json(void **state)
{
    (void)state;
    for (size_t i = 0; i < LAM_COUNT(refused); i++) {
        lam_json *document = NULL;
        lam_error err = {LAM_OK, ""};
        lam_status status = lam_json_parse(refused[i], strlen(refused[i]), &document, &err);
        if (status != LAM_E_INVALID)
            fail_msg("%s: %s", refused[i], lam_status_name(status));
        assert_ptr_equal(document, NULL);
        assert_non_null(strstr(err.message, "line 1"));
    }
}

static void refuses_nul_in_the_text(void **state)
{
    (void)state;
    static const char inside[] = "[\"a\0b\"]", after[] = "[1]\0";
    lam_json *document = NULL;
    lam_error err;
    assert_fails(lam_json_parse(inside, sizeof inside - 1, &document, &err), LAM_E_INVALID, err);
    assert_fails(lam_json_parse(after, sizeof after - 1, &document, &err), LAM_E_INVALID, err);
}

/* Every prefix of a document is read from exactly as many bytes, so that a sanitizer sees one byte too many.
 */
static void refuses_every_cut(void **state)
{
    (void)state;
    static const char whole[] = "{\"a\":[1.25e-3,true,null,\"\\u00e9\xe2\x82\xac\\ud83d\\ude00\"],\"b\":{}}";
    for (size_t length = 0; length < sizeof whole - 1; length++) {
        lam_autofree char *cut = malloc(length ? length : 1);
        memcpy(cut, whole, length);
        lam_json *document = NULL;
        assert_int_equal(lam_json_parse(cut, length, &document, NULL), LAM_E_INVALID);
    }
}

static void errors_say_line_and_column(void **state)
{
    (void)state;
    lam_json *document = NULL;
    lam_error err;
    static const char text[] = "{\n  \"a\": 1,\n  \"b\": oops\n}";
    assert_fails(lam_json_parse(text, sizeof text - 1, &document, &err), LAM_E_INVALID, err);
    assert_non_null(strstr(err.message, "line 3 column 8"));
    static const char escaped[] = "{\n  \"a\": \"x\\ny\\u000az\",\n  \"b\": oops\n}";
    assert_fails(lam_json_parse(escaped, sizeof escaped - 1, &document, &err), LAM_E_INVALID, err);
    assert_non_null(strstr(err.message, "line 3 column 8"));
}

static void twice_the_same_key_in_a_large_object(void **state)
{
    (void)state;
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_buffer_init(&text, 1 << 20);
    lam_buffer_append_text(&text, "{");
    for (int i = 0; i < 1000; i++)
        lam_buffer_printf(&text, "\"key%d\":%d,", i, i);
    size_t length = text.length;
    lam_buffer_append_text(&text, "\"key1000\":0}");
    lam_json_free(parse(lam_buffer_text(&text)));
    text.length = length;
    lam_buffer_append_text(&text, "\"key500\":0}");
    lam_json *document = NULL;
    lam_error err;
    assert_fails(lam_json_parse(text.data, text.length, &document, &err), LAM_E_INVALID, err);
}

/* ---- limits ---- */

static void nesting_is_bounded(void **state)
{
    (void)state;
    enum { DEEP = 100000 };
    lam_autofree char *text = malloc(2 * DEEP);
    memset(text, '[', LAM_JSON_MAX_DEPTH);
    memset(text + LAM_JSON_MAX_DEPTH, ']', LAM_JSON_MAX_DEPTH);
    lam_json *document = NULL;
    lam_error err;
    assert_ok(lam_json_parse(text, (size_t)2 * LAM_JSON_MAX_DEPTH, &document, &err), err);
    lam_json_free(document);
    memset(text, '[', DEEP);
    memset(text + DEEP, ']', DEEP);
    assert_fails(lam_json_parse(text, (size_t)2 * DEEP, &document, &err), LAM_E_LIMIT, err);
    for (size_t i = 0; i + 5 <= DEEP; i += 5)
        memcpy(text + i, "{\"a\":", 5);
    assert_fails(lam_json_parse(text, DEEP, &document, &err), LAM_E_LIMIT, err);
}

static void what_was_read_can_be_written(void **state)
{
    (void)state;
    char text[2 * LAM_JSON_MAX_DEPTH];
    LAM_AUTO_PTR(lam_json) *document = NULL;
    LAM_AUTO(lam_buffer_done) lam_buffer out;
    lam_error err;
    memset(text, '[', LAM_JSON_MAX_DEPTH);
    memset(text + LAM_JSON_MAX_DEPTH, ']', LAM_JSON_MAX_DEPTH);
    assert_ok(lam_json_parse(text, sizeof text, &document, &err), err);
    lam_buffer_init(&out, 4096);
    lam_json_writer w = lam_json_write_to(&out);
    lam_jw_object(&w, NULL);
    lam_jw_value(&w, "whole", lam_json_root(document));
    lam_jw_end(&w);
    assert_int_equal(out.status, LAM_OK);
    assert_int_equal(out.length, sizeof text + strlen("{\"whole\":}"));
}

static void the_number_of_values_is_bounded(void **state)
{
    (void)state;
    size_t length = 2 * (size_t)LAM_JSON_MAX_VALUES + 1;
    lam_autofree char *text = malloc(length);
    for (size_t i = 0; i < length; i += 2) {
        text[i] = i ? '0' : '[';
        if (i + 1 < length)
            text[i + 1] = i ? ',' : ' ';
    }
    text[length - 1] = ']';
    text[length - 2] = ' ';
    lam_json *document = NULL;
    lam_error err;
    assert_ok(lam_json_parse(text, length, &document, &err), err);
    lam_json_free(document);
    text[length - 2] = ',';
    text[length - 1] = '0';
    lam_autofree char *more = malloc(length + 4);
    memcpy(more, text, length);
    memcpy(more + length, ",0 ]", 4);
    assert_fails(lam_json_parse(more, length + 4, &document, &err), LAM_E_LIMIT, err);
}

/* ---- required members ---- */

static void needed_members_are_named(void **state)
{
    (void)state;
    LAM_AUTO_PTR(lam_json) *document = parse("{\"t\":\"x\",\"i\":5,\"n\":0.5,\"a\":[],\"large\":1e18}");
    const lam_jv *root = lam_json_root(document), *array = NULL;
    const char *text = NULL;
    int64_t integer = 0;
    double number = 0;
    lam_error err;
    assert_ok(lam_jv_need(root, "a", LAM_JSON_ARRAY, &array, &err), err);
    assert_ok(lam_jv_need_text(root, "t", &text, &err), err);
    assert_string_equal(text, "x");
    assert_ok(lam_jv_need_integer(root, "i", 5, 5, &integer, &err), err);
    assert_int_equal(integer, 5);
    assert_ok(lam_jv_need_number(root, "n", 0, 1, &number, &err), err);
    assert_true(number == 0.5);

    assert_fails(lam_jv_need(root, "network", LAM_JSON_ARRAY, &array, &err), LAM_E_INVALID, err);
    assert_non_null(strstr(err.message, "network"));
    assert_fails(lam_jv_need_text(root, "i", &text, &err), LAM_E_INVALID, err);
    assert_fails(lam_jv_need_integer(root, "i", 6, 9, &integer, &err), LAM_E_INVALID, err);
    assert_fails(lam_jv_need_integer(root, "n", 0, 9, &integer, &err), LAM_E_INVALID, err);
    assert_fails(lam_jv_need_integer(root, "large", 0, INT64_MAX, &integer, &err), LAM_E_INVALID, err);
    assert_fails(lam_jv_need_number(root, "n", 1, 9, &number, &err), LAM_E_INVALID, err);
    assert_fails(lam_jv_need_number(NULL, "n", 0, 9, &number, &err), LAM_E_INVALID, err);
    assert_int_equal(integer, 5);
    assert_true(number == 0.5);
}

/* ---- writing ---- */

static void writes_compact_json(void **state)
{
    (void)state;
    LAM_AUTO(lam_buffer_done) lam_buffer out;
    lam_buffer_init(&out, 1000);
    lam_json_writer w = lam_json_write_to(&out);
    lam_jw_object(&w, NULL);
    lam_jw_text(&w, "t", "a\"\\\n\x01/");
    lam_jw_text(&w, "none", NULL);
    lam_jw_array(&w, "a");
    lam_jw_integer(&w, NULL, INT64_MIN);
    lam_jw_bool(&w, NULL, true);
    lam_jw_null(&w, NULL);
    lam_jw_object(&w, NULL);
    lam_jw_end(&w);
    lam_jw_raw(&w, NULL, "[1]");
    lam_jw_end(&w);
    lam_jw_end(&w);
    assert_int_equal(out.status, LAM_OK);
    assert_string_equal(
        lam_buffer_text(&out),
        "{\"t\":\"a\\\"\\\\\\n\\u0001/\",\"none\":null,\"a\":[-9223372036854775808,true,null,{},[1]]}");
}

static void numbers_read_back_the_same(void **state)
{
    (void)state;
    static const double numbers[] = {0,      -0.0,     1,    0.1,  1.0 / 3, 1e-300,  1.7976931348623157e308,
                                     5e-324, 123456.0, 1e15, 2.02, 1e21,    -1.5e-7, 3.141592653589793};
    for (size_t i = 0; i < LAM_COUNT(numbers); i++) {
        LAM_AUTO(lam_buffer_done) lam_buffer out;
        lam_buffer_init(&out, 100);
        lam_json_writer w = lam_json_write_to(&out);
        lam_jw_number(&w, NULL, numbers[i]);
        LAM_AUTO_PTR(lam_json) *document = parse(lam_buffer_text(&out));
        double back = lam_jv_number(lam_json_root(document), NAN);
        assert_memory_equal(&back, &numbers[i], sizeof back);
    }
}

static void numbers_json_does_not_have_become_null(void **state)
{
    (void)state;
    static const double numbers[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < LAM_COUNT(numbers); i++) {
        LAM_AUTO(lam_buffer_done) lam_buffer out;
        lam_buffer_init(&out, 100);
        lam_json_writer w = lam_json_write_to(&out);
        lam_jw_number(&w, NULL, numbers[i]);
        assert_string_equal(lam_buffer_text(&out), "null");
    }
}

/* Any bytes at all, as a header in an unknown character set may hold them, give a document that parses. */
static void any_bytes_become_valid_text(void **state)
{
    (void)state;
    srand(1);
    for (int round = 0; round < 20000; round++) {
        char bytes[17] = {0};
        for (int i = 0; i < rand() % 17; i++)
            bytes[i] = (char)(rand() % 2 ? 1 + rand() % 255
                                         : "\xe2\x82\xac\xf0\x9f\x98\x80\xed\xa0\xc0"[rand() % 10]);
        LAM_AUTO(lam_buffer_done) lam_buffer out;
        lam_buffer_init(&out, 1000);
        lam_json_writer w = lam_json_write_to(&out);
        lam_jw_text(&w, NULL, bytes);
        LAM_AUTO_PTR(lam_json) *document = NULL;
        lam_error err;
        assert_ok(lam_json_parse(out.data, out.length, &document, &err), err);
    }
}

static void valid_text_passes_unchanged(void **state)
{
    (void)state;
    static const char text[] = "M\xc3\xbcller \xe5\xb1\xb1\xe7\x94\xb0 \xf0\x9f\x98\x80 \x7f";
    LAM_AUTO(lam_buffer_done) lam_buffer out;
    lam_buffer_init(&out, 1000);
    lam_json_writer w = lam_json_write_to(&out);
    lam_jw_text(&w, NULL, text);
    LAM_AUTO_PTR(lam_json) *document = parse(lam_buffer_text(&out));
    assert_string_equal(lam_jv_text(lam_json_root(document), ""), text);
}

static void a_parsed_value_is_written_again(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":[1,2.5,{\"b\":null}],\"c\":\"x\\ny\",\"d\":false}";
    LAM_AUTO_PTR(lam_json) *document = parse(text);
    LAM_AUTO(lam_buffer_done) lam_buffer out;
    lam_buffer_init(&out, 1000);
    lam_json_writer w = lam_json_write_to(&out);
    lam_jw_array(&w, NULL);
    lam_jw_value(&w, NULL, lam_json_root(document));
    lam_jw_value(&w, NULL, NULL);
    lam_jw_end(&w);
    char expected[sizeof text + 10];
    snprintf(expected, sizeof expected, "[%s,null]", text);
    assert_string_equal(lam_buffer_text(&out), expected);
}

static void writing_past_the_limit_sticks(void **state)
{
    (void)state;
    LAM_AUTO(lam_buffer_done) lam_buffer out;
    lam_buffer_init(&out, 10);
    lam_json_writer w = lam_json_write_to(&out);
    lam_jw_object(&w, NULL);
    lam_jw_text(&w, "key", "a longer value than there is room for");
    lam_jw_end(&w);
    assert_int_equal(out.status, LAM_E_LIMIT);
    assert_true(out.length <= 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_kind),
        cmocka_unit_test(absent_values_chain),
        cmocka_unit_test(other_kinds_give_the_default),
        cmocka_unit_test(refuses_what_is_not_json),
        cmocka_unit_test(refuses_nul_in_the_text),
        cmocka_unit_test(refuses_every_cut),
        cmocka_unit_test(errors_say_line_and_column),
        cmocka_unit_test(twice_the_same_key_in_a_large_object),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(what_was_read_can_be_written),
        cmocka_unit_test(the_number_of_values_is_bounded),
        cmocka_unit_test(needed_members_are_named),
        cmocka_unit_test(writes_compact_json),
        cmocka_unit_test(numbers_read_back_the_same),
        cmocka_unit_test(numbers_json_does_not_have_become_null),
        cmocka_unit_test(any_bytes_become_valid_text),
        cmocka_unit_test(valid_text_passes_unchanged),
        cmocka_unit_test(a_parsed_value_is_written_again),
        cmocka_unit_test(writing_past_the_limit_sticks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
