#include "daemon/dimse/session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/text.h"
#include "daemon/dimse/commitment.h"
#include "dicom/file_meta.h"
#include "dicom/sop_class.h"

enum { VERDICT_TIMEOUT_MS = 120 * 1000 };

lam_status lam_scp_session_create(lam_scp_sessions *sessions, lam_scp_caller *caller, lam_scp_session **out,
                                  lam_error *err)
{
    lam_scp_session *session = malloc(sizeof *session);
    int wake = fcntl(caller->socket, F_DUPFD_CLOEXEC, 0);
    if (!session || wake < 0) {
        lam_status status = lam_fail_errno(err, session ? errno : ENOMEM, "cannot begin an association");
        if (wake >= 0)
            close(wake);
        free(session);
        lam_scp_caller_free(caller);
        return status;
    }
    session->seat = (lam_scp_seat){
        .calling_ae = caller->associate.calling_ae, .wake = wake, .secured = caller->tls != NULL};
    session->sessions = sessions;
    session->caller = caller;
    session->association = NULL;
    session->stored = session->failed = 0;
    session->reporting[0] = '\0';
    lam_scp_spool_init(&session->spool, lam_scp_sessions_spool(sessions));
    *out = session;
    return LAM_OK;
}

void lam_scp_session_free(lam_scp_session *session)
{
    if (!session)
        return;
    lam_association_free(session->association);
    lam_scp_spool_discard(&session->spool);
    lam_scp_sessions_leave(session->sessions, &session->seat);
    close(session->seat.wake); /* nobody shuts it down any more, whatever has its number next */
    lam_scp_caller_free(session->caller);
    free(session);
}

static void tell(lam_scp_session *session, const char *event, const char *reason)
{
    const lam_scp_caller *caller = session->caller;
    lam_scp_tell(lam_scp_sessions_link(session->sessions), caller->association, caller->address,
                 caller->associate.calling_ae, caller->associate.called_ae,
                 (lam_scp_event){event, reason, session->stored, session->failed});
}

/* An object that laminad did not refuse itself. */
static void tell_refused(lam_scp_session *session, const lam_scp_verdict *verdict)
{
    char reason[sizeof verdict->comment + 8];
    snprintf(reason, sizeof reason, "%04XH: %s", verdict->status, verdict->comment);
    tell(session, "refused", reason);
}

static lam_status answer(lam_scp_session *session, const lam_net_context *context, const lam_command *request,
                         const lam_scp_verdict *verdict, lam_error *err)
{
    lam_command response = lam_command_response(request, verdict->status);
    memcpy(response.comment, verdict->comment, sizeof response.comment);
    return lam_association_send(session->association, context->id, &response, err);
}

static lam_scp_verdict verdict_of(uint16_t status, const char *comment)
{
    lam_scp_verdict verdict = {.status = status};
    lam_text_copy(verdict.comment, sizeof verdict.comment, comment);
    return verdict;
}

/* A fault of ours as the sender sees it. */
static lam_scp_verdict verdict_of_fault(lam_status status)
{
    static const struct {
        lam_status status;
        uint16_t verdict;
        const char *comment;
    } faults[] = {
        {LAM_E_NO_SPACE, LAM_DIMSE_OUT_OF_RESOURCES, "no space left on the disk"},
        {LAM_E_NO_MEMORY, LAM_DIMSE_OUT_OF_RESOURCES, "out of memory"},
        {LAM_E_LIMIT, LAM_DIMSE_OUT_OF_RESOURCES, "out of resources"},
        {LAM_E_IO, LAM_DIMSE_PROCESSING_FAILURE, "the object could not be written"},
        {LAM_E_TIMEOUT, LAM_DIMSE_PROCESSING_FAILURE, "the object was not stored in time"},
    };
    for (size_t i = 0; i < LAM_COUNT(faults); i++)
        if (faults[i].status == status)
            return verdict_of(faults[i].verdict, faults[i].comment);
    return verdict_of(LAM_DIMSE_PROCESSING_FAILURE, "the object could not be stored");
}

/* What of a C-STORE request can be wrong before a byte of its data set is looked at. */
static lam_scp_verdict check_request(const lam_net_context *context, const lam_command *request)
{
    if (strcmp(context->abstract_syntax, LAM_SOP_CLASS_VERIFICATION) == 0 ||
        strcmp(context->abstract_syntax, request->sop_class) != 0)
        return verdict_of(LAM_DIMSE_CLASS_NOT_SUPPORTED, "SOP class is not that of the presentation context");
    if (!lam_uid_is_valid(request->sop_instance))
        return verdict_of(LAM_DIMSE_INVALID_INSTANCE, "SOP instance UID is not a UID");
    if (request->data_set_type == LAM_NO_DATA_SET)
        return verdict_of(LAM_DIMSE_CANNOT_UNDERSTAND, "C-STORE without a data set");
    return verdict_of(LAM_DIMSE_SUCCESS, "");
}

static lam_status begin_file(lam_scp_session *session, const lam_net_context *context,
                             const lam_command *request)
{
    lam_status status = lam_scp_spool_check(&session->spool, session->caller->settings->reserve_bytes, NULL);
    if (status == LAM_OK)
        status = lam_scp_spool_begin(&session->spool, NULL);
    if (status != LAM_OK)
        return status;
    lam_file_meta meta;
    memcpy(meta.sop_class, request->sop_class, sizeof meta.sop_class);
    memcpy(meta.sop_instance, request->sop_instance, sizeof meta.sop_instance);
    memcpy(meta.transfer_syntax, context->transfer_syntax, sizeof meta.transfer_syntax);
    uint8_t head[LAM_FILE_META_MAX_BYTES];
    return lam_scp_spool_append(&session->spool, head, lam_file_meta_write(&meta, head), NULL);
}

/* A data set on its way through: kept, or only counted once it cannot be kept any more. */
typedef struct intake {
    lam_scp_spool *spool;
    lam_status fault; /* first thing that went wrong on our side */
    bool keep;
    uint64_t bytes, most;
} intake;

static bool take_bytes(void *user, const void *bytes, size_t length)
{
    intake *in = user;
    in->bytes += length;
    if (in->bytes > in->most)
        return false;
    if (in->keep && in->fault == LAM_OK)
        in->fault = lam_scp_spool_append(in->spool, bytes, length, NULL);
    return true;
}

static lam_status hand_over(lam_scp_session *session, const lam_net_context *context,
                            const lam_command *request, lam_scp_verdict *out)
{
    const lam_scp_caller *caller = session->caller;
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_buffer_init(&text, 8192);
    lam_json_writer w = lam_json_write_to(&text);
    lam_jw_object(&w, NULL);
    lam_jw_text(&w, "name", session->spool.name);
    lam_jw_text(&w, "sop_class_uid", request->sop_class);
    lam_jw_text(&w, "sop_instance_uid", request->sop_instance);
    lam_jw_text(&w, "transfer_syntax_uid", context->transfer_syntax);
    lam_jw_integer(&w, "bytes", (int64_t)session->spool.written);
    lam_jw_integer(&w, "association", caller->association);
    lam_jw_text(&w, "calling_ae", caller->associate.calling_ae);
    lam_jw_text(&w, "address", caller->address);
    lam_jw_end(&w);
    if (text.status != LAM_OK)
        return text.status;
    return lam_scp_link_store(lam_scp_sessions_link(session->sessions), lam_buffer_text(&text),
                              lam_scp_spool_take(&session->spool), VERDICT_TIMEOUT_MS, out, NULL);
}

/* Receives the data set to its end whatever becomes of it, so that the answer finds a sender that listens. */
static lam_status receive_object(lam_scp_session *session, const lam_net_context *context, intake *in,
                                 lam_error *err)
{
    lam_status status = lam_association_receive_data(session->association, context->id, take_bytes, in, err);
    if (status == LAM_E_CANCELLED && in->bytes > in->most)
        return lam_fail(err, LAM_E_LIMIT, "an object of more than %llu bytes", (unsigned long long)in->most);
    if (status == LAM_E_CANCELLED)
        return lam_fail(err, LAM_E_PEER, "the peer released the association in the middle of an object");
    return status;
}

static lam_status handle_store(lam_scp_session *session, const lam_net_context *context,
                               const lam_command *request, lam_error *err)
{
    lam_scp_verdict verdict = check_request(context, request);
    intake in = {.spool = &session->spool,
                 .keep = verdict.status == LAM_DIMSE_SUCCESS,
                 .most = session->caller->settings->max_object_bytes};
    if (in.keep)
        in.fault = begin_file(session, context, request);
    lam_status status = LAM_OK;
    if (request->data_set_type != LAM_NO_DATA_SET)
        status = receive_object(session, context, &in, err);
    if (status == LAM_OK && in.keep && in.fault == LAM_OK && in.bytes == 0) {
        verdict = verdict_of(LAM_DIMSE_CANNOT_UNDERSTAND, "the data set is empty");
        in.keep = false;
    }
    if (status == LAM_OK && in.keep) {
        if (in.fault == LAM_OK)
            in.fault = lam_scp_spool_finish(&session->spool, NULL);
        if (in.fault == LAM_OK)
            in.fault = hand_over(session, context, request, &verdict);
        if (in.fault != LAM_OK)
            verdict = verdict_of_fault(in.fault);
    }
    lam_scp_spool_discard(&session->spool);
    if (status != LAM_OK)
        return status;
    if (!in.keep || in.fault != LAM_OK)
        tell_refused(session, &verdict);
    if (lam_dimse_outcome(verdict.status) >= 0)
        session->stored++;
    else
        session->failed++;
    return answer(session, context, request, &verdict, err);
}

static lam_status handle_echo(lam_scp_session *session, const lam_net_context *context,
                              const lam_command *request, lam_error *err)
{
    const lam_scp_verdict success = {.status = LAM_DIMSE_SUCCESS};
    return answer(session, context, request, &success, err);
}

static lam_status handle_cancel(lam_scp_session *session, const lam_net_context *context,
                                const lam_command *request, lam_error *err)
{
    (void)session, (void)context, (void)request, (void)err;
    return LAM_OK; /* nothing of ours can be cancelled, and the request has no answer */
}

static lam_status handle_unknown(lam_scp_session *session, const lam_net_context *context,
                                 const lam_command *request, lam_error *err)
{
    if (request->field & LAM_COMMAND_RESPONSE)
        return lam_fail(err, LAM_E_INVALID, "the peer sent a response to nothing");
    intake ignored = {.most = session->caller->settings->max_object_bytes};
    if (request->data_set_type != LAM_NO_DATA_SET) {
        lam_status status = receive_object(session, context, &ignored, err);
        if (status != LAM_OK)
            return status;
    }
    const lam_scp_verdict verdict = {.status = LAM_DIMSE_UNRECOGNIZED_OPERATION};
    return answer(session, context, request, &verdict, err);
}

static const struct handler {
    uint16_t field;
    lam_status (*handle)(lam_scp_session *, const lam_net_context *, const lam_command *, lam_error *);
} handlers[] = {
    {LAM_COMMAND_STORE, handle_store},
    {LAM_COMMAND_ECHO, handle_echo},
    {LAM_COMMAND_CANCEL, handle_cancel},
    {LAM_COMMAND_ACTION, lam_scp_commitment_action},
    {LAM_COMMAND_EVENT_REPORT, lam_scp_commitment_event},
    {LAM_COMMAND_EVENT_REPORT | LAM_COMMAND_RESPONSE, lam_scp_commitment_reported},
};

static lam_status handle(lam_scp_session *session, const lam_net_context *context, const lam_command *request,
                         lam_error *err)
{
    for (size_t i = 0; i < LAM_COUNT(handlers); i++)
        if (handlers[i].field == request->field)
            return handlers[i].handle(session, context, request, err);
    return handle_unknown(session, context, request, err);
}

/* Message after message until the association is over; says how it ended. */
static lam_status serve(lam_scp_session *session, lam_error *err)
{
    for (;;) {
        lam_command request;
        uint8_t id = 0;
        if (!lam_scp_sessions_set_idle(session->sessions, &session->seat, true))
            return lam_fail(err, LAM_E_STATE, "this node is shutting down");
        lam_status status = lam_association_receive(session->association, &request, &id, err);
        lam_scp_sessions_set_idle(session->sessions, &session->seat, false);
        if (status == LAM_OK)
            status = handle(session, lam_association_context(session->association, id), &request, err);
        if (status != LAM_OK)
            return status;
    }
}

static void run(lam_scp_session *session)
{
    lam_scp_caller *caller = session->caller;
    const lam_net_limits limits = {caller->settings->max_pdu, caller->settings->idle_timeout_ms};
    lam_error err = {0};
    lam_status status =
        lam_net_accept(LAM_TAKE_FD(caller->socket), LAM_TAKE_PTR(caller->tls), caller->pdu, caller->length,
                       &caller->associate, &limits, &session->association, &err);
    free(LAM_TAKE_PTR(caller->pdu));
    if (status != LAM_OK) {
        tell(session, "failed", err.message);
        return;
    }
    tell(session, "accepted", NULL);
    status = serve(session, &err);
    if (status == LAM_E_CANCELLED) {
        lam_association_accept_release(session->association);
        tell(session, "released", NULL);
        return;
    }
    if (status != LAM_E_PEER)
        lam_association_abort(session->association);
    tell(session, status == LAM_E_PEER || status == LAM_E_STATE ? "aborted" : "failed", err.message);
}

void *lam_scp_session_main(void *session)
{
    run(session);
    lam_scp_session_free(session);
    return NULL;
}
