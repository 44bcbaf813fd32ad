/* core/base/clock: the text form, and that the monotonic clock is. */
#include "core/base/clock.h"

#include <errno.h>

#include "tests/unit/unit.h"

static void iso8601_of_known_moments(void **state)
{
    (void)state;
    static const struct {
        int64_t wall_ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1, "1970-01-01T00:00:00.001Z"},
        {951782399999, "2000-02-28T23:59:59.999Z"},
        {951782400000, "2000-02-29T00:00:00.000Z"},
        {4102444800000, "2100-01-01T00:00:00.000Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {-1000, "1969-12-31T23:59:59.000Z"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[LAM_CLOCK_TEXT];
        assert_string_equal(lam_clock_iso8601(cases[i].wall_ms, text), cases[i].text);
    }
}

static void absurd_moments_stay_in_the_buffer(void **state)
{
    (void)state;
    char text[LAM_CLOCK_TEXT + 1];
    text[LAM_CLOCK_TEXT] = 'x';
    lam_clock_iso8601(INT64_MAX, text);
    lam_clock_iso8601(INT64_MIN, text);
    assert_int_equal(text[LAM_CLOCK_TEXT], 'x');
}

static void monotonic_does_not_go_back(void **state)
{
    (void)state;
    int64_t before = lam_clock_monotonic_us();
    for (int i = 0; i < 10000; i++) {
        int64_t now = lam_clock_monotonic_us();
        assert_true(now >= before);
        before = now;
    }
    assert_true(lam_clock_monotonic_ms() >= before / 1000);
}

static void a_wait_ends_by_the_monotonic_clock(void **state)
{
    (void)state;
    pthread_cond_t condition;
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    lam_clock_condition_init(&condition);
    pthread_mutex_lock(&mutex);
    int64_t before = lam_clock_monotonic_us();
    struct timespec past = lam_clock_after_ms(-5), until = lam_clock_after_ms(20);
    assert_int_equal(pthread_cond_timedwait(&condition, &mutex, &past), ETIMEDOUT);
    assert_int_equal(pthread_cond_timedwait(&condition, &mutex, &until), ETIMEDOUT);
    assert_true(lam_clock_monotonic_us() - before >= 20000);
    assert_true(until.tv_nsec >= 0 && until.tv_nsec < 1000000000L);
    pthread_mutex_unlock(&mutex);
    pthread_cond_destroy(&condition);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(iso8601_of_known_moments),
        cmocka_unit_test(absurd_moments_stay_in_the_buffer),
        cmocka_unit_test(monotonic_does_not_go_back),
        cmocka_unit_test(a_wait_ends_by_the_monotonic_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
