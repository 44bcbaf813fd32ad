/* Messages between laminad and its children over a Unix SOCK_SEQPACKET pair: a type, a request number, a JSON
 * payload and file descriptors. Small payloads travel in the packet; larger ones in a sealed memory file
 * beside it, up to LAM_IPC_MAX_PAYLOAD, so there is one way to send anything. What the types mean is in
 * messages.h.
 *
 * Sending is atomic, so several threads may send on one socket; only one may receive. */
#ifndef LAMINA_DAEMON_IPC_H
#define LAMINA_DAEMON_IPC_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LAM_IPC_MAX_FDS = 32,
    LAM_IPC_MAX_PAYLOAD = 64 * 1024 * 1024,
    LAM_IPC_CHILD_SOCKET = 3 /* the descriptor number at which a child finds its end */
};

typedef struct lam_ipc_message {
    uint32_t type;       /* lam_message_type */
    uint32_t request;    /* chosen by who asks, echoed by who answers; 0 for events */
    const char *payload; /* JSON text, NUL-terminated; "" when there is none */
    size_t length;
    int fds[LAM_IPC_MAX_FDS]; /* owned by the message until taken with LAM_TAKE_FD */
    size_t fd_count;
    void *storage; /* behind payload */
} lam_ipc_message;

/* A connected pair, close-on-exec, with send buffers large enough for inline payloads. */
lam_status lam_ipc_pair(int *parent, int *child, lam_error *err);

/* For the first line of a child's main, before anything opens a descriptor: LAM_E_STATE unless laminad
 * started it, which shows in the socket it was given. */
lam_status lam_ipc_check_child(lam_error *err);

/* Sends one message; descriptors are duplicated into the receiver, the caller keeps its own. Blocks while the
 * peer's buffer is full unless the socket is non-blocking (LAM_E_BUSY then). Peer gone: LAM_E_PEER. Payload
 * NULL means none. */
lam_status lam_ipc_send(int socket, uint32_t type, uint32_t request, const char *payload, const int *fds,
                        size_t fd_count, lam_error *err);

/* Receives one message; release with lam_ipc_message_done. LAM_E_PEER when the peer is gone, LAM_E_BUSY on a
 * non-blocking socket with nothing to read, LAM_E_CORRUPT when the peer breaks the framing. */
lam_status lam_ipc_receive(int socket, lam_ipc_message *out, lam_error *err);

/* Frees the payload and closes the descriptors that were not taken (>= 0). NULL-safe, idempotent. */
void lam_ipc_message_done(lam_ipc_message *message);

#ifdef __cplusplus
}
#endif
#endif
