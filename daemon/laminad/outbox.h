/* The outbox: a row for everything that has to reach another node, written in the transaction that publishes
 * the result, so that neither can be there without the other. A row leaves the outbox by the peer's own word
 * (delivered), or is kept with the reason (failed, superseded); no other way. Rows and states here; who sends
 * is delivery.h. */
#ifndef LAMINA_DAEMON_OUTBOX_H
#define LAMINA_DAEMON_OUTBOX_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "core/base/uid.h"
#include "daemon/laminad/config.h"
#include "daemon/laminad/db.h"

typedef enum lam_delivery_state {
    LAM_DELIVERY_QUEUED,
    LAM_DELIVERY_SENDING,
    LAM_DELIVERY_SENT, /* confirmed; the commitment is still to come */
    LAM_DELIVERY_DELIVERED,
    LAM_DELIVERY_FAILED,     /* refused, or given up; can be retried by hand */
    LAM_DELIVERY_SUPERSEDED, /* a newer result took its place before it was sent */
    LAM_DELIVERY_STATES
} lam_delivery_state;

typedef enum lam_delivery_event {
    LAM_DELIVERY_CLAIM,
    LAM_DELIVERY_CONFIRM,   /* the peer has it */
    LAM_DELIVERY_ACCEPT,    /* the peer has it and will be asked to commit itself */
    LAM_DELIVERY_COMMIT,    /* it has */
    LAM_DELIVERY_FORGET,    /* it has not: to be sent again */
    LAM_DELIVERY_DEFER,     /* not now: to be sent again */
    LAM_DELIVERY_INTERRUPT, /* we stopped; costs no attempt */
    LAM_DELIVERY_REFUSE,    /* sending it again cannot help */
    LAM_DELIVERY_EXPIRE,
    LAM_DELIVERY_RETRY, /* by hand */
    LAM_DELIVERY_EVENTS
} lam_delivery_event;

/* Where an event leads; LAM_DELIVERY_STATES where it is not legal. */
lam_delivery_state lam_delivery_next(lam_delivery_state state, lam_delivery_event event);

/* ---- inside a transaction of the caller ---- */

/* Enters what the finished job `job` gives to each active destination: its objects, or itself where the
 * destination takes messages. What waits of older results of the same series is superseded; a result that is
 * outdated itself is not entered. What is there already stays as it is. */
lam_status lam_outbox_enter(lam_db *db, int64_t job, int64_t now_ms, lam_error *err);

/* What came of a row. */
typedef struct lam_outbox_note {
    int64_t not_before_ms; /* DEFER, FORGET */
    int64_t answer;        /* the peer's status; -1: none */
    const char *warning;   /* or NULL: as it was */
    const char *error;     /* or NULL: as it was */
} lam_outbox_note;

/* LAM_E_STATE, naming the state, when the event is not legal; LAM_E_NOT_FOUND. */
lam_status lam_outbox_apply(lam_db *db, int64_t delivery, lam_delivery_event event,
                            const lam_outbox_note *note, int64_t now_ms, lam_error *err);

/* ---- transactions of their own ---- */

/* Makes the destinations those of `config`. `resume`: what was being sent when the last daemon ended is
 * queued again. */
lam_status lam_outbox_configure(lam_db *db, const lam_config *config, bool resume, int64_t now_ms,
                                lam_error *err);

enum { LAM_OUTBOX_BATCH = 24, LAM_OUTBOX_NOTE = 200 };

/* One row that is being sent. */
typedef struct lam_parcel {
    int64_t delivery, job;
    int64_t file; /* in the store; -1: a message */
    int attempts; /* with this one */
    char sop_class_uid[LAM_UID_TEXT], sop_uid[LAM_UID_TEXT], transfer_syntax_uid[LAM_UID_TEXT];
    char study_uid[LAM_UID_TEXT];
    bool settled; /* its event has been written */
    bool taken;   /* the peer has it */
} lam_parcel;

/* Takes up to LAM_OUTBOX_BATCH rows of a destination that are due: they are `sending` afterwards. None while
 * it is paused. */
lam_status lam_outbox_claim(lam_db *db, const char *destination, int64_t now_ms, lam_parcel *parcels,
                            size_t *count, lam_error *err);

/* lam_outbox_apply, committed. */
lam_status lam_outbox_settle(lam_db *db, int64_t delivery, lam_delivery_event event,
                             const lam_outbox_note *note, int64_t now_ms, lam_error *err);

/* Gives up what has waited too long for this destination. */
lam_status lam_outbox_expire(lam_db *db, const lam_config_peer *peer, int64_t now_ms, int *expired,
                             lam_error *err);

/* How many rows in this state are due, and when the next will be (INT64_MAX: none): LAM_DELIVERY_QUEUED to be
 * sent, LAM_DELIVERY_SENT to be asked for (commitment.h). 0 while paused. */
lam_status lam_outbox_due(lam_db *db, const char *destination, lam_delivery_state state, int64_t now_ms,
                          int64_t *due, int64_t *next_ms, lam_error *err);

/* ---- by hand ---- */

lam_status lam_outbox_pause(lam_db *db, const char *destination, bool paused, int64_t now_ms, lam_error *err);
/* Queues a failed delivery again. */
lam_status lam_outbox_retry(lam_db *db, int64_t delivery, int64_t now_ms, lam_error *err);

/* ---- to be shown ---- */

/* [{"delivery","destination","type","sop_uid",…,"state","attempts","last_error",…}], the newest first. NULL
 * does not filter. */
lam_status lam_outbox_list(lam_db *db, const char *state, const char *destination, int64_t limit,
                           int64_t offset, json_t **out, lam_error *err);
/* One of them; LAM_E_NOT_FOUND. */
lam_status lam_outbox_show(lam_db *db, int64_t delivery, json_t **out, lam_error *err);
/* [{"destination","kind","profile","active","paused","deliveries":{state:n}}] */
lam_status lam_outbox_destinations(lam_db *db, json_t **out, lam_error *err);

#endif
