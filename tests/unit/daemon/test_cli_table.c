/* daemon/cli/table.h: alignment, formats, and text that must not reach a terminal as it is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "daemon/cli/table.h"
#include "tests/unit/unit.h"

static const lam_column columns[] = {
    {"NAME", "name", LAM_CELL_TEXT}, {"ML", "volume.ml", LAM_CELL_DECIMAL}, {"P", "p", LAM_CELL_PERCENT},
    {"S", "ms", LAM_CELL_SECONDS},   {"JOBS", "jobs", LAM_CELL_INTEGER},    {"WHEN", "when", LAM_CELL_TIME},
    {"NOTE", "note", LAM_CELL_TEXT},
};

static void assert_prints(const char *json, const char *expected)
{
    json_t *rows = json_loads(json, 0, NULL);
    lam_autofree char *text = NULL;
    size_t length = 0;
    FILE *to = open_memstream(&text, &length);
    assert_non_null(rows);
    assert_non_null(to);
    lam_table_print(to, rows, columns, LAM_COUNT(columns));
    fclose(to);
    json_decref(rows);
    assert_string_equal(text, expected);
}

static void aligns_columns(void **state)
{
    (void)state;
    assert_prints(
        "[{\"name\":\"Anterior hippocampus\",\"volume\":{\"ml\":1.5},\"p\":0.5,\"ms\":1234,\"jobs\":2,"
        "\"when\":\"2026-11-23T06:40:48.123Z\",\"note\":\"x\"},"
        " {\"name\":\"\xc3\x84\",\"volume\":{\"ml\":12.3456},\"p\":1,\"ms\":0,\"jobs\":0,\"note\":null}]",
        "NAME                      ML       P     S  JOBS  WHEN                 NOTE\n"
        "Anterior hippocampus   1.500   50.0%  1.23     2  2026-11-23 06:40:48  x\n"
        "\xc3\x84                     12.346  100.0%  0.00     0  -                    -\n");
}

static void prints_a_heading_without_rows(void **state)
{
    (void)state;
    assert_prints("[]", "NAME  ML  P  S  JOBS  WHEN  NOTE\n");
}

static void keeps_the_terminal_safe(void **state)
{
    (void)state;
    static const lam_column column = {"X", "x", LAM_CELL_TEXT};
    char text[LAM_CELL_TEXT_SIZE];
    json_t *row = json_loads("{\"x\":\"a\\u001b[2Jb\\nc\\u009bd\\u007f\"}", 0, NULL);
    assert_string_equal(lam_cell_text(row, &column, text), "a?[2Jb?c??d?");
    json_decref(row);
}

static void cuts_long_text(void **state)
{
    (void)state;
    static const lam_column column = {"X", "x", LAM_CELL_TEXT};
    char text[LAM_CELL_TEXT_SIZE], value[601];
    for (size_t i = 0; i < 300; i++)
        memcpy(value + 2 * i, "\xc3\xa4", 3);
    json_t *row = json_pack("{s:s}", "x", value);
    lam_cell_text(row, &column, text);
    assert_int_equal(strlen(text) % 2, 0);
    assert_true(strlen(text) < LAM_CELL_TEXT_SIZE);
    json_decref(row);
}

static void finds_members(void **state)
{
    (void)state;
    json_t *object = json_loads("{\"a\":{\"b\":{\"c\":\"deep\"}},\"n\":5}", 0, NULL);
    assert_string_equal(lam_json_member_text(object, "a.b.c"), "deep");
    assert_string_equal(lam_json_member_text(object, "a.x.c"), "");
    assert_string_equal(lam_json_member_text(object, "n"), "");
    assert_int_equal(json_integer_value(lam_json_member(object, "n")), 5);
    assert_null(lam_json_member(object, "n.m"));
    assert_null(lam_json_member(NULL, "a"));
    json_decref(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aligns_columns),          cmocka_unit_test(prints_a_heading_without_rows),
        cmocka_unit_test(keeps_the_terminal_safe), cmocka_unit_test(cuts_long_text),
        cmocka_unit_test(finds_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
