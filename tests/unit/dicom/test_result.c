/* What all result objects say of when and for whom they were made. */
#include "dicom/result.h"

#include <stdlib.h>

#include "dicom/sr.h"
#include "tests/unit/one_image.h"

enum { SIDE = 4 };

static const int64_t made_ms = 1767297600500; /* 2026-01-01 20:00:00.5 UTC */

static int prepare(void **state)
{
    (void)state;
    setenv("TZ", "EET-2", 1); /* two hours ahead of UTC */
    lam_dicom_prepare();
    return 0;
}

/* Timezone Offset From UTC (0008,0201) is the source's, as Study Time is, and holds for every time of the
 * object, also for those that are new. */
static void times_are_in_the_zone_that_the_object_says(void **state)
{
    (void)state;
    static const struct {
        const char *utc_offset, *date, *time;
    } cases[] = {
        {NULL, "20260101", "220000.500000"},    {"+0530", "20260102", "013000.500000"},
        {"-0800", "20260101", "120000.500000"}, {"+0000", "20260101", "200000.500000"},
        {"0800", "20260101", "220000.500000"}, /* not an offset */
    };
    static const lam_class_score answer = {.name = "a", .label = "A", .probability = 1};
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        LAM_AUTO_PTR(lam_dataset) *image = one_image(SIDE), *report = NULL;
        LAM_AUTO_PTR(lam_series) *series = NULL;
        lam_error err = {LAM_OK, ""};
        lam_dataset_set_text(image, LAM_TAG_STUDY_TIME, "010203");
        if (cases[i].utc_offset)
            lam_dataset_set_text(image, LAM_TAG_UTC_OFFSET, cases[i].utc_offset);
        assert_ok(arrange_one(image, &series, &err), err);
        const lam_result result = {
            .series = series,
            .input_set = "",
            .device = {"M", "N", "1", "2"},
            .algorithm = {.name = "a", .version = "1", .weights_sha256 = "", .title = "A"},
            .findings = {.classification = {.label = "A", .classes = &answer, .class_count = 1}},
            .choices = lam_profile_choose(LAM_PROFILE_STRICT),
            .made_ms = made_ms};
        assert_ok(lam_sr_create(&result, &report, &err), err);
        assert_string_equal(lam_dataset_text(report, LAM_TAG_CONTENT_DATE, ""), cases[i].date);
        assert_string_equal(lam_dataset_text(report, LAM_TAG_CONTENT_TIME, ""), cases[i].time);
        assert_string_equal(lam_dataset_text(report, LAM_TAG_CREATION_TIME, ""), cases[i].time);
        assert_string_equal(lam_dataset_text(report, LAM_TAG_SERIES_TIME, ""), cases[i].time);
        assert_string_equal(lam_dataset_text(report, LAM_TAG_STUDY_TIME, ""), "010203");
        assert_string_equal(lam_dataset_text(report, LAM_TAG_UTC_OFFSET, ""),
                            cases[i].utc_offset ? cases[i].utc_offset : "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_in_the_zone_that_the_object_says),
    };
    return cmocka_run_group_tests_name("result", tests, prepare, NULL);
}
