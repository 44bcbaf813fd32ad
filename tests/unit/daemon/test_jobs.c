/* daemon/laminad/jobs.h: the only ways from one state to another, attempts and leases (promise 6). */
#include <stdio.h>
#include <string.h>

#include "daemon/laminad/jobs.h"
#include "daemon/laminad/outbox.h"
#include "tests/unit/daemon/fixture.h"

static const lam_job_limits limits = {.max_attempts = 3, .retry_delay_ms = 100, .lease_ms = 1000};

/* Row: state; column: event in the order of lam_job_event; '-' is not legal, else the first letter of the
 * next state (q r d f c). */
static const char *const legal[LAM_JOB_STATES] = {
    /*                    claim succeed lose refuse give_up interrupt retry cancel */
    [LAM_JOB_QUEUED] = "r------c", [LAM_JOB_RUNNING] = "-dqffq-c",   [LAM_JOB_DONE] = "--------",
    [LAM_JOB_FAILED] = "------q-", [LAM_JOB_CANCELLED] = "--------",
};

static void every_state_meets_every_event(void **state)
{
    (void)state;
    for (int s = 0; s < LAM_JOB_STATES; s++)
        for (int e = 0; e < LAM_JOB_EVENTS; e++) {
            lam_job_state next = LAM_JOB_STATES;
            bool is_legal = lam_job_next((lam_job_state)s, (lam_job_event)e, &next);
            assert_int_equal(is_legal, legal[s][e] != '-');
            if (is_legal)
                assert_int_equal(lam_job_state_name(next)[0], legal[s][e]);
            else
                assert_int_equal(next, LAM_JOB_STATES);
        }
}

static void names_read_back(void **state)
{
    (void)state;
    for (int s = 0; s < LAM_JOB_STATES; s++) {
        lam_job_state back = LAM_JOB_STATES;
        assert_true(lam_job_state_parse(lam_job_state_name((lam_job_state)s), &back));
        assert_int_equal(back, s);
    }
    lam_job_state back;
    assert_false(lam_job_state_parse("lost", &back));
}

/* ---- a job in the database ---- */

static int64_t add_job(fixture *f)
{
    lam_error err = {LAM_OK, ""};
    char input_set[65];
    int64_t series = fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", "", 1000), instances;
    bool queued = false;
    assert_ok(lam_catalog_input_set(f->db, series, input_set, &instances, &err), err);
    assert_ok(lam_db_run(f->db, &err, "UPDATE series SET state = 'queued', input_set = ?", "t", input_set),
              err);
    assert_int_equal(fixture_add_job(f, series, "m", "w", input_set, 1000, &queued), LAM_OK);
    assert_true(queued);
    return fixture_integer(f, "SELECT max(id) FROM job");
}

static lam_status in_transaction(fixture *f, lam_status status)
{
    if (status != LAM_OK) {
        lam_db_rollback(f->db);
        return status;
    }
    return lam_db_commit(f->db, NULL);
}

static lam_status claim(fixture *f, int64_t now, lam_job *job)
{
    assert_int_equal(lam_db_begin(f->db, NULL), LAM_OK);
    return in_transaction(f, lam_jobs_claim(f->db, "node/1", &limits, now, job, NULL));
}

static lam_status apply(fixture *f, int64_t job, lam_job_event event, int64_t now, lam_error *err)
{
    assert_int_equal(lam_db_begin(f->db, NULL), LAM_OK);
    return in_transaction(f, lam_jobs_apply(f->db, job, event, &limits, "why", NULL, now, err));
}

static void is_queued_once(void **state)
{
    fixture *f = *state;
    add_job(f);
    bool queued = true;
    char *input_set = fixture_text(f, "SELECT input_set FROM job");
    assert_int_equal(fixture_add_job(f, 1, "m", "w", input_set, 2000, &queued), LAM_OK);
    assert_false(queued);
    assert_int_equal(fixture_add_job(f, 1, "m", "other weights", input_set, 2000, &queued), LAM_OK);
    assert_true(queued);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM job"), 2);
    free(input_set);
}

/* Not even when the newest is gone: who was told it would meet another job, or take a new result for a
 * repeat. */
static void numbers_are_not_given_out_again(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    const char *destination =
        "INSERT INTO destination (name, kind, profile, active) VALUES ('a', 'webhook', '', 1),"
        " ('b', 'mllp', '', 1)";
    assert_ok(lam_db_run(f->db, &err, destination, ""), err);
    add_job(f);
    lam_autofree char *input_set = fixture_text(f, "SELECT input_set FROM job");
    for (int64_t job = 1; job < 4; job++) {
        if (job > 1)
            assert_int_equal(fixture_add_job(f, 1, "m", "w", input_set, 2000, NULL), LAM_OK);
        assert_int_equal(fixture_integer(f, "SELECT id FROM job"), job);
        assert_ok(lam_db_run(f->db, &err, "UPDATE job SET state = 'done'", ""), err);
        assert_ok(lam_outbox_enter(f->db, job, 2000, &err), err);
        assert_int_equal(fixture_integer(f, "SELECT min(id) FROM delivery WHERE destination = 'a'"),
                         2 * job - 1);
        assert_int_equal(fixture_integer(f, "SELECT max(id) FROM delivery WHERE destination = 'b'"), 2 * job);
        assert_ok(lam_db_run(f->db, &err, "DELETE FROM job", ""), err);
        assert_int_equal(fixture_integer(f, "SELECT count(*) FROM delivery"), 0);
    }
}

static void a_claim_takes_lease_and_attempt(void **state)
{
    fixture *f = *state;
    lam_job job;
    int64_t id = add_job(f);
    assert_int_equal(claim(f, 999, &job), LAM_OK);
    assert_int_equal(job.id, id);
    assert_int_equal(job.attempt, 1);
    assert_int_equal(job.input_count, 1);
    assert_int_equal(job.inputs[0].instances, 1);
    assert_string_equal(job.model, "m");
    assert_string_equal(job.study_uid, "1.2");
    assert_string_equal(job.series_uid, "1.2.3");
    assert_row(f, "SELECT state || lease_owner || lease_until_ms FROM job", "runningnode/11999");
    assert_row(f, "SELECT state FROM series", "running");
    assert_row(f, "SELECT state FROM study", "running");
    assert_int_equal(fixture_integer(f, "SELECT finished_ms IS NULL FROM attempt"), 1);
    assert_int_equal(claim(f, 999, &job), LAM_E_NOT_FOUND);
}

static void promise_6_lost_attempts_wait_longer_and_end_in_failed(void **state)
{
    fixture *f = *state;
    lam_job job;
    int64_t id = add_job(f), wait = -1, now = 10000;
    for (int attempt = 1; attempt <= 2; attempt++) {
        assert_int_equal(claim(f, now, &job), LAM_OK);
        assert_int_equal(job.attempt, attempt);
        assert_int_equal(apply(f, id, LAM_JOB_LOSE, now, NULL), LAM_OK);
        assert_row(f, "SELECT state FROM job", "queued");
        assert_int_equal(lam_jobs_next_start(f->db, now, &wait, NULL), LAM_OK);
        assert_int_equal(wait, 100 * attempt); /* 100, then 200 */
        assert_int_equal(claim(f, now + wait - 1, &job), LAM_E_NOT_FOUND);
        now += wait;
    }
    assert_int_equal(claim(f, now, &job), LAM_OK);
    assert_int_equal(apply(f, id, LAM_JOB_LOSE, now, NULL), LAM_OK);
    assert_row(f, "SELECT state || attempts || reason FROM job", "failed3why");
    assert_row(f, "SELECT state FROM study", "failed");
    assert_row(f, "SELECT group_concat(number || outcome) FROM attempt", "1lost,2lost,3lost");
    assert_int_equal(lam_jobs_next_start(f->db, now, &wait, NULL), LAM_OK);
    assert_int_equal(wait, -1);
    assert_int_equal(apply(f, id, LAM_JOB_RETRY, now, NULL), LAM_OK); /* retryable by hand */
    assert_row(f, "SELECT state || attempts FROM job", "queued0");
    assert_int_equal(claim(f, now, &job), LAM_OK);
    assert_int_equal(job.attempt, 4);
}

static void the_pause_has_a_bound(void **state)
{
    fixture *f = *state;
    static const lam_job_limits patient = {.max_attempts = 100, .retry_delay_ms = 86400000, .lease_ms = 1000};
    lam_job job;
    int64_t id = add_job(f), wait = 0;
    for (int attempt = 0; attempt < 20; attempt++) {
        assert_int_equal(lam_db_run(f->db, NULL, "UPDATE job SET not_before_ms = 0", ""), LAM_OK);
        assert_int_equal(claim(f, 1000, &job), LAM_OK);
        assert_int_equal(lam_jobs_apply(f->db, id, LAM_JOB_LOSE, &patient, "x", NULL, 1000, NULL), LAM_OK);
    }
    assert_int_equal(lam_jobs_next_start(f->db, 1000, &wait, NULL), LAM_OK);
    assert_int_equal(wait, (int64_t)86400000 * 512);
}

static void what_cannot_help_is_not_tried_again(void **state)
{
    fixture *f = *state;
    lam_job job;
    int64_t id = add_job(f);
    assert_int_equal(claim(f, 1000, &job), LAM_OK);
    assert_int_equal(apply(f, id, LAM_JOB_REFUSE, 1000, NULL), LAM_OK);
    assert_row(f, "SELECT state || attempts FROM job", "failed1");
    assert_row(f, "SELECT outcome FROM attempt", "failed");
}

static void promise_6_interruptions_cost_nothing_for_long(void **state)
{
    fixture *f = *state;
    lam_job job;
    int64_t id = add_job(f);
    for (int i = 1; i < LAM_JOB_MAX_INTERRUPTIONS; i++) {
        assert_int_equal(claim(f, 1000, &job), LAM_OK);
        assert_int_equal(apply(f, id, LAM_JOB_INTERRUPT, 1000, NULL), LAM_OK);
        assert_row(f, "SELECT state || attempts FROM job", "queued0");
    }
    assert_int_equal(claim(f, 1000, &job), LAM_OK);
    assert_int_equal(apply(f, id, LAM_JOB_INTERRUPT, 1000, NULL), LAM_OK);
    assert_row(f, "SELECT state FROM job", "failed");
}

static void promise_6_cancel_is_final(void **state)
{
    fixture *f = *state;
    lam_error err;
    lam_job job;
    int64_t id = add_job(f);
    assert_int_equal(claim(f, 1000, &job), LAM_OK);
    assert_int_equal(lam_jobs_renew(f->db, id, &limits, 1500, NULL), LAM_OK);
    assert_int_equal(fixture_integer(f, "SELECT lease_until_ms FROM job"), 2500);
    assert_int_equal(apply(f, id, LAM_JOB_CANCEL, 1600, NULL), LAM_OK);
    assert_fails(lam_jobs_renew(f->db, id, &limits, 1700, &err), LAM_E_STATE, err);
    for (int event = 0; event < LAM_JOB_EVENTS; event++)
        assert_fails(apply(f, id, (lam_job_event)event, 1800, &err), LAM_E_STATE, err);
    assert_non_null(strstr(err.message, "cancelled"));
    assert_row(f, "SELECT state FROM job", "cancelled");
    assert_row(f, "SELECT outcome FROM attempt", "cancelled");
    assert_row(f, "SELECT state FROM series", "failed");
}

static void a_job_that_is_not_there(void **state)
{
    fixture *f = *state;
    lam_error err;
    assert_fails(apply(f, 99, LAM_JOB_CANCEL, 1, &err), LAM_E_NOT_FOUND, err);
    assert_fails(lam_jobs_renew(f->db, 99, &limits, 1, &err), LAM_E_STATE, err);
}

static int recover(fixture *f, const char *node, int64_t now)
{
    lam_error err = {LAM_OK, ""};
    int count = -1;
    assert_ok(lam_jobs_recover(f->db, node, &limits, now, &count, &err), err);
    return count;
}

static void recovers_what_its_node_ran(void **state)
{
    fixture *f = *state;
    lam_job job;
    add_job(f);
    assert_int_equal(claim(f, 1000, &job), LAM_OK);
    assert_int_equal(recover(f, "nod", 1500), 0);
    assert_int_equal(recover(f, "other", 1500), 0);
    assert_int_equal(recover(f, "node", 1500), 1);
    assert_row(f, "SELECT state || attempts FROM job", "queued0");
    assert_row(f, "SELECT outcome FROM attempt", "interrupted");
}

static void recovers_what_lost_its_lease(void **state)
{
    fixture *f = *state;
    lam_job job;
    add_job(f);
    assert_int_equal(claim(f, 1000, &job), LAM_OK);
    assert_int_equal(recover(f, NULL, 2000), 0);
    assert_int_equal(recover(f, NULL, 2001), 1);
    assert_row(f, "SELECT state FROM job", "queued");
}

/* A clock that ran ahead and was set right must not make a job wait for the day it pretended. */
static void a_clock_set_back_keeps_no_job_waiting(void **state)
{
    fixture *f = *state;
    lam_job job;
    int64_t id = add_job(f), tomorrow = 1000 + 86400000, wait = 0;
    assert_int_equal(claim(f, tomorrow, &job), LAM_OK);
    assert_int_equal(apply(f, id, LAM_JOB_LOSE, tomorrow, NULL), LAM_OK);
    assert_int_equal(lam_jobs_next_start(f->db, 2000, &wait, NULL), LAM_OK);
    assert_true(wait > 80000000);
    recover(f, "node", 2000);
    assert_int_equal(lam_jobs_next_start(f->db, 2000, &wait, NULL), LAM_OK);
    assert_int_equal(wait, 0);
}

static void counts_what_is_due(void **state)
{
    fixture *f = *state;
    int64_t count = -1;
    assert_int_equal(lam_jobs_due(f->db, 1000, 64, &count, NULL), LAM_OK);
    assert_int_equal(count, 0);
    add_job(f);
    assert_int_equal(fixture_add_job(f, 1, "n", "w", "x", 1000, NULL), LAM_OK);
    assert_int_equal(lam_jobs_due(f->db, 1000, 64, &count, NULL), LAM_OK);
    assert_int_equal(count, 2);
    assert_int_equal(lam_jobs_due(f->db, 1000, 1, &count, NULL), LAM_OK);
    assert_int_equal(count, 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_meets_every_event),
        cmocka_unit_test(names_read_back),
        TEST(is_queued_once),
        TEST(numbers_are_not_given_out_again),
        TEST(a_claim_takes_lease_and_attempt),
        TEST(promise_6_lost_attempts_wait_longer_and_end_in_failed),
        TEST(the_pause_has_a_bound),
        TEST(what_cannot_help_is_not_tried_again),
        TEST(promise_6_interruptions_cost_nothing_for_long),
        TEST(promise_6_cancel_is_final),
        TEST(a_job_that_is_not_there),
        TEST(recovers_what_its_node_ran),
        TEST(recovers_what_lost_its_lease),
        TEST(a_clock_set_back_keeps_no_job_waiting),
        TEST(counts_what_is_due),
    };
    return cmocka_run_group_tests_name("jobs", tests, NULL, NULL);
}
