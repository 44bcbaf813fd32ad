/* All associations under way: how many, whose, and how they are brought to an end. Each runs in a thread of
 * its own (session.h). Thread-safe. */
#ifndef LAMINA_DAEMON_DIMSE_SESSIONS_H
#define LAMINA_DAEMON_DIMSE_SESSIONS_H

#include <stdbool.h>

#include "core/base/status.h"
#include "daemon/dimse/caller.h"
#include "daemon/dimse/link.h"

typedef struct lam_scp_sessions lam_scp_sessions;

/* A session's place in the list; part of lam_scp_session. */
typedef struct lam_scp_seat {
    struct lam_scp_seat *next;
    const char *calling_ae; /* borrowed from the session */
    int wake;               /* a duplicate of its socket, to be shut down by others */
    bool secured;           /* by TLS: nobody else may write to it */
    bool idle;              /* between messages */
} lam_scp_seat;

/* `link` is borrowed; `spool` too: the directory. */
lam_status lam_scp_sessions_create(lam_scp_link *link, int spool, lam_scp_sessions **out, lam_error *err);
/* All sessions must have ended; NULL-safe. */
void lam_scp_sessions_free(lam_scp_sessions *sessions);

/* Whether one more association of this calling AE title is within the limits. */
bool lam_scp_sessions_have_room(lam_scp_sessions *sessions, const lam_scp_settings *settings,
                                const char *calling_ae);

/* Starts a session. Takes the caller in any case. */
lam_status lam_scp_sessions_start(lam_scp_sessions *sessions, lam_scp_caller *caller, lam_error *err);

/* From now on a session ends where its message ends; those between messages are aborted at once. */
void lam_scp_sessions_drain(lam_scp_sessions *sessions);
/* Cuts every connection, so that every session ends now, in the middle of whatever it does. */
void lam_scp_sessions_cut(lam_scp_sessions *sessions);
/* Waits until the last has ended; false when that takes longer than `timeout_ms`. */
bool lam_scp_sessions_wait(lam_scp_sessions *sessions, int timeout_ms);

/* For session.c. */
lam_scp_link *lam_scp_sessions_link(const lam_scp_sessions *sessions);
int lam_scp_sessions_spool(const lam_scp_sessions *sessions);
/* Says that the session waits for its next message (true) or has one (false). Returns whether it may go on:
 * false once draining. */
bool lam_scp_sessions_set_idle(lam_scp_sessions *sessions, lam_scp_seat *seat, bool idle);
void lam_scp_sessions_leave(lam_scp_sessions *sessions, lam_scp_seat *seat);

#endif
