/* dicom/associate: requests read byte by byte, and what is answered to each context. */
#include "dicom/associate.h"

#include <stdlib.h>

#include "core/base/cleanup.h"
#include "dicom/sop_class.h"
#include "tests/unit/associate_request.h"
#include "tests/unit/unit.h"

#define IMPLICIT "1.2.840.10008.1.2"
#define EXPLICIT "1.2.840.10008.1.2.1"
#define CT       "1.2.840.10008.5.1.4.1.1.2"

static associate_request request;
static lam_associate parsed;

static void test_reads_a_request(void **state)
{
    (void)state;
    lam_error err = {0};
    size_t length = 0;
    request_plain(&request, "LAMINA", "  MODALITY");
    assert_ok(lam_associate_length(request.bytes, &length, &err), err);
    assert_int_equal(length, request.length);
    assert_ok(lam_associate_parse(request.bytes, request.length, &parsed, &err), err);
    assert_int_equal(parsed.protocol_version, 1);
    assert_string_equal(parsed.called_ae, "LAMINA");
    assert_string_equal(parsed.calling_ae, "MODALITY");
    assert_string_equal(parsed.application_context, LAM_APPLICATION_CONTEXT);
    assert_string_equal(parsed.implementation_class, "1.2.3.4");
    assert_string_equal(parsed.implementation_version, "TEST");
    assert_int_equal(parsed.max_pdu, 16384);
    assert_int_equal(parsed.context_count, 2);
    assert_int_equal(parsed.contexts[1].id, 3);
    assert_string_equal(parsed.contexts[1].abstract_syntax, CT);
}

static void test_answers_contexts(void **state)
{
    (void)state;
    const char *const both[] = {EXPLICIT, IMPLICIT};
    const char *const odd[] = {"1.2.3", "1.2.840.10008.1.2.7.1"};
    const char *const codec[] = {"1.2.840.10008.1.2.4.202"};
    const struct {
        const char *abstract_syntax;
        const char *const *transfer_syntaxes;
        size_t count;
        bool private_classes;
        int result;
        const char *chosen;
    } cases[] = {
        {LAM_SOP_CLASS_VERIFICATION, both, 2, false, LAM_CONTEXT_ACCEPTED, EXPLICIT},
        {CT, both, 2, false, LAM_CONTEXT_ACCEPTED, EXPLICIT},
        {CT, both + 1, 1, false, LAM_CONTEXT_ACCEPTED, IMPLICIT},
        {CT, codec, 1, false, LAM_CONTEXT_ACCEPTED, "1.2.840.10008.1.2.4.202"},           /* HTJ2K */
        {"1.2.840.10008.5.1.4.1.1.66.7", both, 2, false, LAM_CONTEXT_ACCEPTED, EXPLICIT}, /* label map */
        {"1.2.840.10008.5.1.4.34.10", both, 2, false, LAM_CONTEXT_ACCEPTED, EXPLICIT},    /* brachy */
        {CT, odd, 2, false, LAM_CONTEXT_NO_TRANSFER_SYNTAX, ""},
        {"1.2.840.10008.5.1.4.1.2.1.1", both, 2, false, LAM_CONTEXT_NO_ABSTRACT_SYNTAX, ""}, /* C-FIND */
        {"1.2.840.10008.5.1.4.38.1", both, 2, false, LAM_CONTEXT_NO_ABSTRACT_SYNTAX,
         ""}, /* hanging protocol */
        {"1.3.12.2.1107.5.9.1", both, 2, false, LAM_CONTEXT_NO_ABSTRACT_SYNTAX, ""},
        {"1.3.12.2.1107.5.9.1", both, 2, true, LAM_CONTEXT_ACCEPTED, EXPLICIT},
        {"no UID", both, 2, true, LAM_CONTEXT_NO_ABSTRACT_SYNTAX, ""},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        lam_error err = {0};
        request_begin(&request, "A", "B", LAM_APPLICATION_CONTEXT);
        request_context(&request, 5, cases[i].abstract_syntax, cases[i].transfer_syntaxes, cases[i].count);
        request_user(&request);
        assert_ok(lam_associate_parse(request.bytes, request.length, &parsed, &err), err);
        size_t accepted = lam_associate_negotiate(&parsed, cases[i].private_classes);
        assert_int_equal(parsed.contexts[0].result, cases[i].result);
        assert_int_equal(accepted, cases[i].result == LAM_CONTEXT_ACCEPTED);
        assert_string_equal(parsed.contexts[0].transfer_syntax, cases[i].chosen);
    }
}

static void test_takes_128_contexts(void **state)
{
    (void)state;
    lam_error err = {0};
    const char *const implicit = IMPLICIT;
    request_begin(&request, "A", "B", LAM_APPLICATION_CONTEXT);
    for (int id = 1; id < 256; id += 2)
        request_context(&request, (uint8_t)id, CT, &implicit, 1);
    request_user(&request);
    assert_ok(lam_associate_parse(request.bytes, request.length, &parsed, &err), err);
    assert_int_equal(parsed.context_count, 128);
    assert_int_equal(lam_associate_negotiate(&parsed, false), 128);
}

static void expect_refused(void)
{
    lam_error err;
    request_finish(&request);
    assert_fails(lam_associate_parse(request.bytes, request.length, &parsed, &err), LAM_E_INVALID, err);
}

static void test_refuses_what_contradicts_itself(void **state)
{
    (void)state;
    const char *const implicit = IMPLICIT;
    lam_error err;

    request_plain(&request, "A", "B");
    request_context(&request, 4, CT, &implicit, 1); /* even */
    expect_refused();

    request_plain(&request, "A", "B");
    request_context(&request, 3, CT, &implicit, 1); /* twice */
    expect_refused();

    request_plain(&request, "A", "B");
    request_context(&request, 5, CT, &implicit, 0); /* without transfer syntax */
    expect_refused();

    request_plain(&request, "A", "B");
    request_user(&request); /* user information twice */
    expect_refused();

    request_plain(&request, "A", "B\x01"); /* a control character in a name that will be logged */
    expect_refused();

    request_begin(&request, "A", "B", LAM_APPLICATION_CONTEXT); /* no context */
    request_user(&request);
    expect_refused();

    request_plain(&request, "A", "B");
    request.bytes[5]++; /* says it is longer */
    assert_fails(lam_associate_parse(request.bytes, request.length, &parsed, &err), LAM_E_INVALID, err);

    char endless[66];
    memset(endless, '1', sizeof endless);
    endless[65] = '\0'; /* 65 characters */
    request_begin(&request, "A", "B", LAM_APPLICATION_CONTEXT);
    request_context(&request, 1, endless, &implicit, 1);
    request_user(&request);
    expect_refused();
}

static void test_refuses_inner_lengths_that_lie(void **state)
{
    (void)state;
    static const struct {
        uint8_t type;
        const char *bytes;
        size_t length;
    } lies[] = {
        {0x51, "\0\0\0", 3},
        {0x53, "\0\1\0\1\0", 5},
        {0x54,
         "\0\7"
         "1.2\0\1",
         7},
        {0x54, "\0", 1},
        {0x54, "\0\0\0", 3},
        {0x56,
         "\0\7"
         "1.2",
         5},
        {0x58, "\1\0\0\5ab\0\0", 8},
        {0x58, "\1\0\0\1a\0\2b", 8},
        {0x58, "\1\0\0", 3},
    };
    for (size_t i = 0; i < LAM_COUNT(lies); i++) {
        static associate_request user;
        const char *const implicit = IMPLICIT;
        user.length = 0;
        request_item(&user, lies[i].type, lies[i].bytes, lies[i].length);
        request_begin(&request, "A", "B", LAM_APPLICATION_CONTEXT);
        request_context(&request, 1, CT, &implicit, 1);
        request_item(&request, 0x50, user.bytes, user.length);
        expect_refused();
    }
}

static void test_refuses_every_truncation(void **state)
{
    (void)state;
    request_plain(&request, "LAMINA", "PEER");
    size_t whole = request.length;
    for (size_t length = 0; length < whole; length++) {
        /* a copy of just this size, so that a read past the end is seen by the sanitizer */
        uint8_t *copy = malloc(length + 1);
        assert_non_null(copy);
        memcpy(copy, request.bytes, length);
        if (length >= 6) {
            copy[4] = (uint8_t)((length - 6) >> 8);
            copy[5] = (uint8_t)(length - 6);
        }
        assert_int_not_equal(lam_associate_parse(copy, length, &parsed, NULL), LAM_OK);
        free(copy);
    }
}

static void test_survives_random_changes(void **state)
{
    (void)state;
    uint64_t random = 42;
    for (int round = 0; round < 20000; round++) {
        request_plain(&request, "LAMINA", "PEER");
        uint8_t *copy = malloc(request.length);
        assert_non_null(copy);
        memcpy(copy, request.bytes, request.length);
        for (int i = 0; i < 4; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            copy[74 + (random >> 33) % (request.length - 74)] = (uint8_t)(random >> 25);
        }
        if (lam_associate_parse(copy, request.length, &parsed, NULL) == LAM_OK)
            lam_associate_negotiate(&parsed, true);
        free(copy);
    }
}

static void test_tells_what_is_no_request(void **state)
{
    (void)state;
    lam_error err;
    size_t length = 0;
    assert_fails(lam_associate_length((const uint8_t *)"GET / ", &length, &err), LAM_E_INVALID, err);
    assert_fails(lam_associate_length((const uint8_t *)"\1\0\177\377\377\377", &length, &err), LAM_E_LIMIT,
                 err);
}

static void test_short_answers(void **state)
{
    (void)state;
    uint8_t pdu[LAM_SHORT_PDU_BYTES];
    lam_rejection_write(LAM_REJECT_LOCAL_LIMIT, pdu);
    assert_memory_equal(pdu, "\3\0\0\0\0\4\0\2\3\2", sizeof pdu);
    lam_abort_write(LAM_ABORT_INVALID_PARAMETER, pdu);
    assert_memory_equal(pdu, "\7\0\0\0\0\4\0\0\2\6", sizeof pdu);
    assert_string_equal(lam_rejection_text(LAM_REJECT_CALLED_AE), "called AE title not recognized");
    assert_non_null(lam_rejection_text((lam_rejection){9, 9, 9}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_a_request),
        cmocka_unit_test(test_answers_contexts),
        cmocka_unit_test(test_takes_128_contexts),
        cmocka_unit_test(test_refuses_what_contradicts_itself),
        cmocka_unit_test(test_refuses_inner_lengths_that_lie),
        cmocka_unit_test(test_refuses_every_truncation),
        cmocka_unit_test(test_survives_random_changes),
        cmocka_unit_test(test_tells_what_is_no_request),
        cmocka_unit_test(test_short_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
