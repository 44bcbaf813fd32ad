/* From voxels to labels: normalising, padding, components, and a whole prediction. */
#include "tests/unit/unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rnn/components.h"
#include "core/rnn/predict.h"
#include "core/rnn/prepare.h"
#include "core/rnn/random.h"

static void test_percentile_is_numpys(void **state)
{
    (void)state;
    /* numpy.percentile([3, 1, 4, 1, 5, 9, 2, 6], p) */
    static const struct {
        double percentile, expected;
    } cases[] = {{0, 1}, {50, 3.5}, {99.5, 8.895}, {100, 9}, {10, 1}, {75, 5.25}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        float values[] = {3, 1, 4, 1, 5, 9, 2, 6};
        assert_float_equal(lam_prepare_percentile(values, 8, cases[i].percentile), cases[i].expected, 1e-5);
    }
    float one = 7;
    assert_float_equal(lam_prepare_percentile(&one, 1, 99.5), 7, 0);
}

static void test_intensities(void **state)
{
    (void)state;
    lam_model_preprocessing pre = {.pad_multiple = {1, 1, 1},
                                   .clip_percentile = 100,
                                   .z_score = true,
                                   .z_score_mask = LAM_INTENSITY_POSITIVE,
                                   .scale = 1};
    float in[] = {0, 2, 4, NAN, INFINITY, 6}, scratch[6], out[6];
    const int64_t row[3] = {1, 1, 6}, short_row[3] = {1, 1, 4};
    lam_prepare_intensities(&pre, row, 1, in, scratch, out);
    /* mean 4, deviation 1.632993 of 2, 4, 6 */
    static const float expected[] = {-2.449488f, -1.224744f, 0, -2.449488f, -2.449488f, 1.224744f};
    for (int i = 0; i < 6; i++)
        assert_float_equal(out[i], expected[i], 1e-5);
    float flat[4] = {0};
    lam_prepare_intensities(&pre, short_row, 1, flat, scratch, out);
    for (int i = 0; i < 4; i++)
        assert_float_equal(out[i], 0, 0);
}

static void test_padding(void **state)
{
    (void)state;
    lam_model_preprocessing pre = {.pad_multiple = {2, 4, 1}};
    int64_t size[3] = {3, 5, 2};
    lam_frame padding = lam_prepare_frame(&pre, size);
    assert_int_equal(padding.size[0], 4);
    assert_int_equal(padding.before[0], 0);
    assert_int_equal(padding.size[1], 8);
    assert_int_equal(padding.before[1], 1);
    assert_int_equal(padding.size[2], 2);
    float in[30], out[64];
    for (int i = 0; i < 30; i++)
        in[i] = (float)(i + 1);
    lam_prepare_pad(&padding, size, 1, in, out);
    for (int z = 0; z < 4; z++)
        for (int y = 0; y < 8; y++)
            for (int x = 0; x < 2; x++) {
                float expected = z < 3 && y >= 1 && y < 6 ? (float)((z * 5 + y - 1) * 2 + x + 1) : 0;
                assert_float_equal(out[(z * 8 + y) * 2 + x], expected, 0);
            }
}

/* The middle is taken, and normalised by its own values. */
static void test_crop(void **state)
{
    (void)state;
    lam_model_preprocessing pre = {.pad_multiple = {1, 1, 4},
                                   .crop = {0, 2, 3},
                                   .z_score = true,
                                   .z_score_mask = LAM_INTENSITY_ALL,
                                   .scale = 1};
    int64_t size[3] = {1, 4, 6};
    lam_frame frame = lam_prepare_frame(&pre, size);
    assert_int_equal(frame.from[1], 1);
    assert_int_equal(frame.from[2], 1);
    assert_int_equal(frame.taken[0], 1);
    assert_int_equal(frame.taken[1], 2);
    assert_int_equal(frame.taken[2], 3);
    assert_int_equal(frame.size[2], 4);
    float in[24], scratch[24], out[24], padded[8];
    uint8_t map[24], padded_map[8];
    for (int i = 0; i < 24; i++) {
        in[i] = 1000;
        map[i] = (uint8_t)i;
    }
    for (int y = 1; y < 3; y++)
        for (int x = 1; x < 4; x++)
            in[y * 6 + x] = y == 1 ? 1 : 3; /* mean 2, deviation 1 */
    lam_prepare_intensities(&pre, size, 1, in, scratch, out);
    assert_float_equal(out[0], 998, 1e-2);
    lam_prepare_pad(&frame, size, 1, out, padded);
    lam_prepare_pad_map(&frame, size, map, padded_map);
    static const float expected[8] = {-1, -1, -1, 0, 1, 1, 1, 0};
    static const uint8_t expected_map[8] = {7, 8, 9, 0, 13, 14, 15, 0};
    for (int i = 0; i < 8; i++)
        assert_float_equal(padded[i], expected[i], 1e-5);
    assert_memory_equal(padded_map, expected_map, sizeof expected_map);
}

static void test_components(void **state)
{
    (void)state;
    int64_t size[3] = {2, 4, 6};
    static const uint8_t start[48] = {
        1, 0, 0, 0, 2, 2, /**/ 0, 1, 0, 0, 2, 0, /**/ 0, 0, 0, 0, 0, 0, /**/ 1, 1, 0, 0, 0, 2, /* plane 0 */
        0, 0, 1, 0, 0, 0, /**/ 0, 0, 0, 0, 0, 0, /**/ 0, 0, 0, 0, 0, 0, /**/ 1, 1, 0, 0, 0, 0, /* plane 1 */
    };
    uint8_t labels[48];
    memcpy(labels, start, sizeof labels);
    lam_error err = {0};
    assert_ok(lam_components_clean(labels, size, 1, true, 0, &err), err);
    assert_int_equal(labels[0] | labels[7] | labels[26], 0); /* the diagonal three are fewer than the four */
    assert_int_equal(labels[18] & labels[19] & labels[42] & labels[43], 1);
    assert_int_equal(labels[4], 2); /* another label is untouched */
    assert_ok(lam_components_clean(labels, size, 2, false, 2, &err), err);
    assert_int_equal(labels[23], 0);
    assert_int_equal(labels[4] & labels[5] & labels[10], 2);
    assert_ok(lam_components_clean(labels, size, 2, true, 100, &err), err);
    assert_int_equal(labels[4] | labels[5] | labels[10], 0);
}

static void predict(lam_pool *pool, const lam_volume *volume, lam_segmentation *out)
{
    lam_error err = {0};
    lam_bundle *bundle;
    lam_predictor *predictor;
    assert_ok(lam_bundle_load_path("models/hippocampus/1.0.0", &bundle, &err), err);
    assert_ok(lam_predictor_create(bundle, pool, &predictor, &err), err);
    assert_ok(lam_predict_segment(predictor, volume, out, &err), err);
    lam_predictor_free(predictor);
    lam_bundle_free(bundle);
}

static void test_predicts_odd_sizes(void **state)
{
    (void)state;
    enum { Z = 9, Y = 13, X = 11, COUNT = Z * Y * X };
    float voxels[COUNT];
    lam_random random = lam_random_stream(5, 0, 0);
    for (int i = 0; i < COUNT; i++)
        voxels[i] = 1000 * lam_random_uniform(&random);
    lam_volume volume = {voxels, {Z, Y, X}, {2, 1, 0.5}};
    lam_segmentation one = {0}, two = {0};
    lam_error err = {0};
    lam_pool *pool;
    assert_ok(lam_pool_create(2, &pool, &err), err);
    predict(NULL, &volume, &one);
    predict(pool, &volume, &two);
    assert_int_equal(one.classes, 3);
    int64_t voxels_in_all = 0;
    for (int c = 0; c < 3; c++) {
        voxels_in_all += one.voxels[c];
        assert_float_equal(one.volume_ml[c], (double)one.voxels[c] / 1000, 1e-9);
    }
    assert_int_equal(voxels_in_all, COUNT);
    for (int i = 0; i < COUNT; i++) {
        const float *p = one.probabilities + (size_t)i * 3;
        assert_float_equal(p[0] + p[1] + p[2], 1, 1e-5);
    }
    assert_memory_equal(one.probabilities, two.probabilities, COUNT * 3 * sizeof(float));
    assert_memory_equal(one.labels, two.labels, COUNT);
    lam_segmentation_done(&one);
    lam_segmentation_done(&two);
    lam_pool_free(pool);
}

static void test_refuses_sizes(void **state)
{
    (void)state;
    static float voxels[7 * 20 * 20];
    lam_volume volume = {voxels, {7, 20, 20}, {1, 1, 1}};
    lam_segmentation out = {0};
    lam_error err = {0};
    lam_bundle *bundle;
    lam_predictor *predictor;
    assert_ok(lam_bundle_load_path("models/hippocampus/1.0.0", &bundle, &err), err);
    assert_ok(lam_predictor_create(bundle, NULL, &predictor, &err), err);
    assert_fails(lam_predict_segment(predictor, &volume, &out, &err), LAM_E_LIMIT, err);
    assert_null(out.labels);
    lam_predictor_free(predictor);
    lam_bundle_free(bundle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_percentile_is_numpys),
        cmocka_unit_test(test_intensities),
        cmocka_unit_test(test_padding),
        cmocka_unit_test(test_crop),
        cmocka_unit_test(test_components),
        cmocka_unit_test(test_predicts_odd_sizes),
        cmocka_unit_test(test_refuses_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
