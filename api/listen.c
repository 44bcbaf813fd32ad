#include "api/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "core/base/cleanup.h"

enum { BACKLOG = 512 };

static lam_status parse_address(const lam_http_options *options, struct sockaddr_storage *address,
                                socklen_t *length, lam_error *err)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options->port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)options->port)};
    if (options->port > 65535)
        return lam_fail(err, LAM_E_INVALID, "HTTP port %u is not a port", options->port);
    if (inet_pton(AF_INET, options->address, &v4.sin_addr) == 1) {
        memcpy(address, &v4, *length = sizeof v4);
        return LAM_OK;
    }
    if (inet_pton(AF_INET6, options->address, &v6.sin6_addr) == 1) {
        memcpy(address, &v6, *length = sizeof v6);
        return LAM_OK;
    }
    return lam_fail(err, LAM_E_INVALID, "HTTP address \"%s\" is not a numeric IPv4 or IPv6 address",
                    options->address);
}

static bool is_loopback(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
    return address->ss_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

/* Both kinds of address have it in the same place. */
static unsigned port_of(const struct sockaddr_storage *address)
{
    struct sockaddr_in v4;
    memcpy(&v4, address, sizeof v4);
    return ntohs(v4.sin_port);
}

/* Promise 10, for a socket of our own and for one that was handed in. */
static lam_status check_address(const lam_http_options *options, const struct sockaddr_storage *address,
                                lam_error *err)
{
    if (options->auth != LAM_HTTP_AUTH_NONE || is_loopback(address))
        return LAM_OK;
    return lam_fail(
        err, LAM_E_DENIED,
        "HTTP would listen beyond loopback without authentication; set [http] auth = token, or listen on "
        "127.0.0.1");
}

static lam_status bind_socket(const lam_http_options *options, int *out, lam_error *err)
{
    struct sockaddr_storage address = {0};
    socklen_t length = 0;
    lam_status status = parse_address(options, &address, &length, err);
    if (status == LAM_OK)
        status = check_address(options, &address, err);
    if (status != LAM_OK)
        return status;
    lam_autoclose int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return lam_fail_errno(err, errno, "cannot make a socket for HTTP");
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, BACKLOG) < 0) {
        if (errno == EADDRINUSE)
            return lam_fail(
                err, LAM_E_EXISTS,
                "HTTP port %u of %s is in use by another program; stop it or change [http] listen",
                options->port, options->address);
        return lam_fail_errno(err, errno, "cannot listen for HTTP on %s port %u", options->address,
                              options->port);
    }
    *out = LAM_TAKE_FD(fd);
    return LAM_OK;
}

lam_status lam_http_listen(const lam_http_options *options, int *out, unsigned *port, lam_error *err)
{
    bool given = options->listen_fd > 0;
    lam_autoclose int own = -1;
    lam_status status = given ? LAM_OK : bind_socket(options, &own, err);
    if (status != LAM_OK)
        return status;
    int fd = given ? options->listen_fd : own;
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        return lam_fail_errno(err, errno, "the HTTP socket handed in is not usable");
    status = check_address(options, &address, err);
    if (status != LAM_OK)
        return status;
    *port = port_of(&address);
    *out = given ? fd : LAM_TAKE_FD(own);
    return LAM_OK;
}
