/* A TCP connection to a peer, by IPv4 or IPv6. What is spoken over it is net.h's. */
#ifndef LAMINA_DICOM_CONNECT_H
#define LAMINA_DICOM_CONNECT_H

#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Looks up `host` (a name, an IPv4 or an IPv6 address without brackets) and tries its addresses in the order
 * in which the resolver gives them, each for at most `timeout_ms`. The socket blocks and is the caller's.
 * Errors: LAM_E_NOT_FOUND (no such host), LAM_E_TIMEOUT, LAM_E_PEER (nothing listens, or no way there), with
 * host and port in the message. Any thread. */
lam_status lam_connect(const char *host, uint16_t port, int timeout_ms, int *out, lam_error *err);

/* Listens on a free port of 127.0.0.1 for code that insists on connecting by itself, and over IPv4 only.
 * Nobody accepts or sends anything there; close `listener` when that code has connected. */
lam_status lam_connect_decoy(int *listener, uint16_t *port, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
