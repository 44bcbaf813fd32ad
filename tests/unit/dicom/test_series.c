/* Which series are volumes, and what is refused of them. */
#include "dicom/series.h"

#include <math.h>
#include <string.h>

#include "tests/unit/one_image.h"

enum { SIDE = 4 };

static int prepare(void **state)
{
    (void)state;
    lam_dicom_prepare();
    return 0;
}

/* A slope that makes no numbers would go through the network and come out as a finding. */
static void values_must_be_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *slope, *intercept;
        lam_status status;
    } cases[] = {
        {"2", "-1024", LAM_OK},       {"-0.5", "0", LAM_OK},         {"0", "1", LAM_E_INVALID},
        {"1e40", "0", LAM_E_INVALID}, {"1", "1e300", LAM_E_INVALID}, {"nan", "0", LAM_E_INVALID},
        {"1", "inf", LAM_E_INVALID},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++)
        for (int placed = 0; placed < 2; placed++) {
            LAM_AUTO_PTR(lam_dataset) *image = one_image(SIDE);
            LAM_AUTO_PTR(lam_series) *series = NULL;
            lam_error err = {LAM_OK, ""};
            if (placed)
                place_image(image, 1);
            lam_dataset_set_text(image, LAM_TAG_SLOPE, cases[i].slope);
            lam_dataset_set_text(image, LAM_TAG_INTERCEPT, cases[i].intercept);
            assert_int_equal(arrange_one(image, &series, &err), cases[i].status);
            assert_int_equal(strstr(err.message, "RescaleSlope") != NULL, cases[i].status != LAM_OK);
            if (cases[i].status != LAM_OK)
                continue;
            float voxels[SIDE * SIDE];
            assert_ok(lam_series_voxels(series, voxels, NULL, NULL, &err), err);
            for (size_t k = 0; k < LAM_COUNT(voxels); k++) /* of stored zeros */
                assert_true(fabs((double)voxels[k] - strtod(cases[i].intercept, NULL)) < 1e-6);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_must_be_numbers),
    };
    return cmocka_run_group_tests_name("series", tests, prepare, NULL);
}
