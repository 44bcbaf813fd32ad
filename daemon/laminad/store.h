/* The files of the store. An object arrives in spool/ under a random name; once its row is about to be
 * committed it is moved to store/ under a number of its own. Names never come from outside. A number without
 * a committed row is an orphan of a crash: nobody was told that it is stored, and recovery removes it.
 *
 *     data_dir/spool/…            being received or written
 *     data_dir/store/0000f/00003e81   number 0x3e81, 1024 files a directory
 */
#ifndef LAMINA_DAEMON_STORE_H
#define LAMINA_DAEMON_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

typedef struct lam_store lam_store;

enum { LAM_SPOOL_NAME = 64 };

/* Makes the directories where they are missing, durably, and empties the spool or makes it anew. */
lam_status lam_store_open(const char *data_dir, lam_store **out, lam_error *err);
void lam_store_close(lam_store *store);

enum { LAM_STORE_MAX_ORPHANS = 4096 };

/* Removes files numbered above `last`, the highest number with a row, and continues the numbering after it.
 * Those are all there can be, because numbers are given out and committed in the same order
 * (lam_store_adopt). More than LAM_STORE_MAX_ORPHANS no crash can leave: they belong to a database that was
 * lost or is older than the store, so nothing is removed and LAM_E_STATE says so. Call once, before anything
 * is stored. `removed` may be NULL. */
lam_status lam_store_recover(lam_store *store, int64_t last, size_t *removed, lam_error *err);

/* The spool's descriptor, borrowed, for lamina-dimse. */
int lam_store_spool_fd(const lam_store *store);

/* LAM_E_NO_SPACE with the figures when less than `reserve` bytes are free. */
lam_status lam_store_check_space(const lam_store *store, int64_t reserve, lam_error *err);
int64_t lam_store_free_bytes(const lam_store *store);

/* A new empty file in the spool, open for reading and writing. */
lam_status lam_spool_create(lam_store *store, char name[LAM_SPOOL_NAME], int *fd, lam_error *err);
/* Opens a file of the spool for reading. Refuses a name that is not one, a link, anything but a plain file.
 */
lam_status lam_spool_open(lam_store *store, const char *name, int *fd, int64_t *bytes, lam_error *err);
void lam_spool_remove(lam_store *store, const char *name);
/* A new empty file in the spool's file system that has no name: it is gone when it is closed. */
lam_status lam_spool_create_unnamed(lam_store *store, int *fd, lam_error *err);
/* Removes every file whose name begins with `prefix`: LAM_SPOOL_DIMSE after lamina-dimse ended. */
#define LAM_SPOOL_DIMSE "c-"
void lam_spool_sweep(lam_store *store, const char *prefix);

/* Moves a file of the spool to the store under a new number. Durable after lam_store_sync. To be called
 * inside the write transaction that enters the number, and not before: it keeps the order of numbers. */
lam_status lam_store_adopt(lam_store *store, const char *spool_name, int64_t *number, lam_error *err);
/* Makes these files and the directory entries of everything adopted so far durable, all at once. One caller
 * at a time syncs; others wait. */
lam_status lam_store_sync(lam_store *store, const int *fds, size_t count, lam_error *err);
/* The same in two steps, for who has something to do meanwhile. The descriptors must stay until the end,
 * which follows, from the same thread, if and only if the beginning succeeded. */
lam_status lam_store_sync_begin(lam_store *store, const int *fds, size_t count, lam_error *err);
lam_status lam_store_sync_end(lam_store *store, lam_error *err);
/* Between the two: whether the end will not wait, and a descriptor (borrowed) that becomes readable when it
 * is worth asking again. */
bool lam_store_sync_is_done(lam_store *store);
int lam_store_sync_event(const lam_store *store);
lam_status lam_store_open_file(lam_store *store, int64_t number, int *fd, int64_t *bytes, lam_error *err);
void lam_store_remove(lam_store *store, int64_t number);

/* The commit of the row that names this file failed. Whether the row is there after a crash nobody knows
 * until a later commit has taken its place in the log, so the file stays till then. */
void lam_store_doubt(lam_store *store, int64_t number);
/* A commit succeeded: removes the doubtful files. */
void lam_store_settle(lam_store *store);

#endif
