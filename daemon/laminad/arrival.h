/* One object on its way from the spool into the store, and the commit of a group of them. */
#ifndef LAMINA_DAEMON_ARRIVAL_H
#define LAMINA_DAEMON_ARRIVAL_H

#include "api/backend.h"
#include "daemon/laminad/config.h"
#include "daemon/laminad/db.h"
#include "daemon/laminad/header.h"
#include "daemon/laminad/indexer.h"
#include "daemon/laminad/quarantine.h"
#include "daemon/laminad/store.h"

enum { LAM_SENDER_TEXT = 80 };

typedef enum lam_arrival_fate {
    LAM_ARRIVAL_REFUSED,     /* result.status says why */
    LAM_ARRIVAL_QUARANTINED, /* refused too, and kept aside */
    LAM_ARRIVAL_ADDED,       /* new row, file in the store */
    LAM_ARRIVAL_SAME,        /* stored already with the same bytes: success, nothing changed */
    LAM_ARRIVAL_REPLACED     /* took the place of other bytes, as [storage] duplicates says */
} lam_arrival_fate;

typedef struct lam_arrival {
    lam_index_request index; /* first: the indexer hands this back */
    struct lam_arrival *next;

    char name[LAM_SPOOL_NAME];
    int64_t bytes;
    char sender[LAM_SENDER_TEXT];
    int64_t association; /* that brought it, see release.h */

    /* What was announced with it, to be held against the header; "" where nothing was. */
    char sop_class_uid[LAM_UID_TEXT];
    char sop_uid[LAM_UID_TEXT];
    char transfer_syntax_uid[LAM_UID_TEXT];
    char study_uid[LAM_UID_TEXT];

    lam_header header;
    lam_arrival_fate fate;
    int64_t file;
    int64_t old_file; /* REPLACED: to be removed after the commit */
    lam_store_result result;

    /* Who waits for it. */
    uint32_t dimse_request;
    lam_upload *upload; /* NULL: lamina-dimse */
} lam_arrival;

/* A free-standing arrival; its file descriptor is -1. NULL when out of memory. */
lam_arrival *lam_arrival_create(void);
/* Closes the file and frees; what lies in the spool stays. */
void lam_arrival_free(lam_arrival *arrival);

/* Arrivals in a row; what is in it belongs to the list's owner. */
typedef struct lam_arrivals {
    lam_arrival *first, **tail;
    size_t count;
} lam_arrivals;

void lam_arrivals_init(lam_arrivals *list);
void lam_arrivals_push(lam_arrivals *list, lam_arrival *arrival);
/* The first, or NULL. */
lam_arrival *lam_arrivals_pop(lam_arrivals *list);

/* Makes it refused with this reason, and the DICOM status that goes with it. */
void lam_arrival_refuse(lam_arrival *arrival, lam_status status, const char *reason);
/* The same because of a fault of ours: a limit that is met then, as that of descriptors, says nothing about
 * the object. */
void lam_arrival_fail(lam_arrival *arrival, lam_status status, const char *reason);

/* Takes the payload of INDEXED and holds it against what was announced. Refuses the arrival when they differ.
 */
void lam_arrival_indexed(lam_arrival *arrival, const char *payload);

/* Where a group goes. All borrowed. */
typedef struct lam_arrival_place {
    lam_db *db;
    lam_store *store;
    lam_quarantine *quarantine; /* NULL: nothing is kept aside */
    const lam_config *config;
} lam_arrival_place;

/* A group being stored, in two steps, so that its owner has something else to do while the disk works.
 * Between them a transaction is open on the connection: no other use of it, and the thread stays the same. */
typedef struct lam_arrival_group {
    lam_arrival *first; /* in a row; they stay until the end */
    lam_arrival_place place;
    bool entered; /* a transaction is open */
    bool syncing;
    lam_status fate; /* not LAM_OK: all of it is refused, */
    lam_error fault; /* for this reason */
} lam_arrival_group;

/* Those not refused get their names in the store and their rows, and the sync of them begins. */
void lam_arrivals_begin(lam_arrival_group *group);
/* Whether lam_arrivals_end will not wait for the sync; lam_store_sync_event tells when to ask again. */
bool lam_arrivals_are_synced(const lam_arrival_group *group);
/* Commits. Afterwards each has its fate and result; duplicate files are gone from the spool, and so are
 * refused ones, or in quarantine: those that cannot be understood and, if [storage] duplicates says so, those
 * whose UID is taken. Never half: on a failed commit all are refused. */
void lam_arrivals_end(lam_arrival_group *group);

#endif
