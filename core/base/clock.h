/* The two clocks. Durations and timeouts use the monotonic one; only what people read uses the wall clock,
 * which may jump. */
#ifndef LAMINA_BASE_CLOCK_H
#define LAMINA_BASE_CLOCK_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

int64_t lam_clock_monotonic_ms(void);
int64_t lam_clock_monotonic_us(void);
/* Milliseconds since 1970-01-01 UTC. */
int64_t lam_clock_wall_ms(void);

/* Wall time as it was at the first call, advanced by the monotonic clock since: comparable with stored times,
 * yet it never jumps while the program runs. For everything that waits on times in the database. */
int64_t lam_clock_steady_ms(void);

/* A condition variable whose timed waits go by the monotonic clock, and the moment `ms` from now (not before
 * now) for pthread_cond_timedwait on it. End it with pthread_cond_destroy. */
void lam_clock_condition_init(pthread_cond_t *condition);
struct timespec lam_clock_after_ms(int64_t ms);

enum { LAM_CLOCK_TEXT = 32 };
/* "2026-11-23T06:40:48.123Z" into `text` (at least LAM_CLOCK_TEXT bytes); returns text. */
char *lam_clock_iso8601(int64_t wall_ms, char text[LAM_CLOCK_TEXT]);

#ifdef __cplusplus
}
#endif
#endif
