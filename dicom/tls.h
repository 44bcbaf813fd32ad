/* TLS for DICOM associations (PS3.15 annex B, the BCP 195 profiles: TLS 1.2 and 1.3 with forward secrecy), by
 * OpenSSL, over a connected socket. Certificates come as PEM text, so that a process without paths can have
 * them. A context may be shared by threads, a stream belongs to one. */
#ifndef LAMINA_DICOM_TLS_H
#define LAMINA_DICOM_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "core/base/cleanup.h"
#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lam_tls_context lam_tls_context;
typedef struct lam_tls lam_tls;

/* PEM texts; NULL: none. */
typedef struct lam_tls_identity {
    const char *authorities; /* who may have signed the peer's certificate; NULL: the system's */
    const char *certificate; /* ours, followed by what lies between it and its authority */
    const char *key;         /* without a password */
} lam_tls_identity;

/* Which end of the connections is ours: the one that opens them, and always asks who the peer is, or the one
 * that is called, which needs a certificate and asks only if there are `authorities` (NULL: nobody is asked).
 */
typedef enum lam_tls_role { LAM_TLS_CLIENT, LAM_TLS_SERVER } lam_tls_role;

/* LAM_E_INVALID says which of the texts is wrong. */
lam_status lam_tls_context_create(lam_tls_role role, const lam_tls_identity *identity, lam_tls_context **out,
                                  lam_error *err);
void lam_tls_context_free(lam_tls_context *context);
LAM_DEFINE_AUTO(lam_tls_context, lam_tls_context_free)

/* Shakes hands as client over `socket`, which stays the caller's and whose time limits hold. The peer's
 * certificate must be signed by one of the authorities and be for `host` (name or address). LAM_E_PEER,
 * LAM_E_TIMEOUT. */
lam_status lam_tls_connect(const lam_tls_context *context, int socket, const char *host, lam_tls **out,
                           lam_error *err);

/* The other end: a stream over `socket`, which stays the caller's, that waits for a client's hand. */
lam_status lam_tls_expect(const lam_tls_context *context, int socket, lam_tls **out, lam_error *err);
/* Goes on with its handshake as far as it can. LAM_E_BUSY when the socket has nothing more for now; on any
 * other failure nothing can come of it, and the peer has been told. */
lam_status lam_tls_shake(lam_tls *tls, lam_error *err);

/* Says farewell, if they ever shook hands. NULL-safe. */
void lam_tls_free(lam_tls *tls);
LAM_DEFINE_AUTO(lam_tls, lam_tls_free)

/* As recv with MSG_WAITALL and as send of everything: -1 and errno (EAGAIN after the time limit), 0 at the
 * end. */
ssize_t lam_tls_read(lam_tls *tls, void *bytes, size_t length);
ssize_t lam_tls_write(lam_tls *tls, const void *bytes, size_t length);
/* Whether something can be read without looking at the socket. */
bool lam_tls_has_pending(const lam_tls *tls);

#ifdef __cplusplus
}
#endif
#endif
