#include "daemon/laminad/scheduler.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "daemon/laminad/performer.h"
#include "daemon/laminad/routing.h"
#include "daemon/laminad/scheduler_internal.h"

enum {
    IDLE_MS = 60000,
    FAULT_PAUSE_MS = 1000,   /* after a database fault, before the next try */
    WORKLIST_PAUSE_MS = 200, /* between two looks at the worklist, however much else happens */
};

lam_job_limits lam_scheduler_limits(const lam_scheduler *s)
{
    const lam_config *config = s->config;
    return (lam_job_limits){.max_attempts = config->max_attempts,
                            .retry_delay_ms = config->retry_delay_ms,
                            .lease_ms = LAM_LEASE_MS};
}

lam_models *lam_scheduler_models(lam_scheduler *s)
{
    pthread_mutex_lock(&s->lock);
    lam_models *models = lam_models_ref(s->models);
    pthread_mutex_unlock(&s->lock);
    return models;
}

static void show_slots(lam_scheduler *s)
{
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->slot_count; i++) {
        const lam_worker_slot *slot = &s->slots[i];
        s->shown[i] = (lam_slot_view){
            .state = slot->state, .job = slot->job.id, .done = slot->done, .total = slot->total};
        lam_text_copy(s->shown[i].stage, LAM_SLOT_STAGE, slot->stage);
    }
    pthread_mutex_unlock(&s->lock);
}

void lam_scheduler_log_fault(const char *what, const lam_error *err)
{
    lam_log(LAM_LOG_ERROR, "scheduler_fault", "at=%s reason=%s", what, LAM_QUOTE(err->message));
}

/* ---- the thread ---- */

static void wait_for_events(lam_scheduler *s, int64_t wait_ms)
{
    struct pollfd polls[1 + LAM_MAX_WORKERS];
    size_t count = 0;
    int64_t now = lam_clock_monotonic_ms();
    polls[count++] = (struct pollfd){.fd = s->wake, .events = POLLIN};
    for (size_t i = 0; i < s->slot_count; i++) {
        const lam_worker_slot *slot = &s->slots[i];
        if (slot->child.pid > 0)
            polls[count++] = (struct pollfd){.fd = slot->child.socket,
                                             .events = (short)(POLLIN | (slot->blocked ? POLLOUT : 0))};
        if (slot->state == LAM_SLOT_IDLE)
            continue;
        int64_t due = slot->deadline_ms < slot->renew_ms ? slot->deadline_ms : slot->renew_ms;
        if (due - now < wait_ms)
            wait_ms = due > now ? due - now : 0;
    }
    poll(polls, count, (int)wait_ms);
    uint64_t number;
    ssize_t got = read(s->wake, &number, sizeof number);
    (void)got;
}

static bool any_busy(const lam_scheduler *s)
{
    for (size_t i = 0; i < s->slot_count; i++)
        if (s->slots[i].state != LAM_SLOT_IDLE)
            return true;
    return false;
}

/* Jobs that stand as running and are not: their end could not be written when it came. */
static void recover_expired(lam_scheduler *s)
{
    int64_t now = lam_clock_monotonic_ms();
    if (now < s->recover_ms)
        return;
    s->recover_ms = now + LAM_LEASE_MS;
    lam_error err = {0};
    lam_job_limits limits = lam_scheduler_limits(s);
    int recovered = 0;
    if (lam_jobs_recover(s->db, NULL, &limits, lam_clock_steady_ms(), &recovered, &err) != LAM_OK)
        lam_scheduler_log_fault("recovery", &err);
    else if (recovered)
        lam_log(LAM_LOG_WARNING, "leases_expired", "count=%d", recovered);
}

static lam_status settle_due(lam_scheduler *s, int64_t *wait_ms, lam_error *err)
{
    lam_models *models = lam_scheduler_models(s);
    lam_status status = lam_routing_settle_due(s->db, models, s->config, lam_clock_steady_ms(), wait_ms, err);
    lam_models_unref(models);
    return status;
}

/* The workitems that Lamina performs itself. What is wrong with one keeps no job waiting. */
static void look_at_worklist(lam_scheduler *s, int64_t *wait_ms)
{
    int64_t now = lam_clock_monotonic_ms(), until_due = -1;
    lam_error err = {0};
    if (now >= s->worklist_ms) {
        lam_models *models = lam_scheduler_models(s);
        lam_status status =
            lam_performer_turn(s->db, models, s->config, lam_clock_steady_ms(), &until_due, &err);
        lam_models_unref(models);
        if (status != LAM_OK)
            lam_scheduler_log_fault("the worklist", &err);
        s->worklist_ms = now + (status == LAM_OK ? WORKLIST_PAUSE_MS : FAULT_PAUSE_MS);
        if (status == LAM_OK && until_due < 0)
            return;
    }
    if (until_due < s->worklist_ms - now)
        until_due = s->worklist_ms - now;
    if (until_due < *wait_ms)
        *wait_ms = until_due;
}

/* One round; returns how long to wait before the next unless something happens. */
static int64_t turn(lam_scheduler *s)
{
    int64_t wait_ms = IDLE_MS, until_settled = -1;
    lam_error err = {0};
    bool jobs_changed = atomic_exchange(&s->jobs_changed, false);
    for (size_t i = 0; i < s->slot_count; i++)
        lam_attempt_watch(s, &s->slots[i], jobs_changed);
    if (s->stopping)
        return wait_ms;
    recover_expired(s);
    lam_status status = settle_due(s, &until_settled, &err);
    look_at_worklist(s, &wait_ms);
    if (status == LAM_OK)
        status = lam_dispatch(s, &wait_ms, &err);
    if (status != LAM_OK) {
        lam_scheduler_log_fault("settling and dispatching", &err);
        return wait_ms < FAULT_PAUSE_MS ? wait_ms : FAULT_PAUSE_MS;
    }
    return until_settled >= 0 && until_settled < wait_ms ? until_settled : wait_ms;
}

static void end_all(lam_scheduler *s)
{
    for (size_t i = 0; i < s->slot_count; i++) {
        lam_worker_slot *slot = &s->slots[i];
        lam_child_stop(&slot->child, NULL);
        if (slot->state != LAM_SLOT_IDLE)
            lam_attempt_finish(s, slot, LAM_JOB_INTERRUPT, "interrupted: the daemon was stopped");
    }
}

static void *scheduler_main(void *argument)
{
    lam_scheduler *s = argument;
    while (!s->abandon) {
        int64_t wait_ms = turn(s);
        show_slots(s);
        if (s->stopping && !any_busy(s))
            break;
        wait_for_events(s, wait_ms);
    }
    end_all(s);
    s->ended = true;
    return NULL;
}

static void wake_up(const lam_scheduler *s)
{
    uint64_t one = 1;
    ssize_t written = write(s->wake, &one, sizeof one);
    (void)written; /* a full counter wakes as well */
}

static lam_status recover(lam_scheduler *s, lam_error *err)
{
    s->db = lam_db_get(s->database, err);
    if (!s->db)
        return LAM_E_IO;
    lam_job_limits limits = lam_scheduler_limits(s);
    int recovered = 0;
    lam_status status = lam_jobs_recover(s->db, s->node, &limits, lam_clock_steady_ms(), &recovered, err);
    if (status == LAM_OK && recovered)
        lam_log(LAM_LOG_INFO, "jobs_resumed", "count=%d", recovered);
    return status;
}

static void scheduler_free(lam_scheduler *s)
{
    lam_db_put(s->db);
    if (s->wake >= 0)
        close(s->wake);
    pthread_mutex_destroy(&s->lock);
    lam_models_unref(s->models);
    free(s);
}

lam_status lam_scheduler_start(const lam_scheduler_options *options, lam_scheduler **out, lam_error *err)
{
    lam_scheduler *s = calloc(1, sizeof *s);
    if (!s)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    s->database = options->database;
    s->store = options->store;
    s->published = options->published;
    s->context = options->context;
    s->config = options->config;
    s->models = lam_models_ref(options->models);
    s->slot_count =
        (size_t)(options->config->workers < LAM_MAX_WORKERS ? options->config->workers : LAM_MAX_WORKERS);
    for (size_t i = 0; i < s->slot_count; i++)
        lam_slot_init(&s->slots[i]);
    if (gethostname(s->node, sizeof s->node - 1) < 0)
        lam_text_copy(s->node, sizeof s->node, "localhost");
    snprintf(s->owner, sizeof s->owner, "%s/%d", s->node, (int)getpid());
    pthread_mutex_init(&s->lock, NULL);
    s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    lam_status status =
        s->wake < 0 ? lam_fail_errno(err, errno, "cannot make an event descriptor") : recover(s, err);
    if (status == LAM_OK && pthread_create(&s->thread, NULL, scheduler_main, s) != 0)
        status = lam_fail(err, LAM_E_NO_MEMORY, "cannot start the scheduler's thread");
    if (status != LAM_OK) {
        scheduler_free(s);
        return status;
    }
    *out = s;
    return LAM_OK;
}

void lam_scheduler_stop(lam_scheduler *s, int64_t grace_ms)
{
    if (!s)
        return;
    s->stopping = true;
    wake_up(s);
    int64_t deadline = lam_clock_monotonic_ms() + grace_ms;
    while (!s->ended && lam_clock_monotonic_ms() < deadline)
        usleep(10000);
    s->abandon = true;
    wake_up(s);
    pthread_join(s->thread, NULL);
    scheduler_free(s);
}

void lam_scheduler_reload(lam_scheduler *s, const lam_config *config, lam_models *models)
{
    pthread_mutex_lock(&s->lock);
    s->config = config;
    lam_models_unref(s->models);
    s->models = lam_models_ref(models);
    pthread_mutex_unlock(&s->lock);
    lam_scheduler_notice_jobs(s);
}

void lam_scheduler_notice_objects(lam_scheduler *s)
{
    wake_up(s);
}

void lam_scheduler_notice_jobs(lam_scheduler *s)
{
    s->jobs_changed = true;
    wake_up(s);
}

bool lam_scheduler_alive(const lam_scheduler *s)
{
    return !s->ended;
}

json_t *lam_scheduler_workers(lam_scheduler *s)
{
    static const char *const states[] = {
        [LAM_SLOT_IDLE] = "idle", [LAM_SLOT_FEEDING] = "reading", [LAM_SLOT_RUNNING] = "running"};
    json_t *workers = json_array();
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->slot_count; i++) {
        const lam_slot_view *view = &s->shown[i];
        json_t *worker = json_pack("{s:s}", "state", states[view->state]);
        if (view->state != LAM_SLOT_IDLE)
            json_object_update_new(worker, json_pack("{s:I,s:s,s:I,s:I}", "job", (json_int_t)view->job,
                                                     "stage", view->stage, "done", (json_int_t)view->done,
                                                     "total", (json_int_t)view->total));
        json_array_append_new(workers, worker);
    }
    pthread_mutex_unlock(&s->lock);
    return workers;
}
