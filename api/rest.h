/* How the handlers of /api/v1 ask the backend and answer. Internal to api/. */
#ifndef LAMINA_API_REST_H
#define LAMINA_API_REST_H

#include <jansson.h>

#include "api/request.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Answers with `value`, which is taken, by the route's usual status; where `error` has a status, with that.
 */
void lam_rest_reply(lam_request *request, const lam_error *error, json_t *value);

/* state, limit and offset of a list; false when one is wrong, which has been answered. */
bool lam_rest_read_page(lam_request *request, lam_list_query *query);

/* A page of a list as {"studies": [...], "limit": 100, "offset": 0}: an object, so that members can be added
 * without breaking clients. `members` is taken. */
void lam_rest_reply_page(lam_request *request, const lam_error *error, const char *name, json_t *members,
                         const lam_list_query *query);

/* A whole list, as the one member of an object. */
void lam_rest_reply_list(lam_request *request, const lam_error *error, const char *name, json_t *members);

/* Asks for the object with the number in the path and answers with it. */
typedef lam_status (*lam_rest_ask)(void *context, int64_t number, json_t **out, lam_error *err);
void lam_rest_reply_numbered(lam_request *request, lam_rest_ask ask);

#ifdef __cplusplus
}
#endif
#endif
