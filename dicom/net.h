/* DICOM associations, both ends: accept one whose request has been read (associate.h), or ask a peer for one;
 * exchange commands and data sets; end it. Data sets pass through as bytes, never parsed or transcoded.
 *
 * One thread an association at a time; different associations are independent. Nothing here logs. */
#ifndef LAMINA_DICOM_NET_H
#define LAMINA_DICOM_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/cleanup.h"
#include "core/base/status.h"
#include "dicom/associate.h"
#include "dicom/boundary.h"
#include "dicom/command.h"
#include "dicom/tls.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LAM_NET_MIN_PDU = 4 * 1024,
    LAM_NET_MAX_PDU = 1024 * 1024,
};

typedef struct lam_association lam_association;

/* A pair of syntaxes that both ends agreed on, or that we propose. */
typedef struct lam_net_context {
    uint8_t id; /* chosen by us when proposing */
    char abstract_syntax[LAM_UID_TEXT];
    char transfer_syntax[LAM_UID_TEXT];
    bool provider; /* when proposing: as provider of the service (role selection, PS3.7 D.3.3.4) */
} lam_net_context;

/* Once in a process, before other calls and before there are threads: sets DCMTK up and silences its logging.
 */
lam_status lam_net_start(lam_error *err) LAM_NOEXCEPT;

/* ---- accepting ---- */

typedef struct lam_net_limits {
    uint32_t max_pdu;    /* that we take; brought into LAM_NET_MIN_PDU … LAM_NET_MAX_PDU */
    int idle_timeout_ms; /* longest silence of the peer, also in the middle of an object */
} lam_net_limits;

/* Answers a request with A-ASSOCIATE-AC. `socket` is connected, the whole request has been read from it,
 * through `tls` unless that is NULL: `pdu`, parsed and negotiated as `associate`. Takes socket and `tls` in
 * any case: on failure they are closed. */
lam_status lam_net_accept(int socket, lam_tls *tls, const uint8_t *pdu, size_t length,
                          const lam_associate *associate, const lam_net_limits *limits, lam_association **out,
                          lam_error *err) LAM_NOEXCEPT;

/* ---- asking ---- */

typedef struct lam_net_peer {
    const char *host; /* name or address */
    uint16_t port;
    const char *called_ae, *calling_ae;
    int connect_timeout_ms;
    int response_timeout_ms;    /* longest silence of the peer when we wait for it */
    const lam_tls_context *tls; /* borrowed; NULL: plain TCP */
} lam_net_peer;

/* Connects and asks for at most LAM_ASSOCIATE_MAX_CONTEXTS contexts, one transfer syntax each, so that the
 * answer says of each pair whether the peer takes it (lam_association_find). LAM_OK although some or all were
 * refused. Errors: LAM_E_NOT_FOUND (no such host), LAM_E_PEER (nothing listens, or the association was
 * rejected: the message says why), LAM_E_TIMEOUT, LAM_E_IO. */
lam_status lam_net_request(const lam_net_peer *peer, const lam_net_context *contexts, size_t count,
                           lam_association **out, lam_error *err) LAM_NOEXCEPT;

/* ---- messages ---- */

/* The agreed context with this identifier, or NULL; borrowed. */
const lam_net_context *lam_association_context(const lam_association *association, uint8_t id) LAM_NOEXCEPT;
/* The agreed context for this pair, or NULL; borrowed. */
const lam_net_context *lam_association_find(const lam_association *association, const char *abstract_syntax,
                                            const char *transfer_syntax) LAM_NOEXCEPT;

/* The next command and the context it came in. Errors: LAM_E_CANCELLED: the peer asks for release (not a
 * fault); LAM_E_PEER: it aborted or closed; LAM_E_TIMEOUT; LAM_E_INVALID, LAM_E_LIMIT: it broke the protocol.
 * After any but the first, abort. */
lam_status lam_association_receive(lam_association *association, lam_command *out, uint8_t *context,
                                   lam_error *err) LAM_NOEXCEPT;

/* Whether something comes from the peer within so long: a command, its wish for release, its end. */
bool lam_association_wait(lam_association *association, int timeout_ms) LAM_NOEXCEPT;

/* Gets the bytes of a data set in the order they come; false makes receive_data stop. */
typedef bool (*lam_net_sink)(void *user, const void *bytes, size_t length);

/* The data set that follows a command, to its last fragment. Errors as above, and LAM_E_CANCELLED when the
 * sink stopped it: then the rest is still on its way, so abort. */
lam_status lam_association_receive_data(lam_association *association, uint8_t context, lam_net_sink sink,
                                        void *user, lam_error *err) LAM_NOEXCEPT;

lam_status lam_association_send(lam_association *association, uint8_t context, const lam_command *command,
                                lam_error *err) LAM_NOEXCEPT;

/* The rest of a file from `offset` as a data set, byte for byte. */
lam_status lam_association_send_data(lam_association *association, uint8_t context, int fd, uint64_t offset,
                                     lam_error *err) LAM_NOEXCEPT;

/* ---- the end ---- */

/* Asks for release and waits for the answer. */
lam_status lam_association_release(lam_association *association, lam_error *err) LAM_NOEXCEPT;
/* Answers the peer's wish for release and gives it a moment to close first. */
void lam_association_accept_release(lam_association *association) LAM_NOEXCEPT;
/* Sends A-ABORT; returns within about a second whatever the peer does. */
void lam_association_abort(lam_association *association) LAM_NOEXCEPT;
/* Closes and frees; NULL-safe. */
void lam_association_free(lam_association *association) LAM_NOEXCEPT;
LAM_DEFINE_AUTO(lam_association, lam_association_free)

#ifdef __cplusplus
}
#endif
#endif
