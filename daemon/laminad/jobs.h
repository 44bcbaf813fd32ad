/* The queue: jobs, their states and the only ways from one to another. A job is one model over one input set
 * of one series. Every attempt has a lease and a row of its own; an attempt that is lost (child killed, hung,
 * out of memory) or fails costs one of max_attempts; one that was interrupted by the end of laminad itself
 * costs nothing until MAX_INTERRUPTIONS (promise 6). Writes happen inside the caller's transaction and keep
 * the states of series, study and workitems in step. */
#ifndef LAMINA_DAEMON_JOBS_H
#define LAMINA_DAEMON_JOBS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"
#include "core/rnn/manifest.h"
#include "daemon/laminad/db.h"

typedef enum lam_job_state {
    LAM_JOB_QUEUED,
    LAM_JOB_RUNNING,
    LAM_JOB_DONE,
    LAM_JOB_FAILED,
    LAM_JOB_CANCELLED,
    LAM_JOB_STATES
} lam_job_state;

typedef enum lam_job_event {
    LAM_JOB_CLAIM,     /* a worker takes it */
    LAM_JOB_SUCCEED,   /* its result is published */
    LAM_JOB_LOSE,      /* the attempt was lost or failed, another may help */
    LAM_JOB_REFUSE,    /* trying again cannot help */
    LAM_JOB_GIVE_UP,   /* no attempt is left */
    LAM_JOB_INTERRUPT, /* laminad ended while it ran */
    LAM_JOB_RETRY,     /* by hand */
    LAM_JOB_CANCEL,    /* by hand, or superseded */
    LAM_JOB_EVENTS
} lam_job_event;

/* "queued" and so on, as in the database and in JSON. */
const char *lam_job_state_name(lam_job_state state);
bool lam_job_state_parse(const char *name, lam_job_state *out);

/* Whether `event` is legal in `state`, and where it leads. */
bool lam_job_next(lam_job_state state, lam_job_event event, lam_job_state *next);

typedef struct lam_job_limits {
    int max_attempts;
    int64_t retry_delay_ms; /* doubled after each lost attempt */
    int64_t lease_ms;
} lam_job_limits;

enum {
    LAM_JOB_MAX_INTERRUPTIONS = 20,
    LAM_JOB_MAX_INPUTS = LAM_MANIFEST_MAX_ROLES, /* series */
    LAM_JOB_ROLE = 33
};

/* One of the series that a job reads. */
typedef struct lam_job_input {
    int64_t series;
    char role[LAM_JOB_ROLE]; /* "": the model reads one series */
    char input_set[65];      /* lam_catalog_input_set of this series */
    int64_t instances;
    char series_uid[65];
} lam_job_input;

/* A claimed job. */
typedef struct lam_job {
    int64_t id;
    int64_t series;
    lam_job_input inputs[LAM_JOB_MAX_INPUTS]; /* the first is of `series` */
    size_t input_count;
    int attempt; /* 1 … */
    char model[65];
    char version[33];
    char weights_sha256[65];
    char input_set[65]; /* of all it reads: lam_jobs_input_set */
    char study_uid[65];
    char series_uid[65];
    char replaces_series[65], replaces_sop[65]; /* the report of an earlier job that this one's takes the
                                                   place of; "": none. Set by lam_publish_predecessor */
} lam_job;

/* What identifies the input of a job: of one series its input set, else a hash (hex) over roles and sets. */
void lam_jobs_input_set(const lam_job_input *inputs, size_t count, char text[65]);

/* Queues a model for the series `inputs[0]`, with the others beside it, unless that very job exists; the
 * states of these series are the caller's to refresh. Of an input `series`, `role` and `input_set` are read.
 * `queued` (or NULL) tells whether a job was added. */
lam_status lam_jobs_add(lam_db *db, const lam_job_input *inputs, size_t count, const char *model,
                        const char *version, const char *weights_sha256, int64_t now_ms, bool *queued,
                        lam_error *err);

/* The next waiting job, now running for `owner`. LAM_E_NOT_FOUND without a message when none waits. */
lam_status lam_jobs_claim(lam_db *db, const char *owner, const lam_job_limits *limits, int64_t now_ms,
                          lam_job *out, lam_error *err);

/* Extends the lease. LAM_E_STATE when the job is no longer running (it was cancelled). */
lam_status lam_jobs_renew(lam_db *db, int64_t job, const lam_job_limits *limits, int64_t now_ms,
                          lam_error *err);

/* Applies an event. LOSE gives up by itself when attempts run out; LAM_E_STATE names state and event when it
 * is not legal; LAM_E_NOT_FOUND when there is no such job. `reason` may be NULL; `timings` (JSON) too. */
lam_status lam_jobs_apply(lam_db *db, int64_t job, lam_job_event event, const lam_job_limits *limits,
                          const char *reason, const char *timings, int64_t now_ms, lam_error *err);

/* Interrupts the running jobs that no living owner holds: those whose lease ran out and, with `node`, those
 * of that node, whose processes are gone when it starts; then also jobs that wait for a time which a clock
 * set back has moved away wait no longer. Owners are "node/…". Runs its own transaction. */
lam_status lam_jobs_recover(lam_db *db, const char *node, const lam_job_limits *limits, int64_t now_ms,
                            int *recovered, lam_error *err);

/* How many jobs may start now, counted up to `most`. */
lam_status lam_jobs_due(lam_db *db, int64_t now_ms, int64_t most, int64_t *count, lam_error *err);

/* Milliseconds from now until the next waiting job may start; -1 when none waits. */
lam_status lam_jobs_next_start(lam_db *db, int64_t now_ms, int64_t *wait_ms, lam_error *err);

#endif
