/* Which entry of a lookup table a value has, whatever the value. */
#include "dicom/lut.h"

#include <math.h>
#include <stdlib.h>

#include "tests/unit/unit.h"

static void beyond_the_table_its_ends_count(void **state)
{
    (void)state;
    static const struct {
        double value, entry;
    } cases[] = {{-3, 10},       {-2, 10},    {-1.5, 10},      {-1, 20},     {0, 30},          {1, 30},
                 {INFINITY, 30}, {1e300, 30}, {-INFINITY, 10}, {-1e300, 10}, {(double)NAN, 10}};
    LAM_AUTO_PTR(lam_lut) *table = calloc(1, sizeof *table);
    assert_non_null(table);
    table->first = -2;
    table->count = 3;
    for (size_t i = 0; i < table->count; i++)
        table->values[i] = 10 * (double)(i + 1);
    for (size_t i = 0; i < LAM_COUNT(cases); i++)
        assert_true(lam_lut_at(table, cases[i].value) == cases[i].entry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(beyond_the_table_its_ends_count)};
    return cmocka_run_group_tests_name("lut", tests, NULL, NULL);
}
