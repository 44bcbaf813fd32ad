/* The way in. Objects come from lamina-dimse (C-STORE) and from HTTP (STOW-RS) as synced files in the spool;
 * each has its header read by a worker; then all that are ready are moved to the store, entered into the
 * index and committed together, and only then acknowledged (promise 1). One thread does this, so whatever
 * arrives while a commit syncs shares the next. */
#ifndef LAMINA_DAEMON_INTAKE_H
#define LAMINA_DAEMON_INTAKE_H

#include "api/backend.h"
#include "core/base/status.h"
#include "daemon/laminad/config.h"
#include "daemon/laminad/db.h"
#include "daemon/laminad/store.h"

typedef struct lam_intake lam_intake;

typedef struct lam_intake_options {
    const lam_config *config; /* borrowed for the intake's life; reload gives another */
    lam_database *database;
    lam_store *store;
    int dicom_socket;              /* listening; borrowed */
    void (*stored)(void *context); /* after each commit that added objects; from the intake's thread */
    void *context;
} lam_intake_options;

/* Starts the thread, lamina-dimse and the header readers. */
lam_status lam_intake_start(const lam_intake_options *options, lam_intake **out, lam_error *err);

/* Lets open associations finish (up to `grace_ms`), answers what is under way, ends thread and children.
 * NULL-safe. */
void lam_intake_stop(lam_intake *intake, int64_t grace_ms);

/* Peers and AE titles of a new configuration, for new associations. */
void lam_intake_reload(lam_intake *intake, const lam_config *config);

/* Whether its thread still runs, for the watchdog. */
bool lam_intake_alive(const lam_intake *intake);

/* Whether lamina-dimse serves. */
bool lam_intake_ready(const lam_intake *intake);

/* The upload functions of lam_backend. */
lam_status lam_upload_open(lam_intake *intake, const char *sender, lam_upload **out, lam_error *err);
lam_status lam_upload_write(lam_upload *upload, const void *bytes, size_t length, lam_error *err);
void lam_upload_submit(lam_upload *upload, const char *study_uid);
void lam_upload_wait(lam_upload *upload, lam_store_result *out);
void lam_upload_discard(lam_upload *upload);

#endif
