/* One association from its acceptance to its end: answers C-ECHO, takes objects by C-STORE. */
#ifndef LAMINA_DAEMON_DIMSE_SESSION_H
#define LAMINA_DAEMON_DIMSE_SESSION_H

#include "daemon/dimse/sessions.h"
#include "daemon/dimse/spool.h"
#include "dicom/net.h"

typedef struct lam_scp_session {
    lam_scp_seat seat;
    lam_scp_sessions *sessions;
    lam_scp_caller *caller;
    lam_association *association;
    int64_t stored, failed;
    lam_scp_spool spool;
    char reporting[LAM_UID_TEXT]; /* transaction whose report the peer has not answered yet; "" */
    uint16_t report_message;
} lam_scp_session;

/* Takes the caller in any case. */
lam_status lam_scp_session_create(lam_scp_sessions *sessions, lam_scp_caller *caller, lam_scp_session **out,
                                  lam_error *err);
/* Leaves its seat, closes and frees everything; NULL-safe. */
void lam_scp_session_free(lam_scp_session *session);

/* The thread: serves the session, then frees it. Returns NULL. */
void *lam_scp_session_main(void *session);

#endif
