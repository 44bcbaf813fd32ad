/* daemon/laminad/removal.h: what a removal takes with it, and what it leaves. */
#include "daemon/laminad/removal.h"

#include <stdio.h>

#include "tests/unit/daemon/fixture.h"

static void receive(fixture *f)
{
    fixture_receive(f, "1.2", "1.2.1", "1.2.1.1", ",\"00080060\":{\"vr\":\"CS\",\"Value\":[\"MR\"]}", 1000);
    fixture_receive(f, "1.2", "1.2.1", "1.2.1.2", ",\"00080060\":{\"vr\":\"CS\",\"Value\":[\"MR\"]}", 1000);
    fixture_receive(f, "1.2", "1.2.2", "1.2.2.1", ",\"00080060\":{\"vr\":\"CS\",\"Value\":[\"CT\"]}", 1000);
    fixture_receive(f, "1.3", "1.3.1", "1.3.1.1", "", 1000);
}

static int64_t remove_ok(fixture *f, const char *study, const char *series, const char *sop)
{
    const lam_place place = {study, series, sop};
    lam_error err = {LAM_OK, ""};
    int64_t instances = -1;
    assert_ok(lam_removal_run(f->db, f->store, &place, 5000, &instances, &err), err);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM removed_file"), 0);
    return instances;
}

static void test_a_study(void **state)
{
    fixture *f = *state;
    receive(f);
    assert_int_equal(fixture_count_files(f, "store"), 4);
    assert_int_equal(remove_ok(f, "1.2", NULL, NULL), 3);
    assert_int_equal(fixture_count_files(f, "store"), 1);
    assert_row(f, "SELECT group_concat(uid) FROM study", "1.3");
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM series"), 1);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM metadata"), 1);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
}

static void test_a_series(void **state)
{
    fixture *f = *state;
    receive(f);
    assert_int_equal(remove_ok(f, "1.2", "1.2.2", NULL), 1);
    assert_row(
        f, "SELECT series_count || ' ' || instance_count || ' ' || modalities FROM study WHERE uid = '1.2'",
        "1 2 \\MR\\");
}

static void test_an_instance_and_then_the_last(void **state)
{
    fixture *f = *state;
    receive(f);
    assert_int_equal(remove_ok(f, "1.2", "1.2.1", "1.2.1.1"), 1);
    assert_row(f, "SELECT instances || ' ' || state FROM series WHERE uid = '1.2.1'", "1 receiving");
    assert_int_equal(remove_ok(f, "1.3", "1.3.1", "1.3.1.1"), 1);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM study WHERE uid = '1.3'"), 0);
}

/* Its jobs go with it, running ones, too. */
static void test_jobs_go(void **state)
{
    fixture *f = *state;
    receive(f);
    lam_error err = {LAM_OK, ""};
    assert_ok(lam_db_begin(f->db, &err), err);
    assert_ok(
        lam_db_run(f->db, &err,
                   "INSERT INTO job (series_id, model, version, weights_sha256, input_set, state, created_ms,"
                   " updated_ms) SELECT id, 'm', '1.0.0', 'x', 'y', 'running', 5, 5 FROM series",
                   ""),
        err);
    assert_ok(lam_db_run(f->db, &err, "INSERT INTO job_input SELECT id, 0, '', series_id, 'y' FROM job", ""),
              err);
    assert_ok(lam_db_commit(f->db, &err), err);
    remove_ok(f, "1.2", "1.2.1", "1.2.1.1");
    assert_row(f, "SELECT group_concat(s.uid) FROM job j JOIN series s ON s.id = j.series_id", "1.2.2,1.3.1");
    remove_ok(f, "1.2", NULL, NULL);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM job"), 1);
}

/* The objects that a job wrote are about what it read: they go with it, in whichever study they lie. */
static void test_results_go(void **state)
{
    fixture *f = *state;
    receive(f);
    fixture_receive(f, "1.2", "1.2.9", "1.2.9.1", "", 1000);
    fixture_receive(f, "1.3", "1.3.9", "1.3.9.1", "", 1000);
    static const char *const steps[] = {
        "UPDATE series SET state = 'result' WHERE uid IN ('1.2.9', '1.3.9')",
        "INSERT INTO job (series_id, model, version, weights_sha256, input_set, state, created_ms, "
        "updated_ms)"
        " SELECT id, 'm', '1.0.0', 'x', 'y', 'done', 5, 5 FROM series WHERE uid IN ('1.2.1', '1.3.1')",
        "INSERT INTO job_input SELECT id, 0, '', series_id, 'y' FROM job",
        "INSERT INTO job_input SELECT j.id, 1, 'prior', s.id, 'y' FROM job j, series s"
        " WHERE j.series_id = (SELECT id FROM series WHERE uid = '1.3.1') AND s.uid = '1.2.1'",
        "INSERT INTO result_object (job_id, position, type, instance_id) SELECT j.id, 0, 'SR', i.id FROM job "
        "j"
        " JOIN series r ON r.id = j.series_id JOIN instance i ON i.uid = substr(r.uid, 1, 4) || '9.1'",
    };
    for (size_t i = 0; i < LAM_COUNT(steps); i++) {
        lam_error err = {LAM_OK, ""};
        assert_ok(lam_db_run(f->db, &err, steps[i], ""), err);
    }
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM result_object"), 2);
    assert_int_equal(remove_ok(f, "1.2", "1.2.1", NULL), 2);
    assert_row(f, "SELECT group_concat(uid) FROM (SELECT uid FROM series ORDER BY uid)", "1.2.2,1.3.1");
    assert_row(f, "SELECT group_concat(instance_count) FROM study", "1,1");
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM result_object"), 0);
    assert_int_equal(fixture_count_files(f, "store"), 2);
}

static void test_nothing_there(void **state)
{
    fixture *f = *state;
    receive(f);
    const lam_place places[] = {{"9.9", NULL, NULL}, {"1.2", "1.3.1", NULL}, {"1.2", "1.2.2", "1.2.1.1"}};
    for (size_t i = 0; i < LAM_COUNT(places); i++) {
        lam_error err = {LAM_OK, ""};
        int64_t instances = 0;
        assert_fails(lam_removal_run(f->db, f->store, &places[i], 5000, &instances, &err), LAM_E_NOT_FOUND,
                     err);
    }
    assert_int_equal(fixture_count_files(f, "store"), 4);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_study), TEST(test_a_series),   TEST(test_an_instance_and_then_the_last),
        TEST(test_jobs_go), TEST(test_results_go), TEST(test_nothing_there),
    };
    return cmocka_run_group_tests_name("removal", tests, NULL, NULL);
}
