/* daemon/laminad/query_where.h: search terms become conditions whose text has no value of the client in it.
 * What the conditions find is in test_query.c. */
#include "daemon/laminad/query_where.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "tests/unit/unit.h"

static lam_status add(lam_where *where, lam_level level, const char *name, const char *value, bool fuzzy,
                      lam_error *err)
{
    const lam_search_term term = {name, value};
    const lam_search search = {.level = level, .fuzzy = fuzzy};
    lam_wanted wanted = {.count = 0};
    return lam_where_term(where, &term, &search, &wanted, err);
}

static void test_conditions(void **state)
{
    (void)state;
    static const struct {
        lam_level level;
        const char *name, *value, *sql;
        const char *values; /* joined by | */
    } cases[] = {
        {LAM_LEVEL_STUDY, "PatientID", "P1", " AND t.patient_id = ?1", "P1"},
        {LAM_LEVEL_STUDY, "PatientID", "", "", ""},
        {LAM_LEVEL_STUDY, "PatientID", "*", "", ""},
        /* the part before the wildcard bounds a range of the index */
        {LAM_LEVEL_STUDY, "PatientID", "P1*",
         " AND (t.patient_id >= ?1 AND t.patient_id < ?2 AND +t.patient_id GLOB ?3)", "P1|P2|P1*"},
        {LAM_LEVEL_STUDY, "PatientID", "[?",
         " AND (t.patient_id >= ?1 AND t.patient_id < ?2 AND +t.patient_id GLOB ?3)", "[|\\|[[]?"},
        {LAM_LEVEL_STUDY, "StudyDate", "20200101-20201231",
         " AND (t.study_date >= ?1 AND t.study_date <= ?2)", "20200101|20201231"},
        {LAM_LEVEL_STUDY, "StudyDate", "-20201231", " AND (t.study_date >= ?1 AND t.study_date <= ?2)",
         "0|20201231"},
        {LAM_LEVEL_STUDY, "StudyInstanceUID", "1.2", " AND t.uid = ?1", "1.2"},
        {LAM_LEVEL_STUDY, "StudyInstanceUID", "1.2,1.3", " AND t.uid IN (SELECT value FROM json_each(?1))",
         "[\"1.2\",\"1.3\"]"},
        {LAM_LEVEL_SERIES, "Modality", "MR,CT", " AND (s.modality = ?1 OR s.modality = ?2)", "MR|CT"},
        {LAM_LEVEL_STUDY, "SOPInstanceUID", "1.2",
         " AND t.id IN (SELECT s.study_id FROM instance i JOIN series s ON s.id = i.series_id WHERE i.uid = "
         "?1)",
         "1.2"},
        {LAM_LEVEL_INSTANCE, "Rows", "512",
         " AND CAST((SELECT json_extract(i.attributes, '$.\"00280010\".Value[0]')) AS REAL) = CAST(?1 AS "
         "REAL)",
         "512"},
        {LAM_LEVEL_WORKITEM, "ProcedureStepState", "SCHEDULED,IN PROGRESS",
         " AND (w.state = ?1 OR w.state = ?2)", "SCHEDULED|IN PROGRESS"},
        {LAM_LEVEL_WORKITEM, "PatientID", "P1",
         " AND (SELECT json_extract(w.attributes, '$.\"00100020\".Value[0]')) = ?1", "P1"},
        {LAM_LEVEL_WORKITEM, "00404018.00080100", "x",
         " AND (SELECT json_extract(w.attributes, '$.\"00404018\".Value[0].\"00080100\".Value[0]')) = ?1",
         "x"},
        /* every item of the input, whether it is said where the study is or not */
        {LAM_LEVEL_WORKITEM, "StudyInstanceUID", "1.2",
         " AND w.id IN (SELECT u.workitem_id FROM workitem_input u WHERE u.study_uid = ?1)", "1.2"},
        {LAM_LEVEL_WORKITEM, "InputInformationSequence.0020000E", "1.2",
         " AND w.id IN (SELECT u.workitem_id FROM workitem_input u WHERE u.series_uid = ?1)", "1.2"},
        {LAM_LEVEL_WORKITEM, "00404005", "2026-202701",
         " AND ((SELECT json_extract(w.attributes, '$.\"00404005\".Value[0]')) >= ?1 AND (SELECT"
         " json_extract(w.attributes, '$.\"00404005\".Value[0]')) < ?2 || ':')",
         "2026|202701"},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        LAM_AUTO(lam_where_done) lam_where where;
        lam_error err = {LAM_OK, ""};
        char values[256] = "";
        lam_where_init(&where);
        assert_ok(add(&where, cases[i].level, cases[i].name, cases[i].value, false, &err), err);
        assert_string_equal(lam_buffer_text(&where.sql), cases[i].sql);
        for (size_t v = 0; v < where.count; v++)
            snprintf(values + strlen(values), sizeof values - strlen(values), "%s%s", v ? "|" : "",
                     lam_where_get(&where, v));
        assert_string_equal(values, cases[i].values);
    }
}

/* Whatever a client sends, the text of the statement is made of what is written here. */
static void test_no_value_is_in_the_text(void **state)
{
    (void)state;
    static const char *const names[] = {
        "PatientID",         "PatientName",     "Modality",
        "ModalitiesInStudy", "AccessionNumber", "RequestAttributesSequence.ScheduledProcedureStepID",
        "SeriesDescription"};
    static const char value[] = "x'y\"z; DROP TABLE study --";
    for (size_t i = 0; i < LAM_COUNT(names); i++)
        for (int fuzzy = 0; fuzzy < 2; fuzzy++) {
            LAM_AUTO(lam_where_done) lam_where where;
            lam_error err = {LAM_OK, ""};
            lam_where_init(&where);
            assert_ok(add(&where, LAM_LEVEL_SERIES, names[i], value, fuzzy, &err), err);
            assert_null(strcasestr(lam_buffer_text(&where.sql), "drop"));
            assert_null(strstr(lam_buffer_text(&where.sql), "x'y"));
        }
}

static void test_limits(void **state)
{
    (void)state;
    LAM_AUTO(lam_where_done) lam_where where;
    lam_error err = {LAM_OK, ""};
    lam_where_init(&where);
    lam_autofree char *long_value = malloc(70000);
    memset(long_value, 'x', 69999);
    long_value[69999] = '\0';
    assert_int_equal(add(&where, LAM_LEVEL_STUDY, "PatientID", long_value, false, &err), LAM_E_INVALID);
    long_value[5000] = '\0';
    assert_int_equal(add(&where, LAM_LEVEL_STUDY, "PatientID", long_value, false, &err), LAM_E_INVALID);
    lam_status status = LAM_OK;
    for (int i = 0; i <= LAM_WHERE_VALUES && status == LAM_OK; i++)
        status = add(&where, LAM_LEVEL_STUDY, "PatientID", "P1", false, &err);
    assert_int_equal(status, LAM_E_LIMIT);
}

static void test_tags(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t tag; /* 0: none */
    } cases[] = {
        {"PatientID", 0x00100020},
        {"00100020", 0x00100020},
        {"7fe00010", 0x7FE00010},
        {"PixelSpacing", 0x00280030},
        {"PatientI", 0},
        {"PatientIDs", 0},
        {"patientid", 0},
        {"0010002", 0},
        {"0010002G", 0},
        {"", 0},
        {"ZoomFactor", 0x00280031},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        uint32_t tag = 0;
        bool known = lam_where_tag(cases[i].name, strlen(cases[i].name), &tag);
        if (known != (cases[i].tag != 0) || tag != cases[i].tag)
            fail_msg("%s: %08X", cases[i].name, (unsigned)tag);
    }
    uint32_t tag = 0;
    assert_true(lam_where_tag("PatientID.x", 9, &tag));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_no_value_is_in_the_text),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_tags),
    };
    return cmocka_run_group_tests_name("query_where", tests, NULL, NULL);
}
