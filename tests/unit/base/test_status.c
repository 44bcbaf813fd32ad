/* core/base/status: names, messages that fit, errno. */
#include <errno.h>
#include <string.h>

#include "tests/unit/unit.h"

static void every_status_has_its_own_name(void **state)
{
    (void)state;
    for (int i = 0; i < LAM_STATUS_COUNT; i++) {
        assert_non_null(lam_status_name((lam_status)i));
        for (int k = 0; k < i; k++)
            assert_string_not_equal(lam_status_name((lam_status)i), lam_status_name((lam_status)k));
    }
    assert_string_equal(lam_status_name(LAM_OK), "ok");
    assert_string_equal(lam_status_name(LAM_E_NOT_FOUND), "not_found");
}

static void a_number_that_is_no_status_has_a_name_too(void **state)
{
    (void)state;
    assert_non_null(lam_status_name((lam_status)LAM_STATUS_COUNT));
    assert_non_null(lam_status_name((lam_status)-1));
}

static void failing_fills_the_error(void **state)
{
    (void)state;
    lam_error err = {LAM_OK, ""};
    assert_int_equal(lam_fail(&err, LAM_E_LIMIT, "%d of %d", 9, 8), LAM_E_LIMIT);
    assert_int_equal(err.status, LAM_E_LIMIT);
    assert_string_equal(err.message, "9 of 8");
}

static void the_error_is_optional(void **state)
{
    (void)state;
    assert_int_equal(lam_fail(NULL, LAM_E_IO, "x"), LAM_E_IO);
    assert_int_equal(lam_fail_errno(NULL, ENOSPC, "x"), LAM_E_NO_SPACE);
    assert_int_not_equal(lam_error_prefix(NULL, "x"), LAM_OK);
}

static void a_long_message_is_cut(void **state)
{
    (void)state;
    char text[2000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    lam_error err;
    lam_fail(&err, LAM_E_IO, "%s", text);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    lam_error_prefix(&err, "%s", text);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    lam_fail_errno(&err, ENOENT, "%s", text);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    memcpy(text + sizeof err.message - 2, "\xc3\xa9", 2);
    lam_fail(&err, LAM_E_IO, "%s", text);
    assert_int_equal(strlen(err.message), sizeof err.message - 2);
    text[sizeof err.message - 1] = '\0';
    lam_error_prefix(&err, "%s", text);
    assert_int_equal(strlen(err.message), sizeof err.message - 2);
}

static void errno_becomes_a_status_and_its_text(void **state)
{
    (void)state;
    static const struct {
        int number;
        lam_status status;
    } cases[] = {
        {ENOSPC, LAM_E_NO_SPACE},  {EDQUOT, LAM_E_NO_SPACE}, {ENOMEM, LAM_E_NO_MEMORY},
        {ENOENT, LAM_E_NOT_FOUND}, {EACCES, LAM_E_DENIED},   {EPIPE, LAM_E_PEER},
        {EAGAIN, LAM_E_BUSY},      {EIO, LAM_E_IO},          {EBADF, LAM_E_IO},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lam_error err;
        assert_int_equal(lam_fail_errno(&err, cases[i].number, "cannot"), cases[i].status);
        assert_int_equal(err.status, cases[i].status);
        assert_memory_equal(err.message, "cannot: ", 8);
        assert_non_null(strstr(err.message, strerror(cases[i].number)));
    }
}

static void a_prefix_says_where(void **state)
{
    (void)state;
    lam_error err;
    lam_fail(&err, LAM_E_CORRUPT, "damaged");
    assert_int_equal(lam_error_prefix(&err, "file %d", 7), LAM_E_CORRUPT);
    assert_string_equal(err.message, "file 7: damaged");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_own_name),
        cmocka_unit_test(a_number_that_is_no_status_has_a_name_too),
        cmocka_unit_test(failing_fills_the_error),
        cmocka_unit_test(the_error_is_optional),
        cmocka_unit_test(a_long_message_is_cut),
        cmocka_unit_test(errno_becomes_a_status_and_its_text),
        cmocka_unit_test(a_prefix_says_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
