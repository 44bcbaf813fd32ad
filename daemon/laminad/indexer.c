#include "daemon/laminad/indexer.h"

#include <stdbool.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "daemon/ipc/ipc.h"
#include "daemon/ipc/messages.h"
#include "daemon/laminad/child.h"
#include "daemon/laminad/metrics.h"

enum {
    WINDOW = 8, /* requests under way in one process: enough to hide the round trip */
    ANSWER_MS = 20000,
    STALL_MS = 30000,
    MAX_SUSPICIONS = 2,
    MEMORY = 1536 * 1024, /* KiB, besides the object that is mapped */
};

typedef struct request_list {
    lam_index_request *first, *last;
    size_t count;
} request_list;

typedef struct index_process {
    lam_child child;
    request_list sent; /* in the order of sending, which is the order of answers */
    bool blocked;      /* its socket took no more */
} index_process;

struct lam_indexer {
    lam_indexer_options options;
    index_process process[LAM_INDEXER_MAX];
    request_list waiting;
    uint32_t last_number;
};

static void push(request_list *list, lam_index_request *request)
{
    request->next = NULL;
    if (list->last)
        list->last->next = request;
    else
        list->first = request;
    list->last = request;
    list->count++;
}

static void wait_again(request_list *waiting, lam_index_request *request)
{
    request->queued_ms = lam_clock_monotonic_ms();
    push(waiting, request);
}

static lam_index_request *pop(request_list *list)
{
    lam_index_request *request = list->first;
    if (!request)
        return NULL;
    list->first = request->next;
    if (!list->first)
        list->last = NULL;
    list->count--;
    return request;
}

static void answer(lam_indexer *indexer, lam_index_request *request, lam_status status, const char *text)
{
    indexer->options.answer(indexer->options.context, request, status, text);
}

lam_status lam_indexer_create(const lam_indexer_options *options, lam_indexer **out, lam_error *err)
{
    lam_indexer *indexer = calloc(1, sizeof *indexer);
    if (!indexer)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    indexer->options = *options;
    if (options->processes > LAM_INDEXER_MAX)
        indexer->options.processes = LAM_INDEXER_MAX;
    if (options->answer_ms == 0)
        indexer->options.answer_ms = ANSWER_MS;
    if (options->stall_ms == 0)
        indexer->options.stall_ms = STALL_MS;
    for (int i = 0; i < indexer->options.processes; i++)
        lam_child_init(&indexer->process[i].child, "lamina-worker");
    *out = indexer;
    return LAM_OK;
}

void lam_indexer_abandon(lam_indexer *indexer, lam_status status, const char *reason)
{
    for (int i = 0; i < indexer->options.processes; i++) {
        index_process *process = &indexer->process[i];
        lam_child_stop(&process->child, NULL);
        for (lam_index_request *r; (r = pop(&process->sent));)
            answer(indexer, r, status, reason);
    }
    for (lam_index_request *r; (r = pop(&indexer->waiting));)
        answer(indexer, r, status, reason);
}

void lam_indexer_free(lam_indexer *indexer)
{
    if (!indexer)
        return;
    for (int i = 0; i < indexer->options.processes; i++)
        lam_child_stop(&indexer->process[i].child, NULL);
    free(indexer);
}

void lam_indexer_submit(lam_indexer *indexer, lam_index_request *request)
{
    request->number = ++indexer->last_number;
    request->suspicions = 0;
    wait_again(&indexer->waiting, request);
}

/* The process is gone or will be: what it had is sent again, all but a suspect that was suspected before. */
static void give_up_process(lam_indexer *indexer, index_process *process, const char *what)
{
    char how[64] = "";
    lam_child_stop(&process->child, how);
    process->blocked = false;
    lam_metrics_add(LAM_COUNT_CHILD_ENDS, 1);
    lam_log(LAM_LOG_WARNING, "indexer_ended", "why=%s how=%s unanswered=%zu", LAM_QUOTE(what), LAM_QUOTE(how),
            process->sent.count);
    lam_index_request *suspect = pop(&process->sent);
    if (suspect && ++suspect->suspicions >= MAX_SUSPICIONS)
        answer(indexer, suspect, LAM_E_CORRUPT, "reading the header crashed or hung the parser");
    else if (suspect)
        wait_again(&indexer->waiting, suspect);
    for (lam_index_request *r; (r = pop(&process->sent));)
        wait_again(&indexer->waiting, r);
}

static lam_status take_answer(lam_indexer *indexer, index_process *process, const lam_ipc_message *message)
{
    lam_index_request *request = process->sent.first;
    if (message->type == LAM_MESSAGE_READY) {
        process->child.ready = true;
        return LAM_OK;
    }
    bool expected = message->type == LAM_MESSAGE_INDEXED || message->type == LAM_MESSAGE_FAILED;
    if (!expected || !request || request->number != message->request)
        return LAM_E_CORRUPT;
    pop(&process->sent);
    if (process->sent.first)
        process->sent.first->sent_ms = lam_clock_monotonic_ms(); /* its turn begins now */
    if (message->type == LAM_MESSAGE_INDEXED) {
        answer(indexer, request, LAM_OK, message->payload);
        return LAM_OK;
    }
    LAM_AUTO_PTR(lam_json) *json = NULL;
    const char *reason = "the header cannot be read";
    if (lam_json_parse(message->payload, message->length, &json, NULL) == LAM_OK)
        reason = lam_jv_text(lam_jv_get(lam_json_root(json), "reason"), reason);
    answer(indexer, request, LAM_E_CORRUPT, reason);
    return LAM_OK;
}

static void receive_answers(lam_indexer *indexer, index_process *process)
{
    for (;;) {
        lam_ipc_message message;
        lam_error err = {0};
        lam_status status = lam_ipc_receive(process->child.socket, &message, &err);
        if (status == LAM_E_BUSY)
            return;
        if (status == LAM_OK) {
            status = take_answer(indexer, process, &message);
            lam_ipc_message_done(&message);
        }
        if (status != LAM_OK) {
            give_up_process(indexer, process, status == LAM_E_PEER ? "it ended" : "it broke the protocol");
            return;
        }
    }
}

/* Nothing goes to a process that is not ready: one that cannot even start must not make objects suspect. */
static void send_waiting(lam_indexer *indexer, index_process *process)
{
    while (process->child.ready && process->sent.count < WINDOW && indexer->waiting.first) {
        lam_index_request *request = indexer->waiting.first;
        /* a suspect goes alone, so that a second end of the process says who did it */
        const lam_index_request *at = process->sent.first;
        if (at && (request->suspicions || at->suspicions))
            return;
        lam_status status = lam_ipc_send(process->child.socket, LAM_MESSAGE_INDEX, request->number, "{}",
                                         &request->fd, 1, NULL);
        process->blocked = status == LAM_E_BUSY;
        if (process->blocked)
            return;
        if (status != LAM_OK) {
            give_up_process(indexer, process, "it takes no more requests");
            return;
        }
        request->sent_ms = lam_clock_monotonic_ms();
        push(&process->sent, pop(&indexer->waiting));
    }
}

static void start_process(index_process *process)
{
    const lam_child_limits limits = {.address_space = (int64_t)MEMORY * 1024,
                                     .mapped_files = LAM_CHILD_MAPPED,
                                     .file_size = LAM_IPC_MAX_PAYLOAD,
                                     .open_files = 256,
                                     .non_blocking = true};
    lam_error err = {0};
    lam_status status = lam_child_start(&process->child, &limits, &err);
    if (status != LAM_OK && status != LAM_E_BUSY)
        lam_log(LAM_LOG_ERROR, "indexer_start_failed", "reason=%s", LAM_QUOTE(err.message));
}

static bool any_ready(const lam_indexer *indexer)
{
    for (int i = 0; i < indexer->options.processes; i++)
        if (indexer->process[i].child.ready)
            return true;
    return false;
}

size_t lam_indexer_poll(lam_indexer *indexer, struct pollfd *polls, int64_t *timeout_ms)
{
    size_t count = 0;
    int64_t now = lam_clock_monotonic_ms(), due = INT64_MAX;
    for (int i = 0; i < indexer->options.processes; i++) {
        const index_process *process = &indexer->process[i];
        int64_t next = INT64_MAX;
        if (process->child.pid <= 0) {
            next = now + lam_child_wait_ms(&process->child);
        } else {
            polls[count++] = (struct pollfd){.fd = process->child.socket,
                                             .events = (short)(POLLIN | (process->blocked ? POLLOUT : 0))};
            if (process->sent.first)
                next = process->sent.first->sent_ms + indexer->options.answer_ms + 1;
        }
        due = next < due ? next : due;
    }
    if (indexer->waiting.first && !any_ready(indexer)) {
        int64_t stalled = indexer->waiting.first->queued_ms + indexer->options.stall_ms + 1;
        due = stalled < due ? stalled : due;
    }
    if (due - now < *timeout_ms)
        *timeout_ms = due > now ? due - now : 0;
    return count;
}

/* Without a process nobody shall wait for ever. */
static void refuse_stalled(lam_indexer *indexer)
{
    int64_t now = lam_clock_monotonic_ms();
    while (indexer->waiting.first && !any_ready(indexer) &&
           now - indexer->waiting.first->queued_ms > indexer->options.stall_ms)
        answer(indexer, pop(&indexer->waiting), LAM_E_BUSY,
               "no process that reads headers can be started: send it again later");
}

static void turn_process(lam_indexer *indexer, index_process *process)
{
    const lam_index_request *first;
    if (process->child.pid > 0)
        receive_answers(indexer, process);
    first = process->sent.first;
    if (process->child.pid > 0 && first &&
        lam_clock_monotonic_ms() - first->sent_ms > indexer->options.answer_ms)
        give_up_process(indexer, process, "it hangs");
    if (lam_child_is_stuck(&process->child))
        give_up_process(indexer, process, "it does not become ready");
    if (process->child.pid <= 0)
        start_process(process);
    send_waiting(indexer, process);
}

void lam_indexer_turn(lam_indexer *indexer)
{
    for (int i = 0; i < indexer->options.processes; i++)
        turn_process(indexer, &indexer->process[i]);
    refuse_stalled(indexer);
}
