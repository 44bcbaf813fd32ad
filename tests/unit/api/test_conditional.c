/* api/conditional: If-None-Match and Range values as RFC 9110 has them. */
#include "tests/unit/unit.h"

#include "api/conditional.h"
#include "core/base/cleanup.h"

static void entity_tags(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        bool matches;
    } cases[] = {
        {"\"a\"", true},  {"*", true}, {"\"b\", \"a\"", true}, {"W/\"a\"", true}, {" \"b\" ,W/\"a\" ", true},
        {"\"b\"", false}, {"", false}, {"a", false},           {"\"aa\"", false}, {",,,", false},
        {"W/", false},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++)
        if (lam_etag_matches(cases[i].header, "\"a\"") != cases[i].matches)
            fail_msg("If-None-Match: %s", cases[i].header);
}

static void ranges(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        int64_t size;
        lam_range_kind kind;
        int64_t first, length;
    } cases[] = {
        {NULL, 10, LAM_RANGE_ALL, 0, 0},
        {"bytes=0-0", 10, LAM_RANGE_PART, 0, 1},
        {"bytes=2-5", 10, LAM_RANGE_PART, 2, 4},
        {"Bytes= 2-5 ", 10, LAM_RANGE_PART, 2, 4},
        {"bytes=2-", 10, LAM_RANGE_PART, 2, 8},
        {"bytes=2-99", 10, LAM_RANGE_PART, 2, 8},
        {"bytes=-3", 10, LAM_RANGE_PART, 7, 3},
        {"bytes=-99", 10, LAM_RANGE_PART, 0, 10},
        {"bytes=9-", 10, LAM_RANGE_PART, 9, 1},
        {"bytes=10-", 10, LAM_RANGE_NONE, 0, 0},
        {"bytes=10-12", 10, LAM_RANGE_NONE, 0, 0},
        {"bytes=-0", 10, LAM_RANGE_NONE, 0, 0},
        {"bytes=0-", 0, LAM_RANGE_NONE, 0, 0},
        {"bytes=-5", 0, LAM_RANGE_NONE, 0, 0},
        {"bytes=5-2", 10, LAM_RANGE_ALL, 0, 0},
        {"bytes=0-1,3-4", 10, LAM_RANGE_ALL, 0, 0},
        {"bytes=-", 10, LAM_RANGE_ALL, 0, 0},
        {"bytes=", 10, LAM_RANGE_ALL, 0, 0},
        {"bytes=a-b", 10, LAM_RANGE_ALL, 0, 0},
        {"bytes=--5", 10, LAM_RANGE_ALL, 0, 0},
        {"bytes=99999999999999999999-", 10, LAM_RANGE_ALL, 0, 0},
        {"items=0-1", 10, LAM_RANGE_ALL, 0, 0},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        int64_t first = 0, length = 0;
        lam_range_kind kind = lam_range_parse(cases[i].header, cases[i].size, &first, &length);
        if (kind != cases[i].kind || first != cases[i].first || length != cases[i].length)
            fail_msg("Range: %s of %lld", cases[i].header, (long long)cases[i].size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entity_tags),
        cmocka_unit_test(ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
