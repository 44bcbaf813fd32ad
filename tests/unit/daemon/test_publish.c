/* daemon/laminad/publish.h: exactly once (promise 5), and nothing from a worker that breaks the contract. */
#include <stdio.h>
#include <string.h>

#include "core/base/io.h"
#include "daemon/laminad/publish.h"
#include "tests/unit/daemon/fixture.h"

static const lam_job_limits limits = {.max_attempts = 3, .retry_delay_ms = 0, .lease_ms = 1000};

typedef struct attempt {
    lam_job job;
    lam_output outputs[3];
} attempt;

/* A running job over a series of one instance, and outputs as a worker would have left them. */
static void begin(fixture *f, attempt *a)
{
    static const char *const kinds[] = {"SEG", "SR", "montage"};
    lam_error err = {LAM_OK, ""};
    assert_ok(lam_db_begin(f->db, &err), err);
    assert_ok(lam_jobs_claim(f->db, "node/1", &limits, 5000, &a->job, &err), err);
    assert_ok(lam_db_commit(f->db, &err), err);
    for (int i = 0; i < 3; i++) {
        a->outputs[i] = (lam_output){.kind = kinds[i], .fd = -1};
        assert_ok(lam_spool_create(f->store, a->outputs[i].name, &a->outputs[i].fd, &err), err);
        assert_ok(lam_io_write_all(a->outputs[i].fd, kinds[i], strlen(kinds[i]), &err), err);
    }
}

static void end(fixture *f, attempt *a)
{
    for (int i = 0; i < 3; i++) {
        close(a->outputs[i].fd);
        lam_spool_remove(f->store, a->outputs[i].name);
    }
}

static void queue_job(fixture *f)
{
    char input_set[65];
    int64_t instances;
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", "", 1000);
    assert_int_equal(lam_catalog_input_set(f->db, 1, input_set, &instances, NULL), LAM_OK);
    assert_int_equal(
        lam_db_run(f->db, NULL, "UPDATE series SET state = 'queued', input_set = ?", "t", input_set), LAM_OK);
    assert_int_equal(fixture_add_job(f, 1, "m", "w", input_set, 1000, NULL), LAM_OK);
}

/* DONE with two objects; each %s is the indexed header of one. */
static char *done_with(int first, const char *study, const char *seg_series, const char *seg, int second)
{
    char *text = NULL;
    lam_autofree char *seg_index = fixture_indexed(study, seg_series, seg, "");
    lam_autofree char *sr_index = fixture_indexed("1.2", "1.2.5", "1.2.5.1", "");
    assert_true(
        asprintf(&text,
                 "{\"task\":\"segmentation\",\"timings_ms\":{\"network\":12},\"segments\":[{\"number\":1}],"
                 "\"objects\":[{\"output\":%d,\"type\":\"SEG\",\"index\":%s},"
                 "{\"output\":%d,\"type\":\"SR\",\"index\":%s}],"
                 "\"pictures\":[{\"output\":2,\"name\":\"montage\",\"media_type\":\"image/png\"}]}",
                 first, seg_index, second, sr_index) > 0);
    return text;
}

static lam_status publish(fixture *f, attempt *a, const char *payload, lam_error *err)
{
    return lam_publish(f->db, f->store, &a->job, payload, a->outputs, 3, &limits, 6000, err);
}

static void publishes_objects_findings_and_picture(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    attempt a;
    queue_job(f);
    begin(f, &a);
    lam_autofree char *payload = done_with(0, "1.2", "1.2.4", "1.2.4.1", 1);
    assert_ok(publish(f, &a, payload, &err), err);
    end(f, &a);
    assert_row(f, "SELECT group_concat(state) FROM series", "done,result,result");
    assert_row(f, "SELECT state FROM study", "done");
    assert_row(f, "SELECT state FROM job", "done");
    assert_row(f, "SELECT outcome || timings FROM attempt", "done{\"network\":12}");
    assert_row(f, "SELECT group_concat(type) FROM result_object", "SEG,SR");
    assert_row(f, "SELECT name FROM picture", "montage");
    assert_row(f, "SELECT json_extract(findings, '$.segments[0].number') FROM result", "1");
    assert_int_equal(fixture_count_files(f, "store"), 4);
    assert_int_equal(fixture_count_files(f, "spool"), 0);
    assert_int_equal(fixture_restart(f), 0);
}

/* As after a crash between the commit and the moment at which the scheduler would have known. */
static void promise_5_a_second_run_publishes_nothing_new(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    attempt a;
    queue_job(f);
    lam_autofree char *payload = done_with(0, "1.2", "1.2.4", "1.2.4.1", 1);
    for (int i = 0; i < 2; i++) {
        assert_ok(lam_db_run(f->db, &err, "UPDATE job SET state = 'queued', not_before_ms = 0", ""), err);
        begin(f, &a);
        assert_ok(publish(f, &a, payload, &err), err);
        end(f, &a);
    }
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM instance"), 3);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM result_object"), 2);
    assert_int_equal(fixture_integer(f, "SELECT sum(instances) FROM series"), 3);
    assert_int_equal(fixture_count_files(f, "store"), 4);
    assert_int_equal(fixture_count_files(f, "spool"), 0);
}

static void a_cancelled_job_publishes_nothing(void **state)
{
    fixture *f = *state;
    lam_error err;
    attempt a;
    queue_job(f);
    begin(f, &a);
    assert_int_equal(lam_jobs_apply(f->db, a.job.id, LAM_JOB_CANCEL, &limits, "x", NULL, 1, NULL), LAM_OK);
    lam_autofree char *payload = done_with(0, "1.2", "1.2.4", "1.2.4.1", 1);
    assert_fails(publish(f, &a, payload, &err), LAM_E_STATE, err);
    end(f, &a);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM instance"), 1);
    assert_int_equal(fixture_count_files(f, "store"), 1);
}

static void nothing_is_left(fixture *f)
{
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM instance"), 1);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM series"), 1);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM result"), 0);
    assert_int_equal(fixture_count_files(f, "store"), 1);
    assert_row(f, "SELECT state FROM job", "running");
}

static void refuses_a_lying_worker(void **state)
{
    fixture *f = *state;
    static const struct {
        int first, second;
        const char *study, *series, *sop;
        lam_status expected;
    } cases[] = {
        {0, 1, "1.9", "1.2.4", "1.2.4.1", LAM_E_CORRUPT}, /* another study */
        {0, 1, "1.2", "1.2.3", "1.2.4.1", LAM_E_CORRUPT}, /* the series it came from */
        {3, 1, "1.2", "1.2.4", "1.2.4.1", LAM_E_CORRUPT}, /* no such output */
        {-1, 1, "1.2", "1.2.4", "1.2.4.1", LAM_E_CORRUPT},
        {1, 1, "1.2", "1.2.4", "1.2.4.1", LAM_E_CORRUPT}, /* the same output twice */
        {0, 2, "1.2", "1.2.4", "1.2.4.1", LAM_E_CORRUPT}, /* and as a picture too */
        {0, 1, "1.2", "1.2.4", "1.2.3.1", LAM_E_EXISTS},  /* the UID of what was received */
        {0, 1, "1.2", "1.2.4", "../../x", LAM_E_CORRUPT},
    };
    attempt a;
    queue_job(f);
    begin(f, &a);
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        lam_error err;
        lam_autofree char *payload =
            done_with(cases[i].first, cases[i].study, cases[i].series, cases[i].sop, cases[i].second);
        assert_fails(publish(f, &a, payload, &err), cases[i].expected, err);
        nothing_is_left(f);
        end(f, &a); /* what was adopted is gone: outputs afresh */
        assert_int_equal(lam_db_run(f->db, NULL, "UPDATE job SET state = 'queued', not_before_ms = 0", ""),
                         LAM_OK);
        begin(f, &a);
    }
    end(f, &a);
}

static void refuses_a_series_that_was_received(void **state)
{
    fixture *f = *state;
    lam_error err;
    attempt a;
    queue_job(f);
    fixture_receive(f, "1.2", "1.2.4", "1.2.4.9", "", 1000);
    begin(f, &a);
    lam_autofree char *payload = done_with(0, "1.2", "1.2.4", "1.2.4.1", 1);
    assert_fails(publish(f, &a, payload, &err), LAM_E_CORRUPT, err);
    end(f, &a);
    assert_int_equal(fixture_count_files(f, "store"), 2);
}

#define WITH_PICTURE(name, media_type)                                                                       \
    "{\"task\":\"t\",\"objects\":[],\"pictures\":[{\"output\":2,\"name\":\"" name                            \
    "\",\"media_type\":\"" media_type "\"}]}"

static void refuses_answers_of_another_shape(void **state)
{
    fixture *f = *state;
    static const char *const payloads[] = {
        "",
        "null",
        "[]",
        "{}",
        "{\"task\":\"t\"}",
        "{\"task\":7,\"objects\":[]}",
        "{\"task\":\"t\",\"objects\":{}}",
        "{\"task\":\"t\",\"objects\":[7]}",
        "{\"task\":\"t\",\"objects\":[{\"output\":0}]}",
        "{\"task\":\"t\",\"objects\":[{\"output\":0,\"type\":\"SEG\"}]}",
        "{\"task\":\"t\",\"objects\":[{\"output\":\"0\",\"type\":\"SEG\",\"index\":{}}]}",
        WITH_PICTURE("../x", "image/png"),
        WITH_PICTURE("x", "text/html"),
    };
    attempt a;
    queue_job(f);
    begin(f, &a);
    for (size_t i = 0; i < LAM_COUNT(payloads); i++) {
        lam_error err;
        assert_fails(publish(f, &a, payloads[i], &err), LAM_E_CORRUPT, err);
        nothing_is_left(f);
    }
    end(f, &a);
}

/* A full disk in the middle of the rows: no file of the result stays behind. */
static void promise_1_a_failing_database_leaves_no_file(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    attempt a;
    char reason[9000];
    memset(reason, 'x', sizeof reason - 1);
    reason[sizeof reason - 1] = '\0';
    queue_job(f);
    begin(f, &a);
    lam_autofree char *seg_index = fixture_indexed("1.2", "1.2.4", "1.2.4.1", "");
    char *payload = NULL;
    assert_true(asprintf(&payload,
                         "{\"task\":\"%s\",\"objects\":[{\"output\":0,\"type\":\"SEG\",\"index\":%s}]}",
                         reason, seg_index) > 0);
    assert_ok(lam_db_run(f->db, &err, "PRAGMA max_page_count=1", ""), err);
    assert_fails(publish(f, &a, payload, &err), LAM_E_NO_SPACE, err);
    free(payload);
    end(f, &a);
    assert_ok(lam_db_run(f->db, &err, "PRAGMA max_page_count=1000000", ""), err);
    nothing_is_left(f);
}

/* A variant for each destination's profile; what broke a rule is kept and goes nowhere. */
static void the_gate_and_the_profiles_decide_what_is_sent(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    attempt a;
    queue_job(f);
    assert_ok(
        lam_db_run(f->db, &err,
                   "INSERT INTO destination (name, kind, profile, active) VALUES ('a', 'dimse', 'strict', 1),"
                   " ('b', 'dicomweb', 'ohif', 1)",
                   ""),
        err);
    begin(f, &a);
    lam_autofree char *one = fixture_indexed("1.2", "1.2.4", "1.2.4.1", "");
    lam_autofree char *two = fixture_indexed("1.2", "1.2.5", "1.2.5.1", "");
    lam_autofree char *three = fixture_indexed("1.2", "1.2.6", "1.2.6.1", "");
    lam_autofree char *payload = NULL;
    assert_true(
        asprintf(&payload,
                 "{\"task\":\"segmentation\",\"objects\":["
                 "{\"output\":0,\"type\":\"SEG\",\"profile\":\"strict\",\"problems\":[],\"index\":%s},"
                 "{\"output\":1,\"type\":\"SR\",\"profile\":\"strict\",\"problems\":[\"no\"],\"index\":%s},"
                 "{\"output\":2,\"type\":\"SEG\",\"profile\":\"ohif\",\"problems\":[],\"index\":%s}]}",
                 one, two, three) > 0);
    assert_ok(publish(f, &a, payload, &err), err);
    end(f, &a);
    assert_row(f, "SELECT problems FROM result_object WHERE problems IS NOT NULL", "[\"no\"]");
    assert_row(f,
               "SELECT group_concat(d.destination || i.uid, ' ') FROM (SELECT * FROM delivery ORDER BY "
               "destination) d"
               " JOIN instance i ON i.id = d.instance_id",
               "a1.2.4.1 b1.2.6.1");
}

/* More images, another job: its report takes the place of the first one's. */
static void a_later_report_names_its_predecessor(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    attempt a;
    queue_job(f);
    begin(f, &a);
    assert_ok(lam_publish_predecessor(f->db, &a.job, &err), err);
    assert_string_equal(a.job.replaces_sop, "");
    lam_autofree char *payload = done_with(0, "1.2", "1.2.4", "1.2.4.1", 1);
    assert_ok(publish(f, &a, payload, &err), err);
    end(f, &a);
    assert_int_equal(fixture_add_job(f, 1, "m", "w", "another set", 6000, NULL), LAM_OK);
    begin(f, &a);
    assert_ok(lam_publish_predecessor(f->db, &a.job, &err), err);
    assert_string_equal(a.job.replaces_sop, "1.2.5.1");
    assert_string_equal(a.job.replaces_series, "1.2.5");
    end(f, &a);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(publishes_objects_findings_and_picture),
        TEST(promise_5_a_second_run_publishes_nothing_new),
        TEST(a_cancelled_job_publishes_nothing),
        TEST(refuses_a_lying_worker),
        TEST(refuses_a_series_that_was_received),
        TEST(refuses_answers_of_another_shape),
        TEST(promise_1_a_failing_database_leaves_no_file),
        TEST(the_gate_and_the_profiles_decide_what_is_sent),
        TEST(a_later_report_names_its_predecessor),
    };
    return cmocka_run_group_tests_name("publish", tests, NULL, NULL);
}
