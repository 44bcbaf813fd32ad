/* Which files lamina-dimse can still reach: its spool, and what finding a host by name reads (Landlock). */
#ifndef LAMINA_DAEMON_DIMSE_FILES_H
#define LAMINA_DAEMON_DIMSE_FILES_H

#include "core/base/status.h"

/* From here on, for this thread and those it starts, for good: files may be made, written, read and removed
 * in the directory `spool` (borrowed; -1: none) and read below /etc, /usr and the like. Descriptors that are
 * open stay as they are. Without Landlock, in the kernel or in the container around us, nothing changes
 * and it is LAM_OK: the other bounds hold without it. */
lam_status lam_scp_files_restrict(int spool, lam_error *err);

#endif
