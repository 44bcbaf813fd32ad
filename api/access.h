/* Who may ask: bearer tokens, and the two ways a web page on the same machine could misuse a server that asks
 * for none (another site's form posting here; another name resolving to loopback). Cross-origin reading is
 * allowed only to listed origins. Internal to api/. */
#ifndef LAMINA_API_ACCESS_H
#define LAMINA_API_ACCESS_H

#include <stdbool.h>

#include "api/request.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lam_access lam_access;

/* Reads the token file. `options` is borrowed and must outlive it. LAM_E_INVALID for an empty or too open
 * file. */
lam_status lam_access_create(const lam_http_options *options, lam_access **out, lam_error *err);
void lam_access_free(lam_access *access);

/* True when the request may go on; else it has been answered with 401, 403 or 421. `open`: needs no token.
 * Says who the client is, as far as it has shown that, and whether it has the role of removing: with tokens
 * those that are marked with it. Thread-safe. */
bool lam_access_check(const lam_access *access, lam_request *request, bool open);

/* The CORS headers of an answer, errors included (Fetch standard, section 3.2). */
void lam_access_add_headers(const lam_access *access, lam_request *request);

#ifdef __cplusplus
}
#endif
#endif
