/* What can be said about a request before its body is here: whether there is such a route, whether the client
 * may use it, and whether the answer can be what the client wants. Internal to api/. */
#ifndef LAMINA_API_ADMIT_H
#define LAMINA_API_ADMIT_H

#include "api/access.h"
#include "api/request.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Finds the route and begins its body, or replies: 431, 404, 405, 400, 401, 403, 421, 406, 413, or 204 to
 * OPTIONS. */
void lam_request_admit(lam_request *request, const lam_access *access);

/* The largest body that is taken on the request's route. */
int64_t lam_request_body_limit(const lam_request *request);

#ifdef __cplusplus
}
#endif
#endif
