/* lamina-dimse as the asking end: one association to a peer, over which it does what a DELIVER asks for. It
 * is a process of its own for each association, so what a peer does to it harms nobody else. */
#ifndef LAMINA_DAEMON_DIMSE_SENDER_H
#define LAMINA_DAEMON_DIMSE_SENDER_H

#include "core/base/status.h"
#include "daemon/ipc/ipc.h"

/* Does what the message asks for, answering over `socket`. LAM_OK although the peer refused; a failure means
 * that laminad is gone or sent what is not DELIVER. */
lam_status lam_scu_serve(int socket, lam_ipc_message *message, lam_error *err);

#endif
