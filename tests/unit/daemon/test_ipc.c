/* daemon/ipc: messages arrive whole with their descriptors, and a peer that breaks the framing is found out.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "daemon/ipc/ipc.h"
#include "tests/unit/unit.h"

typedef struct pair {
    int parent, child;
} pair;

static int setup(void **state)
{
    static pair p;
    lam_error err;
    *state = &p;
    return lam_ipc_pair(&p.parent, &p.child, &err) == LAM_OK ? 0 : -1;
}

static int teardown(void **state)
{
    pair *p = *state;
    if (p->parent >= 0)
        close(p->parent);
    if (p->child >= 0)
        close(p->child);
    return 0;
}

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static char *letters(size_t length)
{
    char *text = malloc(length + 1);
    for (size_t i = 0; i < length; i++)
        text[i] = (char)('a' + i % 26);
    text[length] = '\0';
    return text;
}

static void text_arrives(void **state)
{
    pair *p = *state;
    lam_error err;
    lam_ipc_message m;
    assert_ok(lam_ipc_send(p->parent, 10, 77, "{\"a\":1}", NULL, 0, &err), err);
    assert_ok(lam_ipc_send(p->parent, 11, 0, NULL, NULL, 0, &err), err);
    assert_ok(lam_ipc_receive(p->child, &m, &err), err);
    assert_int_equal(m.type, 10);
    assert_int_equal(m.request, 77);
    assert_string_equal(m.payload, "{\"a\":1}");
    assert_int_equal(m.length, 7);
    assert_int_equal(m.fd_count, 0);
    lam_ipc_message_done(&m);
    assert_ok(lam_ipc_receive(p->child, &m, &err), err);
    assert_string_equal(m.payload, "");
    lam_ipc_message_done(&m);
    lam_ipc_message_done(&m);
    lam_ipc_message_done(NULL);
}

/* Sent and received while `receive` runs, as a payload may be more than the socket holds. */
typedef struct sending {
    int socket;
    const char *payload;
    lam_status status;
} sending;

static void *send_it(void *argument)
{
    sending *s = argument;
    s->status = lam_ipc_send(s->socket, 5, 6, s->payload, NULL, 0, NULL);
    return NULL;
}

static void payloads_of_every_size(void **state)
{
    pair *p = *state;
    static const size_t sizes[] = {
        1, 1000, 60 * 1024 - 1, 60 * 1024, 60 * 1024 + 1, 1 << 20, LAM_IPC_MAX_PAYLOAD};
    for (size_t i = 0; i < LAM_COUNT(sizes); i++) {
        lam_autofree char *text = letters(sizes[i]);
        sending s = {p->parent, text, LAM_E_INTERNAL};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, send_it, &s), 0);
        lam_ipc_message m;
        lam_error err;
        assert_ok(lam_ipc_receive(p->child, &m, &err), err);
        pthread_join(thread, NULL);
        assert_int_equal(s.status, LAM_OK);
        assert_int_equal(m.length, sizes[i]);
        assert_memory_equal(m.payload, text, sizes[i] + 1);
        assert_int_equal(m.fd_count, 0);
        lam_ipc_message_done(&m);
    }
}

static void too_much_is_refused_before_sending(void **state)
{
    pair *p = *state;
    lam_error err;
    lam_autofree char *text = letters((size_t)LAM_IPC_MAX_PAYLOAD + 1);
    assert_fails(lam_ipc_send(p->parent, 1, 1, text, NULL, 0, &err), LAM_E_LIMIT, err);
    int fds[LAM_IPC_MAX_FDS + 1] = {0};
    assert_fails(lam_ipc_send(p->parent, 1, 1, "", fds, LAM_COUNT(fds), &err), LAM_E_LIMIT, err);
}

static void check_descriptors(pair *p, const char *payload)
{
    int fds[LAM_IPC_MAX_FDS];
    for (int i = 0; i < LAM_IPC_MAX_FDS; i++) {
        fds[i] = memfd_create("test", MFD_CLOEXEC);
        assert_int_equal(write(fds[i], &i, sizeof i), sizeof i);
    }
    lam_error err;
    lam_ipc_message m;
    int before = open_descriptors();
    assert_ok(lam_ipc_send(p->parent, 1, 2, payload, fds, LAM_IPC_MAX_FDS, &err), err);
    for (int i = 0; i < LAM_IPC_MAX_FDS; i++)
        close(fds[i]);
    assert_ok(lam_ipc_receive(p->child, &m, &err), err);
    assert_int_equal(m.fd_count, LAM_IPC_MAX_FDS);
    assert_int_equal(m.length, strlen(payload));
    assert_string_equal(m.payload, payload);
    for (int i = 0; i < LAM_IPC_MAX_FDS; i++) {
        int number = -1;
        assert_int_equal(pread(m.fds[i], &number, sizeof number, 0), sizeof number);
        assert_int_equal(number, i);
        assert_true(fcntl(m.fds[i], F_GETFD) & FD_CLOEXEC);
    }
    lam_autoclose int kept = LAM_TAKE_FD(m.fds[3]);
    lam_ipc_message_done(&m);
    assert_true(fcntl(kept, F_GETFD) >= 0);
    assert_int_equal(open_descriptors(), before - LAM_IPC_MAX_FDS + 1);
}

static void descriptors_arrive_in_order(void **state)
{
    check_descriptors(*state, "{}");
}

static void descriptors_arrive_beside_a_large_payload(void **state)
{
    lam_autofree char *text = letters(200000);
    check_descriptors(*state, text);
}

static void a_peer_that_is_gone_is_told(void **state)
{
    pair *p = *state;
    close(p->child);
    p->child = -1;
    lam_error err;
    lam_ipc_message m;
    assert_fails(lam_ipc_send(p->parent, 1, 1, "{}", NULL, 0, &err), LAM_E_PEER, err);
    assert_fails(lam_ipc_receive(p->parent, &m, &err), LAM_E_PEER, err);
}

static void a_message_sent_before_the_peer_left_still_arrives(void **state)
{
    pair *p = *state;
    lam_error err;
    lam_ipc_message m;
    assert_ok(lam_ipc_send(p->child, 4, 0, "last", NULL, 0, &err), err);
    close(p->child);
    p->child = -1;
    assert_ok(lam_ipc_receive(p->parent, &m, &err), err);
    assert_string_equal(m.payload, "last");
    lam_ipc_message_done(&m);
    assert_fails(lam_ipc_receive(p->parent, &m, &err), LAM_E_PEER, err);
}

static void a_nonblocking_socket_says_busy(void **state)
{
    pair *p = *state;
    fcntl(p->parent, F_SETFL, O_NONBLOCK);
    lam_error err;
    lam_ipc_message m;
    assert_fails(lam_ipc_receive(p->parent, &m, &err), LAM_E_BUSY, err);
    lam_status status = LAM_OK;
    lam_autofree char *text = letters(50000);
    for (int i = 0; i < 1000 && status == LAM_OK; i++)
        status = lam_ipc_send(p->parent, 1, 1, text, NULL, 0, &err);
    assert_int_equal(status, LAM_E_BUSY);
}

/* ---- a peer that breaks the rules, packet by packet ---- */

typedef struct raw_header {
    uint32_t magic, type, request, length, in_memfd;
} raw_header;

static const uint32_t good_magic = 0x4c414d31;

static void send_raw(int socket, const void *bytes, size_t length, const int *fds, size_t count)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * 64)];
    } control = {0};
    struct iovec part = {(void *)(uintptr_t)bytes, length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (count) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        c->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * count);
    }
    assert_int_equal(sendmsg(socket, &message, 0), (ssize_t)length);
}

static void malformed_packets_are_corrupt(void **state)
{
    pair *p = *state;
    struct {
        raw_header header;
        char text[8];
    } packet;
    static const struct {
        raw_header header;
        size_t bytes;
    } cases[] = {
        {{good_magic, 1, 1, 8, 0}, 3},                               /* not even a header */
        {{good_magic, 1, 1, 8, 0}, sizeof(raw_header)},              /* text is missing */
        {{good_magic, 1, 1, 8, 0}, sizeof(raw_header) + 7},          /* cut */
        {{good_magic, 1, 1, 7, 0}, sizeof(raw_header) + 8},          /* more than said */
        {{good_magic + 1, 1, 1, 8, 0}, sizeof(raw_header) + 8},      /* another protocol */
        {{good_magic, 1, 1, UINT32_MAX, 0}, sizeof(raw_header) + 8}, /* absurd length */
        {{good_magic, 1, 1, 8, 1}, sizeof(raw_header)},              /* memory file, but none sent */
        {{good_magic, 1, 1, LAM_IPC_MAX_PAYLOAD + 1, 1}, sizeof packet.header},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        packet.header = cases[i].header;
        memcpy(packet.text, "12345678", 8);
        send_raw(p->child, &packet, cases[i].bytes, NULL, 0);
        lam_ipc_message m;
        lam_error err;
        assert_fails(lam_ipc_receive(p->parent, &m, &err), LAM_E_CORRUPT, err);
    }
}

/* The receiver maps nothing that the sender could still change or shrink. */
static void memory_files_must_be_sealed_and_of_the_said_size(void **state)
{
    pair *p = *state;
    enum { ALL = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL };
    static const struct {
        int seals;
        uint32_t said;
        bool sound;
    } cases[] = {
        {ALL, 100, true}, {ALL, 99, false}, {ALL, 101, false}, {0, 100, false}, {F_SEAL_SHRINK, 100, false}};
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        lam_autoclose int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        char text[100] = {0};
        assert_int_equal(write(fd, text, sizeof text), sizeof text);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, cases[i].seals), 0);
        raw_header header = {good_magic, 1, 1, cases[i].said, 1};
        send_raw(p->child, &header, sizeof header, &fd, 1);
        lam_ipc_message m;
        lam_error err;
        lam_status status = lam_ipc_receive(p->parent, &m, &err);
        assert_int_equal(status, cases[i].sound ? LAM_OK : LAM_E_CORRUPT);
        if (status == LAM_OK)
            lam_ipc_message_done(&m);
    }
    int pipe_ends[2];
    assert_int_equal(pipe(pipe_ends), 0);
    raw_header header = {good_magic, 1, 1, 10, 1};
    send_raw(p->child, &header, sizeof header, pipe_ends, 1);
    lam_ipc_message m;
    lam_error err;
    assert_fails(lam_ipc_receive(p->parent, &m, &err), LAM_E_CORRUPT, err);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}

static void too_many_descriptors_leak_nothing(void **state)
{
    pair *p = *state;
    int fds[LAM_IPC_MAX_FDS + 9];
    for (size_t i = 0; i < LAM_COUNT(fds); i++)
        fds[i] = p->parent;
    raw_header header = {good_magic, 1, 1, 0, 0};
    int before = open_descriptors();
    for (size_t count = LAM_IPC_MAX_FDS + 1; count <= LAM_COUNT(fds); count++) {
        send_raw(p->child, &header, sizeof header, fds, count);
        lam_ipc_message m;
        lam_error err;
        assert_fails(lam_ipc_receive(p->parent, &m, &err), LAM_E_CORRUPT, err);
    }
    assert_int_equal(open_descriptors(), before);
}

static void failed_messages_leak_nothing(void **state)
{
    pair *p = *state;
    int before = open_descriptors();
    int fds[3] = {p->parent, p->child, 0};
    raw_header header = {good_magic + 1, 1, 1, 0, 0};
    for (int i = 0; i < 100; i++) {
        send_raw(p->child, &header, sizeof header, fds, 3);
        lam_ipc_message m;
        lam_error err;
        assert_fails(lam_ipc_receive(p->parent, &m, &err), LAM_E_CORRUPT, err);
    }
    assert_int_equal(open_descriptors(), before);
}

/* Several threads send on one socket; every message arrives whole. */
static void *send_many(void *argument)
{
    for (uint32_t i = 0; i < 500; i++) {
        char text[64];
        snprintf(text, sizeof text, "%u", i * 3);
        if (lam_ipc_send(*(int *)argument, 9, i, text, NULL, 0, NULL) != LAM_OK)
            return argument;
    }
    return NULL;
}

static void threads_may_share_a_socket(void **state)
{
    pair *p = *state;
    pthread_t threads[4];
    int counts[500] = {0};
    for (size_t i = 0; i < LAM_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, send_many, &p->parent), 0);
    for (size_t i = 0; i < 500 * LAM_COUNT(threads); i++) {
        lam_ipc_message m;
        lam_error err;
        assert_ok(lam_ipc_receive(p->child, &m, &err), err);
        assert_true(m.request < 500);
        assert_int_equal(strtoul(m.payload, NULL, 10), m.request * 3);
        counts[m.request]++;
        lam_ipc_message_done(&m);
    }
    for (size_t i = 0; i < LAM_COUNT(threads); i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_ptr_equal(failed, NULL);
    }
    for (int i = 0; i < 500; i++)
        assert_int_equal(counts[i], 4);
}

#define with_pair(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_pair(text_arrives),
        with_pair(payloads_of_every_size),
        with_pair(too_much_is_refused_before_sending),
        with_pair(descriptors_arrive_in_order),
        with_pair(descriptors_arrive_beside_a_large_payload),
        with_pair(a_peer_that_is_gone_is_told),
        with_pair(a_message_sent_before_the_peer_left_still_arrives),
        with_pair(a_nonblocking_socket_says_busy),
        with_pair(malformed_packets_are_corrupt),
        with_pair(memory_files_must_be_sealed_and_of_the_said_size),
        with_pair(too_many_descriptors_leak_nothing),
        with_pair(failed_messages_leak_nothing),
        with_pair(threads_may_share_a_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
