/* Makes many files durable in the time of one. Each fsync waits for the device and for the journal of the
 * file system; asked for at the same moment, they share both. */
#ifndef LAMINA_DAEMON_SYNCER_H
#define LAMINA_DAEMON_SYNCER_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/status.h"

typedef struct lam_syncer lam_syncer;

lam_status lam_syncer_create(lam_syncer **out, lam_error *err);
/* NULL-safe. */
void lam_syncer_free(lam_syncer *syncer);

/* Asks for an fsync of every descriptor, of a file or of a folder; they must stay until lam_syncer_end, which
 * has to follow. For one thread at a time. */
void lam_syncer_begin(lam_syncer *syncer, const int *fds, size_t count);
/* Whether lam_syncer_end will not wait. Else the event descriptor (borrowed) becomes readable when it is
 * worth asking again. */
bool lam_syncer_is_done(lam_syncer *syncer);
int lam_syncer_event(const lam_syncer *syncer);
/* LAM_OK once all of them are durable, else the first failure. */
lam_status lam_syncer_end(lam_syncer *syncer, lam_error *err);

#endif
