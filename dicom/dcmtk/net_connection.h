/* The socket under a DCMTK association, ours instead of DCMTK's own: bytes that were read before DCMTK took
 * over come first, waits are bounded, whole PDUs are read and written in as few calls as possible. */
#ifndef LAMINA_DICOM_DCMTK_NET_CONNECTION_H
#define LAMINA_DICOM_DCMTK_NET_CONNECTION_H

#include <cstddef>
#include <cstdint>

#include "dcmtk/config/osconfig.h"

#include "dcmtk/dcmnet/dcmlayer.h"
#include "dcmtk/dcmnet/dcmtrans.h"

#include "dicom/pdata.h"
#include "dicom/tls.h"

namespace lamina
{

/* What the next connection of a thread is made of. */
struct Making {
    int socket;           /* taken (set to -1) when used */
    const uint8_t *first; /* bytes that were read already */
    size_t first_length;
    int timeout_ms;                       /* longest silence of the peer */
    bool *timed_out;                      /* set when it was longer; outlives the connection */
    const lam_tls_context *tls = nullptr; /* shake hands with the peer, which is */
    const char *host = nullptr;
    lam_error tls_fault = {};   /* why that failed */
    lam_tls *secured = nullptr; /* or we have already; taken (set to NULL) when used */
    int replaced = -1;          /* what DCMTK thinks the connection is made of; still open */
    uint32_t max_pdu = 0;       /* the longest that the peer may send */
};

class Connection : public DcmTransportConnection
{
  public:
    /* Owns `socket`. */
    Connection(int socket, const Making &making);

    /* Shakes hands if `making` says so, or takes over from who did; false: that failed. */
    bool secure(Making &making);
    ~Connection() override;

    /* From now on everything must end within a second. */
    void hurry();

    ssize_t read(void *buffer, size_t length) override;
    ssize_t write(void *buffer, size_t length) override;
    bool has_data(int timeout_ms);
    OFBool networkDataAvailable(int timeout_s) override;
    void close() override;
    void closeTransportConnection() override;

    OFCondition serverSideHandshake() override;
    OFCondition clientSideHandshake() override;
    OFCondition renegotiate(const char *) override;
    unsigned long getPeerCertificateLength() override;
    unsigned long getPeerCertificate(void *, unsigned long) override;
    OFBool isTransparentConnection() override;
    OFString &dumpConnectionParameters(OFString &text) override;

  private:
    void set_timeout_ms(int timeout_ms);
    void give_up();
    ssize_t receive(void *buffer, size_t length); /* all of it; 0 at the end, -1 */

    const uint8_t *first_;
    size_t first_length_;
    int64_t deadline_ms_ = 0; /* 0: none */
    bool *timed_out_;
    lam_pdata pdata_; /* DCMTK gets longer PDUs in pieces that it takes */
    lam_tls *tls_ = nullptr;
};

/* Makes Connections for DCMTK, which owns and deletes them when it sees fit. */
class TransportLayer : public DcmTransportLayer
{
  public:
    static thread_local Making *making;

    DcmTransportConnection *createConnection(DcmNativeSocketType socket, OFBool secure) override;
};

} // namespace lamina

#endif
