#include "daemon/dimse/sessions.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "daemon/dimse/session.h"
#include "dicom/associate.h"

struct lam_scp_sessions {
    lam_scp_link *link;
    int spool;
    pthread_mutex_t lock; /* all below and every seat */
    pthread_cond_t left;
    lam_scp_seat *seats;
    bool draining;
};

enum { STACK_BYTES = 512 * 1024 };

lam_status lam_scp_sessions_create(lam_scp_link *link, int spool, lam_scp_sessions **out, lam_error *err)
{
    lam_scp_sessions *sessions = calloc(1, sizeof *sessions);
    if (!sessions)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    sessions->link = link;
    sessions->spool = spool;
    pthread_mutex_init(&sessions->lock, NULL);
    lam_clock_condition_init(&sessions->left);
    *out = sessions;
    return LAM_OK;
}

void lam_scp_sessions_free(lam_scp_sessions *sessions)
{
    if (!sessions)
        return;
    pthread_cond_destroy(&sessions->left);
    pthread_mutex_destroy(&sessions->lock);
    free(sessions);
}

bool lam_scp_sessions_have_room(lam_scp_sessions *sessions, const lam_scp_settings *settings,
                                const char *calling_ae)
{
    int all = 0, of_peer = 0;
    pthread_mutex_lock(&sessions->lock);
    for (const lam_scp_seat *seat = sessions->seats; seat; seat = seat->next) {
        all++;
        of_peer += strcmp(seat->calling_ae, calling_ae) == 0;
    }
    pthread_mutex_unlock(&sessions->lock);
    return all < settings->max_associations && of_peer < settings->max_associations_per_peer;
}

static void take_seat(lam_scp_sessions *sessions, lam_scp_seat *seat)
{
    pthread_mutex_lock(&sessions->lock);
    seat->next = sessions->seats;
    sessions->seats = seat;
    pthread_mutex_unlock(&sessions->lock);
}

lam_status lam_scp_sessions_start(lam_scp_sessions *sessions, lam_scp_caller *caller, lam_error *err)
{
    lam_scp_session *session = NULL;
    lam_status status = lam_scp_session_create(sessions, caller, &session, err);
    if (status != LAM_OK)
        return status;
    take_seat(sessions, &session->seat);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_t thread;
    int failed = pthread_create(&thread, &attributes, lam_scp_session_main, session);
    pthread_attr_destroy(&attributes);
    if (!failed)
        return LAM_OK;
    lam_scp_session_free(session);
    return lam_fail_errno(err, failed, "cannot start a thread for an association");
}

void lam_scp_sessions_drain(lam_scp_sessions *sessions)
{
    uint8_t abort_pdu[LAM_SHORT_PDU_BYTES];
    lam_abort_write(LAM_ABORT_NO_REASON, abort_pdu);
    pthread_mutex_lock(&sessions->lock);
    sessions->draining = true;
    for (lam_scp_seat *seat = sessions->seats; seat; seat = seat->next)
        if (seat->idle) { /* it neither sends nor is in the middle of receiving, so we may */
            if (!seat->secured)
                send(seat->wake, abort_pdu, sizeof abort_pdu, MSG_NOSIGNAL | MSG_DONTWAIT);
            shutdown(seat->wake, SHUT_RDWR);
        }
    pthread_mutex_unlock(&sessions->lock);
}

void lam_scp_sessions_cut(lam_scp_sessions *sessions)
{
    pthread_mutex_lock(&sessions->lock);
    sessions->draining = true;
    for (lam_scp_seat *seat = sessions->seats; seat; seat = seat->next)
        shutdown(seat->wake, SHUT_RDWR);
    pthread_mutex_unlock(&sessions->lock);
}

bool lam_scp_sessions_wait(lam_scp_sessions *sessions, int timeout_ms)
{
    struct timespec until = lam_clock_after_ms(timeout_ms);
    pthread_mutex_lock(&sessions->lock);
    int waited = 0;
    while (sessions->seats && waited != ETIMEDOUT)
        waited = pthread_cond_timedwait(&sessions->left, &sessions->lock, &until);
    bool empty = !sessions->seats;
    pthread_mutex_unlock(&sessions->lock);
    return empty;
}

lam_scp_link *lam_scp_sessions_link(const lam_scp_sessions *sessions)
{
    return sessions->link;
}

int lam_scp_sessions_spool(const lam_scp_sessions *sessions)
{
    return sessions->spool;
}

bool lam_scp_sessions_set_idle(lam_scp_sessions *sessions, lam_scp_seat *seat, bool idle)
{
    pthread_mutex_lock(&sessions->lock);
    seat->idle = idle && !sessions->draining;
    bool go_on = !sessions->draining;
    pthread_mutex_unlock(&sessions->lock);
    return go_on;
}

void lam_scp_sessions_leave(lam_scp_sessions *sessions, lam_scp_seat *seat)
{
    pthread_mutex_lock(&sessions->lock);
    lam_scp_seat **at = &sessions->seats;
    while (*at && *at != seat)
        at = &(*at)->next;
    if (*at)
        *at = seat->next;
    pthread_cond_broadcast(&sessions->left);
    pthread_mutex_unlock(&sessions->lock);
}
