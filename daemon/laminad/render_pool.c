#include "daemon/laminad/render_pool.h"

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "daemon/ipc/ipc.h"
#include "daemon/ipc/messages.h"
#include "daemon/laminad/child.h"
#include "daemon/laminad/metrics.h"

enum { MAX_WAITING = 64, START_MS = 10000 };

/* On the stack of who asks. */
typedef struct ask {
    uint32_t type;
    const char *payload;
    const int *fds;
    size_t fd_count;
    lam_buffer *answer;
    lam_error error;
    bool done;
    struct ask *next;
} ask;

typedef struct slot {
    lam_render_pool *pool;
    lam_child child; /* started and ended by this thread only */
    pthread_t thread;
    uint32_t number; /* of the last request */
} slot;

struct lam_render_pool {
    int64_t timeout_ms;
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t wanted, answered;
    ask *first, *last;
    size_t waiting;
    bool stopping;
    int threads;
    slot slots[LAM_RENDER_PROCESSES];
};

/* ---- one process ---- */

/* Waits for a message until the deadline. LAM_E_TIMEOUT past it. */
static lam_status receive_by(const slot *s, int64_t deadline_ms, lam_ipc_message *message, lam_error *err)
{
    for (;;) {
        lam_status status = lam_ipc_receive(s->child.socket, message, err);
        if (status != LAM_E_BUSY)
            return status;
        int64_t left = deadline_ms - lam_clock_monotonic_ms();
        struct pollfd poller = {.fd = s->child.socket, .events = POLLIN};
        if (left <= 0)
            return lam_fail(err, LAM_E_TIMEOUT, "no answer in time");
        poll(&poller, 1, (int)left);
    }
}

static void end_process(slot *s, const char *why)
{
    char how[64] = "";
    lam_child_stop(&s->child, how);
    lam_metrics_add(LAM_COUNT_CHILD_ENDS, 1);
    lam_log(LAM_LOG_WARNING, "renderer_ended", "why=%s how=%s", LAM_QUOTE(why), LAM_QUOTE(how));
}

static lam_status start_process(slot *s, lam_error *err)
{
    const lam_child_limits limits = {.address_space = (int64_t)8 << 30,
                                     .mapped_files = LAM_CHILD_MAPPED,
                                     .file_size = (int64_t)4 << 30,
                                     .open_files = 64,
                                     .non_blocking = true};
    if (s->child.pid > 0)
        return LAM_OK;
    lam_status status = lam_child_start(&s->child, &limits, err);
    if (status == LAM_E_BUSY)
        return lam_fail(err, LAM_E_BUSY, "the process that decodes pixels is being restarted");
    if (status != LAM_OK)
        return lam_fail(err, LAM_E_BUSY, "no process that decodes pixels can be started");
    lam_ipc_message message;
    status = receive_by(s, lam_clock_monotonic_ms() + START_MS, &message, err);
    if (status == LAM_OK) {
        s->child.ready = message.type == LAM_MESSAGE_READY;
        lam_ipc_message_done(&message);
    }
    if (s->child.ready)
        return LAM_OK;
    end_process(s, "it does not become ready");
    return lam_fail(err, LAM_E_BUSY, "the process that decodes pixels does not become ready");
}

static lam_status status_of(const char *name)
{
    for (int i = 1; i < LAM_STATUS_COUNT; i++)
        if (strcmp(lam_status_name((lam_status)i), name) == 0)
            return (lam_status)i;
    return LAM_E_CORRUPT;
}

static lam_status take_failure(const lam_ipc_message *message, lam_error *err)
{
    LAM_AUTO_PTR(lam_json) *json = NULL;
    const lam_jv *root = NULL;
    if (lam_json_parse(message->payload, message->length, &json, NULL) == LAM_OK)
        root = lam_json_root(json);
    return lam_fail(err, status_of(lam_jv_text(lam_jv_get(root, "status"), "")), "%s",
                    lam_jv_text(lam_jv_get(root, "reason"), "the object cannot be decoded"));
}

static lam_status exchange(slot *s, ask *a, lam_error *err)
{
    lam_ipc_message message;
    lam_status status = start_process(s, err);
    if (status != LAM_OK)
        return status;
    status = lam_ipc_send(s->child.socket, a->type, ++s->number, a->payload, a->fds, a->fd_count, err);
    if (status == LAM_OK)
        status = receive_by(s, lam_clock_monotonic_ms() + s->pool->timeout_ms, &message, err);
    if (status != LAM_OK) {
        end_process(s, status == LAM_E_TIMEOUT ? "it hangs" : "it ended");
        return lam_fail(err, LAM_E_CORRUPT, "decoding the object %s",
                        status == LAM_E_TIMEOUT ? "took too long and was stopped" : "crashed the decoder");
    }
    bool ours = message.request == s->number;
    if (ours && message.type == LAM_MESSAGE_PIXELS)
        status = lam_buffer_append(a->answer, message.payload, message.length);
    else if (ours && message.type == LAM_MESSAGE_FAILED)
        status = take_failure(&message, err);
    else
        status = LAM_E_PEER;
    lam_ipc_message_done(&message);
    if (status == LAM_E_PEER) {
        end_process(s, "it broke the protocol");
        return lam_fail(err, LAM_E_INTERNAL, "the process that decodes pixels broke the protocol");
    }
    return status;
}

/* An idle process may have ended unnoticed; that is not the fault of the object it is asked about next. */
static void reap_idle(slot *s)
{
    struct pollfd poller = {.fd = s->child.socket, .events = POLLIN};
    if (s->child.pid > 0 && poll(&poller, 1, 0) > 0)
        end_process(s, "it ended while idle");
}

static ask *next_ask(lam_render_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    while (!pool->first && !pool->stopping)
        pthread_cond_wait(&pool->wanted, &pool->lock);
    ask *a = pool->first;
    if (a) {
        pool->first = a->next;
        pool->last = pool->first ? pool->last : NULL;
        pool->waiting--;
    }
    pthread_mutex_unlock(&pool->lock);
    return a;
}

static void *serve(void *context)
{
    slot *s = context;
    lam_render_pool *pool = s->pool;
    for (ask *a; (a = next_ask(pool));) {
        lam_error err = {LAM_OK, ""};
        reap_idle(s);
        lam_status status = exchange(s, a, &err);
        err.status = status;
        pthread_mutex_lock(&pool->lock);
        a->error = err;
        a->done = true;
        pthread_cond_broadcast(&pool->answered);
        pthread_mutex_unlock(&pool->lock);
    }
    lam_child_stop(&s->child, NULL);
    return NULL;
}

/* ---- the pool ---- */

lam_status lam_render_pool_create(int64_t timeout_ms, lam_render_pool **out, lam_error *err)
{
    lam_render_pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    pool->timeout_ms = timeout_ms;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wanted, NULL);
    pthread_cond_init(&pool->answered, NULL);
    for (int i = 0; i < LAM_RENDER_PROCESSES; i++) {
        slot *s = &pool->slots[i];
        s->pool = pool;
        lam_child_init(&s->child, "lamina-worker");
        int failed = pthread_create(&s->thread, NULL, serve, s);
        if (failed) {
            lam_render_pool_free(pool);
            return lam_fail_errno(err, failed, "cannot start a thread for pixel work");
        }
        pool->threads++;
    }
    *out = pool;
    return LAM_OK;
}

void lam_render_pool_free(lam_render_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->wanted);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->threads; i++)
        pthread_join(pool->slots[i].thread, NULL);
    pthread_cond_destroy(&pool->wanted);
    pthread_cond_destroy(&pool->answered);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

lam_status lam_render_pool_ask(lam_render_pool *pool, uint32_t type, const char *payload, const int *fds,
                               size_t fd_count, lam_buffer *answer, lam_error *err)
{
    ask a = {.type = type, .payload = payload, .fds = fds, .fd_count = fd_count, .answer = answer};
    pthread_mutex_lock(&pool->lock);
    bool refused = pool->waiting >= MAX_WAITING || pool->stopping;
    if (!refused) {
        if (pool->last)
            pool->last->next = &a;
        else
            pool->first = &a;
        pool->last = &a;
        pool->waiting++;
        pthread_cond_signal(&pool->wanted);
        while (!a.done)
            pthread_cond_wait(&pool->answered, &pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    if (refused)
        return lam_fail(err, LAM_E_BUSY, "%d requests for pixels wait already", MAX_WAITING);
    if (a.error.status != LAM_OK && err)
        *err = a.error;
    return a.error.status;
}
