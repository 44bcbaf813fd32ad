/* What the carriers share: each takes a batch of parcels to a peer of one kind and settles each by the peer's
 * own word. Runs in a runner's thread, with a database connection of its own. */
#ifndef LAMINA_DAEMON_DELIVER_H
#define LAMINA_DAEMON_DELIVER_H

#include <stdatomic.h>

#include "core/base/flag.h"
#include "core/base/status.h"
#include "daemon/laminad/config.h"
#include "daemon/laminad/db.h"
#include "daemon/laminad/outbox.h"
#include "daemon/laminad/render_pool.h"
#include "daemon/laminad/store.h"

typedef struct lam_carriage {
    const lam_config *config;
    const lam_config_peer *peer;
    lam_db *db;
    lam_store *store;
    lam_render_pool *renderers;
    const lam_flag *abandon; /* set: stop now */
} lam_carriage;

/* What a peer said of an object. */
typedef enum lam_verdict {
    LAM_VERDICT_TAKEN,
    LAM_VERDICT_WARNED, /* taken; the text is recorded */
    LAM_VERDICT_LATER,
    LAM_VERDICT_REFUSED
} lam_verdict;

/* Writes it down, durably, before anything else is sent. `answer`: the peer's status, -1 without one. */
lam_status lam_deliver_settle(lam_carriage *c, lam_parcel *parcel, lam_verdict verdict, int answer,
                              const char *text, lam_error *err);

/* How long to wait after so many failures: doubles, at most ten minutes, varied by a quarter. */
int64_t lam_deliver_pause_ms(const lam_config_peer *peer, int failures);

/* The carriers. LAM_OK: every parcel is settled. Otherwise the peer could not be reached or broke off; what
 * is not settled was not confirmed. */
lam_status lam_deliver_dimse(lam_carriage *c, lam_parcel *parcels, size_t count, lam_error *err);
lam_status lam_deliver_stow(lam_carriage *c, lam_parcel *parcels, size_t count, lam_error *err);
lam_status lam_deliver_mllp(lam_carriage *c, lam_parcel *parcels, size_t count, lam_error *err);
lam_status lam_deliver_webhook(lam_carriage *c, lam_parcel *parcels, size_t count, lam_error *err);

/* ---- Storage Commitment over DIMSE (deliver_dimse.c) ---- */

/* Asks the peer for what it was sent and has not been asked for. *asked: how many objects. */
lam_status lam_deliver_ask_commitment(lam_carriage *c, size_t *asked, lam_error *err);
/* Reports one commitment that a sender asked us for: `document` has transaction_uid, committed, failed. */
lam_status lam_deliver_report_commitment(lam_carriage *c, const char *document, lam_error *err);

#endif
