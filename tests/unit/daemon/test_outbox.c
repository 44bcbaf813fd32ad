/* The states of the outbox and the signature of webhooks. */
#include "daemon/laminad/outbox.h"

#include <string.h>

#include "daemon/laminad/deliver.h"
#include "daemon/laminad/webhook.h"
#include "tests/unit/unit.h"

static void only_legal_events_move_a_delivery(void **state)
{
    (void)state;
    assert_int_equal(lam_delivery_next(LAM_DELIVERY_QUEUED, LAM_DELIVERY_CLAIM), LAM_DELIVERY_SENDING);
    assert_int_equal(lam_delivery_next(LAM_DELIVERY_SENDING, LAM_DELIVERY_CONFIRM), LAM_DELIVERY_DELIVERED);
    assert_int_equal(lam_delivery_next(LAM_DELIVERY_SENDING, LAM_DELIVERY_ACCEPT), LAM_DELIVERY_SENT);
    assert_int_equal(lam_delivery_next(LAM_DELIVERY_SENT, LAM_DELIVERY_FORGET), LAM_DELIVERY_QUEUED);
    /* What a peer has confirmed is never sent again by itself. */
    for (int event = 0; event < LAM_DELIVERY_EVENTS; event++) {
        assert_int_equal(lam_delivery_next(LAM_DELIVERY_DELIVERED, event), LAM_DELIVERY_STATES);
        assert_int_equal(lam_delivery_next(LAM_DELIVERY_SUPERSEDED, event), LAM_DELIVERY_STATES);
        if (event != LAM_DELIVERY_RETRY)
            assert_int_equal(lam_delivery_next(LAM_DELIVERY_FAILED, event), LAM_DELIVERY_STATES);
    }
}

static void pauses_double_and_are_bounded(void **state)
{
    (void)state;
    const lam_config_peer peer = {.retry_delay_ms = 1000};
    for (int failures = 0; failures < 100; failures++) {
        int64_t whole = failures < 2 ? 1000 : failures > 10 ? 600000 : (int64_t)1000 << (failures - 1);
        if (whole > 600000)
            whole = 600000;
        int64_t pause = lam_deliver_pause_ms(&peer, failures);
        assert_in_range(pause, whole * 3 / 4 - 1, whole * 5 / 4 + 1);
    }
}

/* RFC 4231 test case 2 has the same construction; these were computed with openssl dgst -hmac. */
static void a_webhook_is_signed_as_others_compute_it(void **state)
{
    (void)state;
    char text[LAM_SHA256_TEXT];
    static const char body[] = "{\"event\":\"result\"}";
    lam_webhook_sign("a secret of sixteen", 1700000000, body, strlen(body), text);
    assert_string_equal(text, "7bc8bb56fb882926d4fea4089c3928fbc1a18d0776f00a1e64f584a1dc4f13b3");
    char secret[101];
    memset(secret, 'k', 100);
    secret[100] = '\0';
    lam_webhook_sign(secret, 1700000000, body, strlen(body), text);
    assert_string_equal(text, "7903eb75fa24a33dca0118725b0983d19b7c3a525506d99d9aae1ed7cbc06bbd");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_legal_events_move_a_delivery),
        cmocka_unit_test(pauses_double_and_are_bounded),
        cmocka_unit_test(a_webhook_is_signed_as_others_compute_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
