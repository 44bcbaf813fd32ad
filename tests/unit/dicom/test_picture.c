/* The picture of a result stays within its bounds whatever was found. */
#include "dicom/picture.h"

#include "tests/unit/one_image.h"

enum { SIDE = 16, MANY = 1000 };

static lam_series *series;

static int prepare(void **state)
{
    (void)state;
    LAM_AUTO_PTR(lam_dataset) *image = one_image(SIDE);
    lam_error err = {LAM_OK, ""};
    lam_dicom_prepare();
    return arrange_one(image, &series, &err) == LAM_OK ? 0 : -1;
}

static int release(void **state)
{
    (void)state;
    lam_series_free(series);
    return 0;
}

/* The height of the picture of so many findings. */
static int height_with(size_t count)
{
    static const float voxels[SIDE * SIDE];
    static const lam_box box = {.right = 4, .bottom = 4, .score = 0.5};
    static lam_detection detections[MANY];
    LAM_AUTO(lam_canvas_done) lam_canvas canvas = {0, 0, NULL};
    lam_error err = {LAM_OK, ""};
    for (size_t i = 0; i < count; i++)
        detections[i] = (lam_detection){.number = (int)i + 1,
                                        .name = "n",
                                        .label = "Nodule",
                                        .boxes = &box,
                                        .box_count = 1,
                                        .score = 0.5};
    const lam_result result = {.series = series,
                               .algorithm = {.name = "a", .version = "1", .title = "A"},
                               .findings = {.detections = detections, .detection_count = count},
                               .choices = lam_profile_choose(LAM_PROFILE_STRICT)};
    assert_ok(lam_picture_draw(&result, voxels, &canvas, &err), err);
    return canvas.height;
}

/* A detector may find a thousand; the picture is still one that can be looked at. */
static void the_legend_of_many_findings_is_bounded(void **state)
{
    (void)state;
    int line = height_with(2) - height_with(1);
    assert_true(line > 0);
    assert_int_equal(height_with(20), height_with(1) + 19 * line);
    assert_int_equal(height_with(21), height_with(20) + line);
    assert_int_equal(height_with(MANY), height_with(21));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_legend_of_many_findings_is_bounded),
    };
    return cmocka_run_group_tests_name("picture", tests, prepare, release);
}
