/* daemon/laminad/query.h: what searches find and return, and metadata, over a database that the catalogue
 * filled. How each kind of value is compared is asked here, too; the conditions themselves are in
 * test_query_where.c. */
#include "daemon/laminad/query.h"

#include <jansson.h>
#include <malloc.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "tests/unit/daemon/fixture.h"

#define UI(tag, value)     ",\"" tag "\":{\"vr\":\"UI\",\"Value\":[\"" value "\"]}"
#define TX(tag, vr, value) ",\"" tag "\":{\"vr\":\"" vr "\",\"Value\":[\"" value "\"]}"
#define PN(tag, value)     ",\"" tag "\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"" value "\"}]}"
#define US(tag, value)     ",\"" tag "\":{\"vr\":\"US\",\"Value\":[" value "]}"

/* Study 1.1 has the series 2.1 (MR, two instances) and 2.2 (SEG); study 1.2 the series 2.3 (CT). */
static const struct {
    const char *study, *series, *sop, *more;
} stored[] = {
    {"1.1", "2.1", "3.1",
     TX("00080020", "DA", "20200105") TX("00080030", "TM", "101530.25") TX("00080050", "SH", "A[1]")
         TX("00080060", "CS", "MR") TX("0008103E", "LO", "T2 axial") PN("00100010", "M\u00fcller^Eva")
             TX("00100020", "LO", "P1") ",\"00200013\":{\"vr\":\"IS\",\"Value\":[1]}" US(
                 "00280010", "512") ",\"00280030\":{\"vr\":\"DS\",\"Value\":[0.5,0.5]}"
                                    ",\"00420011\":{\"vr\":\"OB\",\"BulkDataURI\":\"bulk/00420011\"}"
                                    ",\"00400275\":{\"vr\":\"SQ\",\"Value\":[{\"00400009\":{\"vr\":\"SH\","
                                    "\"Value\":[\"STEP1\"]}}]}"},
    {"1.1", "2.1", "3.2",
     TX("00080020", "DA", "20200105") TX("00080060", "CS", "MR") TX("00100020", "LO", "P1")
         US("00280010", "256") ",\"00200013\":{\"vr\":\"IS\",\"Value\":[2]}"},
    {"1.1", "2.2", "3.3",
     TX("00080020", "DA", "20200105") TX("00080060", "CS", "SEG") TX("00100020", "LO", "P1")},
    {"1.2", "2.3", "3.4",
     TX("00080020", "DA", "20210210") TX("00080030", "TM", "2359") TX("00080060", "CS", "CT")
         PN("00100010", "SMITH^JOHN") TX("00100020", "LO", "P2*")},
};

static int set_up(void **state)
{
    fixture_set_up(state);
    for (size_t i = 0; i < LAM_COUNT(stored); i++)
        fixture_receive(*state, stored[i].study, stored[i].series, stored[i].sop, stored[i].more, 1000);
    return 0;
}

/* A search by "name=value&name=value" as a URL has it, without its escapes. */
typedef struct question {
    lam_level level;
    const char *study, *series, *query;
    int64_t limit, offset;
    const char *include;
    bool all, fuzzy;
} question;

enum { MAX_TERMS = 8 };

static lam_status ask(fixture *f, const question *q, json_t **found, lam_search_answer *answer,
                      lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer out;
    lam_autofree char *text = strdup(q->query ? q->query : "");
    lam_search_term terms[MAX_TERMS];
    lam_search search = {.level = q->level,
                         .within = {q->study, q->series, NULL},
                         .terms = terms,
                         .include = &q->include,
                         .include_count = q->include != NULL,
                         .include_all = q->all,
                         .fuzzy = q->fuzzy,
                         .limit = q->limit ? q->limit : 100,
                         .offset = q->offset,
                         .root = "/dicom-web"};
    char *rest = NULL;
    for (char *term = strtok_r(text, "&", &rest); term; term = strtok_r(NULL, "&", &rest)) {
        char *equals = strchr(term, '=');
        *equals = '\0';
        assert_true(search.term_count < MAX_TERMS);
        terms[search.term_count++] = (lam_search_term){term, equals + 1};
    }
    lam_buffer_init(&out, 1 << 20);
    *answer = (lam_search_answer){.out = &out};
    lam_status status = lam_query_search(f->db, &search, answer, err);
    if (status == LAM_OK) {
        *found = json_loadb(out.data, out.length, 0, NULL);
        assert_non_null(*found);
    }
    answer->out = NULL;
    return status;
}

static const char *value_of(const json_t *set, const char *tag)
{
    const json_t *value = json_array_get(json_object_get(json_object_get(set, tag), "Value"), 0);
    return json_string_value(value) ? json_string_value(value) : "";
}

/* The UIDs found, joined by blanks. */
static void list_uids(const json_t *found, lam_level level, char *list, size_t size)
{
    static const char *const tags[] = {"0020000D", "0020000E", "00080018"};
    list[0] = '\0';
    for (size_t i = 0; i < json_array_size(found); i++) {
        size_t used = strlen(list);
        snprintf(list + used, size - used, "%s%s", used ? " " : "",
                 value_of(json_array_get(found, i), tags[level]));
    }
}

static void test_what_is_found(void **state)
{
    static const struct {
        question q;
        const char *uids;
    } cases[] = {
        /* studies come the newest first, the rest as it was stored */
        {{.level = LAM_LEVEL_STUDY}, "1.2 1.1"},
        {{.level = LAM_LEVEL_SERIES}, "2.1 2.2 2.3"},
        {{.level = LAM_LEVEL_INSTANCE}, "3.1 3.2 3.3 3.4"},
        {{.level = LAM_LEVEL_SERIES, .study = "1.1"}, "2.1 2.2"},
        {{.level = LAM_LEVEL_INSTANCE, .study = "1.1"}, "3.1 3.2 3.3"},
        {{.level = LAM_LEVEL_INSTANCE, .study = "1.1", .series = "2.1"}, "3.1 3.2"},
        {{.level = LAM_LEVEL_INSTANCE, .study = "1.2", .series = "2.1"}, ""},
        /* values */
        {{.level = LAM_LEVEL_STUDY, .query = "PatientID=P1"}, "1.1"},
        {{.level = LAM_LEVEL_STUDY, .query = "00100020=P1"}, "1.1"},
        {{.level = LAM_LEVEL_STUDY, .query = "PatientID=P*"}, "1.2 1.1"},
        {{.level = LAM_LEVEL_STUDY, .query = "PatientID=P?"}, "1.1"},
        {{.level = LAM_LEVEL_STUDY, .query = "PatientID=?*"}, "1.2 1.1"},
        {{.level = LAM_LEVEL_STUDY, .query = "PatientID=p1"}, ""},
        {{.level = LAM_LEVEL_STUDY, .query = "AccessionNumber=A[1]"}, "1.1"},
        {{.level = LAM_LEVEL_STUDY, .query = "AccessionNumber=A[?]"}, "1.1"},
        {{.level = LAM_LEVEL_STUDY, .query = "AccessionNumber=A?1"}, ""},
        {{.level = LAM_LEVEL_STUDY, .query = "AccessionNumber=A' OR 1=1 --"}, ""},
        {{.level = LAM_LEVEL_STUDY, .query = "StudyDate=20200105"}, "1.1"},
        {{.level = LAM_LEVEL_STUDY, .query = "StudyDate=20200105-20210210"}, "1.2 1.1"},
        {{.level = LAM_LEVEL_STUDY, .query = "StudyDate=-20200105"}, "1.1"},
        {{.level = LAM_LEVEL_STUDY, .query = "StudyDate=20200106-"}, "1.2"},
        {{.level = LAM_LEVEL_STUDY, .query = "StudyTime=1015-1016"}, "1.1"},
        {{.level = LAM_LEVEL_STUDY, .query = "StudyTime=235900"}, "1.2"},
        {{.level = LAM_LEVEL_STUDY, .query = "PatientName=smith^john"}, "1.2"},
        {{.level = LAM_LEVEL_STUDY, .query = "PatientName=MULLER"}, "1.1"},
        {{.level = LAM_LEVEL_STUDY, .query = "PatientName=Smi"}, ""},
        {{.level = LAM_LEVEL_STUDY, .query = "PatientName=Smi*"}, "1.2"},
        {{.level = LAM_LEVEL_STUDY, .query = "PatientName=^John"}, "1.2"},
        {{.level = LAM_LEVEL_STUDY, .query = "PatientName=eva mul", .fuzzy = true}, "1.1"},
        {{.level = LAM_LEVEL_STUDY, .query = "ModalitiesInStudy=SEG"}, "1.1"},
        {{.level = LAM_LEVEL_STUDY, .query = "ModalitiesInStudy=SEG,CT"}, "1.2 1.1"},
        {{.level = LAM_LEVEL_STUDY, .query = "Modality=MR"}, "1.1"},
        {{.level = LAM_LEVEL_STUDY, .query = "NumberOfStudyRelatedInstances=3"}, "1.1"},
        {{.level = LAM_LEVEL_STUDY, .query = "PatientID=P1&StudyDate=2021-"}, NULL},
        {{.level = LAM_LEVEL_STUDY, .query = "PatientID=P1&Modality=CT"}, ""},
        {{.level = LAM_LEVEL_SERIES, .query = "Modality=MR,CT"}, "2.1 2.3"},
        {{.level = LAM_LEVEL_SERIES, .query = "PatientID=P1&Modality=SEG"}, "2.2"},
        {{.level = LAM_LEVEL_SERIES, .query = "RequestAttributesSequence.ScheduledProcedureStepID=STEP1"},
         "2.1"},
        {{.level = LAM_LEVEL_SERIES, .query = "00400275.00400009=STEP*"}, "2.1"},
        {{.level = LAM_LEVEL_INSTANCE, .query = "SOPInstanceUID=3.4,3.1"}, "3.1 3.4"},
        {{.level = LAM_LEVEL_INSTANCE, .query = "SOPInstanceUID=3.4\\3.9"}, "3.4"},
        {{.level = LAM_LEVEL_INSTANCE, .query = "Rows=256"}, "3.2"},
        {{.level = LAM_LEVEL_INSTANCE, .query = "InstanceNumber=01"}, "3.1"},
        /* of the levels below: those that have such a one */
        {{.level = LAM_LEVEL_STUDY, .query = "SeriesDescription=T2*"}, "1.1"},
        {{.level = LAM_LEVEL_STUDY, .query = "SOPInstanceUID=3.4"}, "1.2"},
        {{.level = LAM_LEVEL_SERIES, .query = "SOPInstanceUID=3.3"}, "2.2"},
        /* universal matching */
        {{.level = LAM_LEVEL_STUDY, .query = "PatientID=&PatientName=*"}, "1.2 1.1"},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        LAM_AUTO(json_decrefp) json_t *found = NULL;
        lam_search_answer answer;
        lam_error err = {LAM_OK, ""};
        char list[256];
        lam_status status = ask(*state, &cases[i].q, &found, &answer, &err);
        if (!cases[i].uids) {
            assert_int_equal(status, LAM_E_INVALID);
            continue;
        }
        assert_ok(status, err);
        list_uids(found, cases[i].q.level, list, sizeof list);
        if (strcmp(list, cases[i].uids) != 0)
            fail_msg("level %d, %s: \"%s\", not \"%s\"", (int)cases[i].q.level, cases[i].q.query, list,
                     cases[i].uids);
        assert_int_equal(answer.count, json_array_size(found));
    }
}

/* PS3.18 tables 10.6.3-3 to 10.6.3-5, and includefield. */
static void test_what_is_returned(void **state)
{
    static const struct {
        question q;
        const char *has, *lacks;
    } cases[] = {
        {{.level = LAM_LEVEL_STUDY, .query = "PatientID=P1"},
         "00080005 00080020 00080030 00080050 00080056 00080061 00081190 00100010 00100020 0020000D 00201206 "
         "00201208",
         "0008103E 00280010"},
        {{.level = LAM_LEVEL_SERIES, .study = "1.1"},
         "00080060 0008103E 0020000D 0020000E 00201209 00400275",
         "00100020"},
        {{.level = LAM_LEVEL_SERIES, .query = "Modality=MR"}, "00080060 0020000E 00100020", "00280010"},
        {{.level = LAM_LEVEL_INSTANCE, .study = "1.1", .series = "2.1"},
         "00080016 00080018 00200013 00280010",
         "00280030 00080060 00100020"},
        {{.level = LAM_LEVEL_INSTANCE, .query = "SOPInstanceUID=3.1"},
         "00080018 00100020 00080060",
         "00280030"},
        {{.level = LAM_LEVEL_INSTANCE, .include = "PixelSpacing"}, "00280030", "00420011"},
        {{.level = LAM_LEVEL_INSTANCE, .include = "00280030"}, "00280030", "00420011"},
        {{.level = LAM_LEVEL_INSTANCE, .include = "SomethingOfNextYear"}, "00080018", "00280030"},
        {{.level = LAM_LEVEL_INSTANCE, .all = true}, "00280030 00420011 00100020", "00420012"},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        LAM_AUTO(json_decrefp) json_t *found = NULL;
        lam_search_answer answer;
        lam_error err = {LAM_OK, ""};
        assert_ok(ask(*state, &cases[i].q, &found, &answer, &err), err);
        const json_t *first = json_array_get(found, 0);
        for (int missing = 0; missing < 2; missing++)
            for (const char *tag = missing ? cases[i].lacks : cases[i].has; *tag;
                 tag += strcspn(tag, " ") + (tag[8] == ' ')) {
                char name[9] = "";
                memcpy(name, tag, 8);
                if ((json_object_get(first, name) == NULL) != (missing == 1))
                    fail_msg("case %zu: %s is %s", i, name, missing ? "there" : "missing");
            }
    }
}

static void test_pages(void **state)
{
    static const struct {
        int64_t limit, offset;
        const char *uids;
        int64_t remaining; /* -1: there are no more */
    } cases[] = {
        {2, 0, "3.1 3.2", 2},          {2, 1, "3.2 3.3", 1}, {2, 2, "3.3 3.4", -1},
        {4, 0, "3.1 3.2 3.3 3.4", -1}, {1, 9, "", -1},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        LAM_AUTO(json_decrefp) json_t *found = NULL;
        const question q = {.level = LAM_LEVEL_INSTANCE, .limit = cases[i].limit, .offset = cases[i].offset};
        lam_search_answer answer;
        lam_error err = {LAM_OK, ""};
        char list[64];
        assert_ok(ask(*state, &q, &found, &answer, &err), err);
        list_uids(found, LAM_LEVEL_INSTANCE, list, sizeof list);
        assert_string_equal(list, cases[i].uids);
        assert_int_equal(answer.more, cases[i].remaining >= 0);
        if (answer.more)
            assert_int_equal(answer.remaining, cases[i].remaining);
    }
}

/* Makes the connection forget so many of the statements that it keeps. */
static void compose_others(lam_db *db, int count)
{
    static int last;
    lam_error err = {LAM_OK, ""};
    for (int i = 0; i < count; i++) {
        char sql[32];
        snprintf(sql, sizeof sql, "SELECT %d", last++);
        assert_non_null(lam_db_prepare_composed(db, sql, &err));
    }
}

/* When a search that is kept is the next to make room, and then the statement that counts what is left is
 * composed. */
static void test_a_kept_search_is_counted_on(void **state)
{
    enum { MANY = 50 }; /* more than are kept */
    fixture *f = *state;
    for (int others = 0; others < MANY; others++) {
        LAM_AUTO(json_decrefp) json_t *all = NULL;
        LAM_AUTO(json_decrefp) json_t *one = NULL;
        lam_search_answer answer;
        lam_error err = {LAM_OK, ""};
        compose_others(f->db, MANY);
        assert_ok(ask(f, &(question){.level = LAM_LEVEL_INSTANCE}, &all, &answer, &err), err);
        compose_others(f->db, others);
        assert_ok(ask(f, &(question){.level = LAM_LEVEL_INSTANCE, .limit = 1}, &one, &answer, &err), err);
        assert_true(answer.more);
        assert_int_equal(answer.remaining, 3);
    }
}

static void test_what_is_refused_names_the_parameter(void **state)
{
    static const struct {
        const char *query, *include, *named;
    } cases[] = {
        {"NoSuchKeyword=1", NULL, "NoSuchKeyword"},
        {"PixelSpacing=1", NULL, "PixelSpacing"},
        {"StudyDate=2020", NULL, "StudyDate"},
        {"StudyTime=9", NULL, "StudyTime"},
        {"StudyInstanceUID=x", NULL, "StudyInstanceUID"},
        {"Rows=many", NULL, "Rows"},
        {"Rows=nan", NULL, "Rows"},
        {"Rows=0x200", NULL, "Rows"},
        {"PatientName=^", NULL, "PatientName"},
        {"00081190=x", NULL, "00081190"},
        {NULL, "no keyword", "includefield"},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        json_t *found = NULL;
        const question q = {
            .level = LAM_LEVEL_INSTANCE, .query = cases[i].query, .include = cases[i].include};
        lam_search_answer answer;
        lam_error err = {LAM_OK, ""};
        assert_int_equal(ask(*state, &q, &found, &answer, &err), LAM_E_INVALID);
        if (!strstr(err.message, cases[i].named))
            fail_msg("%s: %s", cases[i].named, err.message);
    }
}

static void test_metadata(void **state)
{
    fixture *f = *state;
    LAM_AUTO(lam_buffer_done) lam_buffer out;
    lam_buffer_init(&out, 1 << 20);
    lam_error err = {LAM_OK, ""};
    lam_metadata_cursor cursor = {0};
    const lam_place study = {"1.1", NULL, NULL}, nothing = {"1.1", "2.3", NULL};
    size_t calls = 0;
    lam_buffer_append_text(&out, "[");
    for (; !cursor.end; calls++) /* one byte is enough: a data set a call */
        assert_ok(lam_query_metadata(f->db, &study, "/dicom-web", &cursor, out.length + 1, &out, &err), err);
    lam_buffer_append_text(&out, "]");
    LAM_AUTO(json_decrefp) json_t *sets = json_loadb(out.data, out.length, 0, NULL);
    assert_int_equal(json_array_size(sets), 3);
    assert_true(calls >= 3);
    assert_string_equal(value_of(json_array_get(sets, 2), "00080018"), "3.3");
    assert_string_equal(json_string_value(json_object_get(
                            json_object_get(json_array_get(sets, 0), "00420011"), "BulkDataURI")),
                        "/dicom-web/studies/1.1/series/2.1/instances/3.1/bulkdata/00420011");
    lam_metadata_cursor other = {0};
    assert_int_equal(lam_query_metadata(f->db, &nothing, "", &other, 1, &out, &err), LAM_E_NOT_FOUND);
}

/* As several senders, or a series beside results of another, bring them: numbers of instances do not rise
 * from one series to the next. */
static void test_metadata_of_interleaved_series(void **state)
{
    fixture *f = *state;
    fixture_receive(f, "1.5", "2.5", "3.51", "", 1000);
    fixture_receive(f, "1.5", "2.6", "3.61", "", 1000);
    fixture_receive(f, "1.5", "2.5", "3.52", "", 1000);
    fixture_receive(f, "1.5", "2.6", "3.62", "", 1000);
    const lam_place study = {"1.5", NULL, NULL};
    for (size_t enough = 1; enough < 1 << 20; enough *= 8) { /* a data set a call, some, all */
        LAM_AUTO(lam_buffer_done) lam_buffer out;
        lam_buffer_init(&out, 1 << 20);
        lam_error err = {LAM_OK, ""};
        lam_metadata_cursor cursor = {0};
        lam_buffer_append_text(&out, "[");
        while (!cursor.end)
            assert_ok(lam_query_metadata(f->db, &study, "", &cursor, out.length + enough, &out, &err), err);
        lam_buffer_append_text(&out, "]");
        LAM_AUTO(json_decrefp) json_t *sets = json_loadb(out.data, out.length, 0, NULL);
        static const char *const expected[] = {"3.51", "3.52", "3.61", "3.62"};
        assert_int_equal(json_array_size(sets), LAM_COUNT(expected));
        for (size_t i = 0; i < LAM_COUNT(expected); i++)
            assert_string_equal(value_of(json_array_get(sets, i), "00080018"), expected[i]);
    }
}

static void test_the_version_changes_with_what_is_stored(void **state)
{
    fixture *f = *state;
    const lam_place study = {"1.1", NULL, NULL}, other = {"1.2", NULL, NULL}, nothing = {"1.9", NULL, NULL};
    char before[64], same[64], after[64], elsewhere[64];
    lam_error err = {LAM_OK, ""};
    assert_ok(lam_query_metadata_version(f->db, &study, before, &err), err);
    assert_ok(lam_query_metadata_version(f->db, &study, same, &err), err);
    assert_ok(lam_query_metadata_version(f->db, &other, elsewhere, &err), err);
    assert_string_equal(before, same);
    fixture_receive(f, "1.1", "2.1", "3.9", "", 2000);
    assert_ok(lam_query_metadata_version(f->db, &study, after, &err), err);
    assert_string_not_equal(before, after);
    assert_ok(lam_query_metadata_version(f->db, &other, same, &err), err);
    assert_string_equal(elsewhere, same);
    assert_int_equal(lam_query_metadata_version(f->db, &nothing, same, &err), LAM_E_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_found),
        cmocka_unit_test(test_what_is_returned),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_a_kept_search_is_counted_on),
        cmocka_unit_test(test_what_is_refused_names_the_parameter),
        cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_metadata_of_interleaved_series),
        cmocka_unit_test(test_the_version_changes_with_what_is_stored),
    };
    /* A statement that is used when it is gone shall show: it lies in the heap, where what is freed is
     * overwritten. */
    sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
    mallopt(M_PERTURB, 0x5a);
    return cmocka_run_group_tests_name("query", tests, set_up, fixture_tear_down);
}
