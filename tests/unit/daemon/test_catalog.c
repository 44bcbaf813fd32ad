/* daemon/laminad/catalog.h: rows of what arrives, the input set, and how states of jobs become those of
 * series and study (promise 4). */
#include <stdio.h>
#include <string.h>

#include "tests/unit/daemon/fixture.h"

#define MR                                                                                                   \
    ","                                                                                                      \
    "\"00080060\":{\"vr\":\"CS\",\"Value\":[\"MR\"]}"

static void adds_study_series_instance(void **state)
{
    fixture *f = *state;
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1",
                    MR ",\"00100020\":{\"Value\":[\"P1\"]},\"00200011\":{\"Value\":[4]},"
                       "\"00200013\":{\"Value\":[\"17\"]}",
                    1000);
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.2", MR, 2000);
    fixture_receive(f, "1.2", "1.2.4", "1.2.4.1", "", 3000);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM study"), 1);
    assert_row(f, "SELECT patient_id FROM study", "P1");
    assert_row(f, "SELECT group_concat(instances || state) FROM series", "2receiving,1receiving");
    assert_int_equal(fixture_integer(f, "SELECT received_ms FROM series WHERE id = 1"), 2000);
    assert_row(f, "SELECT modality FROM series WHERE id = 1", "MR");
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM metadata"), 3);
}

/* A number that is not there is none, not 0; one that is text still is one. */
static void keeps_numbers_that_are_there(void **state)
{
    fixture *f = *state;
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1",
                    ",\"00200011\":{\"Value\":[4]},\"00200013\":{\"Value\":[\"17\"]}", 1000);
    fixture_receive(f, "1.2", "1.2.4", "1.2.4.1", ",\"00200013\":{\"Value\":[\"x\"]}", 1000);
    assert_int_equal(fixture_integer(f, "SELECT number FROM series WHERE id = 1"), 4);
    assert_int_equal(fixture_integer(f, "SELECT number FROM instance WHERE id = 1"), 17);
    assert_int_equal(fixture_integer(f, "SELECT number IS NULL FROM series WHERE id = 2"), 1);
    assert_int_equal(fixture_integer(f, "SELECT number IS NULL FROM instance WHERE id = 2"), 1);
}

static void refuses_the_same_uid_twice(void **state)
{
    fixture *f = *state;
    lam_error err;
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", "", 1000);
    lam_autofree char *payload = fixture_indexed("1.2", "1.2.3", "1.2.3.1", "");
    lam_header header;
    int64_t instance = -1;
    assert_int_equal(lam_header_parse(payload, &header, NULL), LAM_OK);
    const lam_catalog_file file = {.number = 77, .bytes = 1};
    assert_int_equal(lam_db_begin(f->db, NULL), LAM_OK);
    assert_fails(lam_catalog_add(f->db, &header, &file, 1, &instance, &err), LAM_E_EXISTS, err);
    lam_db_rollback(f->db);
    lam_header_done(&header);
    assert_int_equal(instance, -1);
}

static lam_status find(fixture *f, const char *study, const char *series, const char *sop,
                       lam_catalog_instance *found)
{
    lam_autofree char *payload = fixture_indexed(study, series, sop, "");
    lam_header header;
    assert_int_equal(lam_header_parse(payload, &header, NULL), LAM_OK);
    lam_status status = lam_catalog_find_instance(f->db, &header, found, NULL);
    lam_header_done(&header);
    return status;
}

static void finds_instances_and_their_place(void **state)
{
    fixture *f = *state;
    lam_catalog_instance found;
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", "", 1000);
    assert_int_equal(find(f, "1.2", "1.2.3", "1.2.3.9", &found), LAM_E_NOT_FOUND);
    assert_int_equal(find(f, "1.2", "1.2.3", "1.2.3.1", &found), LAM_OK);
    assert_true(found.same_place && found.same_syntax && !found.is_result);
    assert_int_equal(found.file, 0);
    assert_int_equal(found.revision, 0);
    assert_int_equal(find(f, "1.9", "1.2.3", "1.2.3.1", &found), LAM_OK);
    assert_false(found.same_place);
    assert_int_equal(find(f, "1.2", "1.2.9", "1.2.3.1", &found), LAM_OK);
    assert_false(found.same_place);
}

static void input_set_of(fixture *f, int64_t series, char text[65], int64_t expected)
{
    lam_error err = {LAM_OK, ""};
    int64_t instances = -1;
    assert_ok(lam_catalog_input_set(f->db, series, text, &instances, &err), err);
    assert_int_equal(instances, expected);
}

static void promise_5_the_input_set_does_not_depend_on_order(void **state)
{
    fixture *f = *state;
    char forward[65], backward[65], more[65], replaced[65];
    int64_t a = fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", "", 1000);
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.2", "", 1000);
    input_set_of(f, a, forward, 2);
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.3", "", 1000);
    input_set_of(f, a, more, 3);
    assert_string_not_equal(forward, more);
    assert_int_equal(lam_db_run(f->db, NULL, "DELETE FROM instance", ""), LAM_OK);
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.2", "", 9000);
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", "", 9000);
    input_set_of(f, a, backward, 2);
    assert_string_equal(forward, backward);
    assert_int_equal(lam_db_run(f->db, NULL, "UPDATE instance SET revision = 1 WHERE id = 1", ""), LAM_OK);
    input_set_of(f, a, replaced, 2);
    assert_string_not_equal(forward, replaced);
}

static void knows_the_last_file(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    int64_t last = 0;
    assert_ok(lam_catalog_last_file(f->db, &last, &err), err);
    assert_int_equal(last, -1);
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", "", 1000);
    assert_ok(lam_catalog_last_file(f->db, &last, &err), err);
    assert_int_equal(last, 0);
    assert_ok(lam_db_run(f->db, &err, "INSERT INTO removed_file (file) VALUES (9)", ""), err);
    assert_ok(lam_catalog_last_file(f->db, &last, &err), err);
    assert_int_equal(last, 9);
}

static void a_study_that_is_not_there(void **state)
{
    fixture *f = *state;
    lam_error err;
    int64_t study = 0;
    assert_fails(lam_catalog_find_study(f->db, "1.2", &study, &err), LAM_E_NOT_FOUND, err);
}

/* Jobs of the current input set (comma-separated) and what they make of a series; `old` is a job of an older
 * input set, which counts for nothing. */
static const struct {
    const char *jobs, *series;
} of_jobs[] = {
    {"done", "done"},
    {"queued", "queued"},
    {"running", "running"},
    {"failed", "failed"},
    {"cancelled", "failed"},
    {"done,queued", "queued"},
    {"queued,running", "running"},
    {"done,failed", "failed"},
    {"failed,queued", "queued"},
    {"cancelled,done", "failed"},
    {"failed,running", "running"},
};

static void add_jobs(fixture *f, int64_t series, const char *states)
{
    lam_autofree char *copy = strdup(states);
    char name[2] = "a";
    for (char *rest = copy, *one; (one = strsep(&rest, ",")); name[0]++)
        assert_int_equal(
            lam_db_run(f->db, NULL,
                       "INSERT INTO job (series_id, model, version, weights_sha256, input_set, state,"
                       " reason, created_ms, updated_ms) VALUES (?, ?, '1', 'w', 'now', ?,"
                       " 'because', 1, 1)",
                       "itt", series, name, one),
            LAM_OK);
}

static void refreshes_a_series_from_its_jobs(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    int64_t series = fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", "", 1000);
    for (size_t i = 0; i < LAM_COUNT(of_jobs); i++) {
        assert_ok(lam_db_run(f->db, &err, "DELETE FROM job", ""), err);
        assert_ok(lam_db_run(f->db, &err, "UPDATE series SET state = 'no_model', input_set = 'now'", ""),
                  err);
        add_jobs(f, series, of_jobs[i].jobs);
        assert_ok(lam_db_run(f->db, &err,
                             "INSERT INTO job (series_id, model, version, weights_sha256, input_set, state,"
                             " created_ms, updated_ms) VALUES (1, 'a', '1', 'w', 'old', 'running', 1, 1)",
                             ""),
                  err);
        assert_ok(lam_db_run(f->db, &err,
                             "INSERT INTO job_input SELECT id, 0, '', series_id, input_set FROM job", ""),
                  err);
        assert_ok(lam_catalog_refresh(f->db, series, 5000, &err), err);
        assert_row(f, "SELECT state FROM series", of_jobs[i].series);
        assert_row(f, "SELECT state FROM study", of_jobs[i].series);
        bool failed = strcmp(of_jobs[i].series, "failed") == 0;
        lam_autofree char *reason = fixture_text(f, "SELECT reason FROM series");
        if (failed)
            assert_non_null(strstr(reason, "because"));
    }
    assert_int_equal(fixture_integer(f, "SELECT updated_ms FROM study"), 5000);
}

static const struct {
    const char *series, *study;
} of_series[] = {
    {"no_model", "no_model"},          {"result", "no_model"},
    {"done,no_model", "done"},         {"done,result", "done"},
    {"done,failed", "failed"},         {"failed,queued", "queued"},
    {"queued,running", "running"},     {"running,receiving", "receiving"},
    {"failed,receiving", "receiving"}, {"no_model,no_model", "no_model"},
};

static void promise_4_refreshes_a_study_from_its_series(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", "", 1000);
    for (size_t i = 0; i < LAM_COUNT(of_series); i++) {
        lam_autofree char *copy = strdup(of_series[i].series);
        int64_t number = 0;
        assert_ok(lam_db_run(f->db, &err, "DELETE FROM series", ""), err);
        for (char *rest = copy, *one; (one = strsep(&rest, ","));)
            assert_ok(lam_db_run(f->db, &err,
                                 "INSERT INTO series (id, study_id, uid, state, received_ms)"
                                 " VALUES (?1, 1, ?1, ?2, 1)",
                                 "it", ++number, one),
                      err);
        assert_ok(lam_catalog_refresh(f->db, 1, 5000, &err), err);
        assert_row(f, "SELECT state FROM study", of_series[i].study);
    }
}

static void what_arrives_opens_its_series_again(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", "", 1000);
    assert_ok(lam_db_run(f->db, &err, "UPDATE series SET state = 'done', reason = 'x'", ""), err);
    assert_ok(lam_db_run(f->db, &err, "UPDATE study SET state = 'done'", ""), err);
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.2", "", 2000);
    assert_row(f, "SELECT state FROM series", "receiving");
    assert_row(f, "SELECT state FROM study", "receiving");
    assert_ok(lam_db_run(f->db, &err, "UPDATE series SET state = 'result'", ""), err);
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.3", "", 2000);
    assert_row(f, "SELECT state FROM series", "result");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(adds_study_series_instance),
        TEST(keeps_numbers_that_are_there),
        TEST(refuses_the_same_uid_twice),
        TEST(finds_instances_and_their_place),
        TEST(promise_5_the_input_set_does_not_depend_on_order),
        TEST(knows_the_last_file),
        TEST(a_study_that_is_not_there),
        TEST(refreshes_a_series_from_its_jobs),
        TEST(promise_4_refreshes_a_study_from_its_series),
        TEST(what_arrives_opens_its_series_again),
    };
    return cmocka_run_group_tests_name("catalog", tests, NULL, NULL);
}
