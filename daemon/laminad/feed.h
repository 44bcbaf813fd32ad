/* The changes as server-sent events for one client: `id` is a change, `event` study, job or delivery, `data`
 * its state now. Behind the changes_… functions of api/backend.h. */
#ifndef LAMINA_DAEMON_FEED_H
#define LAMINA_DAEMON_FEED_H

#include "api/backend.h"
#include "daemon/laminad/db.h"

enum { LAM_FEEDS = 64 }; /* clients at once */

/* As in api/backend.h. */
lam_status lam_feed_open(lam_database *database, const char *last_id, lam_feed **out, lam_error *err);
lam_status lam_feed_read(lam_feed *feed, int64_t wait_ms, lam_buffer *out, lam_error *err);
void lam_feed_close(lam_feed *feed);

#endif
