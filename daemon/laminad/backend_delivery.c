/* The part of api/backend.h that is about the outbox. */
#include "core/base/clock.h"
#include "daemon/laminad/backend.h"
#include "daemon/laminad/outbox.h"

static lam_status deliveries(void *context, const lam_list_query *query, const char *destination,
                             json_t **out, lam_error *err)
{
    const lam_daemon *daemon = context;
    LAM_WITH_DB(daemon, db);
    return lam_outbox_list(db, query->state, destination, query->limit, query->offset, out, err);
}

static lam_status delivery(void *context, int64_t id, json_t **out, lam_error *err)
{
    const lam_daemon *daemon = context;
    LAM_WITH_DB(daemon, db);
    return lam_outbox_show(db, id, out, err);
}

static lam_status delivery_retry(void *context, int64_t id, json_t **out, lam_error *err)
{
    const lam_daemon *daemon = context;
    LAM_WITH_DB(daemon, db);
    lam_status status = lam_outbox_retry(db, id, lam_clock_steady_ms(), err);
    if (status != LAM_OK)
        return status;
    lam_delivery_hurry(daemon->delivery);
    return lam_outbox_show(db, id, out, err);
}

static lam_status destinations(void *context, json_t **out, lam_error *err)
{
    const lam_daemon *daemon = context;
    LAM_WITH_DB(daemon, db);
    return lam_outbox_destinations(db, out, err);
}

static lam_status destination_pause(void *context, const char *name, bool paused, json_t **out,
                                    lam_error *err)
{
    const lam_daemon *daemon = context;
    LAM_WITH_DB(daemon, db);
    lam_status status = lam_outbox_pause(db, name, paused, lam_clock_steady_ms(), err);
    if (status != LAM_OK)
        return status;
    lam_delivery_hurry(daemon->delivery);
    return lam_outbox_destinations(db, out, err);
}

lam_status lam_backend_write_delivery_metrics(lam_db *db, lam_buffer *out, lam_error *err)
{
    json_t *list = NULL, *destination, *count;
    const char *state;
    size_t index;
    lam_status status = lam_outbox_destinations(db, &list, err);
    if (status != LAM_OK)
        return status;
    lam_buffer_append_text(
        out, "# HELP lamina_deliveries Deliveries in the outbox.\n# TYPE lamina_deliveries gauge\n");
    json_array_foreach(list, index, destination)
    {
        const char *name = json_string_value(json_object_get(destination, "destination"));
        json_object_foreach(json_object_get(destination, "deliveries"), state, count)
            lam_buffer_printf(out, "lamina_deliveries{destination=\"%s\",state=\"%s\"} %lld\n", name, state,
                              (long long)json_integer_value(count));
    }
    json_decref(list);
    return out->status;
}

void lam_backend_add_delivery(lam_backend *backend)
{
    backend->deliveries = deliveries;
    backend->delivery = delivery;
    backend->delivery_retry = delivery_retry;
    backend->destinations = destinations;
    backend->destination_pause = destination_pause;
}
