/* Cuts off connections that keep a request's headers waiting: a client that sends a byte now and then never
 * trips an idle timeout, and a few hundred of them would take every connection there is. Internal to api/. */
#ifndef LAMINA_API_WATCH_H
#define LAMINA_API_WATCH_H

#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lam_watch lam_watch;
typedef struct lam_watched lam_watched; /* one connection */

/* Starts a thread that looks every second or so for connections that have waited longer than `limit_ms`. */
lam_status lam_watch_create(int64_t limit_ms, lam_watch **out, lam_error *err);
/* After the last connection has been removed. */
void lam_watch_free(lam_watch *watch);

/* A new connection, which waits for its first request; NULL without memory, then it is not watched. `fd`
 * stays open until lam_watch_remove. All thread-safe; `connection` may be NULL. */
lam_watched *lam_watch_add(lam_watch *watch, int fd);
void lam_watch_remove(lam_watch *watch, lam_watched *connection);

/* The headers of a request are here: the clock stops. Its answer was sent: the clock starts again for the
 * next one. */
void lam_watch_stop_clock(lam_watch *watch, lam_watched *connection);
void lam_watch_start_clock(lam_watch *watch, lam_watched *connection);

#ifdef __cplusplus
}
#endif
#endif
