/* daemon/laminad/routed.h: a model that reads several series, and what is noted of each (promise 4). */
#include <stdio.h>
#include <string.h>

#include "daemon/laminad/documents.h"
#include "daemon/laminad/jobs.h"
#include "daemon/laminad/removal.h"
#include "daemon/laminad/routing.h"
#include "tests/unit/daemon/fixture.h"

#define ATTRIBUTE(tag, vr, value) ",\"" tag "\":{\"vr\":\"" vr "\",\"Value\":[\"" value "\"]}"
#define SERIES(description)       ATTRIBUTE("00080060", "CS", "MR") ATTRIBUTE("0008103E", "LO", description)
#define PATIENT(id, date)                                                                                    \
    ATTRIBUTE("00100020", "LO", id)                                                                          \
    ATTRIBUTE("00080020", "DA", date) ATTRIBUTE("00100030", "DA", "19500101")

static void settle(fixture *f)
{
    lam_error err = {LAM_OK, ""};
    lam_models *models = fixture_models(f);
    int64_t wait = -7;
    assert_ok(lam_routing_settle_due(f->db, models, &f->config, 1000000, &wait, &err), err);
    lam_models_unref(models);
}

static json_t *role(const char *name, const char *pattern, bool prior)
{
    return json_pack("{s:s,s:b,s:[{s:s,s:s}]}", "role", name, "prior", (int)prior, "match", "keyword",
                     "SeriesDescription", "pattern", pattern);
}

static void install_cine(fixture *f)
{
    fixture_install_selector(f, "cine", "1.0.0",
                             json_pack("{s:s,s:[o,o]}", "modality", "MR", "series",
                                       role("diastole", "ED", false), role("systole", "ES", false)),
                             "w");
}

static void install_growth(fixture *f)
{
    fixture_install_selector(f, "growth", "1.0.0",
                             json_pack("{s:s,s:[o,o]}", "modality", "MR", "series",
                                       role("current", "T1", false), role("prior", "T1", true)),
                             "w");
}

#define INPUTS "SELECT group_concat(job_id || role || series_id, ' ') FROM job_input"

/* In whichever order they come. */
static void two_series_become_one_job(void **state)
{
    fixture *f = *state;
    install_cine(f);
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", SERIES("SAX ES"), 1000);
    settle(f);
    assert_row(f, "SELECT state FROM series", "no_model");
    assert_row(f, "SELECT reason FROM opinion", "suits as systole, but nothing beside it suits as diastole");
    fixture_receive(f, "1.2", "1.2.4", "1.2.4.1", SERIES("SAX ED"), 2000);
    settle(f);
    assert_row(f, INPUTS, "1diastole2 1systole1");
    assert_row(f, "SELECT group_concat(state) FROM series", "queued,queued");
    assert_row(f, "SELECT group_concat(wanted) FROM opinion", "1,1");
    assert_row(f, "SELECT reason FROM opinion WHERE series_id = 1",
               "as systole: Modality is \"MR\", SeriesDescription is \"SAX ES\"");
}

/* Beside the roles: a series that has both phases in it. */
static void a_series_alone(void **state)
{
    fixture *f = *state;
    fixture_install_selector(f, "cine", "1.0.0",
                             json_pack("{s:s,s:b,s:[o,o]}", "modality", "MR", "alone", 1, "series",
                                       role("diastole", "ED", false), role("systole", "ES", false)),
                             "w");
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", SERIES("SAX ED"), 1000);
    fixture_receive(f, "1.2", "1.2.4", "1.2.4.1", SERIES("SAX cine"), 1000);
    settle(f);
    assert_row(f, INPUTS, "12");
    assert_row(f, "SELECT group_concat(wanted) FROM opinion", "0,1");
    assert_row(f, "SELECT reason FROM opinion WHERE series_id = 2", "Modality is \"MR\"");
}

/* A study is of one patient: messages about what was found name that one. */
static void a_series_of_another_patient(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    install_cine(f);
    fixture_install(f, "any", "1.0.0", "MR", NULL, 1, "w");
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", SERIES("SAX ED") PATIENT("P1", "20200101"), 1000);
    fixture_receive(f, "1.2", "1.2.4", "1.2.4.1", SERIES("SAX ES") PATIENT("P2", "20200101"), 1000);
    settle(f);
    assert_row(f, "SELECT group_concat(model || series_id, ' ') FROM job", "any1");
    assert_row(f, "SELECT group_concat(state) FROM series", "queued,no_model");
    assert_row(f, "SELECT group_concat(DISTINCT reason) FROM opinion WHERE series_id = 2",
               "its PatientID is not that of the study");
    lam_models *models = fixture_models(f);
    assert_ok(lam_routing_analyze(f->db, "1.2", models, &f->config, "cine", 1000000, &err), err);
    assert_row(f, "SELECT count(*) FROM job", "1");
    lam_models_unref(models);
    fixture_receive(f, "1.2", "1.2.5", "1.2.5.1", SERIES("SAX ES"), 2000); /* nobody's: may be P1's */
    settle(f);
    assert_row(f, "SELECT group_concat(model || series_id, ' ') FROM (SELECT * FROM job ORDER BY model, id)",
               "any1 any3 cine1");
}

/* Some models wait to be asked: by name, here. */
static void a_model_on_request(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    fixture_install_selector(f, "region", "1.0.0", json_pack("{s:s,s:b}", "modality", "MR", "on_request", 1),
                             "w");
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", SERIES("T1"), 1000);
    settle(f);
    assert_row(f, "SELECT series.state || count(job.id) FROM series LEFT JOIN job", "no_model0");
    assert_row(f, "SELECT wanted || reason FROM opinion",
               "0it reads only what a [rule] or a request for it names");
    lam_models *models = fixture_models(f);
    assert_ok(lam_routing_analyze(f->db, "1.2", models, &f->config, NULL, 1000000, &err), err);
    assert_row(f, "SELECT count(*) FROM job", "0");
    assert_ok(lam_routing_analyze(f->db, "1.2", models, &f->config, "region", 1000000, &err), err);
    assert_row(f, "SELECT count(*) FROM job", "1");
    lam_models_unref(models);
}

static void the_other_order(void **state)
{
    fixture *f = *state;
    install_cine(f);
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", SERIES("SAX ED"), 1000);
    settle(f);
    assert_row(f, "SELECT reason FROM opinion",
               "suits as diastole, but no complete series of the study suits as systole");
    fixture_receive(f, "1.2", "1.2.4", "1.2.4.1", SERIES("SAX ES"), 2000);
    settle(f);
    assert_row(f, INPUTS, "1diastole1 1systole2");
    assert_row(f, "SELECT count(*) || group_concat(wanted) FROM opinion", "21,1");
}

static void a_grown_partner_supersedes_what_waits(void **state)
{
    fixture *f = *state;
    install_cine(f);
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", SERIES("SAX ED"), 1000);
    fixture_receive(f, "1.2", "1.2.4", "1.2.4.1", SERIES("SAX ES"), 1000);
    settle(f);
    fixture_receive(f, "1.2", "1.2.4", "1.2.4.2", SERIES("SAX ES"), 2000);
    settle(f);
    assert_row(f, "SELECT group_concat(state) FROM job", "cancelled,queued");
    assert_row(f, "SELECT group_concat(state) FROM series", "queued,queued");
    assert_row(f, "SELECT group_concat(id) FROM current_job", "2");
}

static void the_end_of_a_job_is_that_of_all_its_series(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    lam_job job;
    static const lam_job_limits limits = {3, 1000, 60000};
    install_cine(f);
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", SERIES("SAX ED"), 1000);
    fixture_receive(f, "1.2", "1.2.4", "1.2.4.1", SERIES("SAX ES"), 1000);
    settle(f);
    assert_ok(lam_db_begin(f->db, &err), err);
    assert_ok(lam_jobs_claim(f->db, "node/1", &limits, 2000000, &job, &err), err);
    assert_int_equal(job.input_count, 2);
    assert_string_equal(job.inputs[0].role, "diastole");
    assert_string_equal(job.inputs[1].series_uid, "1.2.4");
    assert_ok(lam_db_commit(f->db, &err), err);
    assert_row(f, "SELECT group_concat(state) FROM series", "running,running");
    assert_ok(lam_db_begin(f->db, &err), err);
    assert_ok(lam_jobs_apply(f->db, job.id, LAM_JOB_REFUSE, &limits, "why", NULL, 2000000, &err), err);
    assert_ok(lam_db_commit(f->db, &err), err);
    assert_row(f, "SELECT group_concat(state) FROM series", "failed,failed");
    assert_row(f, "SELECT state FROM study", "failed");
}

static void a_prior_is_of_an_earlier_study_of_the_patient(void **state)
{
    fixture *f = *state;
    install_growth(f);
    fixture_receive(f, "1.1", "1.1.1", "1.1.1.1", SERIES("T1") PATIENT("a", "20240101"), 1000);
    fixture_receive(f, "1.2", "1.2.1", "1.2.1.1", SERIES("T1") PATIENT("a", "20250101"), 1000);
    fixture_receive(f, "1.3", "1.3.1", "1.3.1.1", SERIES("T1") PATIENT("b", "20230101"), 1000);
    fixture_receive(f, "1.4", "1.4.1", "1.4.1.1", SERIES("T2") PATIENT("a", "20250601"), 1000);
    settle(f);
    assert_row(f, INPUTS, "1current2 1prior1");
    assert_row(f, "SELECT group_concat(state) FROM (SELECT state FROM study ORDER BY id)",
               "no_model,queued,no_model,no_model");
    fixture_receive(f, "1.5", "1.5.1", "1.5.1.1", SERIES("T1") PATIENT("a", "20260101"), 2000);
    settle(f); /* the newest of the earlier ones */
    assert_row(f, "SELECT group_concat(role || series_id, ' ') FROM job_input WHERE job_id = 2",
               "current5 prior2");
}

/* A prior that is fetched after the current study has come. */
static void a_late_prior_is_taken_up(void **state)
{
    fixture *f = *state;
    install_growth(f);
    fixture_receive(f, "1.2", "1.2.1", "1.2.1.1", SERIES("T1") PATIENT("a", "20250101"), 1000);
    settle(f);
    assert_row(f, "SELECT reason FROM opinion",
               "suits as current, but no complete series of an earlier study of the patient suits as prior");
    fixture_receive(f, "1.1", "1.1.1", "1.1.1.1", SERIES("T1") PATIENT("a", "20240101"), 2000);
    settle(f);
    assert_row(f, INPUTS, "1current1 1prior2");
    assert_row(f, "SELECT group_concat(wanted) FROM opinion", "1,1");
}

static void a_removed_partner_takes_the_job_along(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    int64_t removed;
    const lam_place place = {.study_uid = "1.2", .series_uid = "1.2.4"};
    install_cine(f);
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", SERIES("SAX ED"), 1000);
    fixture_receive(f, "1.2", "1.2.4", "1.2.4.1", SERIES("SAX ES"), 1000);
    settle(f);
    assert_ok(lam_removal_run(f->db, f->store, &place, 2000, &removed, &err), err);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM job"), 0);
}

static void slices_are_measured_where_a_model_asks(void **state)
{
    fixture *f = *state;
    fixture_install_selector(f, "thin", "1.0.0", json_pack("{s:[f,f]}", "slice_spacing_mm", 0.5, 2.0), "w");
    for (int i = 0; i < 4; i++) {
        char sop[32], more[256];
        snprintf(sop, sizeof sop, "1.2.3.%d", i + 1);
        snprintf(more, sizeof more,
                 ",\"00200037\":{\"Value\":[1,0,0,0,1,0]},\"00200032\":{\"Value\":[0,0,%d]},"
                 "\"00180050\":{\"Value\":[1]}",
                 3 * i);
        fixture_receive(f, "1.2", "1.2.3", sop, more, 1000);
    }
    settle(f);
    assert_row(f, "SELECT reason FROM opinion", "the distance of slices is 3 mm, wanted 0.5 to 2 mm");
}

static void a_study_tells_what_each_model_said(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    json_t *study = NULL;
    fixture_install(f, "alpha", "1.0.0", "MR", "hippo", 1, "w");
    fixture_install(f, "beta", "1.0.0", "CT", NULL, 1, "w");
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", SERIES("Hippo"), 1000);
    settle(f);
    assert_ok(lam_document_study(f->db, "1.2", &study, &err), err);
    const json_t *series = json_array_get(json_object_get(study, "series"), 0);
    json_t *expected =
        json_pack("[{s:b,s:s,s:s,s:s},{s:b,s:s,s:s,s:s}]", "wanted", 1, "name", "alpha", "version", "1.0.0",
                  "reason", "Modality is \"MR\", SeriesDescription is \"Hippo\"", "wanted", 0, "name", "beta",
                  "version", "1.0.0", "reason", "Modality is \"MR\", wanted = CT");
    assert_true(json_equal(json_object_get(series, "models"), expected));
    json_decref(expected);
    json_decref(study);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(two_series_become_one_job),
        TEST(the_other_order),
        TEST(a_series_alone),
        TEST(a_series_of_another_patient),
        TEST(a_model_on_request),
        TEST(a_grown_partner_supersedes_what_waits),
        TEST(the_end_of_a_job_is_that_of_all_its_series),
        TEST(a_prior_is_of_an_earlier_study_of_the_patient),
        TEST(a_late_prior_is_taken_up),
        TEST(a_removed_partner_takes_the_job_along),
        TEST(slices_are_measured_where_a_model_asks),
        TEST(a_study_tells_what_each_model_said),
    };
    return cmocka_run_group_tests_name("routed", tests, NULL, NULL);
}
