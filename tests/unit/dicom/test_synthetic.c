/* Synthetic series: marked as such, placed as the model's axes say, the same for the same drawing. */
#include "tests/unit/unit.h"

#include <string.h>

#include "dicom/synthetic.h"
#include "dicom/tag.h"

enum { DEPTH = 3, HEIGHT = 2, WIDTH = 4 };

static const uint16_t pixels[DEPTH * HEIGHT * WIDTH] = {[WIDTH * HEIGHT] = 700};

static const lam_synthetic mr = {.algorithm = {"some-gen", "1.0.0", "abc", "Some generator"},
                                 .identity = "1",
                                 .number = 4,
                                 .modality = "MR",
                                 .date = "20260102",
                                 .orientation = "RAS",
                                 .spacing_mm = {3, 2, 1},
                                 .size = {DEPTH, HEIGHT, WIDTH},
                                 .pixels = pixels,
                                 .series_description = "Crop",
                                 .body_part = "BRAIN"};

static lam_dataset *make(const lam_synthetic *series, int64_t index)
{
    lam_dataset *image = NULL;
    lam_error err = {0};
    assert_ok(lam_synthetic_create(series, index, &image, &err), err);
    return image;
}

static void test_marked(void **state)
{
    (void)state;
    LAM_AUTO_PTR(lam_dataset) *image = make(&mr, 0);
    assert_string_equal(lam_dataset_text(image, LAM_TAG_SYNTHETIC, ""), "YES");
    assert_memory_equal(lam_dataset_text(image, LAM_TAG_IMAGE_TYPE, ""), "DERIVED\\", 8);
    assert_memory_equal(lam_dataset_text(image, LAM_TAG_PATIENT_NAME, ""), "SYNTHETIC^", 10);
    assert_memory_equal(lam_dataset_text(image, LAM_TAG_PATIENT_ID, ""), "SYNTHETIC-", 10);
    assert_memory_equal(lam_dataset_text(image, LAM_TAG_IMAGE_COMMENTS, ""), "SYNTHETIC", 9);
    assert_int_equal(lam_dataset_items(image, LAM_TAG_CONTRIBUTING_EQUIPMENT), 1);
}

static void test_place(void **state)
{
    /* x grows to the right, y to the front, z upwards, about the middle of the volume. */
    static const double first[3] = {1.5, 1, -3}, orientation[6] = {-1, 0, 0, 0, -1, 0};
    double at[6];
    (void)state;
    LAM_AUTO_PTR(lam_dataset) *below = make(&mr, 0);
    LAM_AUTO_PTR(lam_dataset) *above = make(&mr, 1);
    assert_true(lam_dataset_numbers(below, LAM_TAG_ORIENTATION, at, 6));
    assert_memory_equal(at, orientation, sizeof orientation);
    assert_true(lam_dataset_numbers(below, LAM_TAG_POSITION, at, 3));
    assert_memory_equal(at, first, sizeof first);
    assert_true(lam_dataset_numbers(above, LAM_TAG_POSITION, at, 3));
    assert_true(at[0] == 1.5 && at[1] == 1 && at[2] == 0);
    assert_true(lam_dataset_numbers(above, LAM_TAG_PIXEL_SPACING, at, 2));
    assert_true(at[0] == 2 && at[1] == 1);
    assert_int_equal(lam_dataset_word(above, LAM_TAG_PIXELS, 0), 700);
}

static const char *text_of(lam_dataset *image, lam_tag tag)
{
    const char *text = lam_dataset_text(image, tag, "");
    assert_true(*text);
    return text;
}

static void test_identity(void **state)
{
    lam_synthetic other = mr;
    (void)state;
    other.number = 5;
    LAM_AUTO_PTR(lam_dataset) *one = make(&mr, 0);
    LAM_AUTO_PTR(lam_dataset) *again = make(&mr, 0);
    LAM_AUTO_PTR(lam_dataset) *next = make(&mr, 1);
    LAM_AUTO_PTR(lam_dataset) *apart = make(&other, 0);
    static const lam_tag shared[] = {LAM_TAG_STUDY, LAM_TAG_SERIES, LAM_TAG_FRAME_OF_REFERENCE,
                                     LAM_TAG_PATIENT_ID};
    assert_string_equal(text_of(one, LAM_TAG_SOP_INSTANCE), text_of(again, LAM_TAG_SOP_INSTANCE));
    assert_string_not_equal(text_of(one, LAM_TAG_SOP_INSTANCE), text_of(next, LAM_TAG_SOP_INSTANCE));
    for (size_t i = 0; i < LAM_COUNT(shared); i++) {
        assert_string_equal(text_of(one, shared[i]), text_of(next, shared[i]));
        assert_string_not_equal(text_of(one, shared[i]), text_of(apart, shared[i]));
    }
}

static void test_other_modalities(void **state)
{
    lam_synthetic series = mr;
    lam_dataset *image = NULL;
    lam_error err;
    (void)state;
    series.modality = "US";
    assert_fails(lam_synthetic_create(&series, 0, &image, &err), LAM_E_UNSUPPORTED, err);
    series.modality = "CR";
    LAM_AUTO_PTR(lam_dataset) *flat = make(&series, 0);
    assert_false(lam_dataset_has(flat, LAM_TAG_POSITION));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_marked),
        cmocka_unit_test(test_place),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_other_modalities),
    };
    lam_dicom_prepare();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
