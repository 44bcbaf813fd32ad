/* What changed lately: studies, jobs, deliveries and workitems by their number in the database, each thing
 * once, at its latest change. Connections publish what they committed (db.c); readers wait for what comes
 * after the last change that they know of. Nothing waits for a reader: one that falls behind by more than is
 * kept is told so.
 *
 * Every function is thread-safe. */
#ifndef LAMINA_DAEMON_CHANGES_H
#define LAMINA_DAEMON_CHANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

enum { LAM_CHANGES_KEPT = 1024 };

typedef enum lam_change_kind {
    LAM_CHANGE_STUDY,
    LAM_CHANGE_JOB,
    LAM_CHANGE_DELIVERY,
    LAM_CHANGE_WORKITEM,
    LAM_CHANGE_KINDS
} lam_change_kind;

typedef struct lam_change {
    lam_change_kind kind;
    int64_t id;       /* of the row */
    int64_t sequence; /* set by publish: from 1, later is larger */
} lam_change;

typedef struct lam_changes lam_changes;

/* NULL without memory. */
lam_changes *lam_changes_create(void);
void lam_changes_free(lam_changes *changes);

/* Never fails: there is always room. `lost`: there were more, so that every reader has to start anew. */
void lam_changes_publish(lam_changes *changes, const lam_change *list, size_t count, bool lost);

/* The last one. */
int64_t lam_changes_now(lam_changes *changes);

/* Up to `capacity` changes after `after`, in order, once there is one or `wait_ms` have passed; *count may be
 * 0. LAM_E_LIMIT: some after `after` are forgotten, or `after` is none that there was. LAM_E_CANCELLED:
 * ended. */
lam_status lam_changes_read(lam_changes *changes, int64_t after, int64_t wait_ms, lam_change *out,
                            size_t capacity, size_t *count, lam_error *err);

/* From now on nobody waits. */
void lam_changes_end(lam_changes *changes);

#endif
