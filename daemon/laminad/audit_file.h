/* The files of the audit trail: one a day, appended to, synced, removed when old. Knows nothing of what is in
 * them. Used by one thread. */
#ifndef LAMINA_DAEMON_AUDIT_FILE_H
#define LAMINA_DAEMON_AUDIT_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buffer.h"
#include "core/base/status.h"

enum { LAM_AUDIT_DAY = 11 }; /* "2026-11-24" */

typedef struct lam_audit_file {
    int folder, fd; /* fd -1: none is open */
    char day[LAM_AUDIT_DAY];
    bool dirty; /* something is not synced */
    bool began; /* a day did since lam_audit_file_expire */
} lam_audit_file;

/* Makes the folder `path` and opens it. */
lam_status lam_audit_file_init(lam_audit_file *file, const char *path, lam_error *err);
void lam_audit_file_done(lam_audit_file *file);

/* Appends whole lines to the file of the day that `wall_ms` lies in, or nothing at all. */
lam_status lam_audit_file_append(lam_audit_file *file, int64_t wall_ms, const lam_buffer *lines,
                                 lam_error *err);
lam_status lam_audit_file_sync(lam_audit_file *file, lam_error *err);

/* Removes the files of days that ended `keep_ms` before `wall_ms`; what is not called like one stays. */
void lam_audit_file_expire(lam_audit_file *file, int64_t wall_ms, int64_t keep_ms);

#endif
