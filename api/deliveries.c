/* The outbox over HTTP: what is on its way to other nodes, and an operator's hand on it. */
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/reply.h"

static void reply_result(lam_request *request, const lam_error *error, json_t *value)
{
    if (error->status == LAM_OK)
        lam_reply_json(request, request->route->success, value);
    else
        lam_reply_error(request, error);
}

static int64_t delivery_number(const lam_request *request)
{
    return strtoll(request->parameters[0], NULL, 10); /* at most 18 digits: routes.c */
}

void lam_rest_deliveries(lam_request *request)
{
    lam_list_query query = {.state = lam_request_query(request, "state")};
    const char *destination = lam_request_query(request, "destination");
    json_t *list = NULL, *object = NULL;
    lam_error error = {0};
    if (!lam_rest_read_page(request, &query))
        return;
    error.status =
        request->backend->deliveries(request->backend->context, &query, destination, &list, &error);
    if (error.status == LAM_OK)
        object = json_pack("{s:o, s:I, s:I}", "deliveries", list, "limit", (json_int_t)query.limit, "offset",
                           (json_int_t)query.offset);
    reply_result(request, &error, object);
}

void lam_rest_delivery(lam_request *request)
{
    json_t *object = NULL;
    lam_error error = {0};
    error.status =
        request->backend->delivery(request->backend->context, delivery_number(request), &object, &error);
    reply_result(request, &error, object);
}

void lam_rest_delivery_retry(lam_request *request)
{
    json_t *object = NULL;
    lam_error error = {0};
    error.status = request->backend->delivery_retry(request->backend->context, delivery_number(request),
                                                    &object, &error);
    reply_result(request, &error, object);
}

void lam_rest_destinations(lam_request *request)
{
    json_t *list = NULL;
    lam_error error = {0};
    error.status = request->backend->destinations(request->backend->context, &list, &error);
    reply_result(request, &error, error.status == LAM_OK ? json_pack("{s:o}", "destinations", list) : NULL);
}

static void pause_destination(lam_request *request, bool paused)
{
    json_t *list = NULL;
    lam_error error = {0};
    error.status = request->backend->destination_pause(request->backend->context, request->parameters[0],
                                                       paused, &list, &error);
    reply_result(request, &error, error.status == LAM_OK ? json_pack("{s:o}", "destinations", list) : NULL);
}

void lam_rest_destination_pause(lam_request *request)
{
    pause_destination(request, true);
}

void lam_rest_destination_resume(lam_request *request)
{
    pause_destination(request, false);
}
