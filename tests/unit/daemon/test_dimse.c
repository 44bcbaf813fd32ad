/* The real lamina-dimse against real and hostile senders; dimse_harness plays laminad. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/io.h"
#include "daemon/ipc/messages.h"
#include "dicom/net.h"
#include "dicom/scu.h"
#include "dicom/sop_class.h"
#include "dicom/transfer_syntax.h"
#include "tests/unit/associate_request.h"
#include "tests/unit/daemon/dimse_harness.h"
#include "tests/unit/unit.h"

#define CT "1.2.840.10008.5.1.4.1.1.2"

static dimse_harness h;
static associate_request request;

static const lam_file_meta ct = {CT, "1.2.3.4", LAM_TS_EXPLICIT_LITTLE};
static const lam_net_context contexts[] = {
    {0, LAM_SOP_CLASS_VERIFICATION, LAM_TS_IMPLICIT_LITTLE, false},
    {0, CT, LAM_TS_EXPLICIT_LITTLE, false},
};

static lam_status ask(const char *called_ae, const char *calling_ae, lam_association **out, lam_error *err)
{
    const lam_net_peer peer = {.host = "127.0.0.1",
                               .port = h.port,
                               .called_ae = called_ae,
                               .calling_ae = calling_ae,
                               .connect_timeout_ms = DIMSE_HARNESS_PATIENCE_MS,
                               .response_timeout_ms = DIMSE_HARNESS_PATIENCE_MS};
    return lam_net_request(&peer, contexts, LAM_COUNT(contexts), out, err);
}

static lam_association *open_association(void)
{
    lam_error err = {0};
    lam_association *association = NULL;
    assert_ok(ask("LAMINA", "PEER", &association, &err), err);
    return association;
}

/* NULL when that took too long. */
static lam_association *ask_until_accepted(const char *calling_ae)
{
    int64_t deadline = lam_clock_monotonic_ms() + DIMSE_HARNESS_PATIENCE_MS;
    lam_association *association = NULL;
    while (ask("LAMINA", calling_ae, &association, NULL) != LAM_OK && lam_clock_monotonic_ms() < deadline)
        usleep(10000);
    return association;
}

static void close_association(lam_association *association)
{
    lam_error err = {0};
    assert_non_null(association);
    assert_ok(lam_association_release(association, &err), err);
    lam_association_free(association);
}

/* An object of `length` bytes of data set, as a file. */
static int object(size_t length)
{
    int fd = memfd_create("object", MFD_CLOEXEC);
    char block[65536];
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = (char)(i * 2654435761u >> 11);
    for (size_t done = 0; done < length; done += sizeof block)
        assert_int_equal(
            lam_io_write_all(fd, block, length - done < sizeof block ? length - done : sizeof block, NULL),
            LAM_OK);
    return fd;
}

static uint16_t store(lam_association *association, const lam_file_meta *meta, size_t length)
{
    lam_error err = {0};
    lam_scu_answer answer = {.status = 0xffff};
    lam_autoclose int fd = object(length);
    assert_ok(lam_scu_store(association, 1, fd, meta, 0, &answer, &err), err);
    return answer.status;
}

/* The peer of `s` closes or resets it; what it sends before goes to `last`. */
static bool is_closed(int s, uint8_t last[LAM_SHORT_PDU_BYTES])
{
    const struct timeval wait = {DIMSE_HARNESS_PATIENCE_MS / 1000, 0};
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    uint8_t bytes[65536];
    ssize_t got;
    while ((got = recv(s, bytes, sizeof bytes, 0)) > 0)
        if (got == LAM_SHORT_PDU_BYTES)
            memcpy(last, bytes, LAM_SHORT_PDU_BYTES);
    return got == 0 || errno == ECONNRESET;
}

static void test_echo(void **state)
{
    (void)state;
    lam_error err = {0};
    lam_scu_answer answer = {.status = 1};
    dimse_harness_start(&h, NULL);
    lam_association *association = open_association();
    assert_ok(lam_scu_echo(association, 1, &answer, &err), err);
    assert_int_equal(answer.status, 0);
    close_association(association);
    assert_true(dimse_harness_saw(&h, "\"event\":\"accepted\""));
    assert_true(dimse_harness_saw(&h, "\"event\":\"released\""));
    assert_int_equal(dimse_harness_stop(&h), 1);
}

/* Promise 1 and 3: what laminad is told of lies in the spool, byte for byte as it was sent. */
static void test_store_keeps_every_byte(void **state)
{
    (void)state;
    lam_error err = {0};
    static const size_t lengths[] = {2, 7, 65536, 131060, 131061, 3000000};
    dimse_harness_start(&h, NULL);
    h.keep = true;
    lam_association *association = open_association();
    for (size_t i = 0; i < LAM_COUNT(lengths); i++) {
        assert_int_equal(store(association, &ct, lengths[i]), LAM_DIMSE_SUCCESS);
        lam_autoclose int sent = object(lengths[i]);
        lam_autoclose int stored = openat(h.spool_fd, h.last_name, O_RDONLY);
        lam_file_meta meta;
        uint64_t offset = 0;
        assert_ok(lam_file_meta_read(stored, &meta, &offset, &err), err);
        assert_memory_equal(&meta, &ct, sizeof meta);
        const void *a = NULL, *b = NULL;
        size_t a_length = 0, b_length = 0;
        assert_ok(lam_io_map(sent, SIZE_MAX, &a, &a_length, &err), err);
        assert_ok(lam_io_map(stored, SIZE_MAX, &b, &b_length, &err), err);
        assert_int_equal(b_length, offset + lengths[i]);
        assert_memory_equal(a, (const char *)b + offset, lengths[i]);
        lam_io_unmap(a, a_length);
        lam_io_unmap(b, b_length);
        unlinkat(h.spool_fd, h.last_name, 0);
    }
    close_association(association);
    dimse_harness_stop(&h);
}

static void test_the_answer_is_laminads(void **state)
{
    (void)state;
    static const uint16_t statuses[] = {LAM_DIMSE_SUCCESS, 0xb000, LAM_DIMSE_DATA_SET_MISMATCH,
                                        LAM_DIMSE_CANNOT_UNDERSTAND};
    dimse_harness_start(&h, NULL);
    lam_association *association = open_association();
    for (size_t i = 0; i < LAM_COUNT(statuses); i++) {
        h.status = statuses[i];
        assert_int_equal(store(association, &ct, 1000), statuses[i]);
    }
    close_association(association);
    assert_true(dimse_harness_saw(&h, "\"stored\":2,\"failed\":2"));
    dimse_harness_stop(&h);
}

static void test_refuses_strangers(void **state)
{
    (void)state;
    static const struct {
        const char *called, *calling, *reason;
    } cases[] = {
        {"OTHER", "PEER", "called AE title not recognized"},
        {"LAMINA", "STRANGER", "calling AE title not recognized"},
    };
    dimse_harness_start(&h, NULL);
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        lam_error err;
        lam_association *association = NULL;
        assert_fails(ask(cases[i].called, cases[i].calling, &association, &err), LAM_E_PEER, err);
        assert_non_null(strstr(err.message, cases[i].reason));
        assert_true(dimse_harness_saw(&h, cases[i].reason));
    }
    dimse_harness_configure(&h, "\"accept\":\"any\"", false);
    close_association(ask_until_accepted("STRANGER")); /* the new configuration takes a moment */
    dimse_harness_stop(&h);
}

static void expect_rejection(const associate_request *r, const char *pdu)
{
    uint8_t last[LAM_SHORT_PDU_BYTES] = {0};
    lam_autoclose int s = dimse_harness_connect(&h);
    assert_int_equal(send(s, r->bytes, r->length, 0), r->length);
    shutdown(s, SHUT_WR);
    assert_true(is_closed(s, last));
    assert_memory_equal(last, pdu, LAM_SHORT_PDU_BYTES);
}

static void test_rejects_by_reason(void **state)
{
    (void)state;
    const char *const implicit = LAM_TS_IMPLICIT_LITTLE;
    dimse_harness_start(&h, NULL);
    request_begin(&request, "LAMINA", "PEER", "1.2.840.10008.3.1.1.2");
    request_context(&request, 1, LAM_SOP_CLASS_VERIFICATION, &implicit, 1);
    request_user(&request);
    expect_rejection(&request, "\3\0\0\0\0\4\0\1\1\2");
    request_plain(&request, "LAMINA", "PEER");
    request.bytes[7] = 2; /* protocol version 2 alone */
    expect_rejection(&request, "\3\0\0\0\0\4\0\1\2\2");
    request_plain(&request, "LAMINA", "PEER");
    request.bytes[80] = 0xff; /* inside the application context: an item that reaches too far */
    request.bytes[76] = 0xff;
    expect_rejection(&request, "\7\0\0\0\0\4\0\0\2\6");
    dimse_harness_stop(&h);
}

static void test_closes_on_what_is_not_dicom(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t length;
    } openings[] = {
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27},
        {"\1\0\177\377\377\377", 6},       /* an endless request */
        {"\4\0\0\0\0\6\0\0\0\2\1\3", 12},  /* data before there is an association */
        {"\26\3\1\2\0\1\0\1\374\3\3", 11}, /* TLS */
    };
    dimse_harness_start(&h, NULL);
    for (size_t i = 0; i < LAM_COUNT(openings); i++) {
        uint8_t last[LAM_SHORT_PDU_BYTES] = {0};
        lam_autoclose int s = dimse_harness_connect(&h);
        assert_int_equal(send(s, openings[i].bytes, openings[i].length, 0), openings[i].length);
        assert_true(is_closed(s, last));
        assert_memory_equal(last, "\7\0\0\0\0\4\0\0\2\1", sizeof last);
    }
    close_association(open_association());
    dimse_harness_stop(&h);
}

/* The beginning of a request, and no more of it. */
static int request_slowly(void)
{
    request_plain(&request, "LAMINA", "PEER");
    int s = dimse_harness_connect(&h);
    assert_int_equal(send(s, request.bytes, 40, MSG_NOSIGNAL), 40);
    return s;
}

/* None of them is given up meanwhile. */
static void test_slow_requests_block_nobody(void **state)
{
    (void)state;
    enum { SLOW = 300 };
    int slow[SLOW];
    dimse_harness_start(&h, "\"association_timeout_ms\":3600000");
    for (int i = 0; i < SLOW; i++)
        slow[i] = request_slowly();
    close_association(open_association());
    for (int i = 0; i < SLOW; i++)
        close(slow[i]);
    dimse_harness_stop(&h);
}

static void test_slow_requests_are_ended(void **state)
{
    (void)state;
    uint8_t last[LAM_SHORT_PDU_BYTES];
    dimse_harness_start(&h, "\"association_timeout_ms\":500");
    int s = request_slowly();
    assert_true(is_closed(s, last));
    close(s);
    dimse_harness_stop(&h);
}

/* Opens an association by hand and answers with its socket, so that it can be broken. */
static int open_by_hand(void)
{
    uint8_t reply[4096];
    int s = dimse_harness_connect(&h);
    request_plain(&request, "LAMINA", "PEER");
    assert_int_equal(send(s, request.bytes, request.length, 0), request.length);
    assert_true(recv(s, reply, sizeof reply, 0) > 6);
    assert_int_equal(reply[0], 2); /* A-ASSOCIATE-AC */
    return s;
}

/* A P-DATA-TF PDU of one fragment. */
static void send_fragment(int s, uint8_t context, uint8_t control, const void *bytes, size_t length)
{
    size_t pdv = length + 2, pdu = length + 6;
    const uint8_t head[12] = {4,
                              0,
                              (uint8_t)(pdu >> 24),
                              (uint8_t)(pdu >> 16),
                              (uint8_t)(pdu >> 8),
                              (uint8_t)pdu,
                              (uint8_t)(pdv >> 24),
                              (uint8_t)(pdv >> 16),
                              (uint8_t)(pdv >> 8),
                              (uint8_t)pdv,
                              context,
                              control};
    assert_int_equal(send(s, head, sizeof head, MSG_MORE | MSG_NOSIGNAL), sizeof head);
    assert_int_equal(send(s, bytes, length, MSG_NOSIGNAL), length);
}

static void send_command(int s, uint8_t context, const lam_command *command)
{
    uint8_t bytes[LAM_COMMAND_TEXT];
    send_fragment(s, context, 3, bytes, lam_command_write(command, bytes));
}

static lam_command store_request(const char *sop_class, const char *sop_instance)
{
    lam_command command = lam_command_request(LAM_COMMAND_STORE, 1, true);
    strcpy(command.sop_class, sop_class);
    strcpy(command.sop_instance, sop_instance);
    return command;
}

static void test_broken_object_leaves_nothing(void **state)
{
    (void)state;
    static char bytes[100000];
    dimse_harness_start(&h, NULL);
    int s = open_by_hand();
    const lam_command command = store_request(CT, "1.2.3");
    send_command(s, 3, &command);
    send_fragment(s, 3, 0, bytes, sizeof bytes);
    assert_true(dimse_harness_holds(&h, 1));
    close(s);
    assert_true(dimse_harness_holds(&h, 0));
    assert_true(dimse_harness_saw(&h, "\"event\":\"aborted\""));
    assert_int_equal(h.stored, 0);
    dimse_harness_stop(&h);
}

static void test_idle_association_is_ended(void **state)
{
    (void)state;
    uint8_t last[LAM_SHORT_PDU_BYTES] = {0};
    dimse_harness_start(&h, "\"idle_timeout_ms\":1000");
    int s = open_by_hand();
    assert_true(is_closed(s, last));
    assert_int_equal(last[0], 7); /* A-ABORT */
    close(s);
    assert_true(dimse_harness_saw(&h, "silent for too long"));
    dimse_harness_stop(&h);
}

static void test_protocol_errors_end_only_their_association(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t length;
    } faults[] = {
        {"\4\0\0\0\0\0", 6},                   /* a data PDU without a fragment */
        {"\4\0\0\0\0\6\0\0\0\0\1\3", 12},      /* a fragment without its two bytes */
        {"\4\0\0\0\0\6\0\0\377\377\1\3", 12},  /* a fragment beyond its PDU */
        {"\4\0\177\0\0\0", 6},                 /* a PDU longer than agreed */
        {"\11\0\0\0\0\0", 6},                  /* no such PDU */
        {"\4\0\0\0\0\6\0\0\0\2\1\3", 12},      /* an empty command */
        {"\4\0\0\0\0\10\0\0\0\4\1\3\0\0", 14}, /* a command of two bytes */
        {"\4\0\0\0\0\10\0\0\0\4\1\2\0\0", 14}, /* a data set where a command belongs */
        {"\4\0\0\0\0\6\0\0\0\2\7\3", 12},      /* a context that was not agreed */
        {"\1\0\0\0\0\4\0\0\0\0", 10},          /* a second request */
    };
    dimse_harness_start(&h, NULL);
    lam_association *other = open_association();
    for (size_t i = 0; i < LAM_COUNT(faults); i++) {
        uint8_t last[LAM_SHORT_PDU_BYTES] = {0};
        lam_autoclose int s = open_by_hand();
        assert_int_equal(send(s, faults[i].bytes, faults[i].length, 0), faults[i].length);
        assert_true(is_closed(s, last));
        assert_int_equal(store(other, &ct, 100), LAM_DIMSE_SUCCESS);
    }
    close_association(other);
    dimse_harness_stop(&h);
}

static uint16_t status_of(int s)
{
    uint8_t bytes[LAM_COMMAND_TEXT + 12];
    lam_command response;
    lam_error err = {0};
    const struct timeval wait = {DIMSE_HARNESS_PATIENCE_MS / 1000, 0};
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    assert_int_equal(recv(s, bytes, 12, MSG_WAITALL), 12);
    size_t length = (size_t)(bytes[8] << 8 | bytes[9]) - 2;
    assert_int_equal(recv(s, bytes + 12, length, MSG_WAITALL), length);
    assert_ok(lam_command_parse(bytes + 12, length, &response, &err), err);
    return response.status;
}

/* Each wrong request has its status, and the association goes on. */
static void test_wrong_requests_have_their_status(void **state)
{
    (void)state;
    static char bytes[1000];
    dimse_harness_start(&h, NULL);
    int s = open_by_hand();

    lam_command command = store_request("1.2.840.10008.5.1.4.1.1.4", "1.2.3"); /* not the context's class */
    send_command(s, 3, &command);
    send_fragment(s, 3, 2, bytes, sizeof bytes);
    assert_int_equal(status_of(s), LAM_DIMSE_CLASS_NOT_SUPPORTED);

    command = store_request(CT, "../../etc/passwd");
    send_command(s, 3, &command);
    send_fragment(s, 3, 2, bytes, sizeof bytes);
    assert_int_equal(status_of(s), LAM_DIMSE_INVALID_INSTANCE);

    command = store_request(CT, "1.2.3");
    command.data_set_type = LAM_NO_DATA_SET;
    send_command(s, 3, &command);
    assert_int_equal(status_of(s), LAM_DIMSE_CANNOT_UNDERSTAND);

    command = store_request(CT, "1.2.3");
    send_command(s, 3, &command);
    send_fragment(s, 3, 2, bytes, 0);
    assert_int_equal(status_of(s), LAM_DIMSE_CANNOT_UNDERSTAND);

    command = lam_command_request(0x0020, 2, true); /* C-FIND */
    send_command(s, 1, &command);
    send_fragment(s, 1, 2, bytes, 100);
    assert_int_equal(status_of(s), LAM_DIMSE_UNRECOGNIZED_OPERATION);

    command = store_request(CT, "1.2.3"); /* and one that is right, in many small fragments */
    send_command(s, 3, &command);
    for (int i = 0; i < 200; i++)
        send_fragment(s, 3, i == 199 ? 2 : 0, bytes, 101);
    assert_int_equal(status_of(s), LAM_DIMSE_SUCCESS);
    assert_int_equal(h.stored, 1);
    close(s);
    assert_true(dimse_harness_holds(&h, 0));
    dimse_harness_stop(&h);
}

static void test_reserve_is_kept_free(void **state)
{
    (void)state;
    dimse_harness_start(&h, "\"reserve_bytes\":4503599627370496");
    lam_association *association = open_association();
    assert_int_equal(store(association, &ct, 1000000), LAM_DIMSE_OUT_OF_RESOURCES);
    assert_true(dimse_harness_holds(&h, 0));
    close_association(association);
    dimse_harness_stop(&h);
}

static void test_object_over_the_limit_is_cut_off(void **state)
{
    (void)state;
    lam_error err;
    lam_scu_answer answer;
    dimse_harness_start(&h, "\"max_object_bytes\":1000000");
    lam_association *association = open_association();
    assert_int_equal(store(association, &ct, 1000000), LAM_DIMSE_SUCCESS);
    lam_autoclose int fd = object(40000000);
    assert_fails(lam_scu_store(association, 2, fd, &ct, 0, &answer, &err), LAM_E_PEER, err);
    lam_association_abort(association);
    lam_association_free(association);
    assert_true(dimse_harness_saw(&h, "an object of more than 1000000 bytes"));
    assert_true(dimse_harness_holds(&h, 0));
    dimse_harness_stop(&h);
}

static void test_limits_on_associations(void **state)
{
    (void)state;
    enum { MOST = 5 };
    lam_error err;
    lam_association *open[MOST], *refused = NULL;
    dimse_harness_start(&h, "\"max_associations_per_peer\":3,\"max_associations\":5,\"accept\":\"any\"");
    for (int i = 0; i < MOST; i++)
        assert_ok(ask("LAMINA", i < 3 ? "PEER" : "OTHER", &open[i], &err), err);
    assert_fails(ask("LAMINA", "PEER", &refused, &err), LAM_E_PEER, err);
    assert_non_null(strstr(err.message, "for now: local limit exceeded"));
    assert_fails(ask("LAMINA", "THIRD", &refused, &err), LAM_E_PEER, err);
    close_association(open[0]);
    close_association(ask_until_accepted("PEER")); /* the place becomes free a moment after the release */
    for (int i = 1; i < MOST; i++)
        close_association(open[i]);
    dimse_harness_stop(&h);
}

static void *store_one(void *argument)
{
    lam_association *association = NULL;
    if (ask("LAMINA", "PEER", &association, NULL) != LAM_OK)
        return NULL;
    lam_scu_answer answer = {.status = 1};
    lam_autoclose int fd = object(20000);
    bool done = lam_scu_store(association, 1, fd, &ct, 0, &answer, NULL) == LAM_OK && answer.status == 0 &&
                lam_association_release(association, NULL) == LAM_OK;
    lam_association_free(association);
    return done ? argument : NULL;
}

static void test_two_hundred_at_once(void **state)
{
    (void)state;
    enum { CROWD = 200 };
    static pthread_t threads[CROWD];
    int done = 0;
    dimse_harness_start(&h, NULL);
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, store_one, &h), 0);
    for (int i = 0; i < CROWD; i++) {
        void *result = NULL;
        pthread_join(threads[i], &result);
        done += result != NULL;
    }
    assert_int_equal(done, CROWD);
    assert_int_equal(h.stored, CROWD);
    assert_true(dimse_harness_holds(&h, 0));
    dimse_harness_stop(&h);
}

static void test_drain_ends_idle_and_lets_objects_finish(void **state)
{
    (void)state;
    static char bytes[1000];
    uint8_t last[LAM_SHORT_PDU_BYTES] = {0};
    dimse_harness_start(&h, NULL);
    int idle = open_by_hand(), busy = open_by_hand();
    const lam_command command = store_request(CT, "1.2.3");
    send_command(busy, 3, &command);
    send_fragment(busy, 3, 0, bytes, sizeof bytes);
    assert_true(dimse_harness_holds(&h, 1));
    dimse_harness_send(&h, LAM_MESSAGE_DRAIN);
    assert_true(is_closed(idle, last));
    assert_int_equal(last[0], 7); /* A-ABORT */
    send_fragment(busy, 3, 2, bytes, sizeof bytes);
    assert_int_equal(status_of(busy), LAM_DIMSE_SUCCESS);
    assert_true(is_closed(busy, last));
    close(idle);
    close(busy);
    assert_true(dimse_harness_ended(&h));
    assert_int_equal(dimse_harness_stop(&h), 0);
}

static void test_ends_with_laminad_and_leaves_nothing(void **state)
{
    (void)state;
    static char bytes[1000];
    dimse_harness_start(&h, NULL);
    int s = open_by_hand();
    const lam_command command = store_request(CT, "1.2.3");
    send_command(s, 3, &command);
    send_fragment(s, 3, 0, bytes, sizeof bytes);
    assert_true(dimse_harness_holds(&h, 1));
    shutdown(h.socket, SHUT_RDWR);
    assert_true(dimse_harness_holds(&h, 0));
    close(s);
    assert_int_equal(dimse_harness_stop(&h), 1);
}

/* Without a verdict there is no success. */
static void test_no_verdict_no_success(void **state)
{
    (void)state;
    lam_error err = {0};
    dimse_harness_start(&h, NULL);
    h.mute = true;
    lam_association *association = open_association();
    lam_autoclose int fd = object(1000);
    const lam_net_context *context = lam_association_find(association, CT, LAM_TS_EXPLICIT_LITTLE);
    lam_command command = store_request(CT, "1.2.3");
    assert_ok(lam_association_send(association, context->id, &command, &err), err);
    assert_ok(lam_association_send_data(association, context->id, fd, 0, &err), err);
    int64_t deadline = lam_clock_monotonic_ms() + DIMSE_HARNESS_PATIENCE_MS;
    while (h.stored == 0 && lam_clock_monotonic_ms() < deadline)
        usleep(10000);
    assert_int_equal(h.stored, 1);
    shutdown(h.socket, SHUT_RDWR); /* laminad dies before it answers */
    uint8_t id = 0;
    lam_command response;
    lam_status status = lam_association_receive(association, &response, &id, &err);
    assert_true(status != LAM_OK || response.status != LAM_DIMSE_SUCCESS);
    lam_association_free(association);
    assert_int_equal(dimse_harness_stop(&h), 1);
}

static int start_network(void **state)
{
    (void)state;
    return lam_net_start(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_store_keeps_every_byte),
        cmocka_unit_test(test_the_answer_is_laminads),
        cmocka_unit_test(test_refuses_strangers),
        cmocka_unit_test(test_rejects_by_reason),
        cmocka_unit_test(test_closes_on_what_is_not_dicom),
        cmocka_unit_test(test_slow_requests_block_nobody),
        cmocka_unit_test(test_slow_requests_are_ended),
        cmocka_unit_test(test_broken_object_leaves_nothing),
        cmocka_unit_test(test_idle_association_is_ended),
        cmocka_unit_test(test_protocol_errors_end_only_their_association),
        cmocka_unit_test(test_wrong_requests_have_their_status),
        cmocka_unit_test(test_reserve_is_kept_free),
        cmocka_unit_test(test_object_over_the_limit_is_cut_off),
        cmocka_unit_test(test_limits_on_associations),
        cmocka_unit_test(test_two_hundred_at_once),
        cmocka_unit_test(test_drain_ends_idle_and_lets_objects_finish),
        cmocka_unit_test(test_ends_with_laminad_and_leaves_nothing),
        cmocka_unit_test(test_no_verdict_no_success),
    };
    return cmocka_run_group_tests(tests, start_network, NULL);
}
