/* The associations that are open, and what each has brought, so that its end gives one record for each study
 * (PS3.15 section A.5.3.7) and not one for each object. Belongs to the intake's thread. */
#ifndef LAMINA_DAEMON_AUDIT_ASSOCIATIONS_H
#define LAMINA_DAEMON_AUDIT_ASSOCIATIONS_H

#include "daemon/laminad/arrival.h"
#include "daemon/laminad/audit.h"

struct lam_audit_open;

/* Begins as {.audit = …}. */
typedef struct lam_audit_associations {
    lam_audit *audit; /* borrowed; NULL: nothing is kept */
    struct lam_audit_open *first;
} lam_audit_associations;

/* What lamina-dimse says of one (LAM_MESSAGE_ASSOCIATION). */
typedef struct lam_audit_association {
    int64_t number;
    const char *calling_ae, *address, *reason;
} lam_audit_association;

/* Takes an event: opens it, counts a refused object, records what it brought, or that it was refused itself.
 */
void lam_audit_associations_hear(lam_audit_associations *associations, const char *event,
                                 const lam_audit_association *said);

/* Counts an object that has been decided. One whose association has ended meanwhile, as by a crash of
 * lamina-dimse, has a record of its own. */
void lam_audit_associations_count(lam_audit_associations *associations, const lam_arrival *arrival);

/* All that are open have ended. */
void lam_audit_associations_end(lam_audit_associations *associations);

#endif
