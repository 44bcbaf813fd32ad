/* Who is at the door: a connection whose association request has been read and understood, on its way from
 * reception to a session. */
#ifndef LAMINA_DAEMON_DIMSE_CALLER_H
#define LAMINA_DAEMON_DIMSE_CALLER_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/dimse/link.h"
#include "daemon/dimse/settings.h"
#include "dicom/associate.h"
#include "dicom/tls.h"

typedef struct lam_scp_caller {
    int64_t association; /* its number since laminad started, for the logs */
    int socket;          /* owned; -1 once given away */
    lam_tls *tls;        /* over it, or NULL; as owned */
    char address[LAM_SCP_ADDRESS];
    uint8_t *pdu; /* owned; `associate` points into it */
    size_t length;
    lam_associate associate;
    const lam_scp_settings *settings; /* a reference of its own */
} lam_scp_caller;

/* Closes and frees what is still owned, and the caller itself; NULL-safe. */
void lam_scp_caller_free(lam_scp_caller *caller);

/* What laminad hears and logs of an association (ASSOCIATION in messages.h). */
typedef struct lam_scp_event {
    const char
        *event; /* "accepted", "rejected", "released", "aborted", "failed" or, of an object, "refused" */
    const char *reason;
    int64_t stored, failed;
} lam_scp_event;

/* `calling_ae` and `called_ae` are "" where no request was understood. Does nothing when laminad is gone. */
void lam_scp_tell(lam_scp_link *link, int64_t association, const char *address, const char *calling_ae,
                  const char *called_ae, lam_scp_event event);

#endif
