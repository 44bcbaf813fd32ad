#include "daemon/laminad/render_pool.h"

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "daemon/ipc/messages.h"
#include "daemon/laminad/child.h"
#include "daemon/laminad/metrics.h"
#include "daemon/laminad/question.h"

enum { MAX_WAITING = 64 };

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

static void end_process(slot *s, const char *why)
{
    char how[64] = "";
    lam_child_stop(&s->child, how);
    lam_metrics_add(LAM_COUNT_CHILD_ENDS, 1);
    lam_log(LAM_LOG_WARNING, "renderer_ended", "why=%s how=%s", LAM_QUOTE(why), LAM_QUOTE(how));
}

static lam_status exchange(slot *s, ask *a, lam_error *err)
{
    const lam_child_limits limits = {.address_space = (int64_t)8 << 30,
                                     .mapped_files = LAM_CHILD_MAPPED,
                                     .file_size = (int64_t)4 << 30,
                                     .open_files = 64,
                                     .non_blocking = true};
    const lam_question question = {.type = a->type,
                                   .answer = LAM_MESSAGE_PIXELS,
                                   .what = "the object",
                                   .payload = a->payload,
                                   .fds = a->fds,
                                   .fd_count = a->fd_count,
                                   .timeout_ms = s->pool->timeout_ms};
    const char *broken = NULL;
    lam_status status = lam_question_start(&s->child, &limits, &broken, err);
    if (status == LAM_OK)
        status = lam_question_ask(&s->child, &question, a->answer, &broken, err);
    if (broken)
        end_process(s, broken);
    return status == LAM_E_CORRUPT && broken ? LAM_E_INTERNAL : status; /* no reader should crash or hang */
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
