/* core/base/log: one line a fact, whatever the values hold. */
#include <string.h>
#include <unistd.h>

#include "core/base/log.h"
#include "tests/unit/unit.h"

/* What `write` sent to stderr while standard error was a pipe. */
static int kept_stderr, capture_end;

static void capture_begin(void)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    kept_stderr = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    capture_end = ends[0];
}

static const char *capture_text(void)
{
    static char text[8192];
    dup2(kept_stderr, STDERR_FILENO);
    close(kept_stderr);
    size_t used = 0;
    ssize_t got;
    while ((got = read(capture_end, text + used, sizeof text - 1 - used)) > 0)
        used += (size_t)got;
    close(capture_end);
    text[used] = '\0';
    return text;
}

static void a_line_has_level_program_event_and_pairs(void **state)
{
    (void)state;
    capture_begin();
    lam_log_open("tester", LAM_LOG_INFO, false);
    lam_log(LAM_LOG_INFO, "stored", "bytes=%d", 7);
    const char *text = capture_text();
    assert_non_null(strstr(text, " level=info program=tester event=stored bytes=7\n"));
    assert_int_equal(text[4], '-');
    assert_int_equal(text[23], 'Z');
}

static void systemd_gets_priorities_instead_of_times(void **state)
{
    (void)state;
    capture_begin();
    lam_log_open("tester", LAM_LOG_DEBUG, true);
    lam_log(LAM_LOG_ERROR, "x", "a=1");
    lam_log(LAM_LOG_DEBUG, "y", "b=2");
    assert_string_equal(
        capture_text(),
        "<3>level=error program=tester event=x a=1\n<7>level=debug program=tester event=y b=2\n");
}

static void lower_levels_are_silent(void **state)
{
    (void)state;
    capture_begin();
    lam_log_open("tester", LAM_LOG_WARNING, false);
    lam_log(LAM_LOG_INFO, "x", "a=1");
    assert_string_equal(capture_text(), "");
}

static void a_hostile_value_stays_in_its_line(void **state)
{
    (void)state;
    capture_begin();
    lam_log_open("tester", LAM_LOG_INFO, true);
    lam_log(LAM_LOG_INFO, "x", "name=%s", "a\nlevel=error program=forged");
    lam_log(LAM_LOG_INFO, "y", "name=%s", LAM_QUOTE("\" admin=\"1\n\x1b[31m\xff"));
    const char *text = capture_text();
    int lines = 0;
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 2);
    assert_non_null(strstr(text, "name=\"\\\" admin=\\\"1??[31m?\"\n"));
}

static void long_lines_are_cut_at_the_end(void **state)
{
    (void)state;
    char value[5000];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    capture_begin();
    lam_log_open("tester", LAM_LOG_INFO, true);
    lam_log(LAM_LOG_INFO, "x", "value=%s", value);
    const char *text = capture_text();
    assert_true(strlen(text) <= 2048);
    assert_int_equal(text[strlen(text) - 1], '\n');
}

static void quoting_bounds_any_value(void **state)
{
    (void)state;
    char text[LAM_LOG_QUOTE];
    assert_string_equal(lam_log_quote(NULL, text), "\"\"");
    assert_string_equal(lam_log_quote("plain", text), "\"plain\"");
    assert_string_equal(lam_log_quote("a b\\", text), "\"a b\\\\\"");
    char quotes[5000];
    memset(quotes, '"', sizeof quotes - 1);
    quotes[sizeof quotes - 1] = '\0';
    lam_log_quote(quotes, text);
    assert_true(strlen(text) < LAM_LOG_QUOTE);
    assert_string_equal(text + strlen(text) - 4, "...\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_level_program_event_and_pairs),
        cmocka_unit_test(systemd_gets_priorities_instead_of_times),
        cmocka_unit_test(lower_levels_are_silent),
        cmocka_unit_test(a_hostile_value_stays_in_its_line),
        cmocka_unit_test(long_lines_are_cut_at_the_end),
        cmocka_unit_test(quoting_bounds_any_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
