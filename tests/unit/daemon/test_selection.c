/* daemon/laminad/selection.h: each condition of a selector, and what is said of it. */
#include <string.h>

#include "daemon/laminad/selection.h"
#include "tests/unit/unit.h"

static const char axial[] =
    "{\"00080016\":{\"Value\":[\"1.2.840.10008.5.1.4.1.1.4\"]},\"00080060\":{\"Value\":[\"MR\"]},"
    "\"00180015\":{\"Value\":[\"Brain\"]},\"00280030\":{\"Value\":[0.5,0.6]},\"00180050\":{\"Value\":[3]},"
    "\"00200037\":{\"Value\":[1,0,0,0,0.9,0.1]}}";
static const char enhanced[] =
    "{\"52009229\":{\"Value\":[{\"00209116\":{\"Value\":[{\"00200037\":{\"Value\":[\"0\",\"1\",\"0\",\"0\","
    "\"0\",\"-1\"]}}]},"
    "\"00289110\":{\"Value\":[{\"00280030\":{\"Value\":[1,1]},\"00180088\":{\"Value\":[2.5]}}]}}]}}";

typedef struct row {
    lam_model_selector selector;
    const char *attributes;
    int64_t slices;
    double slice_mm;
    bool wanted;
    const char *said;
} row;

static const row rows[] = {
    {{.modality = "", .minimum_slices = 1}, axial, 1, 0, true, "every series suits it"},
    {{.modality = "MR", .minimum_slices = 2}, axial, 3, 0, true, "Modality is \"MR\", has 3 slices"},
    {{.modality = "MR", .minimum_slices = 4}, axial, 3, 0, false, "has 3 slices, needs at least 4"},
    {{.modality = "", .minimum_slices = 1, .maximum_slices = 2},
     axial,
     3,
     0,
     false,
     "has 3 slices, takes at most 2"},
    {{.modality = "CT", .minimum_slices = 1}, axial, 3, 0, false, "Modality is \"MR\", wanted = CT"},
    {{.modality = "", .sop_classes = {{"1.2", "1.2.840.10008.5.1.4.1.1.4"}, 2}},
     axial,
     3,
     0,
     true,
     "SOPClassUID is 1.2.840.10008.5.1.4.1.1.4"},
    {{.modality = "", .sop_classes = {{"1.2", "1.3"}, 2}},
     axial,
     3,
     0,
     false,
     "SOPClassUID is 1.2.840.10008.5.1.4.1.1.4, wanted 1.2, or 1.3"},
    {{.modality = "", .body_parts = {{"BRAIN"}, 1}}, axial, 3, 0, true, "BodyPartExamined is Brain"},
    {{.modality = "", .body_parts = {{"BRAIN"}, 1}},
     enhanced,
     3,
     0,
     false,
     "BodyPartExamined is absent, wanted BRAIN"},
    {{.modality = "", .planes = {{"axial"}, 1}}, axial, 3, 0, true, "the plane of the slices is axial"},
    {{.modality = "", .planes = {{"axial", "coronal"}, 2}},
     enhanced,
     3,
     0,
     false,
     "the plane of the slices is sagittal, wanted axial, or coronal"},
    {{.modality = "", .planes = {{"axial"}, 1}},
     "{}",
     3,
     0,
     false,
     "the plane of the slices is absent, wanted axial"},
    {{.modality = "", .pixel_mm = {0.4, 0.6}},
     axial,
     3,
     0,
     true,
     "the distance of rows is 0.5 mm, the distance of columns is 0.6 mm"},
    {{.modality = "", .pixel_mm = {0.4, 0.55}},
     axial,
     3,
     0,
     false,
     "the distance of columns is 0.6 mm, wanted 0.4 to 0.55 mm"},
    {{.modality = "", .pixel_mm = {0.4, 2}}, enhanced, 3, 0, true, "the distance of rows is 1 mm"},
    {{.modality = "", .slice_mm = {2, 4}}, axial, 3, 0, true, "the distance of slices is 3 mm"},
    {{.modality = "", .slice_mm = {2, 4}},
     axial,
     3,
     5,
     false,
     "the distance of slices is 5 mm, wanted 2 to 4 mm"},
    {{.modality = "", .slice_mm = {2, 4}}, enhanced, 3, 0, true, "the distance of slices is 2.5 mm"},
    {{.modality = "", .slice_mm = {2, 4}}, "{}", 3, 0, false, "the distance of slices is not known"},
};

static void every_condition_holds_or_says_why(void **state)
{
    (void)state;
    for (size_t i = 0; i < LAM_COUNT(rows); i++) {
        lam_error err = {LAM_OK, ""};
        LAM_AUTO_PTR(lam_selection) *selection = NULL;
        char reason[LAM_RULE_REASON];
        json_t *attributes = json_loads(rows[i].attributes, 0, NULL);
        assert_non_null(attributes);
        const lam_series_facts facts = {attributes, rows[i].slices, rows[i].slice_mm};
        assert_ok(lam_selection_create(&rows[i].selector, &selection, &err), err);
        bool wanted = lam_selection_wants(selection, &facts, reason);
        if (wanted != rows[i].wanted || strncmp(reason, rows[i].said, strlen(rows[i].said)) != 0)
            fail_msg("row %zu: %s, \"%s\"", i, wanted ? "wanted" : "not wanted", reason);
        json_decref(attributes);
    }
}

static void a_series_without_a_header_is_not_wanted(void **state)
{
    (void)state;
    lam_error err = {LAM_OK, ""};
    LAM_AUTO_PTR(lam_selection) *selection = NULL;
    char reason[LAM_RULE_REASON];
    const lam_model_selector selector = {.modality = "MR", .planes = {{"axial"}, 1}};
    const lam_series_facts facts = {NULL, 0, 0};
    assert_ok(lam_selection_create(&selector, &selection, &err), err);
    assert_false(lam_selection_wants(selection, &facts, reason));
}

static void what_cannot_be_selected_on_is_named(void **state)
{
    (void)state;
    lam_error err = {LAM_OK, ""};
    lam_selection *selection = NULL;
    const lam_model_match match = {"PatientName", "x", false};
    const lam_model_selector selector = {.modality = "", .matches = &match, .match_count = 1};
    assert_int_equal(lam_selection_create(&selector, &selection, &err), LAM_E_INVALID);
    assert_non_null(strstr(err.message, "PatientName"));
    assert_null(selection);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_condition_holds_or_says_why),
        cmocka_unit_test(a_series_without_a_header_is_not_wanted),
        cmocka_unit_test(what_cannot_be_selected_on_is_named),
    };
    return cmocka_run_group_tests_name("selection", tests, NULL, NULL);
}
