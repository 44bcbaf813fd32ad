#include "dicom/dcmtk/net_connection.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <memory>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "dcmtk/config/osconfig.h"

#include "dcmtk/dcmnet/assoc.h"

#include "core/base/clock.h"
#include "dicom/associate.h"

namespace lamina
{

thread_local Making *TransportLayer::making = nullptr;

enum { HURRY_MS = 1000, DATA_PDU = 0x04, DATA_PDU_HEAD = 12 };

Connection::Connection(int socket, const Making &making)
    : DcmTransportConnection(socket), first_(making.first), first_length_(making.first_length),
      timed_out_(making.timed_out)
{
    /* Without it each small response waits for the peer's delayed acknowledgement, about 40 ms. */
    int on = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    set_timeout_ms(making.timeout_ms);
    lam_pdata_init(&pdata_, ASC_MAXIMUMPDUSIZE, making.max_pdu);
}

Connection::~Connection()
{
    Connection::closeTransportConnection();
}

bool Connection::secure(Making &making)
{
    if (making.secured) {
        tls_ = making.secured;
        making.secured = nullptr;
        return true;
    }
    return !making.tls ||
           lam_tls_connect(making.tls, getSocket(), making.host, &tls_, &making.tls_fault) == LAM_OK;
}

void Connection::set_timeout_ms(int timeout_ms)
{
    timeval timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
    setsockopt(getSocket(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(getSocket(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
}

void Connection::hurry()
{
    if (deadline_ms_ || getSocket() < 0)
        return;
    set_timeout_ms(HURRY_MS);
    deadline_ms_ = lam_clock_monotonic_ms() + HURRY_MS;
}

ssize_t Connection::receive(void *buffer, size_t length)
{
    char *to = static_cast<char *>(buffer);
    size_t have = 0;
    if (deadline_ms_ && lam_clock_monotonic_ms() > deadline_ms_)
        return 0;
    /* Peers that leave Nagle on (DCMTK, Orthanc) hold a small segment back until the one before is
     * acknowledged; the kernel takes 40 ms for that unless told, before each read, not to wait. */
    int on = 1;
    setsockopt(getSocket(), IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
    /* DCMTK asks for exactly what it needs, so waiting for all of it saves a wake-up a segment. A socket with
     * a time limit gives what it has to a process that was stopped and goes on (signal(7)), so it is asked
     * again. */
    while (have < length) {
        ssize_t got = tls_ ? lam_tls_read(tls_, to + have, length - have)
                           : recv(getSocket(), to + have, length - have, MSG_WAITALL);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            give_up();
        if (got <= 0)
            return got;
        have += static_cast<size_t>(got);
    }
    return static_cast<ssize_t>(have);
}

ssize_t Connection::read(void *buffer, size_t length)
{
    uint8_t *to = static_cast<uint8_t *>(buffer);
    size_t done = std::min(length, first_length_);
    if (done) {
        memcpy(to, first_, done);
        first_ += done;
        first_length_ -= done;
        return static_cast<ssize_t>(done);
    }
    while (done < length) {
        uint8_t head[LAM_PDATA_HEAD_BYTES];
        done += lam_pdata_made(&pdata_, to + done, length - done);
        if (done == length)
            break;
        size_t through = lam_pdata_through(&pdata_);
        size_t wanted = through ? std::min(through, length - done) : sizeof head;
        ssize_t got = receive(through ? to + done : head, wanted);
        if (got <= 0)
            return got;
        if (through) {
            lam_pdata_passed(&pdata_, static_cast<uint32_t>(got));
            done += static_cast<size_t>(got);
        } else {
            lam_pdata_take(&pdata_, head);
        }
    }
    return static_cast<ssize_t>(done);
}

/* To DCMTK silence looks like a connection that the peer has closed, so the abort that belongs here is ours.
 */
void Connection::give_up()
{
    *timed_out_ = true;
    uint8_t pdu[LAM_SHORT_PDU_BYTES];
    lam_abort_write(LAM_ABORT_NO_REASON, pdu);
    if (tls_)
        lam_tls_write(tls_, pdu, sizeof pdu);
    else
        send(getSocket(), pdu, sizeof pdu, MSG_NOSIGNAL | MSG_DONTWAIT);
}

ssize_t Connection::write(void *buffer, size_t length)
{
    const char *next = static_cast<const char *>(buffer);
    /* DCMTK writes the head of a data PDU and its body apart; MSG_MORE lets them leave together. */
    int flags = MSG_NOSIGNAL | (length == DATA_PDU_HEAD && *next == DATA_PDU ? MSG_MORE : 0);
    for (size_t left = length; left;) {
        ssize_t sent = tls_ ? lam_tls_write(tls_, next, left) : send(getSocket(), next, left, flags);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) {
            *timed_out_ = errno == EAGAIN || errno == EWOULDBLOCK;
            return -1;
        }
        next += sent;
        left -= static_cast<size_t>(sent);
    }
    return static_cast<ssize_t>(length);
}

OFBool Connection::networkDataAvailable(int timeout_s)
{
    return has_data(std::min(std::max(timeout_s, 0), INT_MAX / 1000) * 1000);
}

bool Connection::has_data(int timeout_ms)
{
    if (first_length_ || (tls_ && lam_tls_has_pending(tls_)))
        return true;
    int64_t wait_ms = timeout_ms;
    if (deadline_ms_)
        wait_ms = std::max<int64_t>(0, std::min(wait_ms, deadline_ms_ - lam_clock_monotonic_ms()));
    pollfd on = {getSocket(), POLLIN, 0};
    int ready;
    while ((ready = poll(&on, 1, static_cast<int>(wait_ms))) < 0 && errno == EINTR)
        ;
    return ready > 0;
}

void Connection::close()
{
    closeTransportConnection();
}

void Connection::closeTransportConnection()
{
    lam_tls_free(tls_);
    tls_ = nullptr;
    if (getSocket() >= 0)
        ::close(getSocket());
    setSocket(-1);
}

OFCondition Connection::serverSideHandshake()
{
    return EC_Normal;
}

OFCondition Connection::clientSideHandshake()
{
    return EC_Normal;
}

OFCondition Connection::renegotiate(const char *)
{
    return EC_Normal;
}

unsigned long Connection::getPeerCertificateLength()
{
    return 0;
}

unsigned long Connection::getPeerCertificate(void *, unsigned long)
{
    return 0;
}

OFBool Connection::isTransparentConnection()
{
    return OFTrue;
}

OFString &Connection::dumpConnectionParameters(OFString &text)
{
    return text = "TCP";
}

DcmTransportConnection *TransportLayer::createConnection(DcmNativeSocketType socket, OFBool)
{
    std::unique_ptr<Connection> made(new (std::nothrow) Connection(making->socket, *making));
    if (!made)
        return nullptr;
    making->socket = -1;
    if (!made->secure(*making))
        return nullptr; /* DCMTK closes its own */
    making->replaced = socket;
    return made.release();
}

} // namespace lamina
