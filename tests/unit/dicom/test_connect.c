/* Connections by both families, and what is said when there is none. */
#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "dicom/connect.h"
#include "tests/unit/unit.h"

/* A socket of one family that listens on a free loopback port; -1: the machine has no such family. */
static int listen_on(int family, uint16_t *port)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr *address = family == AF_INET6 ? (struct sockaddr *)&six : (struct sockaddr *)&four;
    socklen_t size = family == AF_INET6 ? sizeof six : sizeof four;
    lam_autoclose int fd = socket(family, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, address, size) < 0 || listen(fd, 1) < 0 || getsockname(fd, address, &size) < 0)
        return -1;
    *port = ntohs(family == AF_INET6 ? six.sin6_port : four.sin_port);
    return LAM_TAKE_FD(fd);
}

static void check_family(int family, const char *host)
{
    uint16_t port = 0;
    lam_error err = {0};
    lam_autoclose int listener = listen_on(family, &port), fd = -1;
    if (listener < 0)
        skip();
    assert_ok(lam_connect(host, port, 1000, &fd, &err), err);
    lam_autoclose int other = accept(listener, NULL, NULL);
    char byte = 0;
    assert_int_equal(write(other, "x", 1), 1);
    assert_int_equal(read(fd, &byte, 1), 1);
    assert_int_equal(byte, 'x');
}

static void test_ipv4(void **state)
{
    (void)state;
    check_family(AF_INET, "127.0.0.1");
}

static void test_ipv6(void **state)
{
    (void)state;
    check_family(AF_INET6, "::1");
}

/* "localhost" has addresses of both families; the one that answers is taken. */
static void test_a_name_with_several_addresses(void **state)
{
    (void)state;
    check_family(AF_INET, "localhost");
}

static void test_nobody_there(void **state)
{
    (void)state;
    int fd = -1;
    uint16_t port = 0;
    lam_error err = {0};
    int listener = listen_on(AF_INET, &port);
    close(listener);
    assert_fails(lam_connect("127.0.0.1", port, 1000, &fd, &err), LAM_E_PEER, err);
    assert_non_null(strstr(err.message, "nothing listens"));
    assert_fails(lam_connect("no-such-host.invalid", 104, 1000, &fd, &err), LAM_E_NOT_FOUND, err);
    assert_int_equal(fd, -1);
}

/* A full backlog answers nobody. */
static void test_silence(void **state)
{
    (void)state;
    uint16_t port = 0;
    int fds[8], failed = 0;
    lam_error err = {0};
    lam_autoclose int listener = listen_on(AF_INET, &port);
    for (int i = 0; i < 8; i++) {
        fds[i] = -1;
        failed += !failed && lam_connect("127.0.0.1", port, 200, &fds[i], &err) == LAM_E_TIMEOUT;
    }
    assert_int_equal(failed, 1);
    assert_non_null(strstr(err.message, "no answer"));
    for (int i = 0; i < 8; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static void test_the_decoy_takes_a_connection(void **state)
{
    (void)state;
    int listener = -1, fd = -1;
    uint16_t port = 0;
    lam_error err = {0};
    assert_ok(lam_connect_decoy(&listener, &port, &err), err);
    assert_ok(lam_connect("127.0.0.1", port, 1000, &fd, &err), err);
    close(fd);
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ipv4),
        cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_a_name_with_several_addresses),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_the_decoy_takes_a_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
