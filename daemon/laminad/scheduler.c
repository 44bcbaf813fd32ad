#include "daemon/laminad/scheduler.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "daemon/ipc/messages.h"
#include "daemon/laminad/catalog.h"
#include "daemon/laminad/metrics.h"
#include "daemon/laminad/routing.h"
#include "daemon/laminad/worker_slot.h"

enum {
    MAX_WORKERS = 64,
    LEASE_MS = 60000,
    RENEW_MS = 20000,
    IDLE_MS = 60000,
    FAULT_PAUSE_MS = 1000, /* after a database fault, before the next try */
    WORKER_OPEN_FILES = 512,
};

/* What others may see of a slot. */
typedef struct slot_view {
    lam_slot_state state;
    int64_t job, done, total;
    char stage[LAM_SLOT_STAGE];
} slot_view;

struct lam_scheduler {
    pthread_t thread;
    int wake; /* eventfd */
    lam_database *database;
    lam_store *store;
    char node[128];
    char owner[160]; /* node/pid */

    _Atomic(const lam_config *) config;
    _Atomic bool stopping;
    _Atomic bool abandon; /* the grace is over */
    _Atomic bool ended;
    _Atomic bool jobs_changed;

    pthread_mutex_t lock; /* models, shown */
    lam_models *models;
    slot_view shown[MAX_WORKERS];

    size_t slot_count;
    lam_worker_slot slots[MAX_WORKERS];
};

static lam_job_limits limits_of(const lam_scheduler *s)
{
    const lam_config *config = s->config;
    return (lam_job_limits){
        .max_attempts = config->max_attempts, .retry_delay_ms = config->retry_delay_ms, .lease_ms = LEASE_MS};
}

static lam_models *current_models(lam_scheduler *s)
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
        s->shown[i] =
            (slot_view){.state = slot->state, .job = slot->job.id, .done = slot->done, .total = slot->total};
        lam_text_copy(s->shown[i].stage, LAM_SLOT_STAGE, slot->stage);
    }
    pthread_mutex_unlock(&s->lock);
}

static void log_fault(const char *what, const lam_error *err)
{
    lam_log(LAM_LOG_ERROR, "scheduler_fault", "at=%s reason=%s", what, LAM_QUOTE(err->message));
}

/* ---- the end of an attempt ---- */

static void finish(lam_scheduler *s, lam_db *db, lam_worker_slot *slot, lam_job_event event,
                   const char *reason)
{
    lam_job_limits limits = limits_of(s);
    lam_error err = {0};
    lam_status status = lam_db_begin(db, &err);
    if (status == LAM_OK) {
        status = lam_jobs_apply(db, slot->job.id, event, &limits, reason, NULL, lam_clock_steady_ms(), &err);
        if (status == LAM_OK)
            status = lam_db_commit(db, &err);
        else
            lam_db_rollback(db);
    }
    if (status != LAM_OK && status != LAM_E_STATE) /* STATE: cancelled meanwhile, which is final */
        log_fault("finish", &err);
    if (event != LAM_JOB_INTERRUPT)
        lam_metrics_add(event == LAM_JOB_REFUSE ? LAM_COUNT_JOBS_FAILED : LAM_COUNT_ATTEMPTS_LOST, 1);
    lam_log(LAM_LOG_WARNING, "attempt_ended", "job=%lld attempt=%d reason=%s", (long long)slot->job.id,
            slot->job.attempt, LAM_QUOTE(reason));
    lam_slot_release(slot, s->store);
}

static void lose_worker(lam_scheduler *s, lam_db *db, lam_worker_slot *slot, const char *why)
{
    char how[64] = "", reason[160];
    lam_child_stop(&slot->child, how);
    lam_metrics_add(LAM_COUNT_CHILD_ENDS, 1);
    snprintf(reason, sizeof reason, "%s%s%s", why, how[0] ? ": " : "", how);
    if (slot->state == LAM_SLOT_IDLE)
        lam_log(LAM_LOG_WARNING, "worker_ended", "reason=%s", LAM_QUOTE(reason));
    else
        finish(s, db, slot, LAM_JOB_LOSE, reason);
}

static void take_result(lam_scheduler *s, lam_db *db, lam_worker_slot *slot, const char *payload)
{
    lam_job_limits limits = limits_of(s);
    lam_error err = {0};
    lam_status status = lam_publish(db, s->store, &slot->job, payload, slot->outputs, LAM_SLOT_OUTPUTS,
                                    &limits, lam_clock_steady_ms(), &err);
    if (status == LAM_OK) {
        lam_metrics_add(LAM_COUNT_JOBS_DONE, 1);
        lam_log(LAM_LOG_INFO, "job_done", "job=%lld model=%s version=%s attempt=%d", (long long)slot->job.id,
                slot->job.model, slot->job.version, slot->job.attempt);
        lam_slot_release(slot, s->store);
    } else {
        finish(s, db, slot, LAM_JOB_LOSE, err.message);
    }
}

static void take_failure(lam_scheduler *s, lam_db *db, lam_worker_slot *slot, const lam_ipc_message *message)
{
    LAM_AUTO_PTR(lam_json) *json = NULL;
    lam_json_parse(message->payload, message->length, &json, NULL);
    const lam_jv *root = lam_json_root(json);
    bool permanent = lam_jv_bool(lam_jv_get(root, "permanent"), false);
    const char *reason = lam_jv_text(lam_jv_get(root, "reason"), "the worker gave no reason");
    finish(s, db, slot, permanent ? LAM_JOB_REFUSE : LAM_JOB_LOSE, reason);
}

static lam_status take_message(lam_scheduler *s, lam_db *db, lam_worker_slot *slot,
                               const lam_ipc_message *message)
{
    if (message->type == LAM_MESSAGE_READY)
        return LAM_OK;
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
        take_result(s, db, slot, message->payload);
        return LAM_OK;
    case LAM_MESSAGE_FAILED: {
        bool fed = slot->state == LAM_SLOT_RUNNING;
        take_failure(s, db, slot, message);
        if (!fed) /* inputs of the failed job may still be in its socket: start afresh */
            lam_child_stop(&slot->child, NULL);
        return LAM_OK;
    }
    default:
        return LAM_E_CORRUPT;
    }
}

static void receive(lam_scheduler *s, lam_db *db, lam_worker_slot *slot)
{
    while (slot->child.pid > 0) {
        lam_ipc_message message;
        lam_status status = lam_ipc_receive(slot->child.socket, &message, NULL);
        if (status == LAM_E_BUSY)
            return;
        if (status == LAM_OK) {
            status = take_message(s, db, slot, &message);
            lam_ipc_message_done(&message);
        }
        if (status != LAM_OK)
            lose_worker(s, db, slot,
                        status == LAM_E_PEER ? "the worker ended" : "the worker broke the protocol");
    }
}

/* ---- watching ---- */

/* Renews the lease; a job that is no longer running was cancelled, and its worker with it. */
static void renew(lam_scheduler *s, lam_db *db, lam_worker_slot *slot)
{
    lam_job_limits limits = limits_of(s);
    lam_error err = {0};
    lam_status status = lam_db_begin(db, &err);
    if (status != LAM_OK)
        return;
    status = lam_jobs_renew(db, slot->job.id, &limits, lam_clock_steady_ms(), &err);
    if (status == LAM_OK)
        status = lam_db_commit(db, &err);
    else
        lam_db_rollback(db);
    slot->renew_ms = lam_clock_monotonic_ms() + RENEW_MS;
    if (status != LAM_E_STATE)
        return;
    lam_log(LAM_LOG_INFO, "job_cancelled", "job=%lld", (long long)slot->job.id);
    lam_child_stop(&slot->child, NULL);
    lam_slot_release(slot, s->store);
}

static void watch(lam_scheduler *s, lam_db *db, lam_worker_slot *slot, bool jobs_changed)
{
    lam_error err = {0};
    receive(s, db, slot);
    if (slot->state == LAM_SLOT_FEEDING && lam_slot_feed(slot, s->store, &err) != LAM_OK)
        lose_worker(s, db, slot, err.message);
    if (slot->state == LAM_SLOT_IDLE)
        return;
    int64_t now = lam_clock_monotonic_ms();
    if (now >= slot->deadline_ms) {
        char why[96];
        const lam_config *config = s->config;
        snprintf(why, sizeof why, "no result within job_timeout (%lld s)",
                 (long long)(config->job_timeout_ms / 1000));
        lose_worker(s, db, slot, why);
    } else if (jobs_changed || now >= slot->renew_ms) {
        renew(s, db, slot);
    }
}

/* ---- the start of an attempt ---- */

static lam_status read_inputs(lam_db *db, const lam_job *job, int64_t **out, size_t *count, lam_error *err)
{
    lam_autofree int64_t *files = calloc((size_t)job->instances + 1, sizeof *files);
    if (!files)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for %lld inputs", (long long)job->instances);
    sqlite3_stmt *statement = lam_db_prepare(
        db, err, "SELECT file FROM instance WHERE series_id = ? ORDER BY id", "i", job->series);
    size_t n = 0;
    for (bool row = true; row;) {
        lam_status status = lam_db_step(db, statement, &row, err);
        if (status != LAM_OK)
            return status;
        if (row && n < (size_t)job->instances)
            files[n++] = sqlite3_column_int64(statement, 0);
    }
    *out = LAM_TAKE_PTR(files);
    *count = n;
    return LAM_OK;
}

/* Claims the next job whose series is still what the job was queued for; one that has grown is superseded. */
static lam_status claim(lam_scheduler *s, lam_db *db, lam_job *job, int64_t **inputs, size_t *count,
                        lam_error *err)
{
    lam_job_limits limits = limits_of(s);
    char input_set[65];
    int64_t instances = 0;
    lam_status status = lam_db_begin(db, err);
    if (status != LAM_OK)
        return status;
    status = lam_jobs_claim(db, s->owner, &limits, lam_clock_steady_ms(), job, err);
    if (status == LAM_OK)
        status = lam_catalog_input_set(db, job->series, input_set, &instances, err);
    if (status == LAM_OK && strcmp(input_set, job->input_set) != 0) {
        status = lam_jobs_apply(db, job->id, LAM_JOB_CANCEL, &limits, "superseded: the series has grown",
                                NULL, lam_clock_steady_ms(), err);
        if (status == LAM_OK)
            status = lam_db_commit(db, err);
        else
            lam_db_rollback(db);
        return status == LAM_OK ? LAM_E_BUSY : status;
    }
    if (status == LAM_OK)
        status = read_inputs(db, job, inputs, count, err);
    if (status != LAM_OK) {
        lam_db_rollback(db);
        return status;
    }
    status = lam_db_commit(db, err);
    if (status != LAM_OK) {
        free(*inputs);
        *inputs = NULL;
    }
    return status;
}

static lam_status begin_with(lam_scheduler *s, lam_worker_slot *slot, const lam_job *job,
                             const lam_model *model, int64_t *inputs, size_t count, lam_error *err)
{
    const lam_config *config = s->config;
    lam_log(LAM_LOG_INFO, "job_started", "job=%lld model=%s version=%s attempt=%d inputs=%zu",
            (long long)job->id, job->model, job->version, job->attempt, count);
    lam_status status =
        lam_slot_begin(slot, job, model, inputs, count, s->store, config->job_timeout_ms, err);
    slot->renew_ms = lam_clock_monotonic_ms() + RENEW_MS;
    return status == LAM_OK ? lam_slot_feed(slot, s->store, err) : status;
}

/* Takes the inputs. */
static void begin(lam_scheduler *s, lam_db *db, lam_worker_slot *slot, const lam_job *job, int64_t *inputs,
                  size_t count)
{
    lam_error err = {0};
    lam_models *models = current_models(s);
    const lam_model *model = lam_models_find(models, job->model, job->version);
    bool installed = model && strcmp(model->weights_sha256, job->weights_sha256) == 0;
    lam_status status = LAM_E_NOT_FOUND;
    if (installed)
        status = begin_with(s, slot, job, model, inputs, count, &err);
    else
        free(inputs);
    lam_models_unref(models);
    if (status == LAM_OK)
        return;
    slot->job = *job;
    slot->state = LAM_SLOT_FEEDING;
    if (installed)
        lose_worker(s, db, slot, err.message);
    else
        finish(s, db, slot, LAM_JOB_REFUSE, "the model it was queued for is no longer installed");
}

static bool start_worker(lam_scheduler *s, lam_worker_slot *slot)
{
    const lam_config *config = s->config;
    const lam_child_limits limits = {
        .address_space = config->worker_memory_bytes, .open_files = WORKER_OPEN_FILES, .non_blocking = true};
    lam_error err = {0};
    lam_status status = lam_child_start(&slot->child, &limits, &err);
    if (status != LAM_OK && status != LAM_E_BUSY)
        log_fault("start of a worker", &err);
    return status == LAM_OK;
}

static void sooner(int64_t *wait_ms, int64_t candidate_ms)
{
    if (candidate_ms >= 0 && candidate_ms < *wait_ms)
        *wait_ms = candidate_ms;
}

/* Gives the next waiting job to an idle worker; *wait_ms gets when to look again. */
static lam_status dispatch_to(lam_scheduler *s, lam_db *db, lam_worker_slot *slot, int64_t *wait_ms,
                              lam_error *err)
{
    int64_t until_next = -1;
    lam_status status = lam_jobs_next_start(db, lam_clock_steady_ms(), &until_next, err);
    if (status != LAM_OK || until_next != 0) {
        sooner(wait_ms, until_next);
        return status;
    }
    if (!start_worker(s, slot)) {
        sooner(wait_ms, lam_child_wait_ms(&slot->child) + 1);
        return LAM_OK;
    }
    lam_job job;
    int64_t *inputs = NULL;
    size_t count = 0;
    status = claim(s, db, &job, &inputs, &count, err);
    if (status == LAM_OK)
        begin(s, db, slot, &job, inputs, count);
    else if (status == LAM_E_BUSY) /* that one was superseded */
        sooner(wait_ms, 0);
    return status == LAM_E_NOT_FOUND || status == LAM_E_BUSY ? LAM_OK : status;
}

static void dispatch(lam_scheduler *s, lam_db *db, int64_t *wait_ms)
{
    lam_error err = {0};
    for (size_t i = 0; i < s->slot_count; i++) {
        if (s->slots[i].state != LAM_SLOT_IDLE)
            continue;
        if (dispatch_to(s, db, &s->slots[i], wait_ms, &err) != LAM_OK) {
            log_fault("dispatch", &err);
            sooner(wait_ms, FAULT_PAUSE_MS);
            return;
        }
    }
}

/* ---- the thread ---- */

static void wait_for_events(lam_scheduler *s, int64_t wait_ms)
{
    struct pollfd polls[1 + MAX_WORKERS];
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

/* One round; returns how long to wait before the next unless something happens. */
static int64_t turn(lam_scheduler *s, lam_db *db)
{
    int64_t wait_ms = IDLE_MS, until_settled = -1;
    lam_error err = {0};
    bool jobs_changed = atomic_exchange(&s->jobs_changed, false);
    for (size_t i = 0; i < s->slot_count; i++)
        watch(s, db, &s->slots[i], jobs_changed);
    if (s->stopping)
        return wait_ms;
    lam_models *models = current_models(s);
    if (lam_routing_settle_due(db, models, s->config, lam_clock_steady_ms(), &until_settled, &err) !=
        LAM_OK) {
        log_fault("settling", &err);
        until_settled = FAULT_PAUSE_MS;
    }
    lam_models_unref(models);
    sooner(&wait_ms, until_settled);
    dispatch(s, db, &wait_ms);
    return wait_ms;
}

static void end_all(lam_scheduler *s, lam_db *db)
{
    for (size_t i = 0; i < s->slot_count; i++) {
        lam_worker_slot *slot = &s->slots[i];
        lam_child_stop(&slot->child, NULL);
        if (slot->state != LAM_SLOT_IDLE)
            finish(s, db, slot, LAM_JOB_INTERRUPT, "interrupted: the daemon was stopped");
    }
}

static void *scheduler_main(void *argument)
{
    lam_scheduler *s = argument;
    lam_error err = {0};
    LAM_AUTO_DB *db = lam_db_get(s->database, &err);
    if (!db)
        log_fault("start", &err);
    while (db && !s->abandon) {
        int64_t wait_ms = turn(s, db);
        show_slots(s);
        if (s->stopping && !any_busy(s))
            break;
        wait_for_events(s, wait_ms);
    }
    if (db)
        end_all(s, db);
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
    LAM_AUTO_DB *db = lam_db_get(s->database, err);
    if (!db)
        return err->status;
    lam_job_limits limits = limits_of(s);
    int recovered = 0;
    lam_status status = lam_jobs_recover(db, s->node, &limits, lam_clock_steady_ms(), &recovered, err);
    if (status == LAM_OK && recovered)
        lam_log(LAM_LOG_INFO, "jobs_resumed", "count=%d", recovered);
    return status;
}

lam_status lam_scheduler_start(const lam_scheduler_options *options, lam_scheduler **out, lam_error *err)
{
    lam_scheduler *s = calloc(1, sizeof *s);
    if (!s)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    s->database = options->database;
    s->store = options->store;
    s->config = options->config;
    s->models = lam_models_ref(options->models);
    s->slot_count = (size_t)(options->config->workers < MAX_WORKERS ? options->config->workers : MAX_WORKERS);
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
        if (s->wake >= 0)
            close(s->wake);
        lam_models_unref(s->models);
        free(s);
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
    close(s->wake);
    pthread_mutex_destroy(&s->lock);
    lam_models_unref(s->models);
    free(s);
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
        const slot_view *view = &s->shown[i];
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
