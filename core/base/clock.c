#include "core/base/clock.h"

#include <stdio.h>

static int64_t read_us(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t lam_clock_monotonic_ms(void)
{
    return read_us(CLOCK_MONOTONIC) / 1000;
}

int64_t lam_clock_monotonic_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t lam_clock_wall_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

static int64_t steady_offset_ms;

static void fix_steady_offset(void)
{
    steady_offset_ms = lam_clock_wall_ms() - lam_clock_monotonic_ms();
}

int64_t lam_clock_steady_ms(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fix_steady_offset);
    return steady_offset_ms + lam_clock_monotonic_ms();
}

void lam_clock_condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

struct timespec lam_clock_after_ms(int64_t ms)
{
    int64_t us = lam_clock_monotonic_us() + (ms > 0 ? ms : 0) * 1000;
    return (struct timespec){.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
}

char *lam_clock_iso8601(int64_t wall_ms, char text[LAM_CLOCK_TEXT])
{
    int64_t milliseconds = wall_ms % 1000;
    time_t seconds = (time_t)(wall_ms / 1000);
    if (milliseconds < 0) { /* before 1970: rounded down, as the date is */
        milliseconds += 1000;
        seconds--;
    }
    struct tm utc;
    char date[24] = "1970-01-01T00:00:00";
    if (gmtime_r(&seconds, &utc))
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text, LAM_CLOCK_TEXT, "%s.%03dZ", date, (int)milliseconds);
    return text;
}
