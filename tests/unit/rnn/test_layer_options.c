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

static lam_status create(const char *input, const char *layers, lam_network **out, lam_error *err)
{
    char text[2048];
    LAM_AUTO_PTR(lam_json) *json = NULL;
    snprintf(text, sizeof text, "{\"input\": {%s}, \"layers\": [%s]}", input, layers);
    assert_ok(lam_json_parse(text, strlen(text), &json, err), *err);
    return lam_network_create(lam_json_root(json), out, err);
}

/* Every layer that can end in a softmax: taken for logits, its result would be made probabilities twice. */
static void test_softmax_is_known(void **state)
{
    (void)state;
    static const struct {
        const char *layer;
        bool probabilities;
    } ends[] = {
        {"\"kind\": \"softmax\"", true},
        {"\"kind\": \"activation\", \"function\": \"softmax\"", true},
        {"\"kind\": \"activation\", \"function\": \"sigmoid\"", false},
        {"\"kind\": \"dense\", \"units\": 3, \"activation\": \"softmax\"", true},
        {"\"kind\": \"dense\", \"units\": 3", false},
        {"\"kind\": \"conv\", \"channels\": 3, \"activation\": \"softmax\"", true},
        {"\"kind\": \"conv\", \"channels\": 3", false},
        {"\"kind\": \"conv_transpose\", \"channels\": 3, \"activation\": \"softmax\"", true},
        {"\"kind\": \"sweep\", \"cell\": \"elman\", \"units\": 3, \"activation\": \"softmax\", "
         "\"directions\": [\"x+\"]",
         true},
        {"\"kind\": \"sweep\", \"cell\": \"elman\", \"units\": 3, \"activation\": \"softmax\", "
         "\"directions\": [\"x+\", \"x-\"]",
         false},
        {"\"kind\": \"sweep\", \"cell\": \"elman\", \"units\": 3, \"directions\": [\"x+\"]", false},
    };
    for (size_t i = 0; i < LAM_COUNT(ends); i++) {
        char layer[256];
        LAM_AUTO_PTR(lam_network) *network = NULL;
        lam_error err = {0};
        snprintf(layer, sizeof layer, "{\"name\": \"it\", %s}", ends[i].layer);
        assert_ok(create("\"axes\": [\"y\", \"x\"], \"channels\": 2", layer, &network, &err), err);
        if (lam_network_gives_probabilities(network) != ends[i].probabilities)
            fail_msg("{%s}", ends[i].layer);
    }
}

/* Sizes are followed through the layers before there is an input; they must stay numbers. */
static void test_sizes_beyond_all_arrays_are_refused(void **state)
{
    (void)state;
    char layers[1024] = "";
    for (int i = 0; i < 8; i++) {
        char layer[96];
        snprintf(layer, sizeof layer, "%s{\"name\": \"u%d\", \"kind\": \"upsample\", \"factor\": 64}",
                 i ? ", " : "", i);
        strcat(layers, layer);
    }
    lam_error err = {0};
    lam_network *network = NULL;
    assert_fails(create("\"axes\": [\"x\"], \"channels\": 2, \"size\": [1048576]", layers, &network, &err),
                 LAM_E_LIMIT, err);
    assert_non_null(strstr(err.message, "layer 3 u2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nonsense_is_refused),
        cmocka_unit_test(test_softmax_is_known),
        cmocka_unit_test(test_sizes_beyond_all_arrays_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
