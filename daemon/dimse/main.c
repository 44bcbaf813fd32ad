/* lamina-dimse: the only process that speaks DIMSE to the network. It answers C-ECHO and receives objects
 * into the spool; what becomes of them laminad decides. It opens no path, no database and no listening
 * socket: all it has was handed to it by laminad, over the one socket it starts with. */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/json.h"
#include "core/base/log.h"
#include "daemon/dimse/link.h"
#include "daemon/dimse/reception.h"
#include "daemon/dimse/sessions.h"
#include "daemon/dimse/settings.h"
#include "daemon/ipc/ipc.h"
#include "daemon/ipc/messages.h"
#include "dicom/net.h"

enum {
    DRAIN_MS = 60 * 1000, /* for objects under way; laminad has a limit of its own and kills */
    CUT_MS = 2000,        /* for sessions to remove their files when laminad is gone */
    ARENAS = 2,           /* of malloc: one a thread would cost more than the buffers in them */
};

typedef struct program {
    lam_scp_link *link;
    lam_scp_sessions *sessions;
    lam_scp_reception *reception;
    int spool;
} program;

static void confine(void)
{
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    syscall(SYS_close_range, LAM_IPC_CHILD_SOCKET + 1, ~0U, 0);
    signal(SIGPIPE, SIG_IGN);
    /* A service manager or a terminal may signal the whole group; laminad tells us when to end. */
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    mallopt(M_ARENA_MAX, ARENAS);
}

static lam_status tell_ready(program *self, lam_error *err)
{
    char text[64];
    snprintf(text, sizeof text, "{\"pid\":%ld}", (long)getpid());
    return lam_scp_link_tell(self->link, LAM_MESSAGE_READY, text, err);
}

static lam_status configure_first(program *self, lam_ipc_message *message, const lam_scp_settings *settings,
                                  lam_error *err)
{
    if (message->fd_count != 2)
        return lam_fail(err, LAM_E_INVALID, "the first configuration came with %zu descriptors, not 2",
                        message->fd_count);
    self->spool = LAM_TAKE_FD(message->fds[1]);
    lam_status status = lam_scp_sessions_create(self->link, self->spool, &self->sessions, err);
    if (status == LAM_OK)
        status = lam_scp_reception_start(message->fds[0], settings, self->sessions, self->link,
                                         &self->reception, err);
    if (status == LAM_OK) {
        (void)LAM_TAKE_FD(message->fds[0]);
        status = tell_ready(self, err);
    }
    return status;
}

static lam_status configure(program *self, lam_ipc_message *message, lam_error *err)
{
    lam_scp_settings *settings = NULL;
    lam_status status = lam_scp_settings_parse(message->payload, message->length, &settings, err);
    if (status != LAM_OK)
        return status;
    if (self->reception)
        lam_scp_reception_set(self->reception, settings);
    else
        status = configure_first(self, message, settings, err);
    lam_scp_settings_unref(settings);
    return status;
}

static lam_status take(program *self, lam_ipc_message *message, bool *drain, lam_error *err)
{
    switch (message->type) {
    case LAM_MESSAGE_CONFIGURE:
        return configure(self, message, err);
    case LAM_MESSAGE_STORE_REPLY:
        return lam_scp_link_deliver(self->link, message->request, message->payload, message->length, err);
    case LAM_MESSAGE_DRAIN:
        *drain = true;
        return LAM_OK;
    default:
        return lam_fail(err, LAM_E_INVALID, "unknown message type %u", message->type);
    }
}

/* Stops taking callers; what is in the middle of a message may finish it. */
static void begin_drain(program *self)
{
    lam_scp_reception_stop(LAM_TAKE_PTR(self->reception));
    if (self->sessions)
        lam_scp_sessions_drain(self->sessions);
}

/* While draining the replies still have to come through, so a thread of its own waits for the last session
 * and ends the process. */
static void *end_when_drained(void *argument)
{
    program *self = argument;
    bool all = !self->sessions || lam_scp_sessions_wait(self->sessions, DRAIN_MS);
    _exit(all ? 0 : 1);
}

static void serve(program *self, lam_error *err)
{
    bool draining = false;
    for (;;) {
        lam_ipc_message message;
        bool drain = false;
        lam_status status = lam_ipc_receive(LAM_IPC_CHILD_SOCKET, &message, err);
        if (status == LAM_OK) {
            status = take(self, &message, &drain, err);
            lam_ipc_message_done(&message);
        }
        if (status != LAM_OK)
            return;
        pthread_t thread;
        if (drain && !draining) {
            draining = true;
            begin_drain(self);
            if (pthread_create(&thread, NULL, end_when_drained, self) != 0)
                return;
        }
    }
}

int main(void)
{
    confine();
    lam_log_open("lamina-dimse", LAM_LOG_INFO, false);
    lam_error err = {0};
    program self = {.spool = -1};
    lam_status status = lam_net_start(&err);
    if (status == LAM_OK)
        status = lam_scp_link_create(LAM_IPC_CHILD_SOCKET, &self.link, &err);
    if (status != LAM_OK) {
        lam_log(LAM_LOG_ERROR, "cannot_start", "reason=%s", LAM_QUOTE(err.message));
        return 1;
    }
    serve(&self, &err);
    lam_log(LAM_LOG_WARNING, "ended", "reason=%s", LAM_QUOTE(err.message));
    /* Without laminad nothing can be stored: cut everything, so that no half-written file stays behind. */
    lam_scp_link_break(self.link);
    if (self.sessions) {
        lam_scp_sessions_cut(self.sessions);
        lam_scp_sessions_wait(self.sessions, CUT_MS);
    }
    _exit(1); /* threads may still be at work; there is nothing left for them to save */
}
