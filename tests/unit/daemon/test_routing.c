/* daemon/laminad/routing.h: which models a complete series meets, and what is said to the others (promise 4).
 */
#include <stdio.h>
#include <string.h>

#include "daemon/laminad/documents.h"
#include "daemon/laminad/jobs.h"
#include "daemon/laminad/routing.h"
#include "tests/unit/daemon/fixture.h"

#define SERIES(modality, description)                                                                        \
    ",\"00080060\":{\"vr\":\"CS\",\"Value\":[\"" modality                                                    \
    "\"]},\"0008103E\":{\"vr\":\"LO\",\"Value\":[\"" description "\"]}"

static void settle(fixture *f, int64_t now, int64_t expected_wait)
{
    lam_error err = {LAM_OK, ""};
    lam_models *models = fixture_models(f);
    int64_t wait = -7;
    assert_ok(lam_routing_settle_due(f->db, models, &f->config, now, &wait, &err), err);
    lam_models_unref(models);
    assert_int_equal(wait, expected_wait);
}

static void waits_until_a_series_is_quiet(void **state)
{
    fixture *f = *state;
    fixture_install(f, "alpha", "1.0.0", "MR", "hippo", 1, "w");
    settle(f, 5000, -1);
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", SERIES("MR", "Hippo T1"), 5000);
    settle(f, 5400, 600);
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.2", SERIES("MR", "Hippo T1"), 5500);
    settle(f, 6000, 500);
    assert_row(f, "SELECT state FROM series", "receiving");
    settle(f, 6500, -1);
    assert_row(f, "SELECT state FROM series", "queued");
    assert_row(f, "SELECT state FROM study", "queued");
    assert_row(f, "SELECT model || version || state FROM job", "alpha1.0.0queued");
}

/* What is announced is believed only when it comes out exactly. */
static void an_announced_number_of_instances_ends_the_wait(void **state)
{
    fixture *f = *state;
    const char *more = SERIES("MR", "x") ",\"00201208\":{\"vr\":\"IS\",\"Value\":[2]}";
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", more, 5000);
    settle(f, 5100, 900);
    fixture_receive(f, "1.2", "1.2.4", "1.2.4.1", more, 5200);
    settle(f, 5300, -1);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM series WHERE state = 'receiving'"), 0);
    fixture_receive(f, "1.2", "1.2.4", "1.2.4.2", more, 5400);
    settle(f, 5500, 900);
}

static void a_peer_may_have_a_quiet_time_of_its_own(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", SERIES("MR", "x"), 5000);
    assert_ok(lam_db_run(f->db, &err, "UPDATE series SET quiet_ms = 3000", ""), err);
    settle(f, 6500, 1500);
    settle(f, 8000, -1);
}

static void a_clock_set_back_keeps_no_series_waiting(void **state)
{
    fixture *f = *state;
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", SERIES("MR", "x"), 90000000);
    settle(f, 5000, -1);
    assert_row(f, "SELECT state FROM series", "no_model");
}

static void many_series_are_settled_in_turns(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", "", 1000);
    assert_ok(lam_db_run(f->db, &err,
                         "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)"
                         " INSERT INTO series (study_id, uid, state, received_ms)"
                         " SELECT 1, '1.9.' || i, 'receiving', 1000 FROM n",
                         ""),
              err);
    settle(f, 5000, 0); /* more to do, at once */
    settle(f, 5000, -1);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM series WHERE state = 'no_model'"), 101);
}

static void promise_4_says_why_no_model_fits(void **state)
{
    fixture *f = *state;
    fixture_install(f, "alpha", "1.0.0", "MR", "hippo", 1, "w");
    fixture_install(f, "beta", "1.0.0", "CT", NULL, 1, "w");
    fixture_install(f, "gamma", "1.0.0", "MR", "hippo", 5, "w");
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", SERIES("MR", "T2 brain"), 1000);
    fixture_receive(f, "1.2", "1.2.4", "1.2.4.1", SERIES("MR", "Hippo"), 1000);
    settle(f, 5000, -1);
    char *reason = fixture_text(f, "SELECT reason FROM series WHERE id = 1");
    assert_non_null(reason);
    assert_non_null(strstr(reason, "alpha 1.0.0: "));
    assert_non_null(strstr(reason, "SeriesDescription"));
    assert_non_null(strstr(reason, "beta 1.0.0: "));
    free(reason);
    assert_row(f, "SELECT group_concat(state) FROM series", "no_model,queued");
    assert_row(f, "SELECT group_concat(model) FROM job", "alpha");
}

static void promise_4_says_so_when_there_is_no_model(void **state)
{
    fixture *f = *state;
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", SERIES("MR", "T2 brain"), 1000);
    settle(f, 5000, -1);
    assert_row(f, "SELECT reason FROM series", "no model is installed");
    assert_row(f, "SELECT state FROM study", "no_model");
}

static void only_the_newest_version_gets_jobs(void **state)
{
    fixture *f = *state;
    fixture_install(f, "alpha", "1.9.0", "MR", NULL, 1, "w");
    fixture_install(f, "alpha", "1.10.0", "MR", NULL, 1, "w");
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", SERIES("MR", "x"), 1000);
    settle(f, 5000, -1);
    assert_row(f, "SELECT group_concat(version) FROM job", "1.10.0");
}

static void frames_of_one_object_count_as_slices(void **state)
{
    fixture *f = *state;
    fixture_install(f, "alpha", "1.0.0", "MR", NULL, 5, "w");
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", SERIES("MR", "x") ",\"00280008\":{\"Value\":[8]}", 1000);
    settle(f, 5000, -1);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM job"), 1);
}

static void a_rule_sends_what_the_selector_does_not_want(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    lam_config_rule rule = {.name = "r", .model = "alpha"};
    rule.when = lam_rule_create();
    assert_ok(lam_rule_add(rule.when, "Modality", LAM_RULE_EQUAL, "CT", &err), err);
    f->config.rules = &rule;
    f->config.rule_count = 1;
    fixture_install(f, "alpha", "1.0.0", "MR", NULL, 1, "w");
    fixture_install(f, "beta", "1.0.0", "MR", NULL, 1, "w");
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", SERIES("CT", "x"), 1000);
    settle(f, 5000, -1);
    assert_row(f, "SELECT group_concat(model) FROM job", "alpha");
    lam_rule_free(rule.when);
    f->config.rules = NULL;
    f->config.rule_count = 0;
}

static void a_grown_series_supersedes_what_waits(void **state)
{
    fixture *f = *state;
    fixture_install(f, "alpha", "1.0.0", "MR", NULL, 1, "w");
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", SERIES("MR", "x"), 1000);
    settle(f, 5000, -1);
    settle(f, 5000, -1);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM job"), 1);
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.2", SERIES("MR", "x"), 6000);
    settle(f, 9000, -1);
    assert_row(f, "SELECT group_concat(state) FROM job", "cancelled,queued");
    char *reason = fixture_text(f, "SELECT reason FROM job WHERE id = 1");
    assert_non_null(strstr(reason, "superseded"));
    free(reason);
    assert_row(f, "SELECT state FROM series", "queued"); /* the cancelled one counts for nothing */
}

static void replaced_content_is_analysed_again(void **state)
{
    fixture *f = *state;
    fixture_install(f, "alpha", "1.0.0", "MR", NULL, 1, "w");
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", SERIES("MR", "x"), 1000);
    settle(f, 5000, -1);
    assert_int_equal(lam_db_run(f->db, NULL, "UPDATE job SET state = 'done'", ""), LAM_OK);
    assert_int_equal(lam_db_run(f->db, NULL, "UPDATE instance SET revision = 1", ""), LAM_OK);
    assert_int_equal(lam_db_run(f->db, NULL, "UPDATE series SET state = 'receiving'", ""), LAM_OK);
    settle(f, 9000, -1);
    assert_row(f, "SELECT group_concat(state) FROM job", "done,queued");
}

/* ---- by hand ---- */

static lam_status analyze(fixture *f, const char *study, const char *only, lam_error *err)
{
    lam_models *models = fixture_models(f);
    lam_status status = lam_routing_analyze(f->db, study, models, &f->config, only, 7000, err);
    lam_models_unref(models);
    return status;
}

static void analyze_does_not_wait(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    fixture_install(f, "alpha", "1.0.0", "MR", NULL, 1, "w");
    fixture_install(f, "beta", "1.0.0", "MR", NULL, 1, "w");
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", SERIES("MR", "x"), 7000);
    fixture_receive(f, "1.2", "1.2.4", "1.2.4.1", SERIES("CT", "x"), 7000);
    assert_ok(analyze(f, "1.2", "beta", &err), err);
    assert_row(f, "SELECT group_concat(model) FROM job", "beta");
    assert_row(f, "SELECT group_concat(state) FROM series", "queued,no_model");
    assert_ok(analyze(f, "1.2", NULL, &err), err);
    assert_row(f, "SELECT group_concat(model) FROM (SELECT model FROM job ORDER BY id)", "beta,alpha");
}

static void analyze_tries_a_failed_job_again(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    fixture_install(f, "alpha", "1.0.0", "MR", NULL, 1, "w");
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", SERIES("MR", "x"), 7000);
    assert_ok(analyze(f, "1.2", NULL, &err), err);
    assert_ok(lam_db_run(f->db, &err, "UPDATE job SET state = 'failed', attempts = 3", ""), err);
    assert_ok(analyze(f, "1.2", NULL, &err), err);
    assert_row(f, "SELECT state || attempts FROM job", "queued0");
    assert_ok(lam_db_run(f->db, &err, "UPDATE job SET state = 'cancelled'", ""), err);
    assert_ok(analyze(f, "1.2", NULL, &err), err);
    assert_row(f, "SELECT state FROM job", "cancelled"); /* promise 6 */
}

static void analyze_names_what_is_not_there(void **state)
{
    fixture *f = *state;
    lam_error err;
    assert_fails(analyze(f, "1.2", NULL, &err), LAM_E_NOT_FOUND, err);
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", SERIES("MR", "x"), 7000);
    assert_fails(analyze(f, "1.2", "delta", &err), LAM_E_NOT_FOUND, err);
    assert_row(f, "SELECT state FROM series", "receiving");
}

static void results_are_never_analysed(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    fixture_install(f, "alpha", "1.0.0", "MR", NULL, 1, "w");
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", SERIES("MR", "x"), 1000);
    assert_ok(lam_db_run(f->db, &err, "UPDATE series SET state = 'result'", ""), err);
    assert_ok(analyze(f, "1.2", NULL, &err), err);
    settle(f, 90000, -1);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM job"), 0);
}

static void an_older_result_is_marked_superseded(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    json_t *answer = NULL;
    fixture_install(f, "alpha", "1.0.0", "MR", NULL, 1, "w");
    for (int i = 1; i <= 2; i++) {
        char sop[32];
        snprintf(sop, sizeof sop, "1.2.3.%d", i);
        fixture_receive(f, "1.2", "1.2.3", sop, SERIES("MR", "x"), 1000 * i);
        settle(f, 10000 * i, -1);
        assert_ok(lam_db_run(f->db, &err, "UPDATE job SET state = 'done' WHERE state = 'queued'", ""), err);
        assert_ok(
            lam_db_run(f->db, &err,
                       "INSERT INTO result (job_id, findings, created_ms) SELECT max(id), '{\"task\":\"t\"}',"
                       " 5 FROM job",
                       ""),
            err);
    }
    assert_ok(lam_document_results(f->db, "1.2", &answer, &err), err);
    const json_t *results = json_object_get(answer, "results");
    static const struct {
        json_int_t job;
        const char *state;
    } expected[] = {{2, "done"}, {1, "superseded"}};
    assert_int_equal(json_array_size(results), 2);
    for (size_t i = 0; i < 2; i++) {
        const json_t *result = json_array_get(results, i);
        assert_int_equal(json_integer_value(json_object_get(result, "job")), expected[i].job);
        assert_string_equal(json_string_value(json_object_get(result, "state")), expected[i].state);
    }
    json_decref(answer);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(waits_until_a_series_is_quiet),
        TEST(an_announced_number_of_instances_ends_the_wait),
        TEST(a_peer_may_have_a_quiet_time_of_its_own),
        TEST(a_clock_set_back_keeps_no_series_waiting),
        TEST(many_series_are_settled_in_turns),
        TEST(promise_4_says_why_no_model_fits),
        TEST(promise_4_says_so_when_there_is_no_model),
        TEST(only_the_newest_version_gets_jobs),
        TEST(frames_of_one_object_count_as_slices),
        TEST(a_rule_sends_what_the_selector_does_not_want),
        TEST(a_grown_series_supersedes_what_waits),
        TEST(replaced_content_is_analysed_again),
        TEST(analyze_does_not_wait),
        TEST(analyze_tries_a_failed_job_again),
        TEST(analyze_names_what_is_not_there),
        TEST(results_are_never_analysed),
        TEST(an_older_result_is_marked_superseded),
    };
    return cmocka_run_group_tests_name("routing", tests, NULL, NULL);
}
