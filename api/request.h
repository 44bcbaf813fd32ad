/* One HTTP request as its handler sees it: the route, its validated parameters, headers and query. Internal
 * to api/. */
#ifndef LAMINA_API_REQUEST_H
#define LAMINA_API_REQUEST_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/backend.h"
#include "api/server.h"
#include "core/base/buffer.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LAM_PATH_PARAMETERS = 4, LAM_PARAMETER_TEXT = 129, LAM_CLIENT_TEXT = 46, LAM_USER_TEXT = 128 };

struct lam_route;
struct lam_stats;

typedef struct lam_request {
    const lam_http_options *options;
    const lam_backend *backend;
    struct lam_stats *stats;
    struct MHD_Connection *connection;
    const struct lam_route *route; /* NULL when nothing matched */
    const char *method;
    const char *version; /* "HTTP/1.1" */
    const char *host;    /* what the client calls us, up to a slash or its end; NULL when it does not say */
    const char *path;    /* percent-decoded, without the query */
    char parameters[LAM_PATH_PARAMETERS][LAM_PARAMETER_TEXT]; /* in the order of the route's template */
    void *body;                                               /* what the route's body functions keep */
    int64_t body_bytes;                                       /* received so far */
    int64_t dropped_bytes;                                    /* of them, after the reply was known */
    bool may_delete;                                          /* the client has this role */
    bool refused;                                             /* because of who the client is */
    char client[LAM_CLIENT_TEXT];                             /* numeric address */
    char user[LAM_USER_TEXT]; /* name of its token, subject of its certificate, or "" */
    lam_transfers transfers;  /* what it brought */

    struct MHD_Response *reply; /* set once, by lam_reply_… */
    unsigned status;
    int64_t reply_bytes; /* -1 when not known beforehand */
    bool queued;
    int64_t started_us;
} lam_request;

/* Notes path and host of the target `url` (borrowed), which may be a whole URL (RFC 9112 section 3.2.2): what
 * it says of the host then counts instead of the header. */
void lam_request_set_target(lam_request *request, const char *url);

/* A header's value, its lines joined by commas; NULL when absent. Borrowed from `scratch`, {0} before and
 * ended by the caller, when there are several lines. */
const char *lam_request_header(const lam_request *request, const char *name, lam_buffer *scratch);

/* A query parameter's decoded value; NULL when absent, "" when without a value. Borrowed. */
const char *lam_request_query(const lam_request *request, const char *name);

/* What the client accepts: the `accept` query parameter where given (PS3.18 section 8.3.3.1), else the
 * header. */
const char *lam_request_accept(const lam_request *request, lam_buffer *scratch);

/* True when the request announces a body. *length is its Content-Length, -1 for a chunked one. */
bool lam_request_has_body(const lam_request *request, int64_t *length);

/* Counts an object for the audit trail. */
void lam_request_note_stored(lam_request *request, const lam_store_result *result);

/* Blocking inside a handler is fine, every connection has its thread; but the idle timeout must not run
 * meanwhile. Call begin before and end after waiting for the backend. */
void lam_request_wait_begin(lam_request *request);
void lam_request_wait_end(lam_request *request);

#ifdef __cplusplus
}
#endif
#endif
