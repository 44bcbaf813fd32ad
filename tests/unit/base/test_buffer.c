/* core/base/buffer: growth, the limit, and that a failed append changes nothing. */
#include <stdlib.h>
#include <string.h>

#include "core/base/buffer.h"
#include "core/base/cleanup.h"
#include "tests/unit/unit.h"

static void empty_reads_as_an_empty_string(void **state)
{
    (void)state;
    LAM_AUTO(lam_buffer_done) lam_buffer b;
    lam_buffer_init(&b, 10);
    assert_string_equal(lam_buffer_text(&b), "");
    assert_ptr_equal(b.data, NULL);
}

static void grows_and_stays_terminated(void **state)
{
    (void)state;
    LAM_AUTO(lam_buffer_done) lam_buffer b;
    lam_buffer_init(&b, 100000);
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(lam_buffer_append(&b, "abcdefgh", 8), LAM_OK);
        assert_int_equal(b.data[b.length], '\0');
    }
    assert_int_equal(b.length, 80000);
    for (size_t i = 0; i < b.length; i++)
        assert_int_equal(b.data[i], "abcdefgh"[i % 8]);
}

static void holds_exactly_its_maximum(void **state)
{
    (void)state;
    LAM_AUTO(lam_buffer_done) lam_buffer b;
    lam_buffer_init(&b, 8);
    assert_int_equal(lam_buffer_append(&b, "12345678", 8), LAM_OK);
    assert_int_equal(lam_buffer_append(&b, "", 0), LAM_OK);
    assert_int_equal(lam_buffer_append(&b, "9", 1), LAM_E_LIMIT);
    assert_string_equal(lam_buffer_text(&b), "12345678");
}

static void the_first_failure_sticks(void **state)
{
    (void)state;
    LAM_AUTO(lam_buffer_done) lam_buffer b;
    lam_buffer_init(&b, 4);
    assert_int_equal(lam_buffer_append_text(&b, "ab"), LAM_OK);
    assert_int_equal(lam_buffer_append_text(&b, "cde"), LAM_E_LIMIT);
    assert_int_equal(lam_buffer_append_text(&b, "c"), LAM_E_LIMIT);
    assert_int_equal(lam_buffer_printf(&b, "%d", 1), LAM_E_LIMIT);
    assert_string_equal(lam_buffer_text(&b), "ab");
    lam_buffer_clear(&b);
    assert_int_equal(lam_buffer_append_text(&b, "abcd"), LAM_OK);
}

static void absurd_lengths_do_not_overflow(void **state)
{
    (void)state;
    LAM_AUTO(lam_buffer_done) lam_buffer b;
    lam_buffer_init(&b, 100);
    assert_int_equal(lam_buffer_append_text(&b, "x"), LAM_OK);
    assert_ptr_equal(lam_buffer_reserve(&b, SIZE_MAX), NULL);
    assert_int_equal(b.status, LAM_E_LIMIT);
    lam_buffer_clear(&b);
    assert_ptr_equal(lam_buffer_reserve(&b, SIZE_MAX - 1), NULL);
}

static void printf_formats_at_any_length(void **state)
{
    (void)state;
    LAM_AUTO(lam_buffer_done) lam_buffer b;
    lam_buffer_init(&b, 5000);
    char text[3000];
    memset(text, 'y', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(lam_buffer_printf(&b, "%d:%s", 42, text), LAM_OK);
    assert_int_equal(b.length, 3 + sizeof text - 1);
    assert_memory_equal(b.data, "42:yyy", 6);
}

static void consumes_from_the_front(void **state)
{
    (void)state;
    LAM_AUTO(lam_buffer_done) lam_buffer b;
    lam_buffer_init(&b, 100);
    lam_buffer_append_text(&b, "hello world");
    lam_buffer_consume(&b, 6);
    assert_string_equal(lam_buffer_text(&b), "world");
    lam_buffer_consume(&b, 0);
    assert_string_equal(lam_buffer_text(&b), "world");
    lam_buffer_consume(&b, 1000);
    assert_string_equal(lam_buffer_text(&b), "");
    assert_int_equal(b.length, 0);
}

static void gives_its_content_away(void **state)
{
    (void)state;
    LAM_AUTO(lam_buffer_done) lam_buffer b;
    lam_buffer_init(&b, 100);
    lam_autofree char *nothing = lam_buffer_take(&b);
    assert_string_equal(nothing, "");
    lam_buffer_append_text(&b, "mine");
    lam_autofree char *text = lam_buffer_take(&b);
    assert_string_equal(text, "mine");
    assert_int_equal(b.length, 0);
    assert_int_equal(lam_buffer_append_text(&b, "again"), LAM_OK);
    assert_string_equal(lam_buffer_text(&b), "again");
}

static void done_twice_is_harmless(void **state)
{
    (void)state;
    lam_buffer b;
    lam_buffer_init(&b, 100);
    lam_buffer_append_text(&b, "x");
    lam_buffer_done(&b);
    lam_buffer_done(&b);
    lam_buffer_done(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_reads_as_an_empty_string), cmocka_unit_test(grows_and_stays_terminated),
        cmocka_unit_test(holds_exactly_its_maximum),      cmocka_unit_test(the_first_failure_sticks),
        cmocka_unit_test(absurd_lengths_do_not_overflow), cmocka_unit_test(printf_formats_at_any_length),
        cmocka_unit_test(consumes_from_the_front),        cmocka_unit_test(gives_its_content_away),
        cmocka_unit_test(done_twice_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
