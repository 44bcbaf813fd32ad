/* How far a job is: who wants to know is told of stages and counts, and how long each stage took is kept. */
#ifndef LAMINA_DAEMON_WORKER_PROGRESS_H
#define LAMINA_DAEMON_WORKER_PROGRESS_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/json.h"

typedef enum lam_stage {
    LAM_STAGE_READ,
    LAM_STAGE_PREPARE,
    LAM_STAGE_NETWORK,
    LAM_STAGE_MEASURE,
    LAM_STAGE_EXPLAIN,
    LAM_STAGE_WRITE,
    LAM_STAGE_COUNT
} lam_stage;

const char *lam_stage_name(lam_stage stage);

typedef struct lam_progress {
    void (*tell)(void *context, lam_stage stage, size_t done, size_t total); /* NULL: nobody asks */
    void *context;
    int64_t spent_us[LAM_STAGE_COUNT];
    lam_stage stage;
    int64_t since_us;
    int64_t told_us;
} lam_progress;

/* Ends the stage before and starts `stage`. */
void lam_progress_enter(lam_progress *progress, lam_stage stage);
/* Tells at most ten times a second. */
void lam_progress_step(lam_progress *progress, size_t done, size_t total);
/* Ends the last stage. */
void lam_progress_finish(lam_progress *progress);

/* "timings_ms":{stage:ms} */
void lam_progress_write(const lam_progress *progress, lam_json_writer *w);

#endif
