/* What was refused and is worth a look: data_dir/quarantine/ keeps the object as it came, beside a text that
 * says why. Nothing in it is ever in the index, served or analysed; the oldest go when it is full. It may
 * name patients, as the store does.
 *
 *     data_dir/quarantine/000003e8.dcm
 *     data_dir/quarantine/000003e8.txt */
#ifndef LAMINA_DAEMON_QUARANTINE_H
#define LAMINA_DAEMON_QUARANTINE_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "daemon/laminad/store.h"

typedef struct lam_quarantine lam_quarantine;

enum { LAM_QUARANTINE_MAX_OBJECTS = 1000 };

/* Opens or creates the folder and takes stock of it. */
lam_status lam_quarantine_open(const char *data_dir, lam_quarantine **out, lam_error *err);
void lam_quarantine_close(lam_quarantine *quarantine);

/* Moves a file of the spool there with `note` (lines of text). Older objects make room so that at most
 * `max_bytes` of them and LAM_QUARANTINE_MAX_OBJECTS are kept; LAM_E_LIMIT when the object alone is larger.
 * On failure the file stays in the spool. One thread at a time. */
lam_status lam_quarantine_take(lam_quarantine *quarantine, lam_store *store, const char *spool_name,
                               int64_t bytes, const char *note, int64_t max_bytes, lam_error *err);

size_t lam_quarantine_count(const lam_quarantine *quarantine);
int64_t lam_quarantine_bytes(const lam_quarantine *quarantine);

#endif
