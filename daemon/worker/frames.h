/* Pixel work that gives bytes: where frames lie, frames decoded or as stored, objects in another transfer
 * syntax, single values. Each takes a request of laminad (daemon/ipc/messages.h) and appends the answer's
 * JSON. No messages are sent here. */
#ifndef LAMINA_DAEMON_WORKER_FRAMES_H
#define LAMINA_DAEMON_WORKER_FRAMES_H

#include "core/base/buffer.h"
#include "core/base/status.h"
#include "daemon/ipc/ipc.h"

/* LAM_E_PEER: a request that breaks the protocol. Otherwise what dicom/frames.h says. An answer that did not
 * fit shows in its own status, here and in render.h and unpack.h. */
lam_status lam_work_layout(const lam_ipc_message *message, lam_buffer *answer, lam_error *err);
lam_status lam_work_frames(const lam_ipc_message *message, lam_buffer *answer, lam_error *err);
lam_status lam_work_transcode(const lam_ipc_message *message, lam_buffer *answer, lam_error *err);
lam_status lam_work_value(const lam_ipc_message *message, lam_buffer *answer, lam_error *err);

#endif
