/* Delivery: empties the outbox. One thread watches what is due for whom; for each destination with something
 * due it starts runners, at most `concurrency` of them, each a thread that claims a batch, hands it to the
 * carrier of the destination's kind and writes down what the peer said of each object as soon as it is said.
 * A destination that cannot be reached is left alone for growing pauses. */
#ifndef LAMINA_DAEMON_DELIVERY_H
#define LAMINA_DAEMON_DELIVERY_H

#include <stdbool.h>

#include "core/base/status.h"
#include "daemon/laminad/audit.h"
#include "daemon/laminad/config.h"
#include "daemon/laminad/db.h"
#include "daemon/laminad/render_pool.h"
#include "daemon/laminad/store.h"

typedef struct lam_delivery lam_delivery;

typedef struct lam_delivery_options {
    const lam_config *config; /* all borrowed, for its life; reload gives another */
    lam_database *database;
    lam_store *store;
    lam_audit *audit;           /* or NULL */
    lam_render_pool *renderers; /* for peers that do not take an object as it is stored */
} lam_delivery_options;

/* Makes the destinations of the outbox those of the configuration, queues again what was being sent, and
 * starts. */
lam_status lam_delivery_start(const lam_delivery_options *options, lam_delivery **out, lam_error *err);
/* Runners finish the batch they have, for up to `grace_ms`; then what they hold is queued again. NULL-safe.
 */
void lam_delivery_stop(lam_delivery *delivery, int64_t grace_ms);

void lam_delivery_reload(lam_delivery *delivery, const lam_config *config);
/* Something may be due: a result was published, a delivery retried, a destination resumed. From any thread;
 * NULL-safe. */
void lam_delivery_notice(lam_delivery *delivery);
/* The same, and forgets the pauses of all destinations. */
void lam_delivery_hurry(lam_delivery *delivery);

bool lam_delivery_alive(const lam_delivery *delivery);

#endif
