/* What the worker gives up before it looks at the first byte from outside. */
#ifndef LAMINA_DAEMON_WORKER_SANDBOX_H
#define LAMINA_DAEMON_WORKER_SANDBOX_H

#include "core/base/status.h"

/* Closes every descriptor but standard input, output, error and `keep`; no new privileges, no core dump, no
 * tracing by others of the same user, death with the parent, bounds on memory, file size and descriptors, and
 * only the system calls of filter.h (all of them in a sanitizer build). Lowers limits only, so the parent may
 * set tighter ones. */
lam_status lam_worker_confine(int keep, lam_error *err);

#endif
