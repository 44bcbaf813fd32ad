/* Pictures of frames, for RENDER (daemon/ipc/messages.h). */
#ifndef LAMINA_DAEMON_WORKER_RENDER_H
#define LAMINA_DAEMON_WORKER_RENDER_H

#include "core/base/buffer.h"
#include "core/base/status.h"
#include "daemon/ipc/ipc.h"

/* Writes the picture into the output and appends the answer's JSON. LAM_E_UNSUPPORTED: not an image, or one
 * that nothing here can draw. LAM_E_NOT_FOUND: no such frame. LAM_E_PEER: breaks the protocol. */
lam_status lam_work_render(const lam_ipc_message *message, lam_buffer *answer, lam_error *err);

#endif
