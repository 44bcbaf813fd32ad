/* Drawing: an image is a function of weights, seed and its number alone, its pixels follow the network's
 * distributions, and what cannot be drawn is refused. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/buffer.h"
#include "core/base/io.h"
#include "core/rnn/generate.h"
#include "core/rnn/generation.h"
#include "core/rnn/logistic.h"
#include "core/rnn/safetensors.h"
#include "core/rnn/train/novelty.h"
#include "tests/unit/unit.h"

enum { HEIGHT = 11, WIDTH = 9, PIXELS = HEIGHT * WIDTH, COUNT = 20 };

static lam_bundle *bundle;

static int temporary(void)
{
    char path[] = "/tmp/lamina-generate-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    return fd;
}

/* The recipe that is shipped, with fresh weights. */
static int make_bundle(void **state)
{
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    LAM_AUTO_PTR(lam_manifest) *manifest = NULL;
    LAM_AUTO_PTR(lam_network) *network = NULL;
    LAM_AUTO_PTR(lam_weights) *weights = NULL;
    lam_autoclose int manifest_fd = temporary(), weights_fd = temporary();
    lam_error err;
    (void)state;
    lam_buffer_init(&text, LAM_MANIFEST_MAX_BYTES);
    assert_ok(lam_io_read_file("models/chest-xray-gen/recipe.json", &text, &err), err);
    assert_ok(lam_io_write_all(manifest_fd, text.data, text.length, &err), err);
    assert_ok(lam_manifest_parse(lam_buffer_text(&text), text.length, &manifest, &err), err);
    assert_ok(lam_network_create(manifest->network, &network, &err), err);
    assert_ok(lam_weights_create(network, 3, &weights, &err), err);
    const lam_weights *const members[] = {weights};
    assert_ok(lam_weights_save(members, 1, weights_fd, NULL, 0, &err), err);
    assert_ok(lam_bundle_load(manifest_fd, weights_fd, -1, &bundle, &err), err);
    return 0;
}

static int free_bundle(void **state)
{
    (void)state;
    lam_bundle_free(bundle);
    return 0;
}

static void draw(const lam_drawing *drawing, int64_t first, int64_t count, size_t threads, uint8_t *levels)
{
    lam_pool *pool = NULL;
    lam_error err;
    assert_ok(lam_pool_create(threads, &pool, &err), err);
    assert_ok(lam_generate(bundle, drawing, first, count, pool, levels, &err), err);
    lam_pool_free(pool);
}

static void test_reproducible(void **state)
{
    static uint8_t all[COUNT * PIXELS], part[COUNT * PIXELS];
    lam_drawing drawing = {{1, HEIGHT, WIDTH}, -1, 7, 1};
    (void)state;
    draw(&drawing, 0, COUNT, 1, all);
    draw(&drawing, 0, COUNT, 3, part);
    assert_memory_equal(all, part, sizeof all);
    draw(&drawing, 0, 3, 2, part); /* fewer of them */
    assert_memory_equal(all, part, (size_t)3 * PIXELS);
    draw(&drawing, 8, COUNT - 8, 1, part); /* later ones alone */
    assert_memory_equal(all + 8 * PIXELS, part, (size_t)(COUNT - 8) * PIXELS);
    assert_memory_not_equal(all, all + 2 * PIXELS, PIXELS); /* another number, of the same class */
    drawing.seed = 8;
    draw(&drawing, 0, 1, 1, part);
    assert_memory_not_equal(all, part, PIXELS);
    drawing.seed = 7;
    drawing.label = 1;
    draw(&drawing, 0, 2, 1, part);
    assert_memory_not_equal(all, part, PIXELS);
    assert_memory_equal(all + PIXELS, part + PIXELS, PIXELS); /* number 1 was of class 1 anyway */
}

/* One pass over the finished image and the same random numbers draw the same image again. */
static void test_follows_the_network(void **state)
{
    static uint8_t levels[PIXELS];
    const lam_drawing drawing = {{1, HEIGHT, WIDTH}, 0, 3, 1};
    LAM_AUTO_PTR(lam_session) *session = NULL;
    lam_error err;
    float image[PIXELS];
    int same = 0;
    (void)state;
    draw(&drawing, 0, 1, 1, levels);
    assert_ok(lam_session_create(lam_bundle_weights(bundle), LAM_MODE_INFER, NULL, &session, &err), err);
    const lam_shape shape = {4, {1, HEIGHT, WIDTH, lam_generation_channels(2, 2)}};
    assert_ok(lam_session_plan(session, &shape, &err), err);
    for (int i = 0; i < PIXELS; i++)
        image[i] = levels[i];
    lam_generation_fill(drawing.size, 2, 2, 0, image, lam_session_input(session));
    lam_session_run(session);
    int components = (int)lam_network_output_channels(lam_bundle_network(bundle)) / 3;
    for (int i = 0; i < PIXELS; i++) {
        lam_random random = lam_random_stream(drawing.seed, 0, (uint64_t)i);
        const float *scores = lam_session_output(session) + (ptrdiff_t)i * 3 * components;
        same += lam_logistic_draw(components, scores, 1, &random) == levels[i];
    }
    assert_true(same >= PIXELS - 1); /* a draw may lie on the border of two levels */
}

/* A set of images of one level each, so that distances are known. */
static lam_samples *flat_images(const uint8_t *levels, int64_t count)
{
    static uint8_t pixels[8 * PIXELS], labels[8];
    char path[] = "/tmp/lamina-generate-XXXXXX";
    const char *const paths[] = {path};
    lam_samples *samples = NULL;
    lam_error err;
    for (int64_t i = 0; i < count * PIXELS; i++)
        pixels[i] = levels[i / PIXELS];
    const lam_tensor tensors[] = {
        {"images", LAM_DTYPE_U8, {3, {count, HEIGHT, WIDTH}}, pixels, (size_t)(count * PIXELS)},
        {"labels", LAM_DTYPE_U8, {1, {count}}, labels, (size_t)count},
    };
    lam_autoclose int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_ok(lam_safetensors_write(fd, tensors, 2, NULL, 0, &err), err);
    assert_ok(
        lam_samples_load(lam_bundle_manifest(bundle), lam_bundle_network(bundle), paths, 1, &samples, &err),
        err);
    unlink(path);
    return samples;
}

/* The nearest is found, and what a fresh network draws is near to none. */
static void test_novelty(void **state)
{
    static const uint8_t known[] = {10, 60, 200}, held[] = {13, 60, 100};
    LAM_AUTO_PTR(lam_samples) *training = flat_images(known, 3);
    LAM_AUTO_PTR(lam_samples) *others = flat_images(held, 3);
    lam_autofree lam_scores *scores = calloc(1, sizeof *scores);
    lam_error err;
    (void)state;
    assert_non_null(scores);
    assert_ok(lam_novelty_measure(bundle, training, others, NULL, scores, &err), err);
    assert_true(lam_scores_get(scores, "nearest_held.least") == 0);
    assert_true(lam_scores_get(scores, "nearest_held.median") == 3);
    assert_true(lam_scores_get(scores, "nearest_drawn.least") > 5);
}

static void test_refused(void **state)
{
    uint8_t levels[8];
    lam_error err;
    lam_drawing drawing = {{1, 4, 28}, -1, 1, 1};
    (void)state;
    assert_fails(lam_generate(bundle, &drawing, 0, 1, NULL, levels, &err), LAM_E_LIMIT, err);
    assert_non_null(strstr(err.message, "along y"));
    drawing.size[1] = 28;
    drawing.size[0] = 2;
    assert_fails(lam_generate(bundle, &drawing, 0, 1, NULL, levels, &err), LAM_E_LIMIT, err);
    drawing.size[0] = 1;
    drawing.label = 2;
    assert_fails(lam_generate(bundle, &drawing, 0, 1, NULL, levels, &err), LAM_E_INVALID, err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reproducible),
        cmocka_unit_test(test_follows_the_network),
        cmocka_unit_test(test_novelty),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, make_bundle, free_bundle);
}
