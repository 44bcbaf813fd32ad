/* Series of several stacks: the attribute that tells them apart is named, and nothing else is blamed. */
#include "dicom/apart.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dicom/tag.h"
#include "tests/unit/one_image.h"

enum { SLICES = 5, SIDE = 4 };

#define ECHO_TIME LAM_TAG(0x0018, 0x0081)

static int prepare(void **state)
{
    (void)state;
    lam_dicom_prepare();
    return 0;
}

static void add(lam_series *series, lam_dataset *image)
{
    lam_autoclose int file = memfd_create("test", MFD_CLOEXEC);
    lam_error err = {LAM_OK, ""};
    assert_ok(lam_dataset_write(image, file, LAM_TS_EXPLICIT_LITTLE, &err), err);
    assert_ok(lam_series_add(series, file, &err), err);
}

/* A stack of cubes, whose first `unsaid` images do not have the attribute. */
static void add_stack(lam_series *series, lam_tag tag, const char *value, int unsaid)
{
    for (int i = 0; i < SLICES; i++) {
        LAM_AUTO_PTR(lam_dataset) *image = one_image(SIDE);
        char position[32];
        place_image(image, 1);
        snprintf(position, sizeof position, "0\\0\\%d", i);
        lam_dataset_set_text(image, LAM_TAG_POSITION, position);
        lam_dataset_set_text(image, LAM_TAG_INSTANCE_NUMBER, value);
        if (i >= unsaid)
            lam_dataset_set_text(image, tag, value);
        add(series, image);
    }
}

static void what_tells_stacks_apart_is_named(void **state)
{
    (void)state;
    static const struct {
        lam_tag tag;
        int unsaid;
        const char *first, *second, *words; /* NULL: nothing to say */
    } cases[] = {
        {ECHO_TIME, 0, "4.6", "9.2", "2 stacks told apart by EchoTime (0018,0081): 4.6, 9.2"},
        {LAM_TAG_TEMPORAL_POSITION, 0, "1", "2", "TemporalPositionIdentifier (0020,0100): 1, 2"},
        {LAM_TAG_IMAGE_TYPE, 0, "ORIGINAL\\M", "ORIGINAL\\P", "ImageType (0008,0008)"},
        {ECHO_TIME, 0, "4.6", "4.6", NULL},
        {ECHO_TIME, 1, "4.6", "9.2", NULL},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        LAM_AUTO_PTR(lam_series) *series = NULL;
        lam_error err = {LAM_OK, ""};
        assert_ok(lam_series_create(&series, &err), err);
        add_stack(series, cases[i].tag, cases[i].first, cases[i].unsaid);
        add_stack(series, cases[i].tag, cases[i].second, cases[i].unsaid);
        assert_int_equal(lam_series_arrange(series, &err), LAM_E_INVALID);
        assert_non_null(strstr(err.message, "two images lie at the same place"));
        assert_int_equal(strstr(err.message, "told apart") != NULL, cases[i].words != NULL);
        if (cases[i].words && !strstr(err.message, cases[i].words))
            fail_msg("%s", err.message);
    }
}

/* Each value has but half of the slices: that is no stack either, so the attribute is not the reason. */
static void what_makes_no_stacks_is_not_blamed(void **state)
{
    (void)state;
    LAM_AUTO_PTR(lam_series) *series = NULL;
    lam_error err = {LAM_OK, ""};
    assert_ok(lam_series_create(&series, &err), err);
    add_stack(series, ECHO_TIME, "4.6", 0);
    add_stack(series, ECHO_TIME, "4.6", 0);
    add_stack(series, ECHO_TIME, "9.2", 0);
    assert_int_equal(lam_series_arrange(series, &err), LAM_E_INVALID);
    assert_null(strstr(err.message, "told apart"));
}

/* Images one by one, each at its place along z and with a trigger time of its own. */
static void arrange_timed(const int *places, size_t count, lam_error *err)
{
    LAM_AUTO_PTR(lam_series) *series = NULL;
    assert_ok(lam_series_create(&series, err), *err);
    for (size_t i = 0; i < count; i++) {
        LAM_AUTO_PTR(lam_dataset) *image = one_image(SIDE);
        char position[32];
        place_image(image, 1);
        snprintf(position, sizeof position, "0\\0\\%d", places[i]);
        lam_dataset_set_text(image, LAM_TAG_POSITION, position);
        lam_dataset_set_number(image, LAM_TAG_TRIGGER_TIME, (double)(10 * i));
        add(series, image);
    }
    assert_int_equal(lam_series_arrange(series, err), LAM_E_INVALID);
}

/* A slice is missing; that each has a time of its own does not make it a stack. */
static void slices_are_no_stacks_of_one(void **state)
{
    (void)state;
    static const int with_gap[] = {0, 1, 2, 4, 5}, upon_each_other[] = {3, 3, 3};
    lam_error err = {LAM_OK, ""};
    arrange_timed(with_gap, LAM_COUNT(with_gap), &err);
    assert_null(strstr(err.message, "told apart"));
    arrange_timed(upon_each_other, LAM_COUNT(upon_each_other), &err);
    assert_non_null(strstr(err.message, "3 stacks told apart by TriggerTime (0018,1060): 0, 10, 20. Send"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_tells_stacks_apart_is_named),
        cmocka_unit_test(what_makes_no_stacks_is_not_blamed),
        cmocka_unit_test(slices_are_no_stacks_of_one),
    };
    return cmocka_run_group_tests_name("apart", tests, prepare, NULL);
}
