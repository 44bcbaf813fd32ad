/* The outbox over HTTP: what is on its way to other nodes, and an operator's hand on it. */
#include "api/handlers.h"
#include "api/rest.h"

void lam_rest_deliveries(lam_request *request)
{
    lam_list_query query = {0};
    const char *destination = lam_request_query(request, "destination");
    json_t *list = NULL;
    lam_error error = {0};
    if (!lam_rest_read_page(request, &query))
        return;
    error.status =
        request->backend->deliveries(request->backend->context, &query, destination, &list, &error);
    lam_rest_reply_page(request, &error, "deliveries", list, &query);
}

void lam_rest_delivery(lam_request *request)
{
    lam_rest_reply_numbered(request, request->backend->delivery);
}

void lam_rest_delivery_retry(lam_request *request)
{
    lam_rest_reply_numbered(request, request->backend->delivery_retry);
}

void lam_rest_destinations(lam_request *request)
{
    json_t *list = NULL;
    lam_error error = {0};
    error.status = request->backend->destinations(request->backend->context, &list, &error);
    lam_rest_reply_list(request, &error, "destinations", list);
}

static void pause_destination(lam_request *request, bool paused)
{
    json_t *list = NULL;
    lam_error error = {0};
    error.status = request->backend->destination_pause(request->backend->context, request->parameters[0],
                                                       paused, &list, &error);
    lam_rest_reply_list(request, &error, "destinations", list);
}

void lam_rest_destination_pause(lam_request *request)
{
    pause_destination(request, true);
}

void lam_rest_destination_resume(lam_request *request)
{
    pause_destination(request, false);
}
