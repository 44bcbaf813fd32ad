/* Storage Commitment as laminad sees it (PS3.4 annex J): which deliveries wait for a peer's commitment and
 * what became of it; and what we answer senders who ask for ours, which is what the index says is stored and
 * so is durable (promise 1). What travels is JSON (daemon/ipc/messages.h). */
#ifndef LAMINA_DAEMON_COMMITMENT_H
#define LAMINA_DAEMON_COMMITMENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buffer.h"
#include "core/base/flag.h"
#include "core/base/status.h"
#include "daemon/laminad/config.h"
#include "daemon/laminad/db.h"
#include "daemon/laminad/store.h"

/* ---- ours to ask for ---- */

/* Puts up to a thousand objects of this destination that are to be asked for (lam_outbox_due) under a new
 * transaction and writes the member "commit" of DELIVER's content to `out`. Until `again_ms` they are not
 * asked for again. */
lam_status lam_commitment_begin(lam_db *db, const char *destination, int64_t now_ms, int64_t again_ms,
                                lam_buffer *out, size_t *count, lam_error *err);
/* The peer refused the question `transaction_uid`: to be asked again later. */
lam_status lam_commitment_refused(lam_db *db, const char *transaction_uid, int64_t again_ms,
                                  const char *reason, int64_t now_ms, lam_error *err);

/* The payload of COMMITMENT: what is committed is delivered, what is not is queued to be sent again after
 * `retry_ms`. What nobody asked for is ignored. */
lam_status lam_commitment_settle(lam_db *db, const char *payload, size_t length, int64_t retry_ms,
                                 int64_t now_ms, lam_error *err);

/* ---- asked of us ---- */

/* The payload of COMMIT answered with that of COMMIT_REPLY. A report is noted, to be sent unless the sender
 * takes it over its own association. LAM_E_LIMIT: too many wait for this sender. */
lam_status lam_commitment_answer(lam_db *db, const char *payload, size_t length, int64_t now_ms,
                                 lam_buffer *out, lam_error *err);
/* The payload of COMMIT_REPORTED. */
lam_status lam_commitment_reported(lam_db *db, const char *payload, size_t length, lam_error *err);

/* When the next report is due; INT64_MAX: none is left. */
lam_status lam_commitment_next_report(lam_db *db, int64_t *next_ms, lam_error *err);

/* Sends the reports that are due to the peers that asked, over associations of ours. Gives up after a day, or
 * where the configuration has no address for the sender. */
lam_status lam_commitment_send_reports(lam_db *db, lam_store *store, const lam_config *config,
                                       const lam_flag *abandon, lam_error *err);

#endif
