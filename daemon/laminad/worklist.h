/* The worklist: rows of workitems, and what clients do to them (UPS-RS, PS3.18 section 11). Those that change
 * something run a transaction of their own. `warning` becomes a constant for the Warning header, or NULL, on
 * success and on failure. */
#ifndef LAMINA_DAEMON_WORKLIST_H
#define LAMINA_DAEMON_WORKLIST_H

#include <jansson.h>

#include "core/base/buffer.h"
#include "core/base/uid.h"
#include "daemon/laminad/config.h"
#include "daemon/laminad/db.h"
#include "daemon/laminad/workitem.h"

enum { LAM_WORKLIST_MAX_OPEN = 10000, LAM_WORKLIST_MAX_TEXT = 1024 * 1024, LAM_WORKLIST_MODEL = 65 };

/* Enters it under `uid`, or the SOP Instance UID of the data set, or one that is made; `created` has it.
 * Borrows the data set and changes it. LAM_E_INVALID, LAM_E_EXISTS, LAM_E_BUSY: too many that are not
 * ended. */
lam_status lam_worklist_create(lam_db *db, const char *uid, json_t *data_set, const lam_config *config,
                               int64_t now_ms, char created[LAM_UID_TEXT], lam_error *err);

/* Appends it as a JSON array of one data set. LAM_E_NOT_FOUND. */
lam_status lam_worklist_get(lam_db *db, const char *uid, lam_buffer *out, lam_error *err);

/* `transaction_uid` is that of the URL, or NULL; the data set may have it instead. LAM_E_LIMIT: the
 * workitem would grow past LAM_WORKLIST_MAX_TEXT. */
lam_status lam_worklist_update(lam_db *db, const char *uid, const char *transaction_uid,
                               const json_t *changes, const lam_config *config, int64_t now_ms,
                               const char **warning, lam_error *err);

/* `action` has Procedure Step State and Transaction UID (PS3.4 table CC.2.1-1). */
lam_status lam_worklist_change_state(lam_db *db, const char *uid, const json_t *action, int64_t now_ms,
                                     const char **warning, lam_error *err);

/* `action` may say why (PS3.4 table CC.2.2-1); NULL: it does not. Of a workitem that Lamina performs the jobs
 * are cancelled. */
lam_status lam_worklist_request_cancel(lam_db *db, const char *uid, const json_t *action, int64_t now_ms,
                                       const char **warning, lam_error *err);

/* ---- rows, for the performer ---- */

typedef struct lam_workitem {
    int64_t id;
    char uid[LAM_UID_TEXT];
    lam_workitem_state state;
    char transaction_uid[LAM_UID_TEXT]; /* "": none */
    bool ours;
    char model[LAM_WORKLIST_MODEL]; /* "": those that want the input */
    char retrieve_root[LAM_CONFIG_URL + 16];
    json_t *attributes; /* owned */
} lam_workitem;

/* By its number, or by its UID where that is not NULL. */
lam_status lam_worklist_read(lam_db *db, int64_t id, const char *uid, lam_workitem *out, lam_error *err);
void lam_workitem_done(lam_workitem *item);
/* State, Transaction UID, attributes and root, in the caller's transaction. The state is set in the
 * attributes, too. */
lam_status lam_worklist_write(lam_db *db, const lam_workitem *item, int64_t now_ms, lam_error *err);

#endif
