/* HTTP requests to a peer, by libcurl: its url, token, certificates and time limits applied the same way for
 * every kind of destination. Redirections are not followed: what goes out goes where the configuration says.
 */
#ifndef LAMINA_DAEMON_HTTP_CLIENT_H
#define LAMINA_DAEMON_HTTP_CLIENT_H

#include <curl/curl.h>

#include "core/base/buffer.h"
#include "core/base/status.h"
#include "daemon/laminad/deliver.h"

enum { LAM_HTTP_MAX_ANSWER = 4 * 1024 * 1024, LAM_HTTP_SECRET = 8192 };

/* The first line of a file that holds a token or a secret. Refuses a file that others may read
 * (LAM_E_DENIED), and a line that is empty or does not fit (LAM_E_INVALID, LAM_E_LIMIT). */
lam_status lam_http_read_secret(const char *path, char out[LAM_HTTP_SECRET], lam_error *err);

/* A handle for one POST to `url` with `headers`; the caller sets the body. NULL with err set. */
CURL *lam_http_prepare(const lam_carriage *c, const char *url, struct curl_slist **headers, lam_error *err);

/* Certificates and versions for a handle. */
void lam_http_set_tls(const lam_config_peer *peer, CURL *curl);

/* Performs it; `answer` gets the body, *status the HTTP status. A failure: no answer came. */
lam_status lam_http_perform(const lam_carriage *c, CURL *curl, lam_buffer *answer, int *status,
                            lam_error *err);

/* What a status means for what was sent, where the body says no more. */
lam_verdict lam_http_verdict(int status);

#endif
