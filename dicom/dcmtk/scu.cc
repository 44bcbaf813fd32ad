/* The asking end of net.h. */
#include <cstdio>
#include <cstring>
#include <memory>

#include <unistd.h>

#include "dcmtk/config/osconfig.h"

#include "dcmtk/dcmnet/cond.h"
#include "dcmtk/dcmnet/dul.h"

#include "dicom/connect.h"
#include "dicom/dcmtk/guard.h"
#include "dicom/dcmtk/net_association.h"

namespace lamina
{
namespace
{

OFCondition propose(T_ASC_Parameters *parameters, const lam_net_context *contexts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *transfer_syntax = contexts[i].transfer_syntax;
        OFCondition condition = ASC_addPresentationContext(
            parameters, static_cast<T_ASC_PresentationContextID>(2 * i + 1), contexts[i].abstract_syntax,
            &transfer_syntax, 1, contexts[i].provider ? ASC_SC_ROLE_SCP : ASC_SC_ROLE_DEFAULT);
        if (condition.bad())
            return condition;
    }
    return EC_Normal;
}

lam_status fail_request(lam_error *err, lam_association *association, const OFCondition &condition,
                        const lam_net_peer &peer, T_ASC_Parameters *parameters)
{
    if (condition == DUL_ASSOCIATIONREJECTED) {
        T_ASC_RejectParameters rejected;
        ASC_getRejectParameters(parameters, &rejected);
        lam_rejection rejection = {static_cast<uint8_t>(rejected.result),
                                   static_cast<uint8_t>(rejected.source),
                                   static_cast<uint8_t>(rejected.reason & 0xff)};
        return lam_fail(err, LAM_E_PEER, "%s:%u (%s) rejected the association%s: %s", peer.host, peer.port,
                        peer.called_ae, rejection.result == 2 ? " for now" : "",
                        lam_rejection_text(rejection));
    }
    char doing[160];
    snprintf(doing, sizeof doing, "asking %.100s:%u for an association", peer.host, peer.port);
    return fail_condition(err, association, condition, doing);
}

struct Socket {
    int fd = -1;
    ~Socket()
    {
        if (fd >= 0)
            close(fd);
    }
};

struct DestroyParameters {
    void operator()(T_ASC_Parameters *parameters) const
    {
        ASC_destroyAssociationParameters(&parameters);
    }
};

/* DCMTK 3.6.7 connects by itself, and by IPv4 only. So the connection is made here, DCMTK connects to a
 * decoy, and the transport layer puts the one in the place of the other. */
lam_status request(const lam_net_peer &peer, const lam_net_context *contexts, size_t count,
                   lam_association **out, lam_error *err)
{
    char address[32];
    uint16_t port = 0;
    Socket connected, decoy;
    lam_status status = lam_connect(peer.host, peer.port, peer.connect_timeout_ms, &connected.fd, err);
    if (status == LAM_OK)
        status = lam_connect_decoy(&decoy.fd, &port, err);
    if (status != LAM_OK)
        return status;
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    T_ASC_Parameters *raw = nullptr;
    OFCondition condition = ASC_createAssociationParameters(&raw, ASC_MAXIMUMPDUSIZE);
    if (condition.bad())
        return fail_condition(err, nullptr, condition, "preparing an association");
    std::unique_ptr<T_ASC_Parameters, DestroyParameters> parameters(raw);
    ASC_setAPTitles(raw, peer.calling_ae, peer.called_ae, nullptr);
    ASC_setPresentationAddresses(raw, "localhost", address);
    say_who_we_are(raw);
    condition = propose(raw, contexts, count);
    if (condition.bad())
        return fail_condition(err, nullptr, condition, "preparing an association");

    LAM_AUTO_PTR(lam_association) *association = new lam_association;
    Making making = {connected.fd, nullptr,  0, peer.response_timeout_ms, &association->timed_out,
                     peer.tls,     peer.host};
    making.max_pdu = ASC_MAXIMUMPDUSIZE;
    Scope scope(making);
    condition = ASC_requestAssociation(network, raw, &association->asc);
    connected.fd = making.socket; /* -1 when it is the association's */
    Socket replaced;
    replaced.fd = making.replaced;
    if (association->asc)
        (void)parameters.release(); /* they belong to the association now */
    if (making.tls_fault.status != LAM_OK)
        return lam_fail(err, making.tls_fault.status, "%s:%u: %s", peer.host, peer.port,
                        making.tls_fault.message);
    if (condition.bad())
        return fail_request(err, association, condition, peer, raw);
    collect_contexts(*association);
    *out = LAM_TAKE_PTR(association);
    return LAM_OK;
}

} // namespace
} // namespace lamina

using namespace lamina;

extern "C" lam_status lam_net_request(const lam_net_peer *peer, const lam_net_context *contexts, size_t count,
                                      lam_association **out, lam_error *err) noexcept
{
    if (!count || count > LAM_ASSOCIATE_MAX_CONTEXTS)
        return lam_fail(err, LAM_E_LIMIT, "an association takes 1 to %d presentation contexts, not %zu",
                        LAM_ASSOCIATE_MAX_CONTEXTS, count);
    return lam_guard(err, [&] { return request(*peer, contexts, count, out, err); });
}
