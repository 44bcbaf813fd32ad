/* A causal network run in steps gives what one pass over the whole input gives, and networks that look ahead
 * are refused. */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buffer.h"
#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "core/rnn/causal.h"
#include "core/rnn/manifest.h"
#include "core/rnn/random.h"
#include "tests/unit/unit.h"

enum { BATCH = 3 };

/* Fills the input at random and compares the steps, which see a position only after theirs, with one pass. */
static void compare(const lam_weights *weights, const lam_shape *shape)
{
    LAM_AUTO_PTR(lam_session) *session = NULL;
    LAM_AUTO_PTR(lam_causal) *causal = NULL;
    int64_t count = lam_shape_count(shape), channels = shape->dim[shape->rank - 1];
    int64_t positions = count / shape->dim[0] / channels;
    lam_error err;
    assert_ok(lam_session_create(weights, LAM_MODE_INFER, NULL, &session, &err), err);
    assert_ok(lam_session_plan(session, shape, &err), err);
    assert_ok(lam_causal_create(weights, shape, &causal, &err), err);
    lam_autofree float *input = malloc((size_t)count * sizeof *input);
    assert_non_null(input);
    lam_random random = lam_random_stream(5, 0, 0);
    for (int64_t i = 0; i < count; i++)
        input[i] = lam_random_normal(&random);
    memcpy(lam_session_input(session), input, (size_t)count * sizeof *input);
    lam_session_run(session);
    int64_t wide = lam_shape_count(lam_session_output_shape(session)) / shape->dim[0] / positions;
    double worst = 0;
    for (int round = 0; round < 2; round++) { /* the second one starts over */
        float *seen = lam_causal_input(causal);
        for (int64_t i = 0; i < count; i++)
            seen[i] = i % channels ? input[i] : 1000;
        for (int64_t p = 0; p < positions; p++) {
            const float *result = lam_causal_step(causal);
            for (int64_t b = 0; b < shape->dim[0]; b++) {
                const float *whole = lam_session_output(session) + (b * positions + p) * wide;
                for (int64_t k = 0; k < wide; k++)
                    worst = fmax(worst, fabs(result[b * wide + k] - whole[k]));
                seen[(b * positions + p) * channels] = input[(b * positions + p) * channels];
            }
        }
        lam_causal_restart(causal);
    }
    if (!(worst < 1e-5))
        fail_msg("steps differ from one pass by %g", worst);
}

static void compare_recipe(const char *path, lam_shape shape)
{
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    LAM_AUTO_PTR(lam_manifest) *manifest = NULL;
    LAM_AUTO_PTR(lam_network) *network = NULL;
    LAM_AUTO_PTR(lam_weights) *weights = NULL;
    lam_error err;
    lam_buffer_init(&text, LAM_MANIFEST_MAX_BYTES);
    assert_ok(lam_io_read_file(path, &text, &err), err);
    assert_ok(lam_manifest_parse(lam_buffer_text(&text), text.length, &manifest, &err), err);
    assert_ok(lam_network_create(manifest->network, &network, &err), err);
    assert_ok(lam_weights_create(network, 3, &weights, &err), err);
    shape.dim[shape.rank - 1] = lam_network_input_channels(network);
    compare(weights, &shape);
}

static void test_shipped_generators(void **state)
{
    (void)state;
    compare_recipe("models/chest-xray-gen/recipe.json", (lam_shape){4, {BATCH, 9, 7, 0}});
    compare_recipe("models/chest-xray-gen/baseline.json", (lam_shape){4, {BATCH, 9, 7, 0}});
    compare_recipe("models/mr-gen/recipe.json", (lam_shape){5, {2, 4, 6, 5, 0}});
}

/* Layers of a network of the axes z, y, x with 3 input channels; the last one is the result. */
static lam_status make(const char *layers, lam_network **network, lam_weights **weights, lam_error *err)
{
    char text[2048];
    lam_json *json;
    snprintf(text, sizeof text,
             "{\"input\": {\"axes\": [\"z\", \"y\", \"x\"], \"channels\": 3}, \"layers\": [%s]}", layers);
    lam_status status = lam_json_parse(text, strlen(text), &json, err);
    if (status)
        return status;
    status = lam_network_create(lam_json_root(json), network, err);
    lam_json_free(json);
    return status ? status : lam_weights_create(*network, 7, weights, err);
}

#define SHIFT(axis)                                                                                          \
    "{\"name\": \"s" axis "\", \"kind\": \"shift\", \"axis\": \"" axis "\", \"from\": \"input\"},"

/* What the shipped ones do not have: other cells, delays longer than the image, delays of what is itself made
 * position by position, what is made of the position itself, local filters within what is known. */
static void test_other_layers(void **state)
{
    static const char *const cases[] = {
        SHIFT("z") "{\"name\": \"a\", \"kind\": \"sweep\", \"cell\": \"lstm\", \"units\": 5, \"peephole\": "
                   "true, "
                   "\"directions\": [\"y-\", \"z+\", \"x+\"]}",
        SHIFT(
            "x") "{\"name\": \"a\", \"kind\": \"sweep\", \"cell\": \"light\", \"units\": 5, \"directions\": "
                 "[\"x+\"]}",
        SHIFT("y") "{\"name\": \"a\", \"kind\": \"shift\", \"axis\": \"z\", \"by\": 9},"
                   "{\"name\": \"b\", \"kind\": \"add\", \"from\": [\"a\", \"sy\"]}",
        SHIFT("z") "{\"name\": \"a\", \"kind\": \"depthwise\", \"kernel\": [1, 3, 5], \"residual\": true},"
                   "{\"name\": \"b\", \"kind\": \"shift\", \"axis\": \"x\", \"by\": -2},"
                   "{\"name\": \"c\", \"kind\": \"activation\", \"function\": \"tanh\"}",
        "{\"name\": \"a\", \"kind\": \"dense\", \"units\": 4, \"activation\": \"relu\"},"
        "{\"name\": \"b\", \"kind\": \"sweep\", \"cell\": \"gru\", \"units\": 4, \"directions\": [\"x+\"]},"
        "{\"name\": \"left\", \"kind\": \"shift\", \"axis\": \"x\", \"from\": \"b\"},"
        "{\"name\": \"above\", \"kind\": \"shift\", \"axis\": \"y\", \"by\": 2, \"from\": \"left\"},"
        "{\"name\": \"both\", \"kind\": \"concat\", \"from\": [\"left\", \"above\"]},"
        "{\"name\": \"n\", \"kind\": \"layer_norm\"}",
    };
    (void)state;
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        LAM_AUTO_PTR(lam_network) *network = NULL;
        LAM_AUTO_PTR(lam_weights) *weights = NULL;
        lam_error err;
        const lam_shape shape = {5, {BATCH, 3, 4, 6, 3}};
        assert_ok(make(cases[i], &network, &weights, &err), err);
        compare(weights, &shape);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *layers;
        lam_status status;
        const char *says;
    } cases[] = {
        {"{\"name\": \"a\", \"kind\": \"dense\", \"units\": 4}", LAM_E_INVALID, "position itself"},
        {SHIFT("y") "{\"name\": \"a\", \"kind\": \"conv\", \"channels\": 2, \"kernel\": [1, 3, 3], "
                    "\"padding\": \"same\"}",
         LAM_E_INVALID, "looks ahead"},
        {SHIFT("x") "{\"name\": \"a\", \"kind\": \"sweep\", \"cell\": \"gru\", \"units\": 2, \"directions\": "
                    "[\"x-\"]}",
         LAM_E_INVALID, "looks ahead"},
        {SHIFT("x") "{\"name\": \"a\", \"kind\": \"sweep\", \"cell\": \"gru\", \"units\": 2, \"directions\": "
                    "[\"z+\"]}",
         LAM_E_UNSUPPORTED, "axis 1"},
        {SHIFT("z") "{\"name\": \"a\", \"kind\": \"pool\"}", LAM_E_UNSUPPORTED, "'pool'"},
        {SHIFT("z") "{\"name\": \"a\", \"kind\": \"conv\", \"channels\": 2, \"kernel\": [1, 3, 3]}",
         LAM_E_UNSUPPORTED, "changes the size"},
    };
    (void)state;
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        LAM_AUTO_PTR(lam_network) *network = NULL;
        LAM_AUTO_PTR(lam_weights) *weights = NULL;
        lam_causal *causal = NULL;
        lam_error err;
        const lam_shape shape = {5, {1, 3, 4, 6, 3}};
        assert_ok(make(cases[i].layers, &network, &weights, &err), err);
        assert_fails(lam_causal_create(weights, &shape, &causal, &err), cases[i].status, err);
        assert_null(causal);
        if (!strstr(err.message, cases[i].says))
            fail_msg("'%s' does not say %s", err.message, cases[i].says);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shipped_generators),
        cmocka_unit_test(test_other_layers),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
