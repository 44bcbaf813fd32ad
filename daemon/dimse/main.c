/* lamina-dimse: the only program that speaks DIMSE to the network. Told CONFIGURE it answers C-ECHO and
 * receives objects into the spool, and what becomes of them laminad decides; told DELIVER it asks one peer
 * for an association. It opens no path, no database and no listening socket: all it has was handed to it by
 * laminad, over the one socket it starts with. */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/log.h"
#include "daemon/dimse/chores.h"
#include "daemon/dimse/files.h"
#include "daemon/dimse/identity.h"
#include "daemon/dimse/link.h"
#include "daemon/dimse/reception.h"
#include "daemon/dimse/sender.h"
#include "daemon/dimse/sessions.h"
#include "daemon/dimse/settings.h"
#include "daemon/ipc/ipc.h"
#include "daemon/ipc/messages.h"
#include "dicom/net.h"

enum {
    OWN_FDS = 2,   /* listener and spool */
    CUT_MS = 2000, /* for sessions to remove their files when laminad is gone */
    ARENAS = 2,    /* of malloc: one a thread would cost more than the buffers in them */
};

typedef struct program {
    lam_scp_link *link;
    lam_scp_sessions *sessions; /* NULL until the first CONFIGURE, as is: */
    lam_scp_chores *chores;
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

/* The main thread waits for laminad; this makes it see an end. */
static void end(const lam_error *err)
{
    lam_log(LAM_LOG_ERROR, "configuration_refused", "reason=%s", LAM_QUOTE(err->message));
    shutdown(LAM_IPC_CHILD_SOCKET, SHUT_RDWR);
}

/* Certificate and key, where associations come by TLS. */
static lam_status read_tls(const lam_ipc_message *message, lam_tls_context **out, lam_error *err)
{
    LAM_AUTO_PTR(lam_json) *document = NULL;
    lam_status status = lam_json_parse(message->payload, message->length, &document, err);
    if (status != LAM_OK)
        return status;
    const lam_jv *tls = lam_jv_get(lam_json_root(document), "tls");
    if (!tls)
        return LAM_OK;
    LAM_AUTO(lam_scp_identity_done) lam_scp_identity identity;
    status = lam_scp_identity_read(&identity, tls, message->fds + OWN_FDS, message->fd_count - OWN_FDS, err);
    return status == LAM_OK ? lam_tls_context_create(LAM_TLS_SERVER, &identity.texts, out, err) : status;
}

/* The first configuration, with the two descriptors that are all we will ever keep: starts everything. */
static lam_status begin(program *self, lam_ipc_message *message, lam_error *err)
{
    lam_scp_settings *settings = NULL;
    lam_scp_reception *reception = NULL;
    LAM_AUTO_PTR(lam_tls_context) *tls = NULL;
    if (message->fd_count < OWN_FDS)
        return lam_fail(err, LAM_E_INVALID, "the first configuration came with %zu descriptors, not %d",
                        message->fd_count, OWN_FDS);
    lam_status status = read_tls(message, &tls, err);
    if (status == LAM_OK)
        status = lam_scp_settings_parse(message->payload, message->length, &settings, err);
    if (status != LAM_OK)
        return status;
    int listener = LAM_TAKE_FD(message->fds[0]), spool = LAM_TAKE_FD(message->fds[1]);
    status = lam_scp_files_restrict(spool, err);
    if (status == LAM_OK)
        status = lam_scp_sessions_create(self->link, spool, &self->sessions, err);
    if (status == LAM_OK)
        status =
            lam_scp_reception_start(listener, tls, settings, self->sessions, self->link, &reception, err);
    if (status == LAM_OK) {
        tls = NULL; /* it is the reception's now */
        status = lam_scp_chores_start(reception, self->sessions, end, &self->chores, err);
    }
    if (status == LAM_OK)
        status = tell_ready(self, err);
    lam_scp_settings_unref(settings);
    return status;
}

static lam_status take(program *self, lam_ipc_message *message, lam_error *err)
{
    if (!self->chores && message->type == LAM_MESSAGE_CONFIGURE)
        return begin(self, message, err);
    if (!self->chores && message->type == LAM_MESSAGE_DELIVER) {
        lam_status status = lam_scp_files_restrict(-1, err);
        return status == LAM_OK ? lam_scu_serve(LAM_IPC_CHILD_SOCKET, message, err) : status;
    }
    if (!self->chores)
        return lam_fail(err, LAM_E_STATE, "message type %u before the configuration", message->type);
    switch (message->type) {
    case LAM_MESSAGE_CONFIGURE:
        return lam_scp_chores_configure(self->chores, message->payload, err);
    case LAM_MESSAGE_STORE_REPLY:
        return lam_scp_link_deliver(self->link, message->request, message->payload, message->length, err);
    case LAM_MESSAGE_COMMIT_REPLY:
        lam_scp_link_deliver_text(self->link, message->request, message->payload, message->length);
        return LAM_OK;
    case LAM_MESSAGE_DRAIN:
        return lam_scp_chores_drain(self->chores, err);
    default:
        return lam_fail(err, LAM_E_INVALID, "unknown message type %u", message->type);
    }
}

/* Until laminad is gone, or says something that we do not understand. */
static void serve(program *self, lam_error *err)
{
    lam_status status = LAM_OK;
    while (status == LAM_OK) {
        lam_ipc_message message;
        status = lam_ipc_receive(LAM_IPC_CHILD_SOCKET, &message, err);
        if (status != LAM_OK)
            return;
        status = take(self, &message, err);
        lam_ipc_message_done(&message);
    }
}

int main(void)
{
    lam_log_open("lamina-dimse", LAM_LOG_INFO, getenv("JOURNAL_STREAM") != NULL);
    lam_error err = {0};
    program self = {0};
    lam_status status = lam_ipc_check_child(&err);
    if (status == LAM_OK) {
        confine();
        status = lam_net_start(&err);
    }
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
