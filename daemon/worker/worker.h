/* The worker's conversation with laminad (daemon/ipc/messages.h): one request after the other, answered on
 * the same socket. */
#ifndef LAMINA_DAEMON_WORKER_H
#define LAMINA_DAEMON_WORKER_H

#include "core/base/status.h"

/* Says READY and serves until the socket ends or DRAIN comes (LAM_OK). Any error is the peer breaking the
 * protocol or the socket failing: the process should end. */
lam_status lam_worker_serve(int socket, lam_error *err);

#endif
