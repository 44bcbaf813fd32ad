/* TLS of the HTTP server: certificate, key and the authorities whose clients we know, as libmicrohttpd
 * (GnuTLS) takes them; and whether a client has shown a certificate of theirs. */
#ifndef LAMINA_API_TLS_H
#define LAMINA_API_TLS_H

#include <microhttpd.h>
#include <stdbool.h>

#include "api/request.h"
#include "api/server.h"
#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lam_http_tls lam_http_tls;

/* NULL in *out where the options have no certificate. Refuses a key that everyone may read. */
lam_status lam_http_tls_create(const lam_http_options *options, lam_http_tls **out, lam_error *err);
void lam_http_tls_free(lam_http_tls *tls);

enum { LAM_HTTP_TLS_OPTIONS = 5 };
/* What MHD_start_daemon takes, ended by MHD_OPTION_END; without TLS nothing else. Valid while `tls` is. */
void lam_http_tls_options(const lam_http_tls *tls, struct MHD_OptionItem out[LAM_HTTP_TLS_OPTIONS]);

/* Whether the client of this connection has shown a certificate that one of our authorities signed; `name`
 * becomes its subject (RFC 4514). */
bool lam_http_tls_client_is_known(struct MHD_Connection *connection, char name[LAM_USER_TEXT]);

#ifdef __cplusplus
}
#endif
#endif
