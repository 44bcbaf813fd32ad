/* What a start has to put right after the last end, however that came: files of the store without a row, and
 * rows of files that were to be removed; series whose senders our end cut off. */
#ifndef LAMINA_DAEMON_RECOVERY_H
#define LAMINA_DAEMON_RECOVERY_H

#include "core/base/status.h"
#include "daemon/laminad/db.h"
#include "daemon/laminad/store.h"

/* Afterwards every file of the store has a row and the numbering goes on, and series being received wait
 * a whole quiet time from now. Call once, before anything is stored. `removed` (or NULL) gets how many files
 * nobody was ever told of. LAM_E_STATE when store and database do not belong together (lam_store_recover). */
lam_status lam_recovery_run(lam_database *database, lam_store *store, size_t *removed, lam_error *err);

#endif
