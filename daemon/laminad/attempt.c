/* The course and the end of an attempt: what a worker says, how long it may take, what becomes of its job. */
#include <stdio.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "daemon/ipc/messages.h"
#include "daemon/laminad/metrics.h"
#include "daemon/laminad/scheduler_internal.h"

enum { MESSAGES = 64 }; /* of one worker in one turn, so that a talkative one does not stop the others */

/* ---- the end ---- */

/* When the database takes nothing, the job stays `running` until its lease is over, and is then resumed. */
void lam_attempt_finish(lam_scheduler *s, lam_worker_slot *slot, lam_job_event event, const char *reason)
{
    lam_job_limits limits = lam_scheduler_limits(s);
    lam_error err = {0};
    lam_status status = lam_db_begin(s->db, &err);
    if (status == LAM_OK) {
        status =
            lam_jobs_apply(s->db, slot->job.id, event, &limits, reason, NULL, lam_clock_steady_ms(), &err);
        status = lam_db_end(s->db, status, &err);
    }
    if (status != LAM_OK && status != LAM_E_STATE) /* STATE: cancelled meanwhile, which is final */
        lam_scheduler_log_fault("finish", &err);
    if (event != LAM_JOB_INTERRUPT)
        lam_metrics_add(event == LAM_JOB_REFUSE ? LAM_COUNT_JOBS_FAILED : LAM_COUNT_ATTEMPTS_LOST, 1);
    lam_log(LAM_LOG_WARNING, "attempt_ended", "job=%lld attempt=%d reason=%s", (long long)slot->job.id,
            slot->job.attempt, LAM_QUOTE(reason));
    lam_slot_release(slot, s->store);
}

void lam_attempt_lose(lam_scheduler *s, lam_worker_slot *slot, const char *why)
{
    char how[64] = "", reason[600];
    lam_child_stop(&slot->child, how);
    lam_metrics_add(LAM_COUNT_CHILD_ENDS, 1);
    snprintf(reason, sizeof reason, "%s%s%s", why, how[0] ? ": " : "", how);
    if (slot->state == LAM_SLOT_IDLE)
        lam_log(LAM_LOG_WARNING, "worker_ended", "reason=%s", LAM_QUOTE(reason));
    else
        lam_attempt_finish(s, slot, LAM_JOB_LOSE, reason);
}

static void take_result(lam_scheduler *s, lam_worker_slot *slot, const char *payload)
{
    lam_job_limits limits = lam_scheduler_limits(s);
    lam_error err = {0};
    lam_status status = lam_publish(s->db, s->store, &slot->job, payload, slot->outputs, slot->output_count,
                                    &limits, lam_clock_steady_ms(), &err);
    if (status != LAM_OK) {
        /* who has taken the result's UID will not give it back */
        lam_attempt_finish(s, slot, status == LAM_E_EXISTS ? LAM_JOB_REFUSE : LAM_JOB_LOSE, err.message);
        return;
    }
    lam_metrics_add(LAM_COUNT_JOBS_DONE, 1);
    lam_log(LAM_LOG_INFO, "job_done", "job=%lld model=%s version=%s attempt=%d", (long long)slot->job.id,
            slot->job.model, slot->job.version, slot->job.attempt);
    lam_slot_release(slot, s->store);
    if (s->published)
        s->published(s->context);
}

static void take_failure(lam_scheduler *s, lam_worker_slot *slot, const lam_ipc_message *message)
{
    LAM_AUTO_PTR(lam_json) *json = NULL;
    const lam_jv *root = NULL;
    if (lam_json_parse(message->payload, message->length, &json, NULL) == LAM_OK)
        root = lam_json_root(json);
    bool permanent = lam_jv_bool(lam_jv_get(root, "permanent"), false);
    const char *reason = lam_jv_text(lam_jv_get(root, "reason"), "the worker gave no reason");
    bool fed = slot->state == LAM_SLOT_RUNNING;
    lam_attempt_finish(s, slot, permanent ? LAM_JOB_REFUSE : LAM_JOB_LOSE, reason);
    if (!fed) /* inputs of the failed job may still be in its socket: start afresh */
        lam_child_stop(&slot->child, NULL);
}

/* ---- the course ---- */

static lam_status take_message(lam_scheduler *s, lam_worker_slot *slot, const lam_ipc_message *message)
{
    if (message->type == LAM_MESSAGE_READY) {
        slot->child.ready = true;
        return LAM_OK;
    }
    bool ours = slot->state != LAM_SLOT_IDLE && message->request == (uint32_t)slot->job.id;
    if (!ours)
        return LAM_E_CORRUPT;
    switch (message->type) {
    case LAM_MESSAGE_PROGRESS:
        lam_slot_progress(slot, message);
        return LAM_OK;
    case LAM_MESSAGE_DONE:
        if (slot->state != LAM_SLOT_RUNNING)
            return LAM_E_CORRUPT;
        take_result(s, slot, message->payload);
        return LAM_OK;
    case LAM_MESSAGE_FAILED:
        take_failure(s, slot, message);
        return LAM_OK;
    default:
        return LAM_E_CORRUPT;
    }
}

static void receive(lam_scheduler *s, lam_worker_slot *slot)
{
    for (int i = 0; i < MESSAGES && slot->child.pid > 0; i++) {
        lam_ipc_message message;
        lam_status status = lam_ipc_receive(slot->child.socket, &message, NULL);
        if (status == LAM_E_BUSY)
            return;
        if (status == LAM_OK) {
            status = take_message(s, slot, &message);
            lam_ipc_message_done(&message);
        }
        if (status != LAM_OK)
            lam_attempt_lose(s, slot,
                             status == LAM_E_PEER ? "the worker ended" : "the worker broke the protocol");
    }
}

/* Renews the lease; a job that is no longer running was cancelled, and its worker with it. */
static void renew(lam_scheduler *s, lam_worker_slot *slot)
{
    lam_job_limits limits = lam_scheduler_limits(s);
    lam_error err = {0};
    slot->renew_ms = lam_clock_monotonic_ms() + LAM_RENEW_MS;
    lam_status status = lam_db_begin(s->db, &err);
    if (status == LAM_OK) {
        status = lam_jobs_renew(s->db, slot->job.id, &limits, lam_clock_steady_ms(), &err);
        status = lam_db_end(s->db, status, &err);
    }
    if (status != LAM_OK && status != LAM_E_STATE)
        lam_scheduler_log_fault("renewal of a lease", &err);
    if (status != LAM_E_STATE)
        return;
    lam_log(LAM_LOG_INFO, "job_cancelled", "job=%lld", (long long)slot->job.id);
    lam_child_stop(&slot->child, NULL);
    lam_slot_release(slot, s->store);
}

static void watch_clock(lam_scheduler *s, lam_worker_slot *slot, bool jobs_changed)
{
    int64_t now = lam_clock_monotonic_ms();
    if (now >= slot->deadline_ms) {
        char why[96];
        const lam_config *config = s->config;
        snprintf(why, sizeof why, "no result within job_timeout (%lld s)",
                 (long long)(config->job_timeout_ms / 1000));
        lam_attempt_lose(s, slot, why);
    } else if (jobs_changed || now >= slot->renew_ms) {
        renew(s, slot);
    }
}

void lam_attempt_watch(lam_scheduler *s, lam_worker_slot *slot, bool jobs_changed)
{
    lam_error err = {0};
    receive(s, slot);
    if (slot->state == LAM_SLOT_FEEDING && lam_slot_feed(slot, s->store, &err) != LAM_OK)
        lam_attempt_lose(s, slot, err.message);
    if (lam_child_is_stuck(&slot->child))
        lam_attempt_lose(s, slot, "the worker does not become ready");
    if (slot->state != LAM_SLOT_IDLE)
        watch_clock(s, slot, jobs_changed);
}
