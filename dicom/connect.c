#include "dicom/connect.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/clock.h"

/* 0, or the errno of why not. */
static int wait_connected(int fd, int timeout_ms)
{
    struct pollfd poller = {.fd = fd, .events = POLLOUT};
    int64_t deadline = lam_clock_monotonic_ms() + timeout_ms;
    int ready;
    do {
        int64_t left = deadline - lam_clock_monotonic_ms();
        ready = poll(&poller, 1, left > 0 ? (int)left : 0);
    } while (ready < 0 && errno == EINTR);
    if (ready <= 0)
        return ready < 0 ? errno : ETIMEDOUT;
    int failed = 0;
    socklen_t size = sizeof failed;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &size) < 0 ? errno : failed;
}

/* 0 and a socket that blocks, or the errno of why not. */
static int connect_one(const struct addrinfo *address, int timeout_ms, int *out)
{
    lam_autoclose int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    int failed = connect(fd, address->ai_addr, address->ai_addrlen) == 0 ? 0 : errno;
    if (failed == EINPROGRESS)
        failed = wait_connected(fd, timeout_ms);
    if (failed == 0 && fcntl(fd, F_SETFL, 0) < 0)
        failed = errno;
    if (failed == 0)
        *out = LAM_TAKE_FD(fd);
    return failed;
}

lam_status lam_connect(const char *host, uint16_t port, int timeout_ms, int *out, lam_error *err)
{
    char digits[8], reason[96];
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    snprintf(digits, sizeof digits, "%u", port);
    int failed = getaddrinfo(host, digits, &hints, &found);
    if (failed)
        return lam_fail(err, LAM_E_NOT_FOUND, "cannot find host %s: %s", host, gai_strerror(failed));
    failed = EADDRNOTAVAIL;
    for (const struct addrinfo *at = found; at && failed; at = at->ai_next)
        failed = connect_one(at, timeout_ms, out);
    freeaddrinfo(found);
    if (failed == ETIMEDOUT)
        return lam_fail(err, LAM_E_TIMEOUT, "cannot connect to %s:%u: no answer within %d s", host, port,
                        (timeout_ms + 999) / 1000);
    if (failed)
        return lam_fail(err, LAM_E_PEER, "cannot connect to %s:%u: %s%s", host, port,
                        strerror_r(failed, reason, sizeof reason),
                        failed == ECONNREFUSED ? " (nothing listens there)" : "");
    return LAM_OK;
}

lam_status lam_connect_decoy(int *listener, uint16_t *port, lam_error *err)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof here;
    lam_autoclose int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&here, sizeof here) < 0 || listen(fd, 1) < 0 ||
        getsockname(fd, (struct sockaddr *)&here, &size) < 0)
        return lam_fail_errno(err, errno, "cannot open a socket");
    *port = ntohs(here.sin_port);
    *listener = LAM_TAKE_FD(fd);
    return LAM_OK;
}
