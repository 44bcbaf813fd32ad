/* daemon/laminad/commitment.h: what we answer those who ask for our commitment. What is asked of peers is in
 * test_outbox.c and tests/e2e/delivery_faults.py. */
#include <stdio.h>
#include <string.h>

#include "core/base/buffer.h"
#include "core/base/cleanup.h"
#include "daemon/laminad/commitment.h"
#include "tests/unit/daemon/fixture.h"

enum { MOST = 1000 };

/* Asks for two instances, of which one is stored. */
static lam_status ask(fixture *f, const char *sender, int transaction, lam_buffer *reply, lam_error *err)
{
    char payload[256];
    snprintf(
        payload, sizeof payload,
        "{\"calling_ae\":\"%s\",\"transaction_uid\":\"1.2.%d\",\"instances\":[[\"1.2.840.10008.5.1.4.1.1.4\","
        "\"1.2.3.4\"],[\"1.2.840.10008.5.1.4.1.1.4\",\"1.2.3.5\"]]}",
        sender, transaction);
    lam_buffer_clear(reply);
    return lam_commitment_answer(f->db, payload, strlen(payload), 5000, reply, err);
}

static void what_is_stored_is_committed(void **state)
{
    fixture *f = *state;
    lam_error err = {0};
    LAM_AUTO(lam_buffer_done) lam_buffer reply;
    lam_buffer_init(&reply, 1 << 16);
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.4", "", 5000);
    assert_ok(ask(f, "MODALITY", 1, &reply, &err), err);
    assert_string_equal(
        lam_buffer_text(&reply),
        "{\"status\":0,\"transaction_uid\":\"1.2.1\",\"committed\":[[\"1.2.840.10008.5.1.4.1.1.4\","
        "\"1.2.3.4\"]],\"failed\":[[\"1.2.840.10008.5.1.4.1.1.4\",\"1.2.3.5\",274]]}");
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM commitment_report"), 1);
}

/* Everything from outside has a limit: reports that are never taken, too. */
static void a_sender_that_takes_no_report_is_refused(void **state)
{
    fixture *f = *state;
    lam_error err = {0};
    LAM_AUTO(lam_buffer_done) lam_buffer reply;
    lam_buffer_init(&reply, 1 << 16);
    for (int i = 0; i < MOST; i++)
        assert_ok(ask(f, "MODALITY", i, &reply, &err), err);
    assert_int_equal(ask(f, "MODALITY", MOST, &reply, &err), LAM_E_LIMIT);
    assert_int_equal(reply.length, 0);
    assert_ok(ask(f, "MODALITY", MOST - 1, &reply, &err), err); /* the same again is no more */
    assert_ok(ask(f, "OTHER", MOST, &reply, &err), err);
    static const char taken[] = "{\"calling_ae\":\"MODALITY\",\"transaction_uid\":\"1.2.7\"}";
    assert_ok(lam_commitment_reported(f->db, taken, strlen(taken), &err), err);
    assert_ok(ask(f, "MODALITY", MOST, &reply, &err), err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_stored_is_committed, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(a_sender_that_takes_no_report_is_refused, fixture_set_up,
                                        fixture_tear_down),
    };
    return cmocka_run_group_tests_name("commitment", tests, NULL, NULL);
}
