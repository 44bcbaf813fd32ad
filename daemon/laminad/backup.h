/* Backups while the daemon runs: the database as it is at one moment, and the files that it names. Files of
 * the store never change under their number, so they are copied once and kept. */
#ifndef LAMINA_DAEMON_BACKUP_H
#define LAMINA_DAEMON_BACKUP_H

#include <stddef.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Copies data_dir/lamina.db to `path` with SQLite's online backup, checks the copy and makes it durable; it
 * has its name only once it is whole. `path` is replaced. */
lam_status lam_backup_database(const char *data_dir, const char *path, lam_error *err);

/* Copies every file that the backup at `path` names from data_dir/store to `folder`, as far as it is not
 * there already. A file that was deleted since is counted as missing. */
lam_status lam_backup_store(const char *data_dir, const char *path, const char *folder, size_t *copied,
                            size_t *missing, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
