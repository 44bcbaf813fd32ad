/* The accepting end of net.h: makes a DCMTK association of a connection whose request we have read and
 * answered in our own mind already. */
#include <algorithm>
#include <cstring>

#include <unistd.h>

#include "dcmtk/config/osconfig.h"

#include "dcmtk/dcmnet/dul.h"

#include "dicom/dcmtk/guard.h"
#include "dicom/dcmtk/net_association.h"
#include "dicom/sop_class.h"

namespace lamina
{
namespace
{

/* Who reports a commitment opens the association as its provider, and may only if we agree. */
T_ASC_SC_ROLE role_of(T_ASC_Parameters *parameters, const lam_associate_context &context)
{
    if (strcmp(context.abstract_syntax, LAM_SOP_CLASS_COMMITMENT) != 0)
        return ASC_SC_ROLE_DEFAULT;
    for (int i = 0; i < ASC_countPresentationContexts(parameters); i++) {
        T_ASC_PresentationContext proposed;
        if (ASC_getPresentationContext(parameters, i, &proposed).good() &&
            proposed.presentationContextID == context.id)
            return proposed.proposedRole;
    }
    return ASC_SC_ROLE_DEFAULT;
}

OFCondition answer_contexts(T_ASC_Parameters *parameters, const lam_associate &associate)
{
    for (size_t i = 0; i < associate.context_count; i++) {
        const lam_associate_context &context = associate.contexts[i];
        OFCondition condition =
            context.result == LAM_CONTEXT_ACCEPTED
                ? ASC_acceptPresentationContext(parameters, context.id, context.transfer_syntax,
                                                role_of(parameters, context))
                : ASC_refusePresentationContext(parameters, context.id,
                                                static_cast<T_ASC_P_ResultReason>(context.result));
        if (condition.bad())
            return condition;
    }
    return EC_Normal;
}

lam_status accept(Making &making, const lam_associate &associate, long max_pdu, lam_association **out,
                  lam_error *err)
{
    LAM_AUTO_PTR(lam_association) *association = new lam_association;
    making.timed_out = &association->timed_out;
    Scope scope(making);
    /* The whole request lies in memory, so this reads nothing from the network. */
    OFCondition condition =
        ASC_receiveAssociation(network, &association->asc, std::min<long>(max_pdu, ASC_MAXIMUMPDUSIZE));
    if (condition.good()) {
        association->asc->params->ourMaxPDUReceiveSize = max_pdu; /* longer ones DCMTK gets in pieces */
        say_who_we_are(association->asc->params);
        condition = answer_contexts(association->asc->params, associate);
    }
    if (condition.good())
        condition = ASC_acknowledgeAssociation(association->asc);
    if (condition.bad())
        return fail_condition(err, association, condition, "accepting the association");
    collect_contexts(*association);
    *out = LAM_TAKE_PTR(association);
    return LAM_OK;
}

} // namespace
} // namespace lamina

using namespace lamina;

extern "C" lam_status lam_net_accept(int socket, lam_tls *tls, const uint8_t *pdu, size_t length,
                                     const lam_associate *associate, const lam_net_limits *limits,
                                     lam_association **out, lam_error *err) noexcept
{
    Making making = {socket, pdu, length, limits->idle_timeout_ms, nullptr};
    uint32_t max_pdu = std::clamp<uint32_t>(limits->max_pdu, LAM_NET_MIN_PDU, LAM_NET_MAX_PDU);
    making.max_pdu = max_pdu;
    making.secured = tls;
    lam_status status = lam_guard(err, [&] { return accept(making, *associate, max_pdu, out, err); });
    lam_tls_free(making.secured);
    if (making.socket >= 0)
        close(making.socket);
    return status;
}
