/* Which series suit a model: what their headers ask of memory. */
#include "daemon/worker/passage.h"

#include <string.h>

#include "tests/unit/one_image.h"

enum { SIDE = 64 };

static int prepare(void **state)
{
    (void)state;
    lam_dicom_prepare();
    return 0;
}

/* A spacing of metres would become a volume that no machine holds, which is no reason to try again. */
static void volumes_beyond_memory_are_refused(void **state)
{
    (void)state;
    static const struct {
        double spacing_mm;
        lam_status status;
        int64_t side; /* in the network's volume */
    } cases[] = {{1, LAM_OK, SIDE}, {2, LAM_OK, 2 * SIDE}, {1e3, LAM_E_LIMIT, 0}, {1e9, LAM_E_LIMIT, 0}};
    const lam_manifest manifest = {
        .name = "model",
        .selector = {.minimum_slices = 1},
        .preprocessing = {.spacing_mm = {1, 1, 1}, .spacing_tolerance = 0.05, .resample = true}};
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        LAM_AUTO_PTR(lam_dataset) *image = one_image(SIDE);
        LAM_AUTO_PTR(lam_series) *series = NULL;
        LAM_AUTO(lam_passage_done) lam_passage passage = {.grid = NULL};
        lam_error err = {LAM_OK, ""};
        place_image(image, cases[i].spacing_mm);
        assert_ok(arrange_one(image, &series, &err), err);
        assert_int_equal(lam_passage_plan(series, &manifest, &passage, &err), cases[i].status);
        if (cases[i].status == LAM_OK)
            assert_int_equal(passage.size[1], cases[i].side);
        else
            assert_non_null(strstr(err.message, "voxels"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(volumes_beyond_memory_are_refused),
    };
    return cmocka_run_group_tests_name("passage", tests, prepare, NULL);
}
