#include "daemon/dimse/commitment.h"

#include <stdio.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/text.h"
#include "daemon/ipc/ipc.h"
#include "daemon/ipc/messages.h"
#include "dicom/commitment.h"
#include "dicom/sop_class.h"

enum {
    ASK_TIMEOUT_MS = 30 * 1000,
    COURTESY_MS = 300, /* for a peer that leaves at once, and would not expect a report any more */
    NO_SUCH_ACTION = 0x0123,
    INVALID_ARGUMENT = 0x0115,
};

static lam_status answer(lam_scp_session *session, const lam_net_context *context, const lam_command *request,
                         uint16_t status, lam_error *err)
{
    lam_command response = lam_command_response(request, status);
    if (request->field == LAM_COMMAND_ACTION) { /* a request names what it asks of in elements of its own */
        memcpy(response.sop_class, request->requested_class, sizeof response.sop_class);
        memcpy(response.sop_instance, request->requested_instance, sizeof response.sop_instance);
        response.has |= LAM_COMMAND_HAS_ACTION_TYPE;
        response.action_type = request->action_type;
    } else {
        response.has |= LAM_COMMAND_HAS_EVENT_TYPE;
        response.event_type = request->event_type;
    }
    return lam_association_send(session->association, context->id, &response, err);
}

/* Reads the data set into a document; *status is what to answer. A failure is the association's. */
static lam_status read_document(lam_scp_session *session, const lam_net_context *context,
                                const lam_command *request, const char *ae_member, const char *referenced,
                                lam_buffer *document, uint16_t *status, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer data;
    lam_buffer_init(&data, LAM_COMMITMENT_MAX_BYTES);
    *status = INVALID_ARGUMENT;
    if (request->data_set_type == LAM_NO_DATA_SET)
        return LAM_OK;
    lam_status received = lam_commitment_receive(session->association, context->id, &data, err);
    if (received != LAM_OK)
        return received;
    lam_json_writer w = lam_json_write_to(document);
    lam_jw_object(&w, NULL);
    lam_jw_text(&w, ae_member, session->caller->associate.calling_ae);
    received = lam_commitment_read(data.data, data.length, context->transfer_syntax, referenced, &w, NULL);
    lam_jw_end(&w);
    if (strcmp(context->abstract_syntax, LAM_SOP_CLASS_COMMITMENT) != 0)
        *status = LAM_DIMSE_CLASS_NOT_SUPPORTED;
    else if (received == LAM_OK && document->status == LAM_OK)
        *status = LAM_DIMSE_SUCCESS;
    return LAM_OK;
}

/* ---- asked ---- */

static lam_status report(lam_scp_session *session, const lam_jv *reply, const char *transaction,
                         lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer data;
    lam_buffer_init(&data, LAM_COMMITMENT_MAX_BYTES);
    if (lam_commitment_write(reply, &data, NULL) != LAM_OK)
        return LAM_OK; /* laminad will try */
    lam_text_copy(session->reporting, sizeof session->reporting, transaction);
    bool failures = lam_jv_count(lam_jv_get(reply, "failed")) > 0;
    lam_status status =
        lam_commitment_send_report(session->association, ++session->report_message, failures, &data, err);
    return status == LAM_E_UNSUPPORTED ? LAM_OK : status; /* in explicit VR: laminad reports elsewhere */
}

lam_status lam_scp_commitment_action(lam_scp_session *session, const lam_net_context *context,
                                     const lam_command *request, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer document, text;
    LAM_AUTO_PTR(lam_json) *reply = NULL;
    lam_buffer_init(&document, LAM_IPC_MAX_PAYLOAD);
    lam_buffer_init(&text, LAM_IPC_MAX_PAYLOAD);
    uint16_t verdict = 0;
    lam_status status =
        read_document(session, context, request, "calling_ae", "instances", &document, &verdict, err);
    if (status != LAM_OK)
        return status;
    if (verdict == LAM_DIMSE_SUCCESS && request->action_type != LAM_COMMITMENT_ACTION)
        verdict = NO_SUCH_ACTION;
    if (verdict == LAM_DIMSE_SUCCESS) {
        status = lam_scp_link_ask(lam_scp_sessions_link(session->sessions), LAM_MESSAGE_COMMIT,
                                  lam_buffer_text(&document), ASK_TIMEOUT_MS, &text, NULL);
        if (status == LAM_OK)
            status = lam_json_parse(lam_buffer_text(&text), text.length, &reply, NULL);
        verdict = LAM_DIMSE_PROCESSING_FAILURE;
        if (status == LAM_OK)
            verdict = (uint16_t)lam_jv_integer(lam_jv_get(lam_json_root(reply), "status"), verdict);
    }
    status = answer(session, context, request, verdict, err);
    if (status != LAM_OK || verdict != LAM_DIMSE_SUCCESS ||
        lam_association_wait(session->association, COURTESY_MS))
        return status;
    const lam_jv *root = lam_json_root(reply);
    return report(session, root, lam_jv_text(lam_jv_get(root, "transaction_uid"), ""), err);
}

lam_status lam_scp_commitment_reported(lam_scp_session *session, const lam_net_context *context,
                                       const lam_command *response, lam_error *err)
{
    if (!session->reporting[0] || response->responded_to != session->report_message)
        return lam_fail(err, LAM_E_INVALID, "the peer sent a response to nothing");
    if (response->data_set_type != LAM_NO_DATA_SET) {
        LAM_AUTO(lam_buffer_done) lam_buffer ignored;
        lam_buffer_init(&ignored, LAM_COMMITMENT_MAX_BYTES);
        lam_status status = lam_commitment_receive(session->association, context->id, &ignored, err);
        if (status != LAM_OK)
            return status;
    }
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_buffer_init(&text, 4096);
    lam_json_writer w = lam_json_write_to(&text);
    lam_jw_object(&w, NULL);
    lam_jw_text(&w, "calling_ae", session->caller->associate.calling_ae);
    lam_jw_text(&w, "transaction_uid", session->reporting);
    lam_jw_end(&w);
    session->reporting[0] = '\0';
    if (response->status != LAM_DIMSE_SUCCESS)
        return LAM_OK; /* laminad tries again */
    return lam_scp_link_tell(lam_scp_sessions_link(session->sessions), LAM_MESSAGE_COMMIT_REPORTED,
                             lam_buffer_text(&text), err);
}

/* ---- told ---- */

lam_status lam_scp_commitment_event(lam_scp_session *session, const lam_net_context *context,
                                    const lam_command *request, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer document;
    lam_buffer_init(&document, LAM_IPC_MAX_PAYLOAD);
    uint16_t verdict = 0;
    lam_status status = read_document(session, context, request, "ae", "committed", &document, &verdict, err);
    if (status == LAM_OK && verdict == LAM_DIMSE_SUCCESS)
        status = lam_scp_link_tell(lam_scp_sessions_link(session->sessions), LAM_MESSAGE_COMMITMENT,
                                   lam_buffer_text(&document), err);
    if (status == LAM_OK)
        status = answer(session, context, request, verdict, err);
    return status;
}
