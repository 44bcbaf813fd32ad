/* The client side of laminad's HTTP interface: requests that give JSON, and downloads into files. Knows how
 * to reach the server and how it reports errors, not what the routes mean. */
#ifndef LAMINA_CLI_REST_H
#define LAMINA_CLI_REST_H

#include <jansson.h>

#include "core/base/cleanup.h"
#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lam_rest lam_rest;

/* `url` is the root of the server; NULL: $LAMINA_URL, else http://127.0.0.1:8080. A bearer token is taken
 * from $LAMINA_TOKEN. Connects with the first request. Not thread-safe. */
lam_status lam_rest_open(const char *url, lam_rest **out, lam_error *err);
void lam_rest_close(lam_rest *rest);
LAM_DEFINE_AUTO(lam_rest, lam_rest_close)

/* `path` begins with a slash and holds only characters that need no escaping. *out is the caller's
 * (json_decref). LAM_E_PEER: no server there, or no JSON from it; otherwise what the server's answer means
 * (LAM_E_NOT_FOUND, LAM_E_STATE, LAM_E_DENIED, …) with its own words. */
lam_status lam_rest_get(lam_rest *rest, const char *path, json_t **out, lam_error *err);
lam_status lam_rest_post(lam_rest *rest, const char *path, json_t **out, lam_error *err);

/* The body becomes the file `name`; a half-loaded one is never left there. */
lam_status lam_rest_download(lam_rest *rest, const char *path, const char *name, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
