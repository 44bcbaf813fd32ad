/* The part of net.h that both ends share: set-up, messages, the end of an association. DCMTK frames the PDUs;
 * commands are read by command.h, data sets not at all. */
#include "dicom/net.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <sys/socket.h>
#include <unistd.h>

#include "dcmtk/config/osconfig.h"

#include "dcmtk/dcmnet/cond.h"
#include "dcmtk/dcmnet/dul.h"
#include "dcmtk/oflog/oflog.h"
#include "dcmtk/ofstd/ofstd.h"

#include "dicom/dcmtk/guard.h"
#include "dicom/dcmtk/net_association.h"
#include "dicom/implementation.h"

namespace lamina
{

T_ASC_Network *network = nullptr;

namespace
{

enum { ACSE_TIMEOUT_S = 10 };

const struct {
    unsigned short code;
    lam_status status;
    const char *text;
} net_conditions[] = {
    {DULC_PEERREQUESTEDRELEASE, LAM_E_CANCELLED, "the peer released the association"},
    {DULC_PEERABORTEDASSOCIATION, LAM_E_PEER, "the peer aborted the association"},
    {DULC_NETWORKCLOSED, LAM_E_PEER, "the peer closed the connection"},
    {DULC_READTIMEOUT, LAM_E_TIMEOUT, "the peer was silent for too long"},
    {DULC_TCPIOERROR, LAM_E_PEER, "the connection broke"},
    {DULC_ILLEGALPDU, LAM_E_INVALID, "the peer sent a malformed PDU"},
    {DULC_ILLEGALPDULENGTH, LAM_E_INVALID, "the peer sent a PDU of a length that was not agreed"},
    {DULC_UNEXPECTEDPDU, LAM_E_INVALID, "the peer sent a PDU that does not belong here"},
    {DULC_UNRECOGNIZEDPDUTYPE, LAM_E_INVALID, "the peer does not speak DICOM"},
};

} // namespace

lam_status fail_condition(lam_error *err, lam_association *association, const OFCondition &condition,
                          const char *doing)
{
    /* A read that ran into the socket's time limit looks like a closed connection to DCMTK. */
    if (association && association->timed_out)
        return lam_fail(err, LAM_E_TIMEOUT, "%s: the peer was silent for too long", doing);
    if (condition == EC_MemoryExhausted)
        return lam_fail(err, LAM_E_NO_MEMORY, "%s: out of memory", doing);
    for (const auto &known : net_conditions)
        if (condition.module() == OFM_dcmnet && condition.code() == known.code)
            return lam_fail(err, known.status, "%s: %s", doing, known.text);
    return lam_fail(err, LAM_E_PEER, "%s: %s", doing, condition.text());
}

void say_who_we_are(T_ASC_Parameters *parameters)
{
    OFStandard::strlcpy(parameters->ourImplementationClassUID, LAM_IMPLEMENTATION_CLASS_UID,
                        sizeof parameters->ourImplementationClassUID);
    OFStandard::strlcpy(parameters->ourImplementationVersionName, LAM_IMPLEMENTATION_VERSION,
                        sizeof parameters->ourImplementationVersionName);
}

void collect_contexts(lam_association &association)
{
    T_ASC_Parameters *parameters = association.asc->params;
    int count = ASC_countPresentationContexts(parameters);
    for (int i = 0; i < count; i++) {
        T_ASC_PresentationContext from;
        if (ASC_getPresentationContext(parameters, i, &from).bad() || from.resultReason != ASC_P_ACCEPTANCE)
            continue;
        lam_net_context context = {};
        context.id = from.presentationContextID;
        OFStandard::strlcpy(context.abstract_syntax, from.abstractSyntax, sizeof context.abstract_syntax);
        OFStandard::strlcpy(context.transfer_syntax, from.acceptedTransferSyntax,
                            sizeof context.transfer_syntax);
        association.contexts.push_back(context);
    }
}

namespace
{

/* The next fragment, from the PDU at hand or a new one. `pdv` points into DCMTK's buffer until the next call.
 */
lam_status next_fragment(lam_association *association, DUL_PDV *pdv, lam_error *err)
{
    DUL_ASSOCIATIONKEY **key = &association->asc->DULassociation;
    if (DUL_NextPDV(key, pdv).good())
        return LAM_OK;
    OFCondition condition = DUL_ReadPDVs(key, nullptr, DUL_BLOCK, 0);
    if (condition == DUL_PDATAPDUARRIVED)
        condition = DUL_NextPDV(key, pdv);
    else if (condition.good()) /* DCMTK has answered a PDU it does not know with an abort, and is content */
        condition = DUL_UNEXPECTEDPDU;
    return condition.good() ? LAM_OK : fail_condition(err, association, condition, "receiving");
}

lam_status write_fragment(lam_association *association, uint8_t context, DUL_DATAPDV type, const void *bytes,
                          size_t length, bool last, lam_error *err)
{
    DUL_PDV pdv = {};
    pdv.fragmentLength = length;
    pdv.presentationContextID = context;
    pdv.pdvType = type;
    pdv.lastPDV = last;
    pdv.data = const_cast<void *>(bytes);
    DUL_PDVLIST list = {};
    list.count = 1;
    list.pdv = &pdv;
    OFCondition condition = DUL_WritePDVs(&association->asc->DULassociation, &list);
    return condition.good() ? LAM_OK : fail_condition(err, association, condition, "sending");
}

lam_status receive_command(lam_association *association, lam_command *out, uint8_t *context, lam_error *err)
{
    std::vector<uint8_t> &bytes = association->command;
    bytes.clear();
    DUL_PDV pdv = {};
    do {
        uint8_t before = pdv.presentationContextID;
        bool first = bytes.empty();
        lam_status status = next_fragment(association, &pdv, err);
        if (status != LAM_OK)
            return status;
        if (pdv.pdvType != DUL_COMMANDPDV || (!first && pdv.presentationContextID != before))
            return lam_fail(err, LAM_E_INVALID, "the peer sent something else where a command belongs");
        if (bytes.size() + pdv.fragmentLength > LAM_COMMAND_MAX_BYTES)
            return lam_fail(err, LAM_E_LIMIT, "the peer sent a command of more than %d bytes",
                            LAM_COMMAND_MAX_BYTES);
        const uint8_t *from = static_cast<const uint8_t *>(pdv.data);
        bytes.insert(bytes.end(), from, from + pdv.fragmentLength);
    } while (!pdv.lastPDV);
    if (!lam_association_context(association, pdv.presentationContextID))
        return lam_fail(err, LAM_E_INVALID, "the peer used presentation context %u, which was not agreed",
                        pdv.presentationContextID);
    lam_status status = lam_command_parse(bytes.data(), bytes.size(), out, err);
    if (status == LAM_OK)
        *context = pdv.presentationContextID;
    return status;
}

lam_status receive_data(lam_association *association, uint8_t context, lam_net_sink sink, void *user,
                        lam_error *err)
{
    DUL_PDV pdv = {};
    do {
        lam_status status = next_fragment(association, &pdv, err);
        if (status != LAM_OK)
            return status;
        if (pdv.pdvType != DUL_DATASETPDV || pdv.presentationContextID != context)
            return lam_fail(err, LAM_E_INVALID, "the peer sent something else where a data set belongs");
        if (!sink(user, pdv.data, pdv.fragmentLength))
            return lam_fail(err, LAM_E_CANCELLED, "the data set is not wanted any more");
    } while (!pdv.lastPDV);
    return LAM_OK;
}

/* Fills `buffer` as far as the file goes. */
lam_status read_block(int fd, uint64_t offset, uint8_t *buffer, size_t size, size_t *out, lam_error *err)
{
    size_t have = 0;
    while (have < size) {
        ssize_t got = pread(fd, buffer + have, size - have, static_cast<off_t>(offset + have));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return lam_fail_errno(err, errno, "cannot read the file that is being sent");
        if (got == 0)
            break;
        have += static_cast<size_t>(got);
    }
    *out = have;
    return LAM_OK;
}

lam_status send_data(lam_association *association, uint8_t context, int fd, uint64_t offset, lam_error *err)
{
    /* Two blocks, because only the next one tells whether this one is the last. */
    size_t size = association->asc->sendPDVLength, have = 0;
    std::vector<uint8_t> now(size), next(size);
    lam_status status = read_block(fd, offset, now.data(), size, &have, err);
    if (status == LAM_OK && have == 0)
        status = lam_fail(err, LAM_E_INVALID, "the file has no data set");
    while (status == LAM_OK) {
        size_t following = 0;
        offset += have;
        if (have == size)
            status = read_block(fd, offset, next.data(), size, &following, err);
        if (status == LAM_OK)
            status = write_fragment(association, context, DUL_DATASETPDV, now.data(), have, !following, err);
        if (status != LAM_OK)
            break;
        if (!following)
            break;
        now.swap(next);
        have = following;
    }
    return status;
}

void hurry(lam_association *association)
{
    DcmTransportConnection *connection = DUL_getTransportConnection(association->asc->DULassociation);
    if (connection) /* DCMTK drops it as soon as the peer has closed */
        static_cast<Connection *>(connection)->hurry();
}

lam_status start(lam_error *err)
{
    if (network)
        return lam_fail(err, LAM_E_STATE, "the network is started already");
    OFLog::configure(OFLogger::OFF_LOG_LEVEL);
    dcmDisableGethostbyaddr.set(OFTrue); /* an association must not wait for a name server */
    /* DCMTK must neither listen nor accept. A socket handed to it stops it; this one is a dummy, because
     * which connection an association gets is decided in TransportLayer, by thread. */
    static int dummy[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, dummy) < 0)
        return lam_fail_errno(err, errno, "cannot make a socket pair");
    dcmExternalSocketHandle.set(dummy[0]);
    T_ASC_Network *made = nullptr;
    OFCondition condition = ASC_initializeNetwork(NET_ACCEPTORREQUESTOR, 0, ACSE_TIMEOUT_S, &made);
    if (condition.good())
        condition = ASC_setTransportLayer(made, new TransportLayer, OFTrue);
    if (condition.bad())
        return fail_condition(err, nullptr, condition, "starting the network");
    network = made;
    return LAM_OK;
}

} // namespace
} // namespace lamina

using namespace lamina;

extern "C" lam_status lam_net_start(lam_error *err) noexcept
{
    return lam_guard(err, [&] { return start(err); });
}

extern "C" const lam_net_context *lam_association_context(const lam_association *association,
                                                          uint8_t id) noexcept
{
    for (const lam_net_context &context : association->contexts)
        if (context.id == id)
            return &context;
    return nullptr;
}

extern "C" const lam_net_context *lam_association_find(const lam_association *association,
                                                       const char *abstract_syntax,
                                                       const char *transfer_syntax) noexcept
{
    for (const lam_net_context &context : association->contexts)
        if (!strcmp(context.abstract_syntax, abstract_syntax) &&
            !strcmp(context.transfer_syntax, transfer_syntax))
            return &context;
    return nullptr;
}

extern "C" lam_status lam_association_receive(lam_association *association, lam_command *out,
                                              uint8_t *context, lam_error *err) noexcept
{
    return lam_guard(err, [&] { return receive_command(association, out, context, err); });
}

extern "C" lam_status lam_association_receive_data(lam_association *association, uint8_t context,
                                                   lam_net_sink sink, void *user, lam_error *err) noexcept
{
    return lam_guard(err, [&] { return receive_data(association, context, sink, user, err); });
}

extern "C" lam_status lam_association_send(lam_association *association, uint8_t context,
                                           const lam_command *command, lam_error *err) noexcept
{
    return lam_guard(err, [&] {
        uint8_t bytes[LAM_COMMAND_TEXT];
        size_t length = lam_command_write(command, bytes);
        return write_fragment(association, context, DUL_COMMANDPDV, bytes, length, true, err);
    });
}

extern "C" lam_status lam_association_send_data(lam_association *association, uint8_t context, int fd,
                                                uint64_t offset, lam_error *err) noexcept
{
    return lam_guard(err, [&] { return send_data(association, context, fd, offset, err); });
}

extern "C" lam_status lam_association_release(lam_association *association, lam_error *err) noexcept
{
    return lam_guard(err, [&]() -> lam_status {
        OFCondition condition = ASC_releaseAssociation(association->asc);
        return condition.good() ? LAM_OK : fail_condition(err, association, condition, "releasing");
    });
}

extern "C" bool lam_association_wait(lam_association *association, int timeout_ms) noexcept
{
    DcmTransportConnection *connection = DUL_getTransportConnection(association->asc->DULassociation);
    return !connection || static_cast<Connection *>(connection)->has_data(timeout_ms);
}

extern "C" void lam_association_accept_release(lam_association *association) noexcept
{
    lam_guard(nullptr, [&] {
        hurry(association);
        if (ASC_acknowledgeRelease(association->asc).good())
            ASC_dropSCPAssociation(association->asc, 1);
        return LAM_OK;
    });
}

extern "C" void lam_association_abort(lam_association *association) noexcept
{
    lam_guard(nullptr, [&] {
        hurry(association);
        ASC_abortAssociation(association->asc);
        return LAM_OK;
    });
}

extern "C" void lam_association_free(lam_association *association) noexcept
{
    if (!association)
        return;
    lam_guard(nullptr, [&] {
        ASC_destroyAssociation(&association->asc);
        return LAM_OK;
    });
    delete association;
}
