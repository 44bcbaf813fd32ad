/* The start of attempts: which job goes to which worker. */
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "daemon/laminad/catalog.h"
#include "daemon/laminad/scheduler_internal.h"

enum { WORKER_OPEN_FILES = 256 };
static const int64_t worker_file_size = (int64_t)8 << 30;

/* A job with what it reads. */
typedef struct claimed {
    lam_job job;
    bool superseded; /* its series has grown: it is cancelled, nothing runs */
    int64_t *inputs; /* file numbers */
    size_t count;
} claimed;

/* ---- claiming ---- */

static lam_status read_files(lam_db *db, claimed *c, int64_t series, size_t room, lam_error *err)
{
    sqlite3_stmt *statement =
        lam_db_prepare(db, err, "SELECT file FROM instance WHERE series_id = ? ORDER BY id", "i", series);
    for (bool row = true; row;) {
        lam_status status = lam_db_step(db, statement, &row, err);
        if (status != LAM_OK)
            return status;
        if (row && c->count < room)
            c->inputs[c->count++] = sqlite3_column_int64(statement, 0);
    }
    return LAM_OK;
}

/* Series by series, as the worker is told to expect them. */
static lam_status read_inputs(lam_db *db, claimed *c, lam_error *err)
{
    size_t room = 0;
    for (size_t i = 0; i < c->job.input_count; i++)
        room += (size_t)c->job.inputs[i].instances;
    c->inputs = calloc(room + 1, sizeof *c->inputs);
    if (!c->inputs)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for %zu inputs", room);
    lam_status status = LAM_OK;
    for (size_t i = 0; status == LAM_OK && i < c->job.input_count; i++)
        status = read_files(db, c, c->job.inputs[i].series, room, err);
    return status;
}

/* Whether a series that the job reads has changed since it was queued, or is gone. */
static lam_status find_superseded(lam_db *db, claimed *c, lam_error *err)
{
    char input_set[65];
    lam_status status = LAM_OK;
    lam_jobs_input_set(c->job.inputs, c->job.input_count, input_set);
    c->superseded = c->job.input_count == 0 || strcmp(input_set, c->job.input_set) != 0;
    for (size_t i = 0; status == LAM_OK && !c->superseded && i < c->job.input_count; i++) {
        lam_job_input *input = &c->job.inputs[i];
        status = lam_catalog_input_set(db, input->series, input_set, &input->instances, err);
        c->superseded = strcmp(input_set, input->input_set) != 0;
    }
    return status;
}

static lam_status claim_rows(lam_scheduler *s, claimed *c, lam_error *err)
{
    lam_job_limits limits = lam_scheduler_limits(s);
    int64_t now = lam_clock_steady_ms();
    lam_status status = lam_jobs_claim(s->db, s->owner, &limits, now, &c->job, err);
    if (status == LAM_OK)
        status = find_superseded(s->db, c, err);
    if (status != LAM_OK)
        return status;
    if (c->superseded)
        return lam_jobs_apply(s->db, c->job.id, LAM_JOB_CANCEL, &limits, "superseded: the series has grown",
                              NULL, now, err);
    status = lam_publish_predecessor(s->db, &c->job, err);
    return status == LAM_OK ? read_inputs(s->db, c, err) : status;
}

/* LAM_E_NOT_FOUND without a message when no job waits. */
static lam_status claim(lam_scheduler *s, claimed *out, lam_error *err)
{
    claimed c = {.inputs = NULL};
    lam_status status = lam_db_begin(s->db, err);
    if (status != LAM_OK)
        return status;
    status = lam_db_end(s->db, claim_rows(s, &c, err), err);
    if (status != LAM_OK) {
        free(c.inputs);
        return status;
    }
    *out = c;
    return LAM_OK;
}

/* ---- beginning ---- */

static lam_status begin_with(lam_scheduler *s, lam_worker_slot *slot, const claimed *c,
                             const lam_model *model, lam_error *err)
{
    const lam_config *config = s->config;
    lam_log(LAM_LOG_INFO, "job_started", "job=%lld model=%s version=%s attempt=%d inputs=%zu",
            (long long)c->job.id, c->job.model, c->job.version, c->job.attempt, c->count);
    lam_status status = lam_slot_begin(slot, &c->job, model, c->inputs, c->count, s->store, config, err);
    slot->renew_ms = lam_clock_monotonic_ms() + LAM_RENEW_MS;
    return status == LAM_OK ? lam_slot_feed(slot, s->store, err) : status;
}

/* Takes the inputs. */
static void begin(lam_scheduler *s, lam_worker_slot *slot, const claimed *c)
{
    lam_error err = {0};
    lam_models *models = lam_scheduler_models(s);
    const lam_model *model = lam_models_find(models, c->job.model, c->job.version);
    bool installed = model && strcmp(model->weights_sha256, c->job.weights_sha256) == 0;
    lam_status status = LAM_E_NOT_FOUND;
    if (installed)
        status = begin_with(s, slot, c, model, &err);
    else
        free(c->inputs);
    lam_models_unref(models);
    if (status == LAM_OK)
        return;
    slot->job = c->job;
    slot->state = LAM_SLOT_FEEDING;
    if (installed)
        lam_attempt_lose(s, slot, err.message);
    else
        lam_attempt_finish(s, slot, LAM_JOB_REFUSE, "the model it was queued for is no longer installed");
}

/* ---- dispatching ---- */

static void sooner(int64_t *wait_ms, int64_t candidate_ms)
{
    if (candidate_ms >= 0 && candidate_ms < *wait_ms)
        *wait_ms = candidate_ms;
}

/* Gives due jobs to the idle workers that are ready; *due counts those left. */
static lam_status give_jobs(lam_scheduler *s, int64_t *due, lam_error *err)
{
    for (size_t i = 0; i < s->slot_count; i++) {
        lam_worker_slot *slot = &s->slots[i];
        while (*due > 0 && slot->state == LAM_SLOT_IDLE && slot->child.ready) {
            claimed c;
            lam_status status = claim(s, &c, err);
            if (status == LAM_E_NOT_FOUND) {
                *due = 0;
                return LAM_OK;
            }
            if (status != LAM_OK)
                return status;
            --*due;
            if (!c.superseded)
                begin(s, slot, &c);
        }
    }
    return LAM_OK;
}

/* Starts a worker for each due job that found none. Jobs wait until one is ready, so that a worker that
 * cannot even start costs no job an attempt. */
static void start_workers(lam_scheduler *s, int64_t due, int64_t *wait_ms)
{
    const lam_config *config = s->config;
    const lam_child_limits limits = {.address_space = config->worker_memory_bytes,
                                     .file_size = worker_file_size,
                                     .open_files = WORKER_OPEN_FILES,
                                     .non_blocking = true};
    for (size_t i = 0; i < s->slot_count && due > 0; i++) {
        lam_child *child = &s->slots[i].child;
        if (s->slots[i].state != LAM_SLOT_IDLE || child->ready)
            continue;
        lam_error err = {0};
        lam_status status = lam_child_start(child, &limits, &err);
        if (status != LAM_OK)
            sooner(wait_ms, lam_child_wait_ms(child) + 1);
        if (status != LAM_OK && status != LAM_E_BUSY)
            lam_scheduler_log_fault("start of a worker", &err);
        due--;
    }
}

lam_status lam_dispatch(lam_scheduler *s, int64_t *wait_ms, lam_error *err)
{
    int64_t due = 0, until_next = -1;
    lam_status status = lam_jobs_due(s->db, lam_clock_steady_ms(), LAM_MAX_WORKERS, &due, err);
    if (status == LAM_OK)
        status = give_jobs(s, &due, err);
    if (status != LAM_OK)
        return status;
    start_workers(s, due, wait_ms);
    status = lam_jobs_next_start(s->db, lam_clock_steady_ms(), &until_next, err);
    if (status == LAM_OK && until_next > 0)
        sooner(wait_ms, until_next);
    return status;
}
