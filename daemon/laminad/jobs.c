#include "daemon/laminad/jobs.h"

#include <string.h>

#include "core/base/sha256.h"
#include "core/base/text.h"
#include "daemon/laminad/catalog.h"
#include "daemon/laminad/performer.h"

static const char *const state_names[LAM_JOB_STATES] = {
    [LAM_JOB_QUEUED] = "queued", [LAM_JOB_RUNNING] = "running",     [LAM_JOB_DONE] = "done",
    [LAM_JOB_FAILED] = "failed", [LAM_JOB_CANCELLED] = "cancelled",
};

static const char *const event_names[LAM_JOB_EVENTS] = {
    [LAM_JOB_CLAIM] = "claim",   [LAM_JOB_SUCCEED] = "succeed", [LAM_JOB_LOSE] = "lose",
    [LAM_JOB_REFUSE] = "refuse", [LAM_JOB_GIVE_UP] = "give up", [LAM_JOB_INTERRUPT] = "interrupt",
    [LAM_JOB_RETRY] = "retry",   [LAM_JOB_CANCEL] = "cancel",
};

/* All legal transitions. `outcome` is what the attempt's row gets when one ends. */
static const struct {
    lam_job_state from;
    lam_job_event event;
    lam_job_state to;
    const char *outcome;
} transitions[] = {
    {LAM_JOB_QUEUED, LAM_JOB_CLAIM, LAM_JOB_RUNNING, NULL},
    {LAM_JOB_QUEUED, LAM_JOB_CANCEL, LAM_JOB_CANCELLED, NULL},
    {LAM_JOB_RUNNING, LAM_JOB_SUCCEED, LAM_JOB_DONE, "done"},
    {LAM_JOB_RUNNING, LAM_JOB_LOSE, LAM_JOB_QUEUED, "lost"},
    {LAM_JOB_RUNNING, LAM_JOB_REFUSE, LAM_JOB_FAILED, "failed"},
    {LAM_JOB_RUNNING, LAM_JOB_GIVE_UP, LAM_JOB_FAILED, "lost"},
    {LAM_JOB_RUNNING, LAM_JOB_INTERRUPT, LAM_JOB_QUEUED, "interrupted"},
    {LAM_JOB_RUNNING, LAM_JOB_CANCEL, LAM_JOB_CANCELLED, "cancelled"},
    {LAM_JOB_FAILED, LAM_JOB_RETRY, LAM_JOB_QUEUED, NULL},
};

const char *lam_job_state_name(lam_job_state state)
{
    return state_names[state];
}

bool lam_job_state_parse(const char *name, lam_job_state *out)
{
    for (int i = 0; i < LAM_JOB_STATES; i++)
        if (strcmp(state_names[i], name) == 0) {
            *out = (lam_job_state)i;
            return true;
        }
    return false;
}

static int find_transition(lam_job_state state, lam_job_event event)
{
    for (size_t i = 0; i < LAM_COUNT(transitions); i++)
        if (transitions[i].from == state && transitions[i].event == event)
            return (int)i;
    return -1;
}

bool lam_job_next(lam_job_state state, lam_job_event event, lam_job_state *next)
{
    int found = find_transition(state, event);
    if (found >= 0)
        *next = transitions[found].to;
    return found >= 0;
}

/* ---- what a job reads ---- */

void lam_jobs_input_set(const lam_job_input *inputs, size_t count, char text[65])
{
    lam_sha256 hash;
    if (count == 1) {
        memcpy(text, inputs->input_set, sizeof inputs->input_set);
        return;
    }
    lam_sha256_init(&hash);
    for (size_t i = 0; i < count; i++) {
        lam_sha256_update_text(&hash, inputs[i].role);
        lam_sha256_update_text(&hash, inputs[i].input_set);
    }
    lam_sha256_final_text(&hash, text);
}

static lam_status add_inputs(lam_db *db, const lam_job_input *inputs, size_t count, lam_error *err)
{
    int64_t job = lam_db_last_id(db);
    lam_status status = LAM_OK;
    for (size_t i = 0; status == LAM_OK && i < count; i++)
        status = lam_db_run(db, err,
                            "INSERT INTO job_input (job_id, position, role, series_id, input_set)"
                            " VALUES (?, ?, ?, ?, ?)",
                            "iitit", job, (int64_t)i, inputs[i].role, inputs[i].series, inputs[i].input_set);
    return status;
}

lam_status lam_jobs_add(lam_db *db, const lam_job_input *inputs, size_t count, const char *model,
                        const char *version, const char *weights_sha256, int64_t now_ms, bool *queued,
                        lam_error *err)
{
    char input_set[65];
    lam_jobs_input_set(inputs, count, input_set);
    lam_status status =
        lam_db_run(db, err,
                   "INSERT INTO job (id, series_id, model, version, weights_sha256, input_set, state,"
                   " created_ms, updated_ms) SELECT number + 1, ?1, ?2, ?3, ?4, ?5, 'queued', ?6, ?6"
                   " FROM last_number WHERE of = 'job' ON CONFLICT DO NOTHING",
                   "itttti", inputs->series, model, version, weights_sha256, input_set, now_ms);
    bool added = status == LAM_OK && lam_db_changes(db) == 1;
    if (added)
        status = add_inputs(db, inputs, count, err);
    if (status == LAM_OK && queued)
        *queued = added;
    return status;
}

static lam_status read_inputs(lam_db *db, lam_job *job, lam_error *err)
{
    sqlite3_stmt *s =
        lam_db_prepare(db, err,
                       "SELECT i.series_id, i.role, i.input_set, s.instances, s.uid FROM job_input i"
                       " JOIN series s ON s.id = i.series_id WHERE i.job_id = ? ORDER BY i.position",
                       "i", job->id);
    for (bool row = true; row;) {
        lam_status status = lam_db_step(db, s, &row, err);
        if (status != LAM_OK)
            return status;
        if (!row || job->input_count == LAM_JOB_MAX_INPUTS)
            continue;
        lam_job_input *input = &job->inputs[job->input_count++];
        *input =
            (lam_job_input){.series = sqlite3_column_int64(s, 0), .instances = sqlite3_column_int64(s, 3)};
        lam_text_copy(input->role, sizeof input->role, lam_db_text(s, 1));
        lam_text_copy(input->input_set, sizeof input->input_set, lam_db_text(s, 2));
        lam_text_copy(input->series_uid, sizeof input->series_uid, lam_db_text(s, 4));
    }
    return LAM_OK;
}

/* ---- attempts ---- */

static lam_status read_waiting(lam_db *db, int64_t now_ms, lam_job *out, lam_error *err)
{
    sqlite3_stmt *s = lam_db_prepare(
        db, err,
        "SELECT j.id, j.series_id, j.model, j.version, j.weights_sha256, j.input_set, t.uid, s.uid,"
        " (SELECT coalesce(max(number), 0) + 1 FROM attempt a WHERE a.job_id = j.id)"
        " FROM job j JOIN series s ON s.id = j.series_id JOIN study t ON t.id = s.study_id"
        " WHERE j.state = 'queued' AND j.not_before_ms <= ? ORDER BY j.not_before_ms, j.id LIMIT 1",
        "i", now_ms);
    bool row = false;
    lam_status status = lam_db_step(db, s, &row, err);
    if (status != LAM_OK)
        return status;
    if (!row)
        return LAM_E_NOT_FOUND;
    lam_job job = {.id = sqlite3_column_int64(s, 0),
                   .series = sqlite3_column_int64(s, 1),
                   .attempt = sqlite3_column_int(s, 8)};
    lam_text_copy(job.model, sizeof job.model, lam_db_text(s, 2));
    lam_text_copy(job.version, sizeof job.version, lam_db_text(s, 3));
    lam_text_copy(job.weights_sha256, sizeof job.weights_sha256, lam_db_text(s, 4));
    lam_text_copy(job.input_set, sizeof job.input_set, lam_db_text(s, 5));
    lam_text_copy(job.study_uid, sizeof job.study_uid, lam_db_text(s, 6));
    lam_text_copy(job.series_uid, sizeof job.series_uid, lam_db_text(s, 7));
    sqlite3_reset(s);
    status = read_inputs(db, &job, err);
    if (status == LAM_OK)
        *out = job;
    return status;
}

static lam_status start_attempt(lam_db *db, const lam_job *job, const char *owner,
                                const lam_job_limits *limits, int64_t now_ms, lam_error *err)
{
    lam_status status =
        lam_db_run(db, err,
                   "UPDATE job SET state = 'running', reason = NULL, lease_owner = ?2, lease_until_ms = ?3,"
                   " updated_ms = ?4 WHERE id = ?1 AND state = 'queued'",
                   "itii", job->id, owner, now_ms + limits->lease_ms, now_ms);
    if (status == LAM_OK)
        status = lam_db_run(db, err, "INSERT INTO attempt (job_id, number, started_ms) VALUES (?, ?, ?)",
                            "iii", job->id, (int64_t)job->attempt, now_ms);
    if (status == LAM_OK)
        status = lam_catalog_refresh_job(db, job->id, now_ms, err);
    return status;
}

lam_status lam_jobs_claim(lam_db *db, const char *owner, const lam_job_limits *limits, int64_t now_ms,
                          lam_job *out, lam_error *err)
{
    lam_job job;
    lam_status status = read_waiting(db, now_ms, &job, err);
    if (status == LAM_OK)
        status = start_attempt(db, &job, owner, limits, now_ms, err);
    if (status == LAM_OK)
        *out = job;
    return status;
}

lam_status lam_jobs_renew(lam_db *db, int64_t job, const lam_job_limits *limits, int64_t now_ms,
                          lam_error *err)
{
    lam_status status =
        lam_db_run(db, err, "UPDATE job SET lease_until_ms = ? WHERE id = ? AND state = 'running'", "ii",
                   now_ms + limits->lease_ms, job);
    if (status == LAM_OK && lam_db_changes(db) != 1)
        status = lam_fail(err, LAM_E_STATE, "job %lld is no longer running", (long long)job);
    return status;
}

typedef struct job_row {
    lam_job_state state;
    int attempts, interruptions;
} job_row;

static lam_status read_row(lam_db *db, int64_t job, job_row *out, lam_error *err)
{
    sqlite3_stmt *s =
        lam_db_prepare(db, err, "SELECT state, attempts, interruptions FROM job WHERE id = ?", "i", job);
    bool row = false;
    lam_status status = lam_db_step(db, s, &row, err);
    if (status != LAM_OK)
        return status;
    bool known = row && lam_job_state_parse(lam_db_text(s, 0), &out->state);
    if (!known) {
        sqlite3_reset(s);
        return lam_fail(err, LAM_E_NOT_FOUND, "there is no job %lld", (long long)job);
    }
    out->attempts = sqlite3_column_int(s, 1);
    out->interruptions = sqlite3_column_int(s, 2);
    sqlite3_reset(s);
    return LAM_OK;
}

/* Which event it really is: a lost attempt is the last one when none is left. */
static lam_job_event settle_event(lam_job_event event, const job_row *row, const lam_job_limits *limits)
{
    if (event == LAM_JOB_LOSE && row->attempts + 1 >= limits->max_attempts)
        return LAM_JOB_GIVE_UP;
    if (event == LAM_JOB_INTERRUPT && row->interruptions + 1 >= LAM_JOB_MAX_INTERRUPTIONS)
        return LAM_JOB_GIVE_UP;
    return event;
}

static lam_status write_row(lam_db *db, int64_t job, const job_row *row, lam_job_event event,
                            lam_job_state next, const lam_job_limits *limits, const char *reason,
                            int64_t now_ms, lam_error *err)
{
    int attempts = row->attempts, interruptions = row->interruptions;
    int64_t not_before = now_ms;
    if (event == LAM_JOB_RETRY)
        attempts = interruptions = 0;
    if (event == LAM_JOB_INTERRUPT)
        interruptions++;
    if (event == LAM_JOB_SUCCEED || event == LAM_JOB_LOSE || event == LAM_JOB_REFUSE ||
        event == LAM_JOB_GIVE_UP)
        attempts++;
    if (event == LAM_JOB_LOSE)
        not_before += limits->retry_delay_ms << (attempts < 10 ? attempts - 1 : 9);
    return lam_db_run(
        db, err,
        "UPDATE job SET state = ?2, attempts = ?3, interruptions = ?4, not_before_ms = ?5, reason = ?6,"
        " updated_ms = ?7, lease_owner = NULL, lease_until_ms = NULL WHERE id = ?1",
        "itiiiti", job, state_names[next], (int64_t)attempts, (int64_t)interruptions, not_before, reason,
        now_ms);
}

static bool is_end(lam_job_state state)
{
    return state != LAM_JOB_QUEUED && state != LAM_JOB_RUNNING;
}

lam_status lam_jobs_apply(lam_db *db, int64_t job, lam_job_event event, const lam_job_limits *limits,
                          const char *reason, const char *timings, int64_t now_ms, lam_error *err)
{
    job_row row = {0};
    lam_status status = read_row(db, job, &row, err);
    if (status != LAM_OK)
        return status;
    event = settle_event(event, &row, limits);
    int found = find_transition(row.state, event);
    if (found < 0)
        return lam_fail(err, LAM_E_STATE, "job %lld is %s: cannot %s it", (long long)job,
                        state_names[row.state], event_names[event]);
    status = write_row(db, job, &row, event, transitions[found].to, limits, reason, now_ms, err);
    if (status == LAM_OK && transitions[found].outcome)
        status = lam_db_run(db, err,
                            "UPDATE attempt SET finished_ms = ?2, outcome = ?3, reason = ?4, timings = ?5"
                            " WHERE job_id = ?1 AND finished_ms IS NULL",
                            "iittt", job, now_ms, transitions[found].outcome, reason, timings);
    if (status == LAM_OK)
        status = lam_catalog_refresh_job(db, job, now_ms, err);
    if (status == LAM_OK && is_end(transitions[found].to))
        status = lam_performer_refresh_job(db, job, now_ms, err);
    return status;
}

static lam_status recover_next(lam_db *db, const char *node, const lam_job_limits *limits, int64_t now_ms,
                               bool *found, lam_error *err)
{
    int64_t job = 0;
    lam_status status = lam_db_get_integer(db, &job, err,
                                           "SELECT id FROM job WHERE state = 'running' AND"
                                           " (substr(lease_owner, 1, length(?1) + 1) = ?1 || '/'"
                                           " OR lease_until_ms IS NULL OR lease_until_ms < ?2) LIMIT 1",
                                           "ti", node, now_ms);
    *found = status == LAM_OK;
    if (status == LAM_E_NOT_FOUND)
        return LAM_OK;
    if (status == LAM_OK)
        status = lam_jobs_apply(db, job, LAM_JOB_INTERRUPT, limits,
                                "interrupted: the daemon ended while it ran", NULL, now_ms, err);
    return status;
}

lam_status lam_jobs_recover(lam_db *db, const char *node, const lam_job_limits *limits, int64_t now_ms,
                            int *recovered, lam_error *err)
{
    lam_status status = lam_db_begin(db, err);
    if (status != LAM_OK)
        return status;
    int count = 0;
    if (node)
        status = lam_db_run(db, err,
                            "UPDATE job SET not_before_ms = ?1 WHERE state = 'queued' AND updated_ms > ?1",
                            "i", now_ms);
    for (bool found = true; status == LAM_OK && found;) {
        status = recover_next(db, node, limits, now_ms, &found, err);
        count += found;
    }
    status = lam_db_end(db, status, err);
    if (status == LAM_OK)
        *recovered = count;
    return status;
}

lam_status lam_jobs_due(lam_db *db, int64_t now_ms, int64_t most, int64_t *count, lam_error *err)
{
    return lam_db_get_integer(db, count, err,
                              "SELECT count(*) FROM (SELECT 1 FROM job WHERE state = 'queued' AND"
                              " not_before_ms <= ? LIMIT ?)",
                              "ii", now_ms, most);
}

lam_status lam_jobs_next_start(lam_db *db, int64_t now_ms, int64_t *wait_ms, lam_error *err)
{
    int64_t start = 0;
    lam_status status =
        lam_db_get_integer(db, &start, err, "SELECT min(not_before_ms) FROM job WHERE state = 'queued'", "");
    if (status == LAM_E_NOT_FOUND) {
        *wait_ms = -1;
        return LAM_OK;
    }
    if (status == LAM_OK)
        *wait_ms = start > now_ms ? start - now_ms : 0;
    return status;
}
