/* laminad's side of api/backend.h: questions of the HTTP side answered from the index and the store. Each
 * call takes a database connection from the pool, so HTTP threads do not wait for each other. */
#ifndef LAMINA_DAEMON_BACKEND_H
#define LAMINA_DAEMON_BACKEND_H

#include <pthread.h>

#include "api/backend.h"
#include "daemon/laminad/audit.h"
#include "daemon/laminad/config.h"
#include "daemon/laminad/db.h"
#include "daemon/laminad/delivery.h"
#include "daemon/laminad/intake.h"
#include "daemon/laminad/models.h"
#include "daemon/laminad/render_pool.h"
#include "daemon/laminad/scheduler.h"
#include "daemon/laminad/store.h"

/* What the daemon is made of. The context of the backend. */
typedef struct lam_daemon {
    lam_database *database;
    lam_store *store;
    lam_intake *intake;
    lam_scheduler *scheduler;
    lam_delivery *delivery;
    lam_render_pool *renderers;
    lam_audit *audit;          /* NULL: switched off */
    pthread_mutex_t unpacking; /* held while an archive is unpacked, so that it is one at a time */
    int64_t started_ms;        /* monotonic */
    pthread_mutex_t lock;      /* config, models: a reload replaces them */
    const lam_config *config;
    lam_models *models;
} lam_daemon;

/* A reference to the models in effect. */
lam_models *lam_daemon_models(lam_daemon *daemon);
const lam_config *lam_daemon_config(lam_daemon *daemon);

/* How a function of the backend that needs the index begins. */
#define LAM_WITH_DB(daemon, db)                                                                              \
    LAM_AUTO_DB *(db) = lam_db_get((daemon)->database, err);                                                 \
    if (!(db))                                                                                               \
    return err ? err->status : LAM_E_IO

/* Fills the table. `daemon` must outlive its use. */
void lam_backend_init(lam_backend *backend, lam_daemon *daemon);

/* Stands for a UID in the log: who has the UID can find what became of the thing, the log alone does not tell
 * it (promise 9). */
enum { LAM_MARK_TEXT = 17 };
void lam_backend_mark(const char *uid, char mark[LAM_MARK_TEXT]);

/* ---- backend_audit.c ---- */

/* Fills in what is about the audit trail. */
void lam_backend_add_audit(lam_backend *backend);
/* Notes that what the place names was deleted, or was not: LAM_OK or why. `patient_id` is what it was. */
void lam_backend_note_removal(lam_daemon *daemon, const lam_place *place, const lam_client *client,
                              const char *patient_id, lam_status done, const lam_error *err);

/* ---- backend_worklist.c ---- */

/* Fills in what is about workitems. */
void lam_backend_add_worklist(lam_backend *backend);

/* ---- backend_delivery.c ---- */

/* Fills in what is about the outbox. */
void lam_backend_add_delivery(lam_backend *backend);
lam_status lam_backend_write_delivery_metrics(lam_db *db, lam_buffer *out, lam_error *err);

#endif
