/* Options of recurrent and moving layers that make no sense are refused at load, naming layer and option. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/rnn/network.h"

static const struct {
    const char *layer; /* for an input [batch, y, x, 2 channels] */
    const char *says;
} cases[] = {
    {"\"kind\": \"shift\"", "`axis`"},
    {"\"kind\": \"shift\", \"axis\": \"t\"", "`axis`"},
    {"\"kind\": \"shift\", \"axis\": \"x\", \"by\": 0.5", "`by`"},
    {"\"kind\": \"upsample\", \"method\": \"cubic\"", "`method`"},
    {"\"kind\": \"upsample\", \"factor\": 0", "`factor`"},
    {"\"kind\": \"conv_lstm\", \"units\": 2", "`directions`"},
    {"\"kind\": \"conv_lstm\", \"units\": 2, \"directions\": [\"x+\", \"y-\"]", "two `directions`"},
    {"\"kind\": \"conv_lstm\", \"units\": 2, \"directions\": [\"x+\", \"x+\"]", "two `directions`"},
    {"\"kind\": \"conv_lstm\", \"units\": 2, \"directions\": [\"x+\"], \"kernel\": 2", "`kernel`"},
    {"\"kind\": \"conv_lstm\", \"units\": 0, \"directions\": [\"x+\"]", "units"},
    {"\"kind\": \"conv_lstm\", \"units\": 2, \"directions\": [\"x+\"], \"from\": [\"input\", \"input\"]",
     "initial state"},
    {"\"kind\": \"norm_lstm\", \"units\": 2, \"directions\": [\"q+\"]", "'q+'"},
    {"\"kind\": \"norm_lstm\", \"units\": 2, \"directions\": [\"x+\"], \"epsilon\": 0", "`epsilon`"},
    {"\"kind\": \"sweep\", \"cell\": \"gru\", \"units\": 2, \"directions\": [\"x+\"], \"peephole\": true",
     "`peephole`"},
    {"\"kind\": \"sweep\", \"cell\": \"lstm\", \"units\": 2, \"directions\": [\"x+\"], \"activation\": "
     "\"softmax\"",
     "`activation`"},
    {"\"kind\": \"sweep\", \"cell\": \"light\", \"units\": 2, \"directions\": [\"x+\"], "
     "\"recurrent_dropout\": 0.5",
     "`recurrent_dropout`"},
    {"\"kind\": \"sweep\", \"cell\": \"gru\", \"units\": 2, \"directions\": [\"x+\"], \"recurrent_dropout\": "
     "1",
     "`recurrent_dropout`"},
};

static void test_nonsense_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        char text[512];
        lam_json *json;
        lam_network *network = NULL;
        lam_error err = {0};
        snprintf(
            text, sizeof text,
            "{\"input\": {\"axes\": [\"y\", \"x\"], \"channels\": 2}, \"layers\": [{\"name\": \"it\", %s}]}",
            cases[i].layer);
        assert_ok(lam_json_parse(text, strlen(text), &json, &err), err);
        if (lam_network_create(lam_json_root(json), &network, &err) != LAM_E_INVALID || network)
            fail_msg("{%s} is not refused", cases[i].layer);
        if (!strstr(err.message, cases[i].says) || !strstr(err.message, "layer 1 it"))
            fail_msg("{%s}: '%s' does not name %s and the layer", cases[i].layer, err.message, cases[i].says);
        lam_json_free(json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
