/* dicom/command: command sets read and written, whole and damaged. */
#include "dicom/command.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

static lam_command store_request(void)
{
    lam_command request = lam_command_request(LAM_COMMAND_STORE, 7, true);
    request.has |= LAM_COMMAND_HAS_PRIORITY;
    strcpy(request.sop_class, "1.2.840.10008.5.1.4.1.1.2");
    strcpy(request.sop_instance, "1.2.3.45");
    return request;
}

static void test_round_trip(void **state)
{
    (void)state;
    lam_error err = {0};
    uint8_t bytes[LAM_COMMAND_TEXT];
    lam_command request = store_request(), read;
    size_t length = lam_command_write(&request, bytes);
    assert_int_equal(bytes[8] | bytes[9] << 8, length - 12); /* the group length */
    assert_ok(lam_command_parse(bytes, length, &read, &err), err);
    assert_memory_equal(&read, &request, sizeof read);

    lam_command response = lam_command_response(&read, LAM_DIMSE_OUT_OF_RESOURCES);
    strcpy(response.comment, "no space");
    length = lam_command_write(&response, bytes);
    assert_ok(lam_command_parse(bytes, length, &read, &err), err);
    assert_int_equal(read.field, 0x8001);
    assert_int_equal(read.responded_to, 7);
    assert_int_equal(read.status, 0xa700);
    assert_int_equal(read.data_set_type, LAM_NO_DATA_SET);
    assert_string_equal(read.sop_instance, "1.2.3.45");
    assert_string_equal(read.comment, "no space");
}

static void test_longest_command_fits(void **state)
{
    (void)state;
    uint8_t bytes[LAM_COMMAND_TEXT];
    lam_command longest;
    memset(&longest, 0, sizeof longest);
    longest.has = ~0u;
    memset(longest.sop_class, '1', LAM_UID_TEXT - 1);
    memset(longest.sop_instance, '1', LAM_UID_TEXT - 1);
    memset(longest.comment, 'x', sizeof longest.comment - 1);
    assert_true(lam_command_write(&longest, bytes) <= sizeof bytes);
}

static void test_refuses_every_truncation(void **state)
{
    (void)state;
    uint8_t bytes[LAM_COMMAND_TEXT];
    lam_command request = store_request(), read;
    size_t length = lam_command_write(&request, bytes), complete = 0;
    for (size_t cut = 0; cut < length; cut++) {
        uint8_t *copy = malloc(cut + 1);
        assert_non_null(copy);
        memcpy(copy, bytes, cut);
        complete += lam_command_parse(copy, cut, &read, NULL) == LAM_OK;
        free(copy);
    }
    assert_int_equal(complete, 1); /* without its last element, the instance UID, it still adds up */
}

static void test_survives_random_changes(void **state)
{
    (void)state;
    uint64_t random = 7;
    lam_command request = store_request(), read;
    for (int round = 0; round < 20000; round++) {
        uint8_t bytes[LAM_COMMAND_TEXT];
        size_t length = lam_command_write(&request, bytes);
        uint8_t *copy = malloc(length);
        assert_non_null(copy);
        memcpy(copy, bytes, length);
        for (int i = 0; i < 3; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            copy[(random >> 33) % length] = (uint8_t)(random >> 25);
        }
        lam_command_parse(copy, length, &read, NULL);
        free(copy);
    }
}

static void test_refuses_what_is_missing_or_wrong(void **state)
{
    (void)state;
    lam_error err;
    lam_command read;
    uint8_t bytes[LAM_COMMAND_TEXT];
    lam_command no_number = store_request();
    no_number.has &= ~(unsigned)LAM_COMMAND_HAS_MESSAGE;
    size_t length = lam_command_write(&no_number, bytes);
    assert_fails(lam_command_parse(bytes, length, &read, &err), LAM_E_INVALID, err);

    static const uint8_t wide[] = {0, 0, 0, 1, 4, 0, 0, 0, 1, 0, 0, 0}; /* command field of four bytes */
    assert_fails(lam_command_parse(wide, sizeof wide, &read, &err), LAM_E_INVALID, err);
    static const uint8_t nul[] = {0, 0, 2, 0, 4, 0, 0, 0, '1', 0, '2', '3'};
    assert_fails(lam_command_parse(nul, sizeof nul, &read, &err), LAM_E_INVALID, err);
    assert_fails(lam_command_parse(bytes, LAM_COMMAND_MAX_BYTES + 1, &read, &err), LAM_E_LIMIT, err);
}

static void test_outcomes(void **state)
{
    (void)state;
    assert_int_equal(lam_dimse_outcome(0x0000), 0);
    assert_int_equal(lam_dimse_outcome(0xb000), 1);
    assert_int_equal(lam_dimse_outcome(0x0107), 1);
    assert_int_equal(lam_dimse_outcome(0xa700), -1);
    assert_int_equal(lam_dimse_outcome(0xc123), -1);
    assert_int_equal(lam_dimse_outcome(0x0110), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_longest_command_fits),
        cmocka_unit_test(test_refuses_every_truncation),
        cmocka_unit_test(test_survives_random_changes),
        cmocka_unit_test(test_refuses_what_is_missing_or_wrong),
        cmocka_unit_test(test_outcomes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
