/* The HTTP server of laminad: DICOMweb under /dicom-web, JSON under /api/v1, the web page at /. It speaks
 * HTTP and nothing else: every question goes to the backend table, and no byte of DICOM is parsed here
 * (promise 2). */
#ifndef LAMINA_API_SERVER_H
#define LAMINA_API_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/backend.h"
#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lam_http_auth {
    LAM_HTTP_AUTH_NONE,  /* loopback only (promise 10) */
    LAM_HTTP_AUTH_TOKEN, /* Authorization: Bearer, one of the tokens in token_file */
    LAM_HTTP_AUTH_MTLS   /* a certificate that one of tls_client_ca signed */
} lam_http_auth;

/* Strings are copied by create. Start from lam_http_options_default. */
typedef struct lam_http_options {
    const char *address; /* numeric IPv4 or IPv6 address */
    unsigned port;       /* 0: the kernel picks one; see lam_http_server_port */
    int listen_fd; /* > 0: a bound, listening TCP socket, taken over on success; address and port do not count
                    */
    const char *public_url; /* scheme://host[:port][/path] as clients see us, without a slash at the end;
                               NULL: URLs in answers are relative */
    lam_http_auth auth;
    const char *token_file; /* a token a line, at least 16 characters, and its role; # comments */
    const char
        *cors_origins; /* origins of web pages that may call us, by blanks; "*" for any; NULL for none */
    /* PEM files; NULL: plain HTTP */
    const char *tls_certificate, *tls_key, *tls_client_ca;
    const char *ohif_dir; /* folder with the files of OHIF, served under /ohif; NULL: none */

    bool allow_delete; /* DELETE below /dicom-web */
    unsigned max_connections;
    unsigned max_connections_per_ip;
    unsigned idle_timeout_s;   /* closes a connection that neither sends nor takes a byte for so long, or
                                  whose next request has not all its headers by then */
    unsigned drain_timeout_ms; /* what free waits for requests under way */
    int64_t max_body_bytes;    /* of a request; 413 beyond */
    size_t max_parts;          /* of a multipart body */
    size_t max_header_bytes;   /* of a request; 431 beyond */
} lam_http_options;

lam_http_options lam_http_options_default(void);

typedef struct lam_http_server lam_http_server;

/* Binds, listens and starts answering. `backend` is borrowed and must live until free has returned.
 * LAM_E_INVALID for a wrong option, LAM_E_DENIED for an address beyond loopback without authentication,
 * LAM_E_EXISTS when the address is in use; the message says what to change.
 * Thread-safe. */
lam_status lam_http_server_create(const lam_http_options *options, const lam_backend *backend,
                                  lam_http_server **out, lam_error *err);

/* The port it listens on. */
unsigned lam_http_server_port(const lam_http_server *server);

/* Stops accepting, lets requests under way finish for drain_timeout_ms, then closes everything and joins all
 * threads. A request that is inside a backend function is waited for, however long. */
void lam_http_server_free(lam_http_server *server);

#ifdef __cplusplus
}
#endif
#endif
