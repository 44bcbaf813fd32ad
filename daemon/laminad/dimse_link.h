/* laminad's end of lamina-dimse: starts and configures it, takes the objects it received, gives it the
 * answers for the senders. Belongs to the intake's thread; what becomes of an object is the intake's
 * business. */
#ifndef LAMINA_DAEMON_DIMSE_LINK_H
#define LAMINA_DAEMON_DIMSE_LINK_H

#include "core/base/status.h"
#include "daemon/laminad/arrival.h"
#include "daemon/laminad/audit_associations.h"
#include "daemon/laminad/child.h"
#include "daemon/laminad/config.h"
#include "daemon/laminad/db.h"
#include "daemon/laminad/store.h"

typedef struct lam_dimse_link {
    lam_child child;
    int listener; /* borrowed */
    lam_store *store;
    lam_audit_associations open; /* for the audit trail */
    /* To be set before the start; called on the intake's thread. */
    lam_db *(*idle_db)(void *context); /* a connection without an open transaction, borrowed for the call */
    /* The peer released an association; all it brought has been received before. */
    void (*released)(void *context, int64_t association, const char *calling_ae);
    void *context;
    int64_t last_association; /* the highest number heard of; the next process goes on from there */
    bool draining;            /* its end is no accident */
} lam_dimse_link;

/* `audit` may be NULL. */
void lam_dimse_link_init(lam_dimse_link *link, int listener, lam_store *store, lam_audit *audit);

/* Starts it with this configuration, once the pause after failures is over. What an earlier one left in the
 * spool is removed, so nothing of that may be under way any more. */
void lam_dimse_link_start(lam_dimse_link *link, const lam_config *config);

/* A new configuration, for new associations. False when it has to be tried again. */
bool lam_dimse_link_configure(lam_dimse_link *link, const lam_config *config);

/* Takes one message: *arrival is an object to be stored (the caller's from then on), or NULL when it was
 * something else. LAM_E_BUSY when there is none; on any other failure the process is gone. */
lam_status lam_dimse_link_receive(lam_dimse_link *link, lam_arrival **arrival);

/* Passes on what became of it. If its process is gone there is nobody to tell: the sender will ask again. */
void lam_dimse_link_reply(lam_dimse_link *link, const lam_arrival *arrival);

/* Lets it finish what it has begun, and end. */
void lam_dimse_link_drain(lam_dimse_link *link);

/* Ends it now. */
void lam_dimse_link_stop(lam_dimse_link *link);

#endif
