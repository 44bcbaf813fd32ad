/* The system calls that a worker keeps: what reads and writes the descriptors it was handed, memory, threads,
 * time. Everything else (files, sockets, programs, other processes) is refused by the kernel (seccomp(2)). */
#ifndef LAMINA_DAEMON_WORKER_FILTER_H
#define LAMINA_DAEMON_WORKER_FILTER_H

#include "core/base/status.h"

/* From here on, for this process and its threads, for good. A call that is not kept fails with EPERM; code
 * cannot be mapped or made executable. Call it once whatever loads itself at run time (dictionaries,
 * converters of character sets, BLAS) has done so. */
lam_status lam_worker_filter(lam_error *err);

#endif
