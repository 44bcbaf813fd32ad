/* The analysis side: settles quiet series, hands waiting jobs to worker processes, watches them, publishes
 * what they give. One thread owns the workers; it waits on their sockets and on the next time anything is
 * due. */
#ifndef LAMINA_DAEMON_SCHEDULER_H
#define LAMINA_DAEMON_SCHEDULER_H

#include <jansson.h>
#include <stdbool.h>

#include "core/base/status.h"
#include "daemon/laminad/config.h"
#include "daemon/laminad/db.h"
#include "daemon/laminad/models.h"
#include "daemon/laminad/store.h"

typedef struct lam_scheduler lam_scheduler;

typedef struct lam_scheduler_options {
    const lam_config *config; /* borrowed; reload gives another */
    lam_models *models;       /* a reference of its own is taken */
    lam_database *database;
    lam_store *store;
    void (*published)(void *context); /* after each result; from the scheduler's thread */
    void *context;
} lam_scheduler_options;

lam_status lam_scheduler_start(const lam_scheduler_options *options, lam_scheduler **out, lam_error *err);

/* Takes no new job, lets the running ones finish for up to `grace_ms`, interrupts the rest (they resume after
 * the next start). NULL-safe. */
void lam_scheduler_stop(lam_scheduler *scheduler, int64_t grace_ms);

void lam_scheduler_reload(lam_scheduler *scheduler, const lam_config *config, lam_models *models);

/* Objects were stored: a series may become due. From any thread. */
void lam_scheduler_notice_objects(lam_scheduler *scheduler);
/* Jobs were queued, retried or cancelled by hand. From any thread. */
void lam_scheduler_notice_jobs(lam_scheduler *scheduler);

/* Whether its thread still runs, for the watchdog. */
bool lam_scheduler_alive(const lam_scheduler *scheduler);

/* [{"state":"idle|reading|running","job","stage","done","total"}], for status. */
json_t *lam_scheduler_workers(lam_scheduler *scheduler);

#endif
