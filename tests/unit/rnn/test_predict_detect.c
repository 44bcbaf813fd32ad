/* Detection through the path that a worker takes, with the shipped model on a drawn image: looking at both
 * mirror images makes the answer turn with the image, boxes stay inside it, other tasks are refused. */
#include <math.h>
#include <stdlib.h>

#include "core/base/cleanup.h"
#include "core/rnn/predict.h"
#include "core/rnn/random.h"
#include "tests/unit/unit.h"

#define BUNDLE "models/brain-tumour/1.0.0"

enum { SLICES = 2, HEIGHT = 156, WIDTH = 160 };

/* A head with a bright spot right of the middle, and the same one mirrored. */
static void draw(float *voxels, bool mirrored)
{
    lam_random random = lam_random_stream(4, 0, 0);
    for (int z = 0; z < SLICES; z++)
        for (int y = 0; y < HEIGHT; y++)
            for (int x = 0; x < WIDTH; x++) {
                float dy = (float)(y - 78) / 70, dx = (float)(x - 80) / 55,
                      noise = lam_random_uniform(&random);
                float sy = (float)(y - 60) / 12, sx = (float)(x - 104) / 14;
                float value = dx * dx + dy * dy < 1 ? 80 + 30 * noise : 0;
                value += sx * sx + sy * sy < 1 ? 120 : 0;
                voxels[(z * HEIGHT + y) * WIDTH + (mirrored ? WIDTH - 1 - x : x)] = value;
            }
}

static void test_mirror(void **state)
{
    LAM_AUTO_PTR(lam_bundle) *bundle = NULL;
    LAM_AUTO_PTR(lam_predictor) *predictor = NULL;
    lam_autofree float *voxels = malloc(sizeof(float) * SLICES * HEIGHT * WIDTH);
    lam_volume volume = {.voxels = voxels, .size = {SLICES, HEIGHT, WIDTH}, .spacing_mm = {1, 1, 1}};
    lam_autofree lam_detected *found = NULL, *turned = NULL;
    size_t count, turned_count;
    float probabilities[3];
    lam_error err;
    (void)state;
    assert_non_null(voxels);
    assert_ok(lam_bundle_load_path(BUNDLE, &bundle, &err), err);
    assert_ok(lam_predictor_create(bundle, NULL, &predictor, &err), err);
    draw(voxels, false);
    assert_ok(lam_predict_boxes(predictor, &volume, &found, &count, &err), err);
    draw(voxels, true);
    assert_ok(lam_predict_boxes(predictor, &volume, &turned, &turned_count, &err), err);
    assert_true(count >= SLICES && count == turned_count);
    for (size_t i = 0; i < count; i++) {
        const lam_rect *a = &found[i].box, *b = &turned[i].box;
        assert_true(a->x >= 0 && a->y >= 0 && a->x + a->width <= WIDTH && a->y + a->height <= HEIGHT);
        assert_int_equal(found[i].slice, turned[i].slice);
        assert_true(fabsf(found[i].score - turned[i].score) < 1e-3f);
        assert_true(fabsf(a->x + a->width + b->x - WIDTH) < 0.05f && fabsf(a->y - b->y) < 0.05f);
    }
    assert_fails(lam_predict_classes(predictor, &volume, probabilities, &err), LAM_E_UNSUPPORTED, err);
    volume.size[1] = 8;
    assert_fails(lam_predict_boxes(predictor, &volume, &turned, &count, &err), LAM_E_LIMIT, err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_mirror)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
