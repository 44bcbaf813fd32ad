/* Removing what was stored: rows first, in one transaction, files after it (promise 1 the other way round: a
 * row never names a file that is gone). */
#ifndef LAMINA_DAEMON_REMOVAL_H
#define LAMINA_DAEMON_REMOVAL_H

#include "api/backend.h"
#include "daemon/laminad/db.h"
#include "daemon/laminad/store.h"

/* Removes a study, a series or an instance with the jobs, results and pictures over it. Jobs under way lose
 * their row, at which their worker is stopped. What is left of a series is analysed again. LAM_E_NOT_FOUND.
 */
lam_status lam_removal_run(lam_db *db, lam_store *store, const lam_place *place, int64_t now_ms,
                           int64_t *instances, lam_error *err);

/* Inside the caller's transaction: takes an instance away from where it is, with what was made of its series,
 * because its UID is now that of an object elsewhere. Its file is noted as removed. LAM_E_NOT_FOUND. */
lam_status lam_removal_take(lam_db *db, const char *sop_uid, int64_t now_ms, lam_error *err);

#endif
