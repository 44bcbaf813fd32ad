/* An object on its way to disk: a file of our own naming in the spool directory, written in large pieces
 * through one small buffer, whatever the object's size (promise 8). */
#ifndef LAMINA_DAEMON_DIMSE_SPOOL_H
#define LAMINA_DAEMON_DIMSE_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

enum { LAM_SCP_SPOOL_NAME = 40, LAM_SCP_SPOOL_BUFFER = 64 * 1024 };

typedef struct lam_scp_spool {
    int directory;                 /* borrowed */
    int fd;                        /* -1: no file */
    char name[LAM_SCP_SPOOL_NAME]; /* of the file begun last */
    uint64_t written;              /* bytes given to it */
    uint64_t started;              /* of these, on their way to the disk */
    size_t buffered;
    uint8_t buffer[LAM_SCP_SPOOL_BUFFER];
} lam_scp_spool;

/* No file yet. `directory` is borrowed. */
void lam_scp_spool_init(lam_scp_spool *spool, int directory);

/* Fewer than `reserve` bytes free (to us) are LAM_E_NO_SPACE. */
lam_status lam_scp_spool_check(const lam_scp_spool *spool, uint64_t reserve, lam_error *err);

/* A new empty file; the one before must be finished or discarded. */
lam_status lam_scp_spool_begin(lam_scp_spool *spool, lam_error *err);
lam_status lam_scp_spool_append(lam_scp_spool *spool, const void *bytes, size_t length, lam_error *err);
/* The file is whole when this returns LAM_OK, though not yet durable: laminad syncs it (promise 1). Else it
 * is gone. */
lam_status lam_scp_spool_finish(lam_scp_spool *spool, lam_error *err);
/* The descriptor of a finished file, which is the caller's from here on. */
int lam_scp_spool_take(lam_scp_spool *spool);
/* Removes the file if there is one. */
void lam_scp_spool_discard(lam_scp_spool *spool);

#endif
