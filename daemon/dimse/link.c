#include "daemon/dimse/link.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/io.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "daemon/ipc/ipc.h"
#include "daemon/ipc/messages.h"

/* One question under way; lies on the stack of the thread that waits. */
typedef struct waiter {
    struct waiter *next;
    uint32_t request;
    bool answered;
    lam_scp_verdict verdict;
    lam_buffer *reply; /* of ask; NULL: a STORE */
    pthread_cond_t changed;
} waiter;

struct lam_scp_link {
    int socket;
    pthread_mutex_t lock; /* all below */
    waiter *waiters;
    uint32_t last_request;
    bool broken;
};

lam_status lam_scp_link_create(int socket, lam_scp_link **out, lam_error *err)
{
    lam_scp_link *link = calloc(1, sizeof *link);
    if (!link)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    link->socket = socket;
    pthread_mutex_init(&link->lock, NULL);
    *out = link;
    return LAM_OK;
}

void lam_scp_link_free(lam_scp_link *link)
{
    if (!link)
        return;
    pthread_mutex_destroy(&link->lock);
    free(link);
}

lam_status lam_scp_link_tell(lam_scp_link *link, uint32_t type, const char *json, lam_error *err)
{
    return lam_ipc_send(link->socket, type, 0, json, NULL, 0, err);
}

static void enter(lam_scp_link *link, waiter *self)
{
    lam_clock_condition_init(&self->changed);
    pthread_mutex_lock(&link->lock);
    if (++link->last_request == 0) /* 0 is for events */
        link->last_request = 1;
    self->request = link->last_request;
    self->next = link->waiters;
    link->waiters = self;
    pthread_mutex_unlock(&link->lock);
}

static void leave(lam_scp_link *link, waiter *self)
{
    pthread_mutex_lock(&link->lock);
    waiter **at = &link->waiters;
    while (*at != self)
        at = &(*at)->next;
    *at = self->next;
    pthread_mutex_unlock(&link->lock);
    pthread_cond_destroy(&self->changed);
}

static lam_status wait_for_answer(lam_scp_link *link, waiter *self, int timeout_ms, lam_error *err)
{
    struct timespec until = lam_clock_after_ms(timeout_ms);
    pthread_mutex_lock(&link->lock);
    int waited = 0;
    while (!self->answered && !link->broken && waited != ETIMEDOUT)
        waited = pthread_cond_timedwait(&self->changed, &link->lock, &until);
    bool answered = self->answered, broken = link->broken;
    pthread_mutex_unlock(&link->lock);
    if (answered)
        return LAM_OK;
    return broken ? lam_fail(err, LAM_E_PEER, "laminad is gone")
                  : lam_fail(err, LAM_E_TIMEOUT, "laminad did not answer within %d s", timeout_ms / 1000);
}

lam_status lam_scp_link_store(lam_scp_link *link, const char *json, int fd, int timeout_ms,
                              lam_scp_verdict *out, lam_error *err)
{
    waiter self = {0};
    enter(link, &self);
    lam_status status = lam_ipc_send(link->socket, LAM_MESSAGE_STORE, self.request, json, NULL, 0, err);
    lam_io_start_writing(fd);
    close(fd);
    if (status == LAM_OK)
        status = wait_for_answer(link, &self, timeout_ms, err);
    leave(link, &self);
    if (status == LAM_OK)
        *out = self.verdict;
    return status;
}

lam_status lam_scp_link_ask(lam_scp_link *link, uint32_t type, const char *json, int timeout_ms,
                            lam_buffer *reply, lam_error *err)
{
    waiter self = {.reply = reply};
    enter(link, &self);
    lam_status status = lam_ipc_send(link->socket, type, self.request, json, NULL, 0, err);
    if (status == LAM_OK)
        status = wait_for_answer(link, &self, timeout_ms, err);
    leave(link, &self);
    if (status == LAM_OK && reply->status != LAM_OK)
        status = lam_fail(err, reply->status, "the answer of laminad is too long");
    return status;
}

void lam_scp_link_deliver_text(lam_scp_link *link, uint32_t request, const char *json, size_t length)
{
    pthread_mutex_lock(&link->lock);
    for (waiter *w = link->waiters; w; w = w->next)
        if (w->request == request && w->reply) {
            lam_buffer_append(w->reply, json, length);
            w->answered = true;
            pthread_cond_signal(&w->changed);
            break;
        }
    pthread_mutex_unlock(&link->lock);
}

lam_status lam_scp_link_deliver(lam_scp_link *link, uint32_t request, const char *json, size_t length,
                                lam_error *err)
{
    LAM_AUTO_PTR(lam_json) *document = NULL;
    lam_status status = lam_json_parse(json, length, &document, err);
    if (status != LAM_OK)
        return status;
    const lam_jv *root = lam_json_root(document);
    lam_scp_verdict verdict = {0};
    int64_t number = 0;
    status = lam_jv_need_integer(root, "status", 0, UINT16_MAX, &number, err);
    if (status != LAM_OK)
        return status;
    verdict.status = (uint16_t)number;
    lam_text_copy(verdict.comment, sizeof verdict.comment, lam_jv_text(lam_jv_get(root, "comment"), ""));
    pthread_mutex_lock(&link->lock);
    for (waiter *w = link->waiters; w; w = w->next)
        if (w->request == request && !w->reply) {
            w->verdict = verdict;
            w->answered = true;
            pthread_cond_signal(&w->changed);
            break;
        }
    pthread_mutex_unlock(&link->lock);
    return LAM_OK;
}

void lam_scp_link_break(lam_scp_link *link)
{
    pthread_mutex_lock(&link->lock);
    link->broken = true;
    for (waiter *w = link->waiters; w; w = w->next)
        pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&link->lock);
}
