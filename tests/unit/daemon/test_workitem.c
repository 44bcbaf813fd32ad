/* daemon/laminad/workitem.h and element.h: every transition and each code of PS3.4 annex CC, what a data set
 * has to have, and what Lamina reads in it. */
#include "daemon/laminad/workitem.h"

#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "daemon/laminad/element.h"
#include "tests/unit/unit.h"

#define MISSING LAM_WORKITEM_KEY_MISSING
#define WRONG   LAM_WORKITEM_KEY_WRONG
#define RIGHT   LAM_WORKITEM_KEY_RIGHT

#define S LAM_WORKITEM_SCHEDULED
#define P LAM_WORKITEM_IN_PROGRESS
#define D LAM_WORKITEM_COMPLETED
#define C LAM_WORKITEM_CANCELED

/* ---- states ---- */

/* PS3.4 table CC.1.1-2, rows by the event, columns by the state. */
static void changes_of_state(void **state)
{
    (void)state;
    static const struct {
        lam_workitem_state wanted;
        bool right;
        uint16_t codes[LAM_WORKITEM_STATES]; /* SCHEDULED, IN PROGRESS, COMPLETED, CANCELED */
    } table[] = {
        {P, true, {0x0000, 0xC302, 0xC300, 0xC300}}, {P, false, {0xC301, 0xC301, 0xC301, 0xC301}},
        {S, true, {0xC303, 0xC303, 0xC303, 0xC303}}, {S, false, {0xC303, 0xC303, 0xC303, 0xC303}},
        {D, true, {0xC310, 0x0000, 0xB306, 0xC300}}, {D, false, {0xC301, 0xC301, 0xC301, 0xC301}},
        {C, true, {0xC310, 0x0000, 0xC300, 0xB304}}, {C, false, {0xC301, 0xC301, 0xC301, 0xC301}},
    };
    for (size_t i = 0; i < LAM_COUNT(table); i++)
        for (int now = 0; now < LAM_WORKITEM_STATES; now++) {
            lam_workitem_key key = table[i].right ? RIGHT : WRONG;
            assert_int_equal(lam_workitem_judge_state(now, table[i].wanted, key), table[i].codes[now]);
            if (!table[i].right)
                assert_int_equal(lam_workitem_judge_state(now, table[i].wanted, MISSING),
                                 table[i].codes[now]);
        }
}

static void requests_to_cancel(void **state)
{
    (void)state;
    static const uint16_t theirs[] = {0x0000, 0xC312, 0xC311, 0xB304},
                          ours[] = {0x0000, 0x0000, 0xC311, 0xB304};
    for (int now = 0; now < LAM_WORKITEM_STATES; now++) {
        assert_int_equal(lam_workitem_judge_cancel(now, false), theirs[now]);
        assert_int_equal(lam_workitem_judge_cancel(now, true), ours[now]);
    }
}

static void updates(void **state)
{
    (void)state;
    static const uint16_t codes[LAM_WORKITEM_STATES][LAM_WORKITEM_KEYS] = {{0x0000, 0xC310, 0xC310},
                                                                           {0xC301, 0xC301, 0x0000},
                                                                           {0xC300, 0xC300, 0xC300},
                                                                           {0xC300, 0xC300, 0xC300}};
    for (int now = 0; now < LAM_WORKITEM_STATES; now++)
        for (int key = 0; key < LAM_WORKITEM_KEYS; key++)
            assert_int_equal(lam_workitem_judge_update(now, key), codes[now][key]);
}

static void each_code_is_answered(void **state)
{
    (void)state;
    static const struct {
        uint16_t code;
        lam_workitem_key key;
        lam_status status;
        const char *warning;
    } table[] = {
        {0x0000, RIGHT, LAM_OK, NULL},
        {0xB304, RIGHT, LAM_OK, "The UPS is already in the requested state of CANCELED."},
        {0xB306, RIGHT, LAM_OK, "The UPS is already in the requested state of COMPLETED."},
        {0xC300, RIGHT, LAM_E_STATE,
         "The submitted request is inconsistent with the state of the UPS Instance."},
        {0xC301, MISSING, LAM_E_STATE, "The Transaction UID is missing."},
        {0xC301, WRONG, LAM_E_STATE, "The Transaction UID is incorrect."},
        {0xC302, RIGHT, LAM_E_STATE,
         "The submitted request is inconsistent with the state of the UPS Instance."},
        {0xC303, RIGHT, LAM_E_STATE,
         "The submitted request is inconsistent with the state of the UPS Instance."},
        {0xC304, RIGHT, LAM_E_STATE,
         "The submitted request is inconsistent with the state of the UPS Instance."},
        {0xC307, RIGHT, LAM_E_NOT_FOUND, NULL},
        {0xC310, RIGHT, LAM_E_STATE,
         "The submitted request is inconsistent with the state of the UPS Instance."},
        {0xC311, RIGHT, LAM_E_STATE, "The UPS is already COMPLETED."},
        {0xC312, RIGHT, LAM_E_STATE, "The performer cannot be contacted."},
    };
    for (size_t i = 0; i < LAM_COUNT(table); i++) {
        lam_error err = {LAM_OK, ""};
        const char *warning = "untouched";
        char code[8];
        snprintf(code, sizeof code, "%04XH", (unsigned)table[i].code);
        assert_int_equal(lam_workitem_answer(table[i].code, table[i].key, &warning, &err), table[i].status);
        assert_true(table[i].status == LAM_OK || strstr(err.message, code));
        if (table[i].warning)
            assert_string_equal(warning, table[i].warning);
        else
            assert_null(warning);
    }
}

static void names_of_states(void **state)
{
    (void)state;
    for (int i = 0; i < LAM_WORKITEM_STATES; i++) {
        lam_workitem_state found = LAM_WORKITEM_STATES;
        assert_true(lam_workitem_state_parse(lam_workitem_state_name(i), &found));
        assert_int_equal(found, i);
    }
    lam_workitem_state kept = C;
    assert_false(lam_workitem_state_parse("INPROGRESS", &kept));
    assert_false(lam_workitem_state_parse(NULL, &kept));
    assert_int_equal(kept, C);
}

/* ---- the data set ---- */

static json_t *whole(void)
{
    json_t *ds = json_object();
    lam_element_set_text(ds, "00404005", "DT", "20260101");
    lam_element_set_text(ds, "00404041", "CS", "READY");
    lam_element_set_text(ds, LAM_UPS_STATE, "CS", "SCHEDULED");
    lam_element_set_text(ds, "00741200", "CS", "HIGH");
    lam_element_set_text(ds, "00741204", "LO", "a label");
    return ds;
}

static void what_a_new_one_has(void **state)
{
    (void)state;
    static const struct {
        const char *tag, *vr, *text; /* set to this; NULL: no value */
        const char *words;           /* of the refusal; NULL: it is taken */
    } table[] = {
        {"00404005", "DT", NULL, "ScheduledProcedureStepStartDateTime is missing"},
        {"00404005", "DT", "soon", "is no date and time"},
        {"00404041", "CS", NULL, "InputReadinessState is missing"},
        {"00404041", "CS", "YES", "InputReadinessState must be one of INCOMPLETE,UNAVAILABLE,READY"},
        {LAM_UPS_STATE, "CS", NULL, "ProcedureStepState is missing"},
        {LAM_UPS_STATE, "CS", "COMPLETED", "ProcedureStepState must be one of SCHEDULED"},
        {"00741200", "CS", "STAT", "ScheduledProcedureStepPriority must be one of"},
        {"00741204", "LO", "", "ProcedureStepLabel is missing"},
        {LAM_UPS_TRANSACTION, "UI", "1.2", "TransactionUID must be empty"},
        {LAM_UPS_TRANSACTION, "UI", NULL, NULL},
        {"00080016", "UI", "1.2", "SOPClassUID"},
        {"00080016", "UI", LAM_UPS_PUSH, NULL},
        {"x", "UI", NULL, "is no tag"},
        {"0040a370", "SQ", NULL, "is no tag"},
        {"00741204", "LONG", "x", "has no vr"},
    };
    for (size_t i = 0; i < LAM_COUNT(table); i++) {
        lam_error err = {LAM_OK, ""};
        json_t *ds = whole();
        lam_element_set_text(ds, table[i].tag, table[i].vr, table[i].text);
        lam_status status = lam_workitem_check_new(ds, &err);
        if (!table[i].words)
            assert_int_equal(status, LAM_OK);
        else if (status != LAM_E_INVALID || !strstr(err.message, table[i].words))
            fail_msg("%s: %s", table[i].words, err.message);
        json_decref(ds);
    }
}

static void values_of_elements(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
    } table[] = {
        {"{\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"A^B\"}]}}", true},
        {"{\"00100010\":{\"vr\":\"PN\",\"Value\":[\"A^B\"]}}", false},
        {"{\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":1}]}}", false},
        {"{\"00404021\":{\"vr\":\"SQ\",\"Value\":[{\"0020000D\":{\"vr\":\"UI\",\"Value\":[\"1.2\"]}}]}}",
         true},
        {"{\"00404021\":{\"vr\":\"SQ\",\"Value\":[\"1.2\"]}}", false},
        {"{\"00404021\":{\"vr\":\"SQ\",\"Value\":[{\"0020000D\":7}]}}", false},
        {"{\"00404021\":{\"vr\":\"SQ\",\"Value\":{}}}", false},
        {"{\"00280010\":{\"vr\":\"US\",\"Value\":[512, null]}}", true},
        {"{\"00741204\":{\"vr\":\"LO\",\"Value\":[{}]}}", false},
        {"{\"00420011\":{\"vr\":\"OB\",\"BulkDataURI\":\"http://x\"}}", false},
        {"{\"00420011\":{\"vr\":\"OB\",\"InlineBinary\":\"AA==\"}}", true},
        {"[]", false},
    };
    for (size_t i = 0; i < LAM_COUNT(table); i++) {
        lam_error err = {LAM_OK, ""};
        json_t *ds = json_loads(table[i].text, 0, NULL);
        assert_non_null(ds);
        if ((lam_element_check(ds, &err) == LAM_OK) != table[i].good)
            fail_msg("%s: %s", table[i].text, err.message);
        json_decref(ds);
    }
}

static void what_an_update_may_set(void **state)
{
    (void)state;
    static const struct {
        const char *tag, *text;
        lam_status status;
    } table[] = {
        {"00741204", "another", LAM_OK},          {"00741204", NULL, LAM_E_INVALID},
        {"00741200", "SOMETIMES", LAM_E_INVALID}, {LAM_UPS_STATE, "CANCELED", LAM_E_INVALID},
        {"00080018", "1.2", LAM_E_INVALID},       {"00100020", "X", LAM_E_INVALID},
        {LAM_UPS_TRANSACTION, "1.2.3", LAM_OK},   {"00404011", "20260102", LAM_OK},
    };
    for (size_t i = 0; i < LAM_COUNT(table); i++) {
        lam_error err = {LAM_OK, ""};
        json_t *ds = whole(), *changes = json_object();
        lam_element_set_text(changes, table[i].tag, "LO", table[i].text);
        assert_int_equal(lam_workitem_merge(ds, changes, &err), table[i].status);
        assert_null(lam_element_text(ds, LAM_UPS_TRANSACTION));
        json_decref(changes);
        json_decref(ds);
    }
}

static void final_states(void **state)
{
    (void)state;
    static const char *const needed[] = {"00404028", "00404050", "00404019", "00404051"};
    json_t *ds = whole(), *performed = json_object();
    lam_element_set_item(ds, LAM_UPS_PERFORMED, performed);
    for (size_t i = 0; i < LAM_COUNT(needed); i++) {
        assert_false(lam_workitem_is_final(ds, D, 0));
        lam_element_set_item(performed, needed[i], lam_element_code("1", "DCM", "x"));
    }
    assert_true(lam_workitem_is_final(ds, D, 0));
    assert_true(lam_workitem_is_final(ds, C, 1767225600000));
    const json_t *progress = lam_element_item(ds, LAM_UPS_PROGRESS);
    assert_string_equal(lam_element_text(progress, "00404052"), "20260101000000+0000");
    assert_string_equal(lam_element_text(lam_element_item(progress, LAM_UPS_WHY), "00080100"), "110513");
    lam_workitem_discontinue(ds, lam_element_code("110502", "DCM", "x"), "because", 0);
    assert_true(lam_workitem_is_final(ds, C, 0));
    progress = lam_element_item(ds, LAM_UPS_PROGRESS);
    assert_string_equal(lam_element_text(lam_element_item(progress, LAM_UPS_WHY), "00080100"), "110502");
    assert_string_equal(lam_element_text(progress, "00741238"), "because");
    json_decref(ds);
}

static void dates_and_times(void **state)
{
    (void)state;
    static const struct {
        const char *text, *offset;
        int64_t ms; /* -1: none */
    } table[] = {
        {"20260101", "+0000", 1767225600000},
        {"2026", "+0000", 1767225600000},
        {"20260101013000.5", "+0000", 1767231000500},
        {"20260101013000+0130", NULL, 1767225600000},
        {"20260101-0100", "+0500", 1767229200000},
        {"20260101 ", "+0000", 1767225600000},
        {"20261301", "+0000", -1},
        {"202601010", "+0000", -1},
        {"20260101T10", "+0000", -1},
        {"", "+0000", -1},
        {"20260101+25", NULL, -1},
        {"20260101", "west", -1},
        {"20260101000000.", "+0000", -1},
    };
    for (size_t i = 0; i < LAM_COUNT(table); i++) {
        int64_t ms = -1;
        bool good = lam_element_read_datetime(table[i].text, table[i].offset, &ms);
        if (good != (table[i].ms >= 0) || ms != table[i].ms)
            fail_msg("\"%s\": %lld", table[i].text, (long long)ms);
    }
}

/* ---- the plan ---- */

static lam_workitem_plan plan_of(json_t *ds)
{
    lam_workitem_plan plan;
    lam_workitem_read_plan(ds, "LAMINA", &plan);
    return plan;
}

static void what_is_to_be_done(void **state)
{
    (void)state;
    static const struct {
        const char *value, *scheme;
        lam_workitem_work work;
        const char *model;
    } table[] = {
        {NULL, NULL, LAM_WORK_NONE, NULL},
        {"110001", "DCM", LAM_WORK_KNOWN, NULL},
        {"110004", "DCM", LAM_WORK_KNOWN, NULL},
        {"110005", "DCM", LAM_WORK_UNKNOWN, NULL},
        {"110004", "99SITE", LAM_WORK_UNKNOWN, NULL},
        {"hippocampus", "99LAMINA", LAM_WORK_KNOWN, "hippocampus"},
        {"a-name-of-more-than-16", "99LAMINA", LAM_WORK_KNOWN, "a-name-of-more-than-16"},
    };
    for (size_t i = 0; i < LAM_COUNT(table); i++) {
        json_t *ds = whole();
        if (table[i].value)
            lam_element_set_item(ds, LAM_UPS_WORK, lam_element_code(table[i].value, table[i].scheme, "x"));
        lam_workitem_plan plan = plan_of(ds);
        assert_int_equal(plan.work, table[i].work);
        assert_true(table[i].model ? plan.model && strcmp(plan.model, table[i].model) == 0 : !plan.model);
        json_decref(ds);
    }
    json_t *ds = whole(), *parameter = json_object();
    lam_element_set_item(ds, LAM_UPS_WORK, lam_element_code("110004", "DCM", "x"));
    lam_element_set_item(parameter, "0040A043", lam_element_code("MODEL", "99LAMINA", "Model"));
    lam_element_set_text(parameter, "0040A160", "UT", "adrenal");
    lam_element_set_item(ds, "00741210", parameter);
    assert_string_equal(plan_of(ds).model, "adrenal");
    json_decref(ds);
}

static void for_whom_and_when(void **state)
{
    (void)state;
    json_t *ds = whole();
    lam_element_set_text(ds, "00080201", "SH", "+0000");
    lam_workitem_plan plan = plan_of(ds);
    assert_true(plan.open && !plan.addressed && plan.ready && plan.priority == 0);
    assert_int_equal(plan.start_ms, 1767225600000);
    assert_int_equal(plan.expires_ms, 0);
    lam_element_set_text(ds, "00404011", "DT", "20260102");
    assert_int_equal(plan_of(ds).expires_ms, 1767312000000);
    lam_element_set_text(ds, "00404008", "DT", "20260101");
    assert_int_equal(plan_of(ds).expires_ms, 1767225600000);
    lam_element_set_item(ds, "00404025", lam_element_code("LAMINA2", "99SITE", "x"));
    plan = plan_of(ds);
    assert_true(!plan.open && !plan.addressed);
    json_array_append_new(lam_element_items(ds, "00404025"), lam_element_code("LAMINA", "99SITE", "x"));
    assert_true(plan_of(ds).addressed);
    lam_element_set_text(ds, "00404041", "CS", "INCOMPLETE");
    lam_element_set_text(ds, "00741200", "CS", "LOW");
    plan = plan_of(ds);
    assert_true(!plan.ready && plan.priority == 2);
    json_decref(ds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_of_state),
        cmocka_unit_test(requests_to_cancel),
        cmocka_unit_test(updates),
        cmocka_unit_test(each_code_is_answered),
        cmocka_unit_test(names_of_states),
        cmocka_unit_test(what_a_new_one_has),
        cmocka_unit_test(values_of_elements),
        cmocka_unit_test(what_an_update_may_set),
        cmocka_unit_test(final_states),
        cmocka_unit_test(dates_and_times),
        cmocka_unit_test(what_is_to_be_done),
        cmocka_unit_test(for_whom_and_when),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
