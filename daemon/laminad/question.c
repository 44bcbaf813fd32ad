#include "daemon/laminad/question.h"

#include <poll.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "daemon/ipc/ipc.h"
#include "daemon/ipc/messages.h"

enum { START_MS = 10000, ONLY = 1 /* number of the one request under way */ };

/* Waits for a message until the deadline. LAM_E_TIMEOUT past it. */
static lam_status receive_by(const lam_child *child, int64_t deadline_ms, lam_ipc_message *message,
                             lam_error *err)
{
    for (;;) {
        lam_status status = lam_ipc_receive(child->socket, message, err);
        if (status != LAM_E_BUSY)
            return status;
        int64_t left = deadline_ms - lam_clock_monotonic_ms();
        struct pollfd poller = {.fd = child->socket, .events = POLLIN};
        if (left <= 0)
            return lam_fail(err, LAM_E_TIMEOUT, "no answer in time");
        poll(&poller, 1, (int)left);
    }
}

lam_status lam_question_start(lam_child *child, const lam_child_limits *limits, const char **broken,
                              lam_error *err)
{
    if (child->pid > 0)
        return LAM_OK;
    lam_status status = lam_child_start(child, limits, err);
    if (status == LAM_E_BUSY)
        return lam_fail(err, LAM_E_BUSY, "the process that is to do this is being restarted");
    if (status != LAM_OK)
        return lam_fail(err, LAM_E_BUSY, "no process that is to do this can be started");
    lam_ipc_message message;
    status = receive_by(child, lam_clock_monotonic_ms() + START_MS, &message, err);
    if (status == LAM_OK) {
        child->ready = message.type == LAM_MESSAGE_READY;
        lam_ipc_message_done(&message);
    }
    if (child->ready)
        return LAM_OK;
    *broken = "it does not become ready";
    return lam_fail(err, LAM_E_BUSY, "the process that is to do this does not become ready");
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
                    lam_jv_text(lam_jv_get(root, "reason"), "it cannot be read"));
}

lam_status lam_question_ask(lam_child *child, const lam_question *question, lam_buffer *answer,
                            const char **broken, lam_error *err)
{
    lam_ipc_message message;
    lam_status status = lam_ipc_send(child->socket, question->type, ONLY, question->payload, question->fds,
                                     question->fd_count, err);
    if (status == LAM_OK)
        status = receive_by(child, lam_clock_monotonic_ms() + question->timeout_ms, &message, err);
    if (status != LAM_OK) {
        *broken = status == LAM_E_TIMEOUT ? "it hangs" : "it ended";
        return lam_fail(err, LAM_E_CORRUPT, "reading %s %s", question->what,
                        status == LAM_E_TIMEOUT ? "took too long and was stopped" : "crashed a process");
    }
    bool ours = message.request == ONLY;
    if (ours && message.type == question->answer)
        status = lam_buffer_append(answer, message.payload, message.length);
    else if (ours && message.type == LAM_MESSAGE_FAILED)
        status = take_failure(&message, err);
    else
        *broken = "it broke the protocol";
    lam_ipc_message_done(&message);
    return *broken ? lam_fail(err, LAM_E_INTERNAL, "the process that is to do this broke the protocol")
                   : status;
}
