/* What the three files of the scheduler share: scheduler.c (the thread), dispatch.c (the start of attempts)
 * and attempt.c (their course and end). Everything but the atomics and what the lock guards belongs to the
 * scheduler's thread. */
#ifndef LAMINA_DAEMON_SCHEDULER_INTERNAL_H
#define LAMINA_DAEMON_SCHEDULER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "daemon/laminad/jobs.h"
#include "daemon/laminad/scheduler.h"
#include "daemon/laminad/worker_slot.h"

enum { LAM_MAX_WORKERS = 64, LAM_LEASE_MS = 60000, LAM_RENEW_MS = 20000 };

/* What others may see of a slot. */
typedef struct lam_slot_view {
    lam_slot_state state;
    int64_t job, done, total;
    char stage[LAM_SLOT_STAGE];
} lam_slot_view;

struct lam_scheduler {
    pthread_t thread;
    int wake; /* eventfd */
    lam_database *database;
    lam_store *store;
    void (*published)(void *context);
    void *context;
    lam_db *db;
    char node[128];
    char owner[160]; /* node/pid */

    _Atomic(const lam_config *) config;
    _Atomic bool stopping;
    _Atomic bool abandon; /* the grace is over */
    _Atomic bool ended;
    _Atomic bool jobs_changed;

    pthread_mutex_t lock; /* models, shown */
    lam_models *models;
    lam_slot_view shown[LAM_MAX_WORKERS];

    size_t slot_count;
    lam_worker_slot slots[LAM_MAX_WORKERS];
    int64_t worklist_ms; /* monotonic: when to look at the worklist */
    int64_t recover_ms;  /* monotonic: when to look for jobs whose lease ran out */
};

lam_job_limits lam_scheduler_limits(const lam_scheduler *s);
/* A reference to the models in effect. */
lam_models *lam_scheduler_models(lam_scheduler *s);
void lam_scheduler_log_fault(const char *what, const lam_error *err);

/* ---- dispatch.c ---- */

/* Gives waiting jobs to idle workers and starts workers for the rest; lowers *wait_ms to when to look again.
 */
lam_status lam_dispatch(lam_scheduler *s, int64_t *wait_ms, lam_error *err);

/* ---- attempt.c ---- */

/* Takes what the worker says, feeds it, kills it at its deadline, renews the lease of its job. With
 * `jobs_changed` it looks at once whether the job was cancelled. */
void lam_attempt_watch(lam_scheduler *s, lam_worker_slot *slot, bool jobs_changed);
/* Ends the attempt with `event`; the slot is idle afterwards, its process stays. */
void lam_attempt_finish(lam_scheduler *s, lam_worker_slot *slot, lam_job_event event, const char *reason);
/* Ends the process and, if it had one, the attempt: it is lost. */
void lam_attempt_lose(lam_scheduler *s, lam_worker_slot *slot, const char *why);

#endif
