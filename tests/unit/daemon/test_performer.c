/* daemon/laminad/performer.h and worklist.h: the states of workitems follow from those of jobs, in the same
 * transaction. */
#include "daemon/laminad/performer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/laminad/element.h"
#include "daemon/laminad/jobs.h"
#include "daemon/laminad/removal.h"
#include "daemon/laminad/routing.h"
#include "tests/unit/daemon/fixture.h"

#define MR ",\"00080060\":{\"vr\":\"CS\",\"Value\":[\"MR\"]}"
#define CT ",\"00080060\":{\"vr\":\"CS\",\"Value\":[\"CT\"]}"

enum { START = 100000, QUIET = START + 5000, DAY = 24 * 3600 * 1000 };

static const lam_job_limits limits = {.max_attempts = 3, .retry_delay_ms = 1, .lease_ms = 60000};

static int set_up(void **state)
{
    fixture_set_up(state);
    fixture *f = *state;
    strcpy(f->config.ae_title, "LAMINA");
    f->config.perform = LAM_PERFORM_ADDRESSED;
    f->config.input_wait_ms = DAY;
    f->config.keep_workitems_ms = DAY;
    fixture_install(f, "alpha", "1.0.0", "MR", NULL, 1, "w");
    return 0;
}

/* ---- doing ---- */

/* A workitem for all of a study, or one of its series. */
static json_t *workitem_for(const char *study, const char *series)
{
    json_t *ds = json_object(), *input = json_object();
    lam_element_set_text(ds, "00404005", "DT", "1970");
    lam_element_set_text(ds, "00080201", "SH", "+0000");
    lam_element_set_text(ds, "00404041", "CS", "READY");
    lam_element_set_text(ds, LAM_UPS_STATE, "CS", "SCHEDULED");
    lam_element_set_text(ds, "00741200", "CS", "MEDIUM");
    lam_element_set_text(ds, "00741204", "LO", "x");
    lam_element_set_item(ds, "00404025", lam_element_code("LAMINA", "99SITE", "x"));
    lam_element_set_text(input, "0020000D", "UI", study);
    if (series)
        lam_element_set_text(input, "0020000E", "UI", series);
    lam_element_set_item(ds, LAM_UPS_INPUT, input);
    return ds;
}

/* Enters one at START under `uid`, with another value for `tag` unless that is NULL. */
static void order(fixture *f, const char *uid, const char *study, const char *series, const char *tag,
                  const char *text)
{
    lam_error err = {LAM_OK, ""};
    char created[LAM_UID_TEXT];
    json_t *ds = workitem_for(study, series);
    if (tag)
        lam_element_set_text(ds, tag, "LO", text);
    assert_ok(lam_worklist_create(f->db, uid, ds, &f->config, START, created, &err), err);
    assert_string_equal(created, uid);
    json_decref(ds);
}

static int64_t turn(fixture *f, int64_t now)
{
    lam_error err = {LAM_OK, ""};
    int64_t wait = -7;
    lam_models *models = fixture_models(f);
    assert_ok(lam_routing_settle_due(f->db, models, &f->config, now, &wait, &err), err);
    assert_ok(lam_performer_turn(f->db, models, &f->config, now, &wait, &err), err);
    lam_models_unref(models);
    return wait;
}

static void apply(fixture *f, int64_t job, lam_job_event event, const char *reason)
{
    lam_error err = {LAM_OK, ""};
    assert_ok(lam_db_begin(f->db, &err), err);
    assert_ok(lam_db_end(f->db, lam_jobs_apply(f->db, job, event, &limits, reason, NULL, QUIET, &err), &err),
              err);
}

/* The next waiting job, begun. */
static int64_t claim(fixture *f)
{
    lam_error err = {LAM_OK, ""};
    lam_job job = {0};
    assert_ok(lam_db_begin(f->db, &err), err);
    assert_ok(lam_db_end(f->db, lam_jobs_claim(f->db, "n/1", &limits, 1000 * START, &job, &err), &err), err);
    return job.id;
}

#define assert_states(f, expected)                                                                           \
    assert_row(f, "SELECT group_concat(state, ', ') FROM (SELECT state FROM workitem ORDER BY uid)", expected)
#define PROGRESS "SELECT attributes -> '$.\"00741002\".Value[0]' FROM workitem ORDER BY uid LIMIT 1"

static void assert_told(fixture *f, const char *words)
{
    char *text = fixture_text(f, PROGRESS);
    assert_non_null(text);
    if (!strstr(text, words))
        fail_msg("\"%s\" is not in %s", words, text);
    free(text);
}

/* ---- performing ---- */

static void a_job_done_completes(void **state)
{
    fixture *f = *state;
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", MR, START);
    order(f, "9.1", "1.2", NULL, NULL, NULL);
    turn(f, START + 500);
    assert_states(f, "SCHEDULED"); /* more may come */
    turn(f, QUIET);
    assert_states(f, "IN PROGRESS");
    assert_told(f, "0 of 1 jobs");
    assert_row(f, "SELECT coalesce(transaction_uid, 'none') FROM workitem", "none");
    int64_t job = claim(f);
    apply(f, job, LAM_JOB_LOSE, "lost");
    assert_states(f, "IN PROGRESS");
    apply(f, claim(f), LAM_JOB_SUCCEED, NULL);
    assert_states(f, "COMPLETED");
    assert_told(f, "1 of 1 jobs");
    assert_row(f, "SELECT attributes ->> '$.\"00741000\".Value[0]' FROM workitem", "COMPLETED");
}

static void in_the_same_transaction(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    int64_t ended = 0;
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", MR, START);
    order(f, "9.1", "1.2", NULL, NULL, NULL);
    turn(f, QUIET);
    int64_t job = claim(f);
    assert_ok(lam_db_begin(f->db, &err), err);
    assert_ok(lam_jobs_apply(f->db, job, LAM_JOB_SUCCEED, &limits, NULL, NULL, QUIET, &err), err);
    assert_ok(lam_db_get_integer(f->db, &ended, &err,
                                 "SELECT count(*) FROM workitem WHERE state = 'COMPLETED'", ""),
              err);
    assert_int_equal(ended, 1);
    lam_db_rollback(f->db);
    assert_states(f, "IN PROGRESS");
    fixture_restart(f);
    turn(f, QUIET);
    assert_states(f, "IN PROGRESS");
    apply(f, job, LAM_JOB_SUCCEED, NULL);
    assert_states(f, "COMPLETED");
}

static void the_last_of_several_jobs(void **state)
{
    fixture *f = *state;
    fixture_install(f, "beta", "1.0.0", "MR", NULL, 1, "w");
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", MR, START);
    fixture_receive(f, "1.2", "1.2.4", "1.2.4.1", MR, START);
    order(f, "9.1", "1.2", NULL, NULL, NULL);
    order(f, "9.2", "1.2", "1.2.3", NULL, NULL);
    turn(f, QUIET);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM job"), 4);
    for (int i = 0; i < 3; i++)
        apply(f, claim(f), LAM_JOB_SUCCEED, NULL);
    assert_states(f, "IN PROGRESS, COMPLETED");
    assert_told(f, "3 of 4 jobs");
    apply(f, claim(f), LAM_JOB_REFUSE, "it is too thin");
    assert_states(f, "CANCELED, COMPLETED");
    assert_told(f, "it is too thin");
    assert_told(f, "110513");
}

static void a_series_that_grows(void **state)
{
    fixture *f = *state;
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", MR, START);
    fixture_receive(f, "1.2", "1.2.4", "1.2.4.1", MR, START);
    order(f, "9.1", "1.2", NULL, NULL, NULL);
    turn(f, QUIET);
    apply(f, claim(f), LAM_JOB_SUCCEED, NULL);
    fixture_receive(f, "1.2", "1.2.4", "1.2.4.2", MR, QUIET);
    turn(f, QUIET + 100);
    assert_states(f, "IN PROGRESS");
    turn(f, QUIET + 5000); /* the waiting job is superseded, and the other one done: that is not the end */
    assert_row(f, "SELECT group_concat(state, ' ') FROM (SELECT state FROM job ORDER BY id)",
               "done cancelled queued");
    assert_states(f, "IN PROGRESS");
    apply(f, claim(f), LAM_JOB_SUCCEED, NULL);
    assert_states(f, "COMPLETED");
}

static void what_was_done_before(void **state)
{
    fixture *f = *state;
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", MR, START);
    turn(f, QUIET);
    apply(f, claim(f), LAM_JOB_SUCCEED, NULL);
    order(f, "9.1", "1.2", NULL, NULL, NULL);
    turn(f, QUIET);
    assert_states(f, "COMPLETED");
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM job"), 1);
}

static void what_failed_before_is_tried_again(void **state)
{
    fixture *f = *state;
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", MR, START);
    turn(f, QUIET);
    apply(f, claim(f), LAM_JOB_REFUSE, "no");
    order(f, "9.1", "1.2", NULL, NULL, NULL);
    turn(f, QUIET);
    assert_states(f, "IN PROGRESS");
    apply(f, claim(f), LAM_JOB_SUCCEED, NULL);
    assert_states(f, "COMPLETED");
}

static void a_failure_of_a_model_that_is_gone(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    bool queued = false;
    int64_t series = fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", MR, START);
    turn(f, QUIET);
    apply(f, claim(f), LAM_JOB_SUCCEED, NULL);
    char *input_set = fixture_text(f, "SELECT input_set FROM series");
    assert_ok(fixture_add_job(f, series, "omega", "w", input_set, START, &queued), err);
    free(input_set);
    apply(f, claim(f), LAM_JOB_REFUSE, "no");
    order(f, "9.1", "1.2", NULL, NULL, NULL);
    turn(f, QUIET);
    assert_states(f, "COMPLETED");
}

static void nothing_wants_it(void **state)
{
    fixture *f = *state;
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", CT, START);
    order(f, "9.1", "1.2", NULL, NULL, NULL);
    turn(f, QUIET);
    assert_states(f, "CANCELED");
    assert_told(f, "110522");
    assert_told(f, "alpha: ");
}

static void input_that_is_removed(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    int64_t instances = 0;
    const lam_place place = {"1.2", NULL, NULL};
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", MR, START);
    order(f, "9.1", "1.2", NULL, NULL, NULL);
    turn(f, QUIET);
    assert_ok(lam_removal_run(f->db, f->store, &place, QUIET, &instances, &err), err);
    turn(f, QUIET);
    assert_states(f, "CANCELED");
    assert_told(f, "110523");
}

static void a_request_to_cancel(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    const char *warning = NULL;
    fixture_install(f, "beta", "1.0.0", "MR", NULL, 1, "w");
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", MR, START);
    order(f, "9.1", "1.2", NULL, NULL, NULL);
    turn(f, QUIET);
    claim(f);
    assert_ok(lam_worklist_request_cancel(f->db, "9.1", NULL, QUIET, &warning, &err), err);
    assert_null(warning);
    assert_states(f, "CANCELED");
    assert_row(f, "SELECT group_concat(state) FROM job", "cancelled,cancelled");
    assert_ok(lam_worklist_request_cancel(f->db, "9.1", NULL, QUIET, &warning, &err), err);
    assert_non_null(warning);
}

/* ---- waiting ---- */

static void times(void **state)
{
    fixture *f = *state;
    order(f, "9.1", "1.2", NULL, "00404005", "19700101000300");
    order(f, "9.2", "1.2", NULL, "00404008", "19700101000250");
    assert_int_equal(turn(f, START), 170000 - START);
    assert_states(f, "SCHEDULED, SCHEDULED");
    assert_int_equal(turn(f, 170000), 180000 - 170000);
    assert_states(f, "SCHEDULED, CANCELED");
    assert_int_equal(turn(f, 180000), DAY);
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", MR, 180000);
    assert_int_equal(turn(f, 190000), -1);
    assert_states(f, "IN PROGRESS, CANCELED");
    turn(f, 170000 + DAY + 1);
    assert_row(f, "SELECT group_concat(uid) FROM workitem", "9.1");
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM workitem_input"), 1);
}

static void the_urgent_first(void **state)
{
    fixture *f = *state;
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", MR, START);
    fixture_receive(f, "1.3", "1.3.3", "1.3.3.1", MR, START);
    order(f, "9.1", "1.2", NULL, NULL, NULL);
    order(f, "9.2", "1.3", NULL, "00741200", "HIGH");
    lam_error err = {LAM_OK, ""};
    assert_ok(lam_db_run(f->db, &err, "UPDATE series SET state = 'no_model'", ""), err);
    turn(f, START);
    assert_row(f,
               "SELECT t.uid FROM job j JOIN series s ON s.id = j.series_id JOIN study t ON t.id = s.study_id"
               " ORDER BY j.id LIMIT 1",
               "1.3");
}

/* They are begun in turns, so that jobs are given out meanwhile. */
static void many_at_once(void **state)
{
    fixture *f = *state;
    char uid[16];
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", MR, START);
    for (int i = 0; i < 20; i++) {
        snprintf(uid, sizeof uid, "9.%d", i);
        order(f, uid, "1.2", NULL, NULL, NULL);
    }
    assert_int_equal(turn(f, QUIET), 0);
    assert_int_equal(turn(f, QUIET), -1);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM workitem WHERE state = 'IN PROGRESS'"), 20);
    apply(f, claim(f), LAM_JOB_SUCCEED, NULL);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM workitem WHERE state = 'COMPLETED'"), 20);
}

static void another_claims_it_first(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    const char *warning = NULL;
    json_t *action = json_object();
    lam_element_set_text(action, LAM_UPS_STATE, "CS", "IN PROGRESS");
    lam_element_set_text(action, LAM_UPS_TRANSACTION, "UI", "7.7");
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", MR, START);
    order(f, "9.1", "1.2", NULL, NULL, NULL);
    assert_ok(lam_worklist_change_state(f->db, "9.1", action, START, &warning, &err), err);
    turn(f, QUIET);
    apply(f, claim(f), LAM_JOB_SUCCEED, NULL);
    assert_states(f, "IN PROGRESS");
    assert_fails(lam_worklist_request_cancel(f->db, "9.1", NULL, QUIET, &warning, &err), LAM_E_STATE, err);
    json_decref(action);
}

static void no_more_than_there_may_be(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    char created[LAM_UID_TEXT];
    order(f, "9.1", "1.2", NULL, NULL, NULL);
    assert_ok(
        lam_db_run(f->db, &err,
                   "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
                   " INSERT INTO workitem (uid, state, attributes, ours, ready, priority, start_ms,"
                   " expires_ms, updated_ms) SELECT '9.9.' || i, 'SCHEDULED', '{}', 0, 0, 1, 0, 0, 0 FROM n",
                   "i", (int64_t)LAM_WORKLIST_MAX_OPEN),
        err);
    json_t *ds = workitem_for("1.2", NULL);
    assert_fails(lam_worklist_create(f->db, NULL, ds, &f->config, START, created, &err), LAM_E_BUSY, err);
    assert_ok(lam_db_run(f->db, &err, "UPDATE workitem SET state = 'CANCELED' WHERE uid = '9.1'", ""), err);
    assert_ok(lam_worklist_create(f->db, NULL, ds, &f->config, START, created, &err), err);
    assert_true(lam_uid_is_valid(created));
    json_decref(ds);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, fixture_tear_down)
        TEST(a_job_done_completes),
        TEST(in_the_same_transaction),
        TEST(the_last_of_several_jobs),
        TEST(a_series_that_grows),
        TEST(what_was_done_before),
        TEST(what_failed_before_is_tried_again),
        TEST(a_failure_of_a_model_that_is_gone),
        TEST(nothing_wants_it),
        TEST(input_that_is_removed),
        TEST(a_request_to_cancel),
        TEST(times),
        TEST(the_urgent_first),
        TEST(many_at_once),
        TEST(another_claims_it_first),
        TEST(no_more_than_there_may_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
