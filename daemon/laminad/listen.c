#include "daemon/laminad/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/clock.h"

enum {
    BACKLOG = 256,
    IN_USE_MS = 1500, /* a killed predecessor's children hold the socket for some moments */
};

static lam_status bind_one(const struct addrinfo *info, const char *key, const char *where, int *fd,
                           lam_error *err)
{
    lam_autoclose int opened =
        socket(info->ai_family, info->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, info->ai_protocol);
    if (opened < 0)
        return lam_fail_errno(err, errno, "cannot open a socket for %s", where);
    int one = 1;
    setsockopt(opened, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    int64_t deadline = lam_clock_monotonic_ms() + IN_USE_MS;
    int bound;
    while ((bound = bind(opened, info->ai_addr, info->ai_addrlen)) < 0 && errno == EADDRINUSE &&
           lam_clock_monotonic_ms() < deadline)
        usleep(20000);
    if (bound < 0 || listen(opened, BACKLOG) < 0) {
        if (errno == EADDRINUSE)
            return lam_fail(err, LAM_E_EXISTS,
                            "%s is in use by another program: stop it (ss -ltnp shows it) or change %s",
                            where, key);
        if (errno == EACCES)
            return lam_fail(
                err, LAM_E_DENIED,
                "%s needs a privilege: use a port of 1024 or more in %s, or grant CAP_NET_BIND_SERVICE",
                where, key);
        if (errno == EADDRNOTAVAIL)
            return lam_fail(err, LAM_E_INVALID,
                            "%s: this machine has no such address (ip address shows those it has): change %s",
                            where, key);
        return lam_fail_errno(err, errno, "cannot listen on %s (%s)", where, key);
    }
    *fd = LAM_TAKE_FD(opened);
    return LAM_OK;
}

lam_status lam_listen(const lam_config_address *address, const char *key, int *fd, lam_error *err)
{
    char port[16], where[LAM_CONFIG_HOST + 16];
    snprintf(port, sizeof port, "%d", address->port);
    snprintf(where, sizeof where, "%s port %d", address->host, address->port);
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    int code = getaddrinfo(address->host, port, &hints, &found);
    if (code != 0)
        return lam_fail(err, LAM_E_INVALID, "%s: cannot resolve %s: %s", key, address->host,
                        gai_strerror(code));
    lam_status status = bind_one(found, key, where, fd, err);
    freeaddrinfo(found);
    return status;
}

int lam_listen_port(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage storage;
    } address = {.storage = {0}};
    socklen_t length = sizeof address;
    if (getsockname(fd, &address.any, &length) < 0)
        return 0;
    return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}
