/* Making a worker's result visible: its objects become instances of the study, its findings a row, its job
 * done, all in one transaction (promise 5: exactly once). */
#ifndef LAMINA_DAEMON_PUBLISH_H
#define LAMINA_DAEMON_PUBLISH_H

#include <stddef.h>

#include "core/base/status.h"
#include "daemon/laminad/db.h"
#include "daemon/laminad/jobs.h"
#include "daemon/laminad/store.h"

/* A file of the spool that the worker was given to write. */
typedef struct lam_output {
    const char *kind; /* as daemon/worker/outputs.h names it; borrowed */
    char name[LAM_SPOOL_NAME];
    int fd; /* -1: none */
} lam_output;

/* Fills the report that the job's takes the place of: that of the last job before it with the same model over
 * the same series. */
lam_status lam_publish_predecessor(lam_db *db, lam_job *job, lam_error *err);

/* Takes the payload of DONE, which is checked, not trusted. The spool files that are published move to the
 * store; the rest is the caller's to remove. An object that is published already (the job was done before)
 * stays as it is. LAM_E_STATE when the job is no longer running; LAM_E_CORRUPT when the worker's answer
 * breaks the contract. */
lam_status lam_publish(lam_db *db, lam_store *store, const lam_job *job, const char *payload,
                       lam_output *outputs, size_t output_count, const lam_job_limits *limits, int64_t now_ms,
                       lam_error *err);

#endif
