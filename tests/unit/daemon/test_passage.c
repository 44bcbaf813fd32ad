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

/* What a model takes is said as it is: sizes of one kind, and axes without a maximum. */
static void a_size_that_a_model_does_not_take_is_refused_with_those_it_does(void **state)
{
    (void)state;
    static const struct {
        int64_t least[3], most[3];
        const char *said;
    } cases[] = {
        {{28, 28, 28}, {28, 28, 28}, "takes 28×28×28 only (z×y×x)"},
        {{8, 8, 8}, {0, 0, 0}, "takes at least 8×8×8 (z×y×x)"},
        {{1, 65, 65}, {0, 128, 128}, "takes 1×65×65 to any×128×128 (z×y×x)"},
        {{1, 8, 8}, {9, 32, 64}, "takes 1×8×8 to 9×32×64 (z×y×x)"},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        LAM_AUTO_PTR(lam_dataset) *image = one_image(SIDE);
        LAM_AUTO_PTR(lam_series) *series = NULL;
        LAM_AUTO(lam_passage_done) lam_passage passage = {.grid = NULL};
        lam_manifest manifest = {.name = "model",
                                 .selector = {.minimum_slices = 1},
                                 .preprocessing = {.spacing_mm = {1, 1, 1}, .spacing_tolerance = 0.05}};
        lam_error err = {LAM_OK, ""};
        memcpy(manifest.preprocessing.minimum_size, cases[i].least, sizeof cases[i].least);
        memcpy(manifest.preprocessing.maximum_size, cases[i].most, sizeof cases[i].most);
        place_image(image, 1);
        assert_ok(arrange_one(image, &series, &err), err);
        assert_fails(lam_passage_plan(series, &manifest, &passage, &err), LAM_E_LIMIT, err);
        if (!strstr(err.message, cases[i].said))
            fail_msg("said: %s", err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(volumes_beyond_memory_are_refused),
        cmocka_unit_test(a_size_that_a_model_does_not_take_is_refused_with_those_it_does),
    };
    return cmocka_run_group_tests_name("passage", tests, prepare, NULL);
}
