/* The lock of a data_dir: one laminad, or one lamina migrate, at a time. */
#ifndef LAMINA_DAEMON_DATA_LOCK_H
#define LAMINA_DAEMON_DATA_LOCK_H

#include "core/base/status.h"

/* Takes the lock until *fd is closed. The file belongs to whom the folder belongs to, even when root makes
 * it: else the daemon could not open it later. LAM_E_BUSY: somebody else has it. */
lam_status lam_data_lock(const char *data_dir, int *fd, lam_error *err);

#endif
