/* Which series suit a model: what their headers ask of memory. */
#include "daemon/worker/passage.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dicom/transfer_syntax.h"
#include "tests/unit/unit.h"

enum { SIDE = 64 };

static int prepare(void **state)
{
    (void)state;
    lam_dicom_prepare();
    return 0;
}

/* One slice of cubes. */
static lam_series *series_of(double spacing_mm)
{
    static const struct {
        lam_tag tag;
        const char *text;
    } texts[] = {{LAM_TAG_SOP_CLASS, "1.2.840.10008.5.1.4.1.1.4"},
                 {LAM_TAG_SOP_INSTANCE, "1.2.3"},
                 {LAM_TAG_POSITION, "0\\0\\0"},
                 {LAM_TAG_ORIENTATION, "1\\0\\0\\0\\1\\0"},
                 {LAM_TAG_PHOTOMETRIC, "MONOCHROME2"}};
    const struct {
        lam_tag tag;
        double number;
    } numbers[] = {{LAM_TAG_SAMPLES, 1},     {LAM_TAG_ROWS, SIDE},
                   {LAM_TAG_COLUMNS, SIDE},  {LAM_TAG_BITS_ALLOCATED, 8},
                   {LAM_TAG_BITS_STORED, 8}, {LAM_TAG_HIGH_BIT, 7},
                   {LAM_TAG_PIXEL_SIGN, 0},  {LAM_TAG_SLICE_THICKNESS, spacing_mm}};
    LAM_AUTO_PTR(lam_dataset) *image = NULL;
    LAM_AUTO_PTR(lam_series) *series = NULL;
    lam_autoclose int file = memfd_create("test", MFD_CLOEXEC);
    lam_error err = {LAM_OK, ""};
    assert_int_equal(lam_dataset_create(&image, NULL), LAM_OK);
    for (size_t i = 0; i < LAM_COUNT(texts); i++)
        lam_dataset_set_text(image, texts[i].tag, texts[i].text);
    for (size_t i = 0; i < LAM_COUNT(numbers); i++)
        lam_dataset_set_number(image, numbers[i].tag, numbers[i].number);
    lam_dataset_set_numbers(image, LAM_TAG_PIXEL_SPACING, (double[]){spacing_mm, spacing_mm}, 2);
    lam_dataset_make_bytes(image, LAM_TAG_PIXELS, SIDE * SIDE);
    assert_ok(lam_dataset_write(image, file, LAM_TS_EXPLICIT_LITTLE, &err), err);
    assert_ok(lam_series_create(&series, &err), err);
    assert_ok(lam_series_add(series, file, &err), err);
    assert_ok(lam_series_arrange(series, &err), err);
    return LAM_TAKE_PTR(series);
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
        LAM_AUTO_PTR(lam_series) *series = series_of(cases[i].spacing_mm);
        LAM_AUTO(lam_passage_done) lam_passage passage = {.grid = NULL};
        lam_error err = {LAM_OK, ""};
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
