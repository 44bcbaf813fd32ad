/* Both ends of net.h against each other, over TCP on the loopback, and each against a peer that misbehaves.
 */
#include "dicom/net.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/buffer.h"
#include "core/base/clock.h"
#include "core/base/io.h"
#include "dicom/scu.h"
#include "dicom/sop_class.h"
#include "dicom/transfer_syntax.h"
#include "tests/unit/associate_request.h"
#include "tests/unit/unit.h"

#define CT "1.2.840.10008.5.1.4.1.1.2"

/* Nobody is to be given up on a busy machine, unless a test says so. */
enum { PATIENCE_MS = 60000 };

/* What the accepting end of a test does with its association; returns the status of receive it ended with. */
typedef lam_status (*role)(lam_association *association, lam_buffer *seen);

typedef struct acceptor {
    int listener;
    uint16_t port;
    role play;
    pthread_t thread;
    lam_buffer seen;   /* bytes of data sets */
    lam_status status; /* what its last receive returned */
    int idle_timeout_ms;
    uint32_t max_pdu;
} acceptor;

static void *acceptor_main(void *argument)
{
    acceptor *a = argument;
    int socket = accept(a->listener, NULL, NULL);
    static associate_request request;
    lam_associate associate;
    size_t length = 0;
    lam_association *association = NULL;
    const lam_net_limits limits = {a->max_pdu, a->idle_timeout_ms};
    recv(socket, request.bytes, LAM_ASSOCIATE_HEAD_BYTES, MSG_WAITALL);
    lam_associate_length(request.bytes, &length, NULL);
    recv(socket, request.bytes + LAM_ASSOCIATE_HEAD_BYTES, length - LAM_ASSOCIATE_HEAD_BYTES, MSG_WAITALL);
    a->status = lam_associate_parse(request.bytes, length, &associate, NULL);
    if (a->status != LAM_OK)
        return NULL;
    lam_associate_negotiate(&associate, false);
    a->status = lam_net_accept(socket, NULL, request.bytes, length, &associate, &limits, &association, NULL);
    if (a->status == LAM_OK)
        a->status = a->play(association, &a->seen);
    lam_association_free(association);
    return NULL;
}

static void listen_as(acceptor *a, role play)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    *a = (acceptor){.play = play, .idle_timeout_ms = PATIENCE_MS, .max_pdu = LAM_NET_MAX_PDU};
    lam_buffer_init(&a->seen, 64 << 20);
    a->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(a->listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(a->listener, 8), 0);
    getsockname(a->listener, (struct sockaddr *)&at, &length);
    a->port = ntohs(at.sin_port);
}

static void start(acceptor *a)
{
    assert_int_equal(pthread_create(&a->thread, NULL, acceptor_main, a), 0);
}

static void finish(acceptor *a)
{
    pthread_join(a->thread, NULL);
    close(a->listener);
    lam_buffer_done(&a->seen);
}

static lam_net_peer peer_at(const acceptor *a)
{
    return (lam_net_peer){.host = "127.0.0.1",
                          .port = a->port,
                          .called_ae = "TEST",
                          .calling_ae = "UNIT",
                          .connect_timeout_ms = PATIENCE_MS,
                          .response_timeout_ms = PATIENCE_MS};
}

static const lam_net_context proposals[] = {
    {0, LAM_SOP_CLASS_VERIFICATION, LAM_TS_IMPLICIT_LITTLE, false},
    {0, CT, LAM_TS_EXPLICIT_LITTLE, false},
    {0, "1.2.840.10008.5.1.4.1.2.1.1", LAM_TS_IMPLICIT_LITTLE, false}, /* C-FIND: will be refused */
};

static bool collect(void *user, const void *bytes, size_t length)
{
    return lam_buffer_append(user, bytes, length) == LAM_OK;
}

/* Answers every request with success until the association is over. */
static lam_status play_server(lam_association *association, lam_buffer *seen)
{
    for (;;) {
        lam_command request;
        uint8_t context = 0;
        lam_status status = lam_association_receive(association, &request, &context, NULL);
        if (status == LAM_OK && request.data_set_type != LAM_NO_DATA_SET)
            status = lam_association_receive_data(association, context, collect, seen, NULL);
        if (status == LAM_E_CANCELLED)
            lam_association_accept_release(association);
        if (status != LAM_OK)
            return status;
        lam_command response = lam_command_response(&request, LAM_DIMSE_SUCCESS);
        lam_association_send(association, context, &response, NULL);
    }
}

/* An association with a new server that has answered an echo. */
static lam_association *echo_at_server(acceptor *a)
{
    lam_error err = {0};
    lam_association *association = NULL;
    lam_scu_answer answer = {.status = 1};
    listen_as(a, play_server);
    start(a);
    const lam_net_peer peer = peer_at(a);
    assert_ok(lam_net_request(&peer, proposals, 3, &association, &err), err);
    assert_ok(lam_scu_echo(association, 1, &answer, &err), err);
    assert_int_equal(answer.status, LAM_DIMSE_SUCCESS);
    return association;
}

static void test_echo_and_release(void **state)
{
    (void)state;
    lam_error err = {0};
    acceptor a;
    lam_association *association = echo_at_server(&a);
    assert_null(lam_association_find(association, proposals[2].abstract_syntax, LAM_TS_IMPLICIT_LITTLE));
    assert_ok(lam_association_release(association, &err), err);
    lam_association_free(association);
    finish(&a);
    assert_int_equal(a.status, LAM_E_CANCELLED);
}

/* Whether Nagle's algorithm is off at the end of the connection to `port` that is ours (asked), or the
 * acceptor's; -1: there is no such socket. */
static int sends_at_once(uint16_t port, bool asked)
{
    for (int fd = 3; fd < 256; fd++) {
        struct sockaddr_in near, far;
        socklen_t near_size = sizeof near, far_size = sizeof far;
        int on = 0;
        socklen_t size = sizeof on;
        if (getsockname(fd, (struct sockaddr *)&near, &near_size) == 0 &&
            getpeername(fd, (struct sockaddr *)&far, &far_size) == 0 && near.sin_family == AF_INET &&
            (asked ? far : near).sin_port == htons(port) &&
            getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &size) == 0)
            return on != 0;
    }
    return -1;
}

/* Otherwise a short PDU waits for the peer's acknowledgement of the one before, which takes up to 40 ms. */
static void test_short_pdus_are_not_held_back(void **state)
{
    (void)state;
    lam_error err = {0};
    acceptor a;
    lam_association *association = echo_at_server(&a);
    assert_int_equal(sends_at_once(a.port, true), 1);
    assert_int_equal(sends_at_once(a.port, false), 1);
    assert_ok(lam_association_release(association, &err), err);
    lam_association_free(association);
    finish(&a);
}

/* Sends `length` pseudo-random bytes as a CT and compares what arrives. */
static void check_transfer(size_t length, uint32_t max_pdu)
{
    lam_error err = {0};
    acceptor a;
    lam_association *association = NULL;
    lam_scu_answer answer = {.status = 1};
    const lam_file_meta meta = {CT, "1.2.3", LAM_TS_EXPLICIT_LITTLE};
    char *bytes = malloc(length + 100);
    assert_non_null(bytes);
    for (size_t i = 0; i < length + 100; i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    int fd = memfd_create("test", MFD_CLOEXEC);
    assert_ok(lam_io_write_all(fd, bytes, length + 100, &err), err);
    listen_as(&a, play_server);
    a.max_pdu = max_pdu;
    start(&a);
    const lam_net_peer peer = peer_at(&a);
    assert_ok(lam_net_request(&peer, proposals, 3, &association, &err), err);
    for (uint16_t message = 1; message <= 2; message++)
        assert_ok(lam_scu_store(association, message, fd, &meta, 100, &answer, &err), err);
    assert_int_equal(answer.status, LAM_DIMSE_SUCCESS);
    assert_ok(lam_association_release(association, &err), err);
    lam_association_free(association);
    pthread_join(a.thread, NULL);
    assert_int_equal(a.seen.length, 2 * length);
    assert_memory_equal(a.seen.data, bytes + 100, length);
    assert_memory_equal(a.seen.data + length, bytes + 100, length);
    lam_buffer_done(&a.seen);
    close(a.listener);
    close(fd);
    free(bytes);
}

static void test_data_sets_pass_byte_for_byte(void **state)
{
    (void)state;
    static const size_t lengths[] = {
        2, 3, LAM_NET_MAX_PDU - 12, LAM_NET_MAX_PDU - 11, LAM_NET_MAX_PDU, 999999, 5000000};
    for (size_t i = 0; i < LAM_COUNT(lengths); i++)
        check_transfer(lengths[i], LAM_NET_MAX_PDU);
    check_transfer(100000, LAM_NET_MIN_PDU);
}

/* A whole object in one PDU, as long as the acceptor said that it takes; DCMTK has it in pieces. */
static void test_takes_pdus_as_long_as_it_says(void **state)
{
    (void)state;
    static associate_request request;
    static uint8_t pdu[6 + LAM_NET_MAX_PDU], answer[64 * 1024];
    const lam_command store = {.has = LAM_COMMAND_HAS_FIELD | LAM_COMMAND_HAS_MESSAGE |
                                      LAM_COMMAND_HAS_DATA_SET_TYPE,
                               .field = LAM_COMMAND_STORE,
                               .message = 1,
                               .sop_class = CT,
                               .sop_instance = "1.2.3"};
    acceptor a;
    uint8_t command[12 + LAM_COMMAND_TEXT] = {4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 3};
    listen_as(&a, play_server);
    start(&a);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(a.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(s, (struct sockaddr *)&to, sizeof to), 0);
    request_plain(&request, "TEST", "UNIT");
    assert_int_equal(send(s, request.bytes, request.length, 0), (ssize_t)request.length);
    ssize_t got = recv(s, answer, sizeof answer, 0);
    static const uint8_t most[] = {0x51, 0, 0, 4, 0, 0x10, 0, 0};
    assert_non_null(memmem(answer, (size_t)got, most, sizeof most));

    size_t length = lam_command_write(&store, command + 12);
    command[4] = (uint8_t)((length + 6) >> 8), command[5] = (uint8_t)(length + 6);
    command[8] = (uint8_t)((length + 2) >> 8), command[9] = (uint8_t)(length + 2);
    assert_int_equal(send(s, command, 12 + length, 0), (ssize_t)(12 + length));
    const uint8_t heads[] = {4, 0, 0, 0x10, 0, 0, 0, 0x0f, 0xff, 0xfc, 3, 2};
    for (size_t i = 0; i < sizeof pdu; i++)
        pdu[i] = (uint8_t)(i * 2654435761u >> 13);
    memcpy(pdu, heads, sizeof heads);
    for (size_t sent = 0; sent < sizeof pdu;) {
        ssize_t n = send(s, pdu + sent, sizeof pdu - sent, 0);
        assert_true(n > 0);
        sent += (size_t)n;
    }
    assert_int_equal(recv(s, answer, 13, MSG_WAITALL), 13); /* the response: more than its head */
    pdu[2] = 0x20;                                          /* longer than agreed: not read any further */
    assert_int_equal(send(s, pdu, 12, 0), 12);
    pthread_join(a.thread, NULL);
    assert_int_equal(a.status, LAM_E_INVALID);
    assert_int_equal(a.seen.length, sizeof pdu - 12);
    assert_memory_equal(a.seen.data, pdu + 12, a.seen.length);
    lam_buffer_done(&a.seen);
    close(a.listener);
    close(s);
}

static void test_refused_context_leaves_the_association(void **state)
{
    (void)state;
    lam_error err = {0};
    acceptor a;
    lam_association *association = NULL;
    lam_scu_answer answer;
    const lam_file_meta meta = {"1.2.840.10008.5.1.4.1.2.1.1", "1.2.3", LAM_TS_IMPLICIT_LITTLE};
    listen_as(&a, play_server);
    start(&a);
    const lam_net_peer peer = peer_at(&a);
    assert_ok(lam_net_request(&peer, proposals, 3, &association, &err), err);
    assert_fails(lam_scu_store(association, 1, 0, &meta, 0, &answer, &err), LAM_E_UNSUPPORTED, err);
    assert_ok(lam_scu_echo(association, 2, &answer, &err), err);
    lam_association_abort(association);
    lam_association_free(association);
    finish(&a);
    assert_int_equal(a.status, LAM_E_PEER);
}

static lam_status play_abort(lam_association *association, lam_buffer *seen)
{
    (void)seen;
    lam_association_abort(association);
    return LAM_OK;
}

static lam_status play_silence(lam_association *association, lam_buffer *seen)
{
    (void)seen;
    lam_command request;
    uint8_t context = 0;
    lam_association_receive(association, &request, &context, NULL);
    return lam_association_receive(association, &request, &context, NULL);
}

static lam_status play_other_answer(lam_association *association, lam_buffer *seen)
{
    (void)seen;
    lam_command request;
    uint8_t context = 0;
    lam_association_receive(association, &request, &context, NULL);
    request.message++;
    const lam_command response = lam_command_response(&request, LAM_DIMSE_SUCCESS);
    lam_association_send(association, context, &response, NULL);
    return lam_association_receive(association, &request, &context, NULL);
}

static void test_peers_that_do_not_answer(void **state)
{
    (void)state;
    static const struct {
        role play;
        int timeout_ms;
        lam_status expected;
    } cases[] = {
        {play_abort, PATIENCE_MS, LAM_E_PEER},
        {play_silence, 3000, LAM_E_TIMEOUT},
        {play_other_answer, PATIENCE_MS, LAM_E_INVALID},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        lam_error err = {0};
        acceptor a;
        lam_association *association = NULL;
        lam_scu_answer answer;
        listen_as(&a, cases[i].play);
        start(&a);
        lam_net_peer peer = peer_at(&a);
        peer.response_timeout_ms = cases[i].timeout_ms;
        assert_ok(lam_net_request(&peer, proposals, 3, &association, &err), err);
        assert_fails(lam_scu_echo(association, 1, &answer, &err), cases[i].expected, err);
        int64_t before = lam_clock_monotonic_ms();
        lam_association_abort(association);
        assert_true(lam_clock_monotonic_ms() - before <
                    PATIENCE_MS / 2); /* nobody waits for an answer to it */
        lam_association_free(association);
        finish(&a);
    }
}

static void test_idle_peer_is_noticed(void **state)
{
    (void)state;
    lam_error err = {0};
    acceptor a;
    lam_association *association = NULL;
    listen_as(&a, play_server);
    a.idle_timeout_ms = 200;
    start(&a);
    const lam_net_peer peer = peer_at(&a);
    assert_ok(lam_net_request(&peer, proposals, 3, &association, &err), err);
    finish(&a);
    assert_int_equal(a.status, LAM_E_TIMEOUT);
    lam_association_free(association);
}

static void *reject_one(void *argument)
{
    acceptor *a = argument;
    uint8_t pdu[LAM_SHORT_PDU_BYTES];
    char ignored[4096];
    int socket = accept(a->listener, NULL, NULL);
    recv(socket, ignored, sizeof ignored, 0);
    lam_rejection_write(LAM_REJECT_CALLING_AE, pdu);
    send(socket, pdu, sizeof pdu, 0);
    recv(socket, ignored, sizeof ignored, 0);
    close(socket);
    return NULL;
}

static void *speak_http(void *argument)
{
    acceptor *a = argument;
    char ignored[4096];
    int socket = accept(a->listener, NULL, NULL);
    recv(socket, ignored, sizeof ignored, 0);
    send(socket, "HTTP/1.1 400 Bad Request\r\n\r\n", 28, 0);
    close(socket);
    return NULL;
}

static void test_says_why_there_is_no_association(void **state)
{
    (void)state;
    lam_error err = {0};
    acceptor a;
    lam_association *association = NULL;
    listen_as(&a, NULL);
    const lam_net_peer peer = peer_at(&a);

    pthread_create(&a.thread, NULL, reject_one, &a);
    assert_fails(lam_net_request(&peer, proposals, 1, &association, &err), LAM_E_PEER, err);
    assert_non_null(strstr(err.message, "calling AE title not recognized"));
    pthread_join(a.thread, NULL);

    pthread_create(&a.thread, NULL, speak_http, &a);
    assert_fails(lam_net_request(&peer, proposals, 1, &association, &err), LAM_E_INVALID, err);
    assert_non_null(strstr(err.message, "does not speak DICOM"));
    finish(&a);

    assert_fails(lam_net_request(&peer, proposals, 1, &association, &err), LAM_E_PEER, err);
    assert_non_null(strstr(err.message, "nothing listens there"));

    lam_net_peer nowhere = peer;
    nowhere.host = "no-such-host.invalid";
    assert_fails(lam_net_request(&nowhere, proposals, 1, &association, &err), LAM_E_NOT_FOUND, err);
    assert_fails(lam_net_request(&peer, proposals, 129, &association, &err), LAM_E_LIMIT, err);
    assert_null(association);
}

static void look_away(int signal)
{
    (void)signal;
}

/* A process that is stopped for a while, or a machine that sleeps, is no silent peer, and no byte is lost. */
static void test_interrupted_reads_go_on(void **state)
{
    (void)state;
    static associate_request request;
    const struct sigaction interrupt = {.sa_handler = look_away};
    const struct timespec moment = {0, 50 * 1000 * 1000};
    const lam_command echo = lam_command_request(LAM_COMMAND_ECHO, 1, false);
    uint8_t message[12 + LAM_COMMAND_TEXT] = {4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3};
    char answer[4096];
    acceptor a;
    listen_as(&a, play_server);
    start(&a);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(a.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(sigaction(SIGUSR1, &interrupt, NULL), 0);
    assert_int_equal(connect(s, (struct sockaddr *)&to, sizeof to), 0);
    request_plain(&request, "TEST", "UNIT");
    assert_int_equal(send(s, request.bytes, request.length, 0), (ssize_t)request.length);
    assert_true(recv(s, answer, sizeof answer, 0) > 0);
    size_t length = lam_command_write(&echo, message + 12);
    message[5] = (uint8_t)(length + 6), message[9] = (uint8_t)(length + 2);
    for (size_t i = 0; i < 16; i++) { /* both heads and the beginning of the command, byte by byte */
        assert_int_equal(send(s, message + i, 1, MSG_NOSIGNAL), 1);
        nanosleep(&moment, NULL);
        pthread_kill(a.thread, SIGUSR1);
        nanosleep(&moment, NULL);
    }
    assert_int_equal(send(s, message + 16, 12 + length - 16, MSG_NOSIGNAL), (ssize_t)(12 + length - 16));
    assert_int_equal(recv(s, answer, 13, MSG_WAITALL), 13); /* the response: more than its head */
    close(s);
    finish(&a);
    assert_int_equal(a.status, LAM_E_PEER);
}

static int start_network(void **state)
{
    (void)state;
    return lam_net_start(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo_and_release),
        cmocka_unit_test(test_short_pdus_are_not_held_back),
        cmocka_unit_test(test_data_sets_pass_byte_for_byte),
        cmocka_unit_test(test_takes_pdus_as_long_as_it_says),
        cmocka_unit_test(test_refused_context_leaves_the_association),
        cmocka_unit_test(test_peers_that_do_not_answer),
        cmocka_unit_test(test_idle_peer_is_noticed),
        cmocka_unit_test(test_interrupted_reads_go_on),
        cmocka_unit_test(test_says_why_there_is_no_association),
    };
    return cmocka_run_group_tests(tests, start_network, NULL);
}
