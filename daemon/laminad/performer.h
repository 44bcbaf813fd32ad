/* Lamina as the performer of workitems (as in the IHE profile AI Workflow for Imaging): which it begins and
 * when, and how their states follow from those of the jobs over their input. A workitem has no jobs of its
 * own: its jobs are those over its input, also where they were queued, or done, for another reason (promise
 * 5). It is in progress while one of them waits or runs, or a series of its input is being received again. */
#ifndef LAMINA_DAEMON_PERFORMER_H
#define LAMINA_DAEMON_PERFORMER_H

#include "daemon/laminad/models.h"
#include "daemon/laminad/worklist.h"

/* Begins the workitems whose time has come and whose input is here, ends those whose input did not come or is
 * gone, and forgets those that ended [worklist] keep ago; each in a transaction of its own. Gives the
 * milliseconds until a workitem can be due, -1 when none waits for a time. */
lam_status lam_performer_turn(lam_db *db, const lam_models *models, const lam_config *config, int64_t now_ms,
                              int64_t *wait_ms, lam_error *err);

/* A job has ended: so do, with their last one, the workitems in progress whose job it is. In the caller's
 * transaction. */
lam_status lam_performer_refresh_job(lam_db *db, int64_t job, int64_t now_ms, lam_error *err);

/* Ends a workitem that is SCHEDULED or Lamina's own, and cancels its jobs. `code`, an item of a code
 * sequence, is taken; NULL: for an unspecified reason. In the caller's transaction; writes the item. */
lam_status lam_performer_cancel(lam_db *db, lam_workitem *item, json_t *code, const char *reason,
                                int64_t now_ms, lam_error *err);

#endif
