/* The index: rows of studies, series and instances. Writes happen inside a transaction of the caller
 * (lam_db_begin), so that a group of objects, or a result with its objects, becomes visible at once. */
#ifndef LAMINA_DAEMON_CATALOG_H
#define LAMINA_DAEMON_CATALOG_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"
#include "daemon/laminad/db.h"
#include "daemon/laminad/header.h"

/* A file of the store and where it came from. */
typedef struct lam_catalog_file {
    int64_t number;
    int64_t bytes;
    const char *sender;  /* calling AE title or HTTP client; NULL for results */
    bool is_result;      /* written by Lamina: its series is never analysed */
    int64_t revision;    /* how often the instance was replaced: 0 for a new one */
    int64_t quiet_ms;    /* after which its series is complete; 0: what the configuration says for all */
    int64_t association; /* that brought it, see release.h; LAM_NO_ASSOCIATION */
} lam_catalog_file;

/* Adds the instance, and its study and series where they are new. A received instance makes its series
 * `receiving` again. LAM_E_EXISTS when the SOP instance UID is there already (use lam_catalog_find_instance
 * first). */
lam_status lam_catalog_add(lam_db *db, const lam_header *header, const lam_catalog_file *file, int64_t now_ms,
                           int64_t *instance, lam_error *err);

typedef struct lam_catalog_instance {
    int64_t id;
    int64_t file;
    int64_t bytes;
    int64_t dataset_offset;
    int64_t revision;
    bool same_place; /* in the study and series asked for */
    bool same_syntax;
    bool is_result;
} lam_catalog_instance;

/* Looks for header->sop_uid. LAM_E_NOT_FOUND without a message when it is new. */
lam_status lam_catalog_find_instance(lam_db *db, const lam_header *header, lam_catalog_instance *out,
                                     lam_error *err);

/* Takes the row away so that another object can be entered under its UID in the same series; its file is
 * noted as removed, to be deleted after the commit. */
lam_status lam_catalog_remove(lam_db *db, const lam_catalog_instance *instance, lam_error *err);

/* Calls `visit` with each file noted as removed, then forgets them. Runs its own transaction. */
lam_status lam_catalog_sweep(lam_db *db, void (*visit)(void *context, int64_t file), void *context,
                             lam_error *err);

/* LAM_E_NOT_FOUND with a message fit for the client. */
lam_status lam_catalog_find_study(lam_db *db, const char *study_uid, int64_t *study, lam_error *err);

/* The highest file number that a row names, -1 when there is none. */
lam_status lam_catalog_last_file(lam_db *db, int64_t *number, lam_error *err);

/* SHA-256 (hex) over the SOP instance UIDs of a series, sorted: what its jobs read (promise 5). A UID whose
 * object was replaced counts as another. Also how many. */
lam_status lam_catalog_input_set(lam_db *db, int64_t series, char text[65], int64_t *instances,
                                 lam_error *err);

/* Sets the state of a series from its current jobs, and the state of its study from its series. To be called
 * in the transaction that changed either. */
lam_status lam_catalog_refresh(lam_db *db, int64_t series, int64_t now_ms, lam_error *err);
/* The same for all the series that a job reads. */
lam_status lam_catalog_refresh_job(lam_db *db, int64_t job, int64_t now_ms, lam_error *err);

#endif
