/* Which models run on a series: when it is complete, every installed model is asked, and so are the [rule]
 * sections; jobs are queued for those that apply, and the reasons of the others are kept (promise 4). */
#ifndef LAMINA_DAEMON_ROUTING_H
#define LAMINA_DAEMON_ROUTING_H

#include "core/base/status.h"
#include "daemon/laminad/config.h"
#include "daemon/laminad/db.h"
#include "daemon/laminad/models.h"

/* Settles the series that have been quiet for [analysis] stable_after, each in its own transaction; gives the
 * milliseconds until the next is due, -1 when none is being received. */
lam_status lam_routing_settle_due(lam_db *db, const lam_models *models, const lam_config *config,
                                  int64_t now_ms, int64_t *wait_ms, lam_error *err);

/* Declares the series complete as it is and queues its jobs. `only` (or NULL) limits them to one model; a
 * failed job of it is queued again when `retry`. Waiting jobs over an older input set are cancelled as
 * superseded. Inside the caller's transaction. */
lam_status lam_routing_settle(lam_db *db, int64_t series, const lam_models *models, const lam_config *config,
                              const char *only, bool retry, int64_t now_ms, lam_error *err);

/* POST …/analyze: settles every series of the study now. LAM_E_NOT_FOUND when the study or the model is not
 * there. */
lam_status lam_routing_analyze(lam_db *db, const char *study_uid, const lam_models *models,
                               const lam_config *config, const char *only, int64_t now_ms, lam_error *err);

#endif
