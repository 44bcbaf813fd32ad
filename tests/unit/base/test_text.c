/* core/base/text: copies that fit and never end inside a character. */
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/text.h"
#include "tests/unit/unit.h"

static void what_fits_is_copied(void **state)
{
    (void)state;
    char to[6];
    assert_int_equal(lam_text_copy(to, sizeof to, "hello"), 5);
    assert_string_equal(to, "hello");
    assert_int_equal(lam_text_copy(to, sizeof to, ""), 0);
    assert_string_equal(to, "");
    assert_int_equal(lam_text_copy(to, sizeof to, NULL), 0);
    assert_string_equal(to, "");
}

static void what_does_not_is_cut_between_characters(void **state)
{
    (void)state;
    static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"; /* 1, 2, 3 and 4 bytes */
    static const size_t expected[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};
    for (size_t size = 1; size <= 12; size++) {
        char to[13];
        memset(to, 'x', sizeof to);
        assert_int_equal(lam_text_copy(to, size, text), expected[size - 1]);
        assert_memory_equal(to, text, expected[size - 1]);
        assert_int_equal(to[expected[size - 1]], '\0');
        assert_int_equal(to[size], 'x');
    }
}

static void a_cut_character_goes(void **state)
{
    (void)state;
    static const struct {
        const char *text, *left;
    } cases[] = {
        {"", ""},
        {"abc", "abc"},
        {"a\xc3", "a"},
        {"a\xe2\x82", "a"},
        {"a\xf0\x9f\x98", "a"},
        {"\xf0", ""},
        {"a\xf0\x9f\x98\x80", "a\xf0\x9f\x98\x80"},
        {"a\xc3\xa9", "a\xc3\xa9"},
        {"\x80\x80\x80\x80\x80", "\x80\x80\x80\x80\x80"}, /* no character's beginning */
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        char text[16];
        strcpy(text, cases[i].text);
        lam_text_end_whole(text);
        assert_string_equal(text, cases[i].left);
    }
}

static void bytes_that_are_no_utf8_do_no_harm(void **state)
{
    (void)state;
    char to[4];
    assert_int_equal(lam_text_copy(to, sizeof to, "\x80\x80\x80\x80\x80\x80"), 0);
    assert_string_equal(to, "");
}

static void what_is_no_text_becomes_a_question_mark(void **state)
{
    (void)state;
    static const struct {
        const char *text, *left;
    } cases[] = {
        {"", ""},
        {"a \xc3\xa9 \xf0\x9f\x98\x80", "a \xc3\xa9 \xf0\x9f\x98\x80"},
        {"\x1b[31m\n\x7f", "?[31m??"},
        {"a\xc2\x9b"
         "b\xc2\xa0",
         "a??b\xc2\xa0"},
        {"mod\xe8le", "mod?le"},
        {"\xc2", "?"},
        {"\xe2\x82", "??"},
        {"\xed\xa0\x80", "???"},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        char text[16];
        strcpy(text, cases[i].text);
        lam_text_make_printable(text);
        assert_string_equal(text, cases[i].left);
    }
}

static void random_texts_differ(void **state)
{
    (void)state;
    char one[LAM_RANDOM_TEXT], other[LAM_RANDOM_TEXT];
    assert_true(lam_text_random(one) && lam_text_random(other));
    assert_int_equal(strspn(one, "0123456789abcdef"), LAM_RANDOM_TEXT - 1);
    assert_string_not_equal(one, other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_is_copied),
        cmocka_unit_test(what_does_not_is_cut_between_characters),
        cmocka_unit_test(a_cut_character_goes),
        cmocka_unit_test(bytes_that_are_no_utf8_do_no_harm),
        cmocka_unit_test(what_is_no_text_becomes_a_question_mark),
        cmocka_unit_test(random_texts_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
