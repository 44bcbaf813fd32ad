/* Options read by a table: every kind of row, and what is said of a wrong one. */
#include "daemon/cli/options.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/cli/cli.h"
#include "tests/unit/unit.h"

typedef struct values {
    bool quiet;
    const char *name, *card;
    int64_t count, cases;
    char kind;
    lam_option_paths data, more;
} values;

static bool read_kind(const char *text, void *into)
{
    *(char *)into = text[0];
    return strcmp(text, "a") == 0 || strcmp(text, "b") == 0;
}

/* The options of `line`, words by blanks, as a command with (`gathers`) or without lists of paths has them.
 */
static int parse(const char *line, bool gathers, values *out, char ***rest)
{
    static char text[256];
    static char *argv[32];
    int argc = 1;
    argv[0] = "command";
    snprintf(text, sizeof text, "%s", line);
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    argv[argc] = NULL;
    *out = (values){.count = 7};
    const lam_option known[] = {
        {"quiet", .flag = &out->quiet},
        {"name", .text = &out->name},
        {"card", .text = &out->card, .alone = ""},
        {"count", .number = &out->count, .least = 1, .most = 9},
        {"cases", .number = &out->cases, .least = 1, .most = 99, .alone = "30"},
        {"kind", .read = read_kind, .into = &out->kind, .takes = "a or b"},
        {gathers ? "data" : NULL, .paths = &out->data},
        {"more", .paths = &out->more},
        {0},
    };
    return lam_options_read(argc, argv, known, rest);
}

static void every_kind_finds_its_place(void **state)
{
    (void)state;
    values v;
    char **rest = NULL;
    assert_int_equal(parse("one --quiet --name x --count 3 --kind b --card two", false, &v, &rest),
                     LAM_CLI_OK);
    assert_true(v.quiet);
    assert_string_equal(v.name, "x");
    assert_int_equal(v.count, 3);
    assert_int_equal(v.kind, 'b');
    assert_string_equal(v.card, "");
    assert_int_equal(v.cases, 0);
    assert_string_equal(rest[0], "one");
    assert_string_equal(rest[1], "two");
    assert_null(rest[2]);
    assert_int_equal(parse("--card=mine --cases --", false, &v, &rest), LAM_CLI_OK);
    assert_string_equal(v.card, "mine");
    assert_int_equal(v.cases, 30);
    assert_int_equal(v.count, 7);
    assert_null(*rest);
}

static void paths_gather_what_follows_them(void **state)
{
    (void)state;
    values v;
    char **rest = NULL;
    assert_int_equal(parse("--data a b --quiet --more c --data d", true, &v, &rest), LAM_CLI_OK);
    assert_int_equal(v.data.count, 3);
    assert_string_equal(v.data.items[0], "a");
    assert_string_equal(v.data.items[1], "b");
    assert_string_equal(v.data.items[2], "d");
    assert_int_equal(v.more.count, 1);
    assert_string_equal(v.more.items[0], "c");
    assert_null(*rest);
}

/* What stderr gets while `line` is read. */
static void assert_refused(const char *line, bool gathers, const char *said)
{
    values v;
    char **rest = NULL, text[512] = "";
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stderr);
    int kept = dup(STDERR_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    int status = parse(line, gathers, &v, &rest);
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    assert_int_equal(status, LAM_CLI_USAGE);
    if (!strstr(text, said))
        fail_msg("\"%s\" said: %s", line, text);
}

static void a_wrong_one_is_named_with_what_it_takes(void **state)
{
    (void)state;
    assert_refused("--count 10", false, "--count takes a number from 1 to 9, not '10'");
    assert_refused("--count 0", false, "--count takes a number from 1 to 9, not '0'");
    assert_refused("--count 3x", false, "not '3x'");
    assert_refused("--count=", false, "not ''");
    assert_refused("--count 99999999999999999999", false, "from 1 to 9");
    assert_refused("--kind c", false, "--kind takes a or b, not 'c'");
    assert_refused("--name", false, "'--name'");
    assert_refused("--unknown", false, "'--unknown'");
    assert_refused("--unknown", false, "lamina command: unrecognized");
    assert_refused("--unknown", false, "lamina help command");
    assert_refused("--name x y --data a", true, "'y' belongs to no option");
}

static void there_is_an_end_to_paths(void **state)
{
    (void)state;
    static char *argv[LAM_OPTION_PATHS_MAX + 4] = {"command", "--data"};
    lam_option_paths data = {0};
    const lam_option known[] = {{"data", .paths = &data}, {0}};
    char **rest = NULL;
    for (int i = 0; i <= LAM_OPTION_PATHS_MAX; i++)
        argv[2 + i] = "x";
    assert_int_equal(lam_options_read(2 + LAM_OPTION_PATHS_MAX, argv, known, &rest), LAM_CLI_OK);
    data.count = 0;
    assert_int_equal(lam_options_read(3 + LAM_OPTION_PATHS_MAX, argv, known, &rest), LAM_CLI_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_finds_its_place),
        cmocka_unit_test(paths_gather_what_follows_them),
        cmocka_unit_test(a_wrong_one_is_named_with_what_it_takes),
        cmocka_unit_test(there_is_an_end_to_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
