/* The network of the shipped generator's recipe is strictly causal, and what it reads is as generation.h
 * says. */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buffer.h"
#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "core/rnn/generation.h"
#include "core/rnn/manifest.h"
#include "core/rnn/network.h"
#include "core/rnn/random.h"
#include "tests/unit/unit.h"

#define RECIPE "models/chest-xray-gen/recipe.json"

enum { HEIGHT = 7, WIDTH = 9, PIXELS = HEIGHT * WIDTH, CLASSES = 2 };

static void test_fill(void **state)
{
    const int64_t size[3] = {1, 2, 3};
    const float levels[6] = {0, 255, 0, 0, 0, 51};
    enum { CHANNELS = 16 };
    float input[6 * CHANNELS];
    (void)state;
    assert_int_equal(lam_generation_channels(2, 2), CHANNELS);
    lam_generation_fill(size, 2, 2, 1, levels, input);
    /* pixel, inside; row, its waves; column, its waves; classes */
    const float first[CHANNELS] = {-1, 1, -1, 1, 0, 1, 0, 1, -1, 1, 0, 1, 0, 1, 0, 1};
    const float half = 0.70710678f;
    const float last[CHANNELS] = {-0.6f, 1, 1, half, half, 0, 1, -1, 1, 0, 1, -1, 0, 1, 0, 1};
    for (int i = 0; i < CHANNELS; i++) {
        assert_true(fabs(input[i] - first[i]) < 1e-6);
        assert_true(fabs(input[5 * CHANNELS + i] - last[i]) < 1e-6);
    }
    lam_generation_fill(size, 2, 2, -1, NULL, input);
    assert_true(input[CHANNELS] == 0 && input[14] == 0 && input[15] == 0);
}

/* Changing a pixel leaves every result up to and including its own as it was, to the bit, and changes later
 * ones. */
static void test_causal(void **state)
{
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    LAM_AUTO_PTR(lam_manifest) *manifest = NULL;
    LAM_AUTO_PTR(lam_network) *network = NULL;
    LAM_AUTO_PTR(lam_weights) *weights = NULL;
    LAM_AUTO_PTR(lam_session) *session = NULL;
    const int64_t size[3] = {1, HEIGHT, WIDTH};
    float levels[PIXELS];
    lam_error err;
    (void)state;
    lam_buffer_init(&text, LAM_MANIFEST_MAX_BYTES);
    lam_autoclose int fd = open(RECIPE, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_ok(lam_io_read_to_end(fd, &text, &err), err);
    assert_ok(lam_manifest_parse(lam_buffer_text(&text), text.length, &manifest, &err), err);
    assert_ok(lam_network_create(manifest->network, &network, &err), err);
    assert_ok(lam_weights_create(network, 3, &weights, &err), err);
    assert_ok(lam_session_create(weights, LAM_MODE_INFER, NULL, &session, &err), err);
    lam_shape shape = {.rank = 4, .dim = {1, HEIGHT, WIDTH, lam_generation_channels(2, CLASSES)}};
    assert_ok(lam_session_plan(session, &shape, &err), err);
    size_t wide = (size_t)lam_network_output_channels(network);
    lam_autofree float *before = malloc(PIXELS * wide * sizeof *before);
    assert_non_null(before);
    lam_random random = lam_random_stream(9, 0, 0);
    for (int i = 0; i < PIXELS; i++)
        levels[i] = (float)lam_random_below(&random, 256);
    lam_generation_fill(size, 2, CLASSES, 1, levels, lam_session_input(session));
    lam_session_run(session);
    memcpy(before, lam_session_output(session), PIXELS * wide * sizeof *before);
    for (size_t k = 0; k < PIXELS; k++) {
        float kept = levels[k];
        levels[k] = 255 - kept;
        lam_generation_fill(size, 2, CLASSES, 1, levels, lam_session_input(session));
        lam_session_run(session);
        levels[k] = kept;
        const float *after = lam_session_output(session);
        assert_memory_equal(after, before, (k + 1) * wide * sizeof *after);
        if (k + 1 < PIXELS)
            assert_memory_not_equal(after + (k + 1) * wide, before + (k + 1) * wide,
                                    (PIXELS - k - 1) * wide * sizeof *after);
    }
}

/* Pixels that are added or left out have no place among those that are drawn. */
static void test_whole_images_only(void **state)
{
    (void)state;
    static const char *const preprocessing[] = {"\"pad_multiple\": 8", "\"crop\": [0, 8, 8]"};
    for (size_t i = 0; i < LAM_COUNT(preprocessing); i++) {
        char text[512];
        lam_manifest *manifest = NULL;
        lam_error err = {0};
        snprintf(text, sizeof text,
                 "{\"schema\": 1, \"name\": \"g\", \"version\": \"1\", \"task\": \"generation\","
                 "\"preprocessing\": {%s}, \"network\": {}}",
                 preprocessing[i]);
        assert_fails(lam_manifest_parse(text, strlen(text), &manifest, &err), LAM_E_INVALID, err);
        assert_non_null(strstr(err.message, "not for generation"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fill),
        cmocka_unit_test(test_causal),
        cmocka_unit_test(test_whole_images_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
