/* The way in. Objects come from lamina-dimse (C-STORE) and from HTTP (STOW-RS) as files in the spool;
 * each has its header read by a worker; then all that are ready are moved to the store, entered into the
 * index, synced and committed together, and only then acknowledged (promise 1). One thread does this, so
 * whatever arrives while a commit syncs shares the next. */
#ifndef LAMINA_DAEMON_INTAKE_H
#define LAMINA_DAEMON_INTAKE_H

#include "core/base/status.h"
#include "daemon/laminad/arrival.h"
#include "daemon/laminad/audit.h"
#include "daemon/laminad/config.h"
#include "daemon/laminad/db.h"
#include "daemon/laminad/store.h"

typedef struct lam_intake lam_intake;

typedef struct lam_intake_options {
    const lam_config *config; /* borrowed for the intake's life; reload gives another */
    lam_database *database;
    lam_store *store;
    lam_audit *audit;              /* or NULL */
    int dicom_socket;              /* listening; borrowed */
    void (*stored)(void *context); /* soon after commits that added objects; from the intake's thread */
    void *context;
} lam_intake_options;

/* Starts the thread, lamina-dimse and the header readers. */
lam_status lam_intake_start(const lam_intake_options *options, lam_intake **out, lam_error *err);

/* Lets open associations finish (up to `grace_ms`), answers what is under way, ends thread and children; what
 * is still undecided then is refused. No upload may be open any more. NULL-safe. */
void lam_intake_stop(lam_intake *intake, int64_t grace_ms);

/* Another configuration: peers and AE titles for new associations, limits for new objects. The old one must
 * stay. */
void lam_intake_reload(lam_intake *intake, const lam_config *config);

/* Whether its thread still runs, for the watchdog. */
bool lam_intake_alive(const lam_intake *intake);

/* Whether lamina-dimse serves. */
bool lam_intake_ready(const lam_intake *intake);

/* ---- for uploads, from any thread ---- */

const lam_config *lam_intake_config(const lam_intake *intake);
lam_store *lam_intake_store(const lam_intake *intake);

/* Takes an arrival whose bytes are in the spool; its upload is answered exactly once. LAM_E_BUSY when
 * the intake is ending: the arrival stays the caller's. */
lam_status lam_intake_submit(lam_intake *intake, lam_arrival *arrival, lam_error *err);

#endif
