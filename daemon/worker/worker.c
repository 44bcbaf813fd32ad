#include "daemon/worker/worker.h"

#include <stdio.h>
#include <unistd.h>

#include "core/base/buffer.h"
#include "core/base/cleanup.h"
#include "core/base/json.h"
#include "daemon/ipc/ipc.h"
#include "daemon/ipc/messages.h"
#include "daemon/worker/analyse.h"
#include "daemon/worker/frames.h"
#include "daemon/worker/hook.h"
#include "daemon/worker/render.h"
#include "daemon/worker/unpack.h"
#include "dicom/index.h"

typedef struct worker {
    int socket;
    lam_analysis *analysis; /* between BEGIN and RUN */
    lam_models *models;
    lam_unpack *archive; /* after UNPACK */
    bool draining;
} worker;

static lam_status send_failed(int socket, uint32_t request, const lam_error *why, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer payload;
    lam_buffer_init(&payload, LAM_IPC_MAX_PAYLOAD);
    lam_json_writer w = lam_json_write_to(&payload);
    lam_jw_object(&w, NULL);
    lam_jw_text(&w, "status", lam_status_name(why->status));
    lam_jw_text(&w, "reason", why->message);
    lam_jw_bool(&w, "permanent", lam_worker_is_permanent(why->status));
    lam_jw_end(&w);
    return lam_ipc_send(socket, LAM_MESSAGE_FAILED, request, lam_buffer_text(&payload), NULL, 0, err);
}

/* What was written, or that it is more than a message holds. */
static lam_status send_answer(int socket, lam_message_type type, uint32_t request, const lam_buffer *answer,
                              lam_error *err)
{
    lam_error why = {LAM_OK, ""};
    if (answer->status == LAM_OK)
        return lam_ipc_send(socket, type, request, lam_buffer_text(answer), NULL, 0, err);
    lam_fail(&why, answer->status, "the answer needs more than %zu bytes, or memory ran out",
             answer->maximum);
    return send_failed(socket, request, &why, err);
}

static lam_status answer_index(worker *self, lam_ipc_message *message, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer header;
    lam_buffer_init(&header, LAM_INDEX_MAX_BYTES);
    lam_error why = {LAM_OK, ""};
    if (message->fd_count != 1)
        return lam_fail(err, LAM_E_PEER, "INDEX came with %zu descriptors instead of one", message->fd_count);
    if (lam_index_file(message->fds[0], &header, &why) != LAM_OK)
        return send_failed(self->socket, message->request, &why, err);
    lam_worker_hook_index(lam_buffer_text(&header));
    return send_answer(self->socket, LAM_MESSAGE_INDEXED, message->request, &header, err);
}

/* A job's failure is answered once, to RUN: what goes wrong before is kept by the analysis. */
static lam_status begin_analysis(worker *self, lam_ipc_message *message, lam_error *err)
{
    lam_analysis_free(self->analysis);
    self->analysis = NULL;
    return lam_analysis_create(self->models, message, &self->analysis, err);
}

static lam_status add_input(worker *self, lam_ipc_message *message, lam_error *err)
{
    if (!self->analysis)
        return lam_fail(err, LAM_E_PEER, "ANALYZE_INPUT without ANALYZE_BEGIN");
    lam_analysis_add(self->analysis, message);
    return LAM_OK;
}

static lam_status run_analysis(worker *self, lam_ipc_message *message, lam_error *err)
{
    if (!self->analysis)
        return lam_fail(err, LAM_E_PEER, "ANALYZE_RUN without ANALYZE_BEGIN");
    lam_error why = {LAM_OK, ""};
    LAM_AUTO(lam_buffer_done) lam_buffer result;
    lam_buffer_init(&result, LAM_IPC_MAX_PAYLOAD);
    lam_status status = lam_analysis_run(self->analysis, self->socket, message, &result, &why);
    lam_analysis_free(self->analysis);
    self->analysis = NULL;
    if (status != LAM_OK)
        return send_failed(self->socket, message->request, &why, err);
    return send_answer(self->socket, LAM_MESSAGE_DONE, message->request, &result, err);
}

/* What answers a request for pixels with one JSON text. */
typedef lam_status pixel_work(const lam_ipc_message *message, lam_buffer *answer, lam_error *err);

static const struct {
    lam_message_type type;
    pixel_work *work;
} pixel_works[] = {
    {LAM_MESSAGE_LAYOUT, lam_work_layout},       {LAM_MESSAGE_FRAMES, lam_work_frames},
    {LAM_MESSAGE_TRANSCODE, lam_work_transcode}, {LAM_MESSAGE_VALUE, lam_work_value},
    {LAM_MESSAGE_RENDER, lam_work_render},
};

static lam_status answer_pixels(worker *self, lam_ipc_message *message, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer answer;
    lam_buffer_init(&answer, LAM_IPC_MAX_PAYLOAD);
    lam_error why = {LAM_OK, ""};
    for (size_t i = 0; i < LAM_COUNT(pixel_works); i++)
        if (pixel_works[i].type == message->type && pixel_works[i].work(message, &answer, &why) != LAM_OK)
            return send_failed(self->socket, message->request, &why, err);
    return send_answer(self->socket, LAM_MESSAGE_PIXELS, message->request, &answer, err);
}

static lam_status open_archive(worker *self, lam_ipc_message *message, lam_buffer *answer, lam_error *err)
{
    LAM_AUTO_PTR(lam_json) *json = NULL;
    lam_unpack_limits limits = {0};
    int64_t bytes = 0;
    lam_status status = lam_json_parse(message->payload, message->length, &json, err);
    const lam_jv *root = lam_json_root(json);
    const struct {
        const char *name;
        int64_t *value;
    } members[] = {{"files", &limits.files},
                   {"bytes", &limits.bytes},
                   {"file_bytes", &limits.file_bytes},
                   {"ratio", &limits.ratio}};
    for (size_t i = 0; i < LAM_COUNT(members) && status == LAM_OK; i++)
        status = lam_jv_need_integer(root, members[i].name, 1, INT64_MAX, members[i].value, err);
    if (status == LAM_OK && message->fd_count != 1)
        status = lam_fail(err, LAM_E_PEER, "UNPACK came with %zu descriptors", message->fd_count);
    lam_unpack_free(LAM_TAKE_PTR(self->archive));
    if (status == LAM_OK)
        status = lam_unpack_open(LAM_TAKE_FD(message->fds[0]), &limits, &self->archive, &bytes, err);
    lam_buffer_printf(answer, "{\"bytes\":%lld}", (long long)bytes);
    return status;
}

static lam_status answer_unpack(worker *self, lam_ipc_message *message, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer answer;
    lam_buffer_init(&answer, LAM_IPC_MAX_PAYLOAD);
    lam_error why = {LAM_OK, ""};
    lam_status status = LAM_OK;
    if (message->type == LAM_MESSAGE_UNPACK)
        status = open_archive(self, message, &answer, &why);
    else if (!self->archive)
        return lam_fail(err, LAM_E_PEER, "UNPACK_NEXT without UNPACK");
    else
        status = lam_unpack_next(self->archive, message->fds, message->fd_count, &answer, &why);
    if (status != LAM_OK)
        return send_failed(self->socket, message->request, &why, err);
    return send_answer(self->socket, LAM_MESSAGE_UNPACKED, message->request, &answer, err);
}

static lam_status drain(worker *self, lam_ipc_message *message, lam_error *err)
{
    (void)message;
    (void)err;
    self->draining = true;
    return LAM_OK;
}

static const struct {
    lam_message_type type;
    lam_status (*handle)(worker *self, lam_ipc_message *message, lam_error *err);
} handlers[] = {
    {LAM_MESSAGE_INDEX, answer_index},        {LAM_MESSAGE_ANALYZE_BEGIN, begin_analysis},
    {LAM_MESSAGE_ANALYZE_INPUT, add_input},   {LAM_MESSAGE_ANALYZE_RUN, run_analysis},
    {LAM_MESSAGE_LAYOUT, answer_pixels},      {LAM_MESSAGE_FRAMES, answer_pixels},
    {LAM_MESSAGE_TRANSCODE, answer_pixels},   {LAM_MESSAGE_VALUE, answer_pixels},
    {LAM_MESSAGE_RENDER, answer_pixels},      {LAM_MESSAGE_UNPACK, answer_unpack},
    {LAM_MESSAGE_UNPACK_NEXT, answer_unpack}, {LAM_MESSAGE_DRAIN, drain},
};

static lam_status handle(worker *self, lam_ipc_message *message, lam_error *err)
{
    for (size_t i = 0; i < LAM_COUNT(handlers); i++)
        if (handlers[i].type == message->type)
            return handlers[i].handle(self, message, err);
    return lam_fail(err, LAM_E_PEER, "a message of unknown type %u", message->type);
}

static lam_status serve(worker *self, lam_error *err)
{
    char ready[32];
    snprintf(ready, sizeof ready, "{\"pid\":%d}", (int)getpid());
    lam_status status = lam_ipc_send(self->socket, LAM_MESSAGE_READY, 0, ready, NULL, 0, err);
    while (status == LAM_OK && !self->draining) {
        lam_ipc_message message;
        status = lam_ipc_receive(self->socket, &message, err);
        if (status == LAM_E_PEER)
            return LAM_OK; /* laminad is gone, and so are we */
        if (status != LAM_OK)
            return status;
        status = handle(self, &message, err);
        lam_ipc_message_done(&message);
    }
    return status;
}

lam_status lam_worker_serve(int socket, lam_error *err)
{
    worker self = {.socket = socket};
    lam_status status = lam_models_create(&self.models, err);
    if (status == LAM_OK)
        status = serve(&self, err);
    lam_analysis_free(self.analysis);
    lam_unpack_free(self.archive);
    lam_models_free(self.models);
    return status;
}
