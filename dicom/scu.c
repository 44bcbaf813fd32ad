#include "dicom/scu.h"

#include <string.h>

#include "dicom/sop_class.h"
#include "dicom/transfer_syntax.h"

lam_status lam_scu_response(lam_association *association, uint16_t field, uint16_t message, lam_command *out,
                            uint8_t *context, lam_error *err)
{
    lam_status status = lam_association_receive(association, out, context, err);
    if (status == LAM_E_CANCELLED)
        return lam_fail(err, LAM_E_PEER, "the peer released the association instead of answering");
    if (status == LAM_OK && (out->field != (field | LAM_COMMAND_RESPONSE) || out->responded_to != message))
        return lam_fail(err, LAM_E_INVALID, "the peer answered something that was not asked");
    return status;
}

static lam_status take_answer(lam_association *association, uint16_t field, uint16_t message,
                              lam_scu_answer *out, lam_error *err)
{
    lam_command response;
    uint8_t context = 0;
    lam_status status = lam_scu_response(association, field, message, &response, &context, err);
    if (status != LAM_OK)
        return status;
    out->status = response.status;
    memcpy(out->comment, response.comment, sizeof out->comment);
    return LAM_OK;
}

lam_status lam_scu_echo(lam_association *association, uint16_t message, lam_scu_answer *out, lam_error *err)
{
    const lam_net_context *context =
        lam_association_find(association, LAM_SOP_CLASS_VERIFICATION, LAM_TS_IMPLICIT_LITTLE);
    if (!context)
        return lam_fail(err, LAM_E_UNSUPPORTED, "the peer does not take C-ECHO");
    lam_command request = lam_command_request(LAM_COMMAND_ECHO, message, false);
    memcpy(request.sop_class, LAM_SOP_CLASS_VERIFICATION, sizeof LAM_SOP_CLASS_VERIFICATION);
    lam_status status = lam_association_send(association, context->id, &request, err);
    if (status == LAM_OK)
        status = take_answer(association, LAM_COMMAND_ECHO, message, out, err);
    return status;
}

lam_status lam_scu_store(lam_association *association, uint16_t message, int fd, const lam_file_meta *meta,
                         uint64_t offset, lam_scu_answer *out, lam_error *err)
{
    const lam_net_context *context =
        lam_association_find(association, meta->sop_class, meta->transfer_syntax);
    if (!context)
        return lam_fail(err, LAM_E_UNSUPPORTED, "the peer does not take SOP class %s in transfer syntax %s",
                        meta->sop_class, meta->transfer_syntax);
    lam_command request = lam_command_request(LAM_COMMAND_STORE, message, true);
    request.has |= LAM_COMMAND_HAS_PRIORITY; /* 0, medium: required, and ignored by everybody */
    memcpy(request.sop_class, meta->sop_class, sizeof request.sop_class);
    memcpy(request.sop_instance, meta->sop_instance, sizeof request.sop_instance);
    lam_status status = lam_association_send(association, context->id, &request, err);
    if (status == LAM_OK)
        status = lam_association_send_data(association, context->id, fd, offset, err);
    if (status == LAM_OK)
        status = take_answer(association, LAM_COMMAND_STORE, message, out, err);
    return status;
}
