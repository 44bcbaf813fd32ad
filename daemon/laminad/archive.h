/* Zip archives that come by HTTP: the archive functions of lam_backend. The archive lies in a file without a
 * name; a lamina-worker of its own reads it (an archive is bytes from outside) and fills one spool file after
 * the other, which then go the way of every upload. */
#ifndef LAMINA_DAEMON_ARCHIVE_H
#define LAMINA_DAEMON_ARCHIVE_H

#include <pthread.h>

#include "api/backend.h"
#include "core/base/status.h"
#include "daemon/laminad/intake.h"

/* `turn` is held while it is unpacked, and must outlive it. */
lam_status lam_archive_open(lam_intake *intake, pthread_mutex_t *turn, const char *sender, lam_archive **out,
                            lam_error *err);
lam_status lam_archive_write(lam_archive *archive, const void *bytes, size_t length, lam_error *err);
lam_status lam_archive_store(lam_archive *archive, lam_archive_report *report, void *context, lam_error *err);
void lam_archive_close(lam_archive *archive);

#endif
