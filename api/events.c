/* GET /api/v1/events: changes of studies, jobs, deliveries and workitems as server-sent events (HTML,
 * section 9.2). The backend keeps what is lately changed and writes the events; here they go out, and a
 * comment where nothing changes, so that both ends notice when the other is gone. Nothing queues up for a
 * client: one that does not take what it is sent stands still, and is dropped when it has missed a change or
 * its idle timeout ends. */
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/reply.h"

enum { HEARTBEAT_MS = 15000, MAX_TEXT = 64 * 1024, BLOCK = 8 * 1024 };

typedef struct stream {
    const lam_backend *backend;
    lam_feed *feed;
    int64_t heartbeat_ms;
    lam_buffer text; /* what is on its way out */
    size_t sent;
} stream;

/* Blocks the connection's own thread until there is something to say. */
static bool refill(stream *to)
{
    lam_error error = {0};
    lam_buffer_clear(&to->text);
    to->sent = 0;
    if (to->backend->changes_read(to->feed, to->heartbeat_ms, &to->text, &error) != LAM_OK)
        return false;
    if (to->text.length == 0)
        lam_buffer_append_text(&to->text, ":\n\n");
    return to->text.status == LAM_OK;
}

static ssize_t read_stream(void *context, uint64_t position, char *bytes, size_t size)
{
    (void)position;
    stream *from = context;
    if (from->sent == from->text.length && !refill(from))
        return MHD_CONTENT_READER_END_OF_STREAM;
    size_t length = from->text.length - from->sent < size ? from->text.length - from->sent : size;
    memcpy(bytes, lam_buffer_text(&from->text) + from->sent, length);
    from->sent += length;
    return (ssize_t)length;
}

static void free_stream(void *context)
{
    stream *one = context;
    one->backend->changes_close(one->feed);
    lam_buffer_done(&one->text);
    free(one);
}

static int64_t heartbeat_ms(const lam_http_options *options)
{
    int64_t third = (int64_t)options->idle_timeout_s * 1000 / 3;
    return third > 0 && third < HEARTBEAT_MS ? third : HEARTBEAT_MS;
}

void lam_rest_events(lam_request *request)
{
    lam_feed *feed = NULL;
    lam_error error = {0};
    const char *last = MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, "Last-Event-ID");
    if (request->backend->changes_open(request->backend->context, last, &feed, &error) != LAM_OK) {
        lam_reply_error(request, &error);
        return;
    }
    struct MHD_Response *reply = NULL;
    stream *one = calloc(1, sizeof *one);
    if (one) {
        *one = (stream){
            .backend = request->backend, .feed = feed, .heartbeat_ms = heartbeat_ms(request->options)};
        lam_buffer_init(&one->text, MAX_TEXT);
        reply = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, read_stream, one, free_stream);
        if (!reply)
            free_stream(one);
    } else {
        request->backend->changes_close(feed);
    }
    lam_reply_made(request, MHD_HTTP_OK, "text/event-stream", reply, -1);
    lam_reply_header(request, "X-Accel-Buffering", "no"); /* nginx would collect them */
}
