/* Regular expressions from outside: ordinary ones work, those that would take all memory are refused. */
#include "tests/unit/unit.h"

#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/pattern.h"

static void check(const char *pattern, lam_status want)
{
    regex_t regex;
    lam_error err = {0};
    lam_status status = lam_pattern_compile(pattern, REG_NOSUB, &regex, &err);
    if (status != want)
        fail_msg("'%s' gives %d (%s), not %d", pattern, (int)status, err.message, (int)want);
    if (status == LAM_OK)
        regfree(&regex);
}

static void test_ordinary_ones_compile(void **state)
{
    static const char *const good[] = {"",           "hippo",    "^T1(_MPR)?.*(sag|cor){1,3}$",
                                       "[]+*{3]+x",  "a\\+\\{+", "[0-9]{1,64}",
                                       "((a|b)+c)*", "(a+b)+",   "x{100}"};
    (void)state;
    for (size_t i = 0; i < LAM_COUNT(good); i++)
        check(good[i], LAM_OK);
}

static void test_floods_are_refused(void **state)
{
    char long_one[300];
    memset(long_one, 'a', sizeof long_one - 1);
    long_one[sizeof long_one - 1] = 0;
    (void)state;
    check(long_one, LAM_E_LIMIT);
    check("a+++++++++++++++++++++++++", LAM_E_LIMIT);
    check("((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)+", LAM_E_LIMIT);
    check("a{255}{255}", LAM_E_LIMIT);
    check("(a{100}){100}", LAM_E_LIMIT);
    check("((((((((((((((((((a))))))))))))))))))", LAM_E_LIMIT);
    check("a{99999999999999999999}", LAM_E_LIMIT);
}

static void test_nonsense_is_an_error(void **state)
{
    (void)state;
    check("(a", LAM_E_INVALID);
    check("[a", LAM_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ordinary_ones_compile),
        cmocka_unit_test(test_floods_are_refused),
        cmocka_unit_test(test_nonsense_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
