/* The release of an association as a hint that its series are complete: once all associations that brought
 * objects to a series since it began to be received have been released, the sender has no more in hand, and
 * the series need be quiet for a shorter time only. An association that was aborted or cut, and an upload,
 * are no such sign. It stays a hint: whatever comes later opens the series again. */
#ifndef LAMINA_DAEMON_RELEASE_H
#define LAMINA_DAEMON_RELEASE_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "daemon/laminad/db.h"

/* An association that was released by its peer; all it brought is entered. */
typedef struct lam_release {
    int64_t association;
    int64_t quiet_ms; /* after which its series are complete then */
} lam_release;

/* Where an object came from that is no association's. */
enum { LAM_NO_ASSOCIATION = 0 };

/* Notes that an object came to a series that is being received. Inside the caller's transaction. */
lam_status lam_release_expect(lam_db *db, int64_t series, int64_t association, lam_error *err);

/* Brings the ends forward of the series that wait for nothing else; `stable_after_ms` is the quiet time of
 * those without one of their own, which never becomes longer. Runs its own transaction. */
lam_status lam_release_take(lam_db *db, const lam_release *releases, size_t count, int64_t stable_after_ms,
                            lam_error *err);

/* The series is complete: nothing is waited for. Inside the caller's transaction. */
lam_status lam_release_forget(lam_db *db, int64_t series, lam_error *err);

/* lamina-dimse is gone, and its numbers with it: what its associations had begun is never released. */
lam_status lam_release_lose(lam_db *db, lam_error *err);

#endif
