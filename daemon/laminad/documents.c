#include "daemon/laminad/documents.h"

#include <string.h>

#include "core/base/clock.h"

/* A row as an object: each column under its SQL name; NULL as null. A name that ends in _ms and holds a wall
 * time becomes ISO 8601 without the suffix. */
static json_t *row_object(sqlite3_stmt *s, int first)
{
    json_t *object = json_object();
    for (int i = first; i < sqlite3_column_count(s); i++) {
        const char *name = sqlite3_column_name(s, i);
        size_t length = strlen(name);
        json_t *value = json_null();
        int type = sqlite3_column_type(s, i);
        if (type == SQLITE_TEXT)
            value = json_string(lam_db_text(s, i));
        else if (type == SQLITE_INTEGER)
            value = json_integer(sqlite3_column_int64(s, i));
        if (length > 3 && strcmp(name + length - 3, "_ms") == 0) {
            char text[LAM_CLOCK_TEXT];
            if (type == SQLITE_INTEGER) {
                json_decref(value);
                value = json_string(lam_clock_iso8601(sqlite3_column_int64(s, i), text));
            }
            json_object_setn_new(object, name, length - 3, value);
        } else {
            json_object_set_new(object, name, value);
        }
    }
    return object;
}

static void set_parsed(json_t *object, const char *key, const char *text)
{
    json_t *value = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    json_object_set_new(object, key, value ? value : json_null());
}

/* Runs a prepared statement and makes an object of each row, finished by `add` (or NULL). */
static lam_status collect(lam_db *db, sqlite3_stmt *s, int first, void (*add)(json_t *, sqlite3_stmt *),
                          json_t **out, lam_error *err)
{
    json_t *list = json_array();
    for (bool row = true; row;) {
        lam_status status = lam_db_step(db, s, &row, err);
        if (status != LAM_OK) {
            json_decref(list);
            return status;
        }
        if (!row)
            break;
        json_t *object = row_object(s, first);
        if (add)
            add(object, s);
        json_array_append_new(list, object);
    }
    *out = list;
    return LAM_OK;
}

/* ---- jobs ---- */

#define JOB_COLUMNS                                                                                          \
    " SELECT j.id AS job, t.uid AS study_uid, s.uid AS series_uid, j.model, j.version, j.weights_sha256, "   \
    "j.state,"                                                                                               \
    " j.reason, j.attempts, j.interruptions, j.created_ms, j.updated_ms FROM job j"                          \
    " JOIN series s ON s.id = j.series_id JOIN study t ON t.id = s.study_id "

/* DESIGN names a job's model in one object. */
static void nest_model(json_t *job, sqlite3_stmt *s)
{
    (void)s;
    static const char *const members[][2] = {
        {"model", "name"}, {"version", "version"}, {"weights_sha256", "weights_sha256"}};
    json_t *model = json_object();
    for (size_t i = 0; i < LAM_COUNT(members); i++) {
        json_object_set(model, members[i][1], json_object_get(job, members[i][0]));
        json_object_del(job, members[i][0]);
    }
    json_object_set_new(job, "model", model);
}

lam_status lam_document_jobs(lam_db *db, const char *state, int64_t limit, int64_t offset, json_t **out,
                             lam_error *err)
{
    sqlite3_stmt *s = lam_db_prepare(
        db, err, JOB_COLUMNS "WHERE ?1 IS NULL OR j.state = ?1 ORDER BY j.id DESC LIMIT ?2 OFFSET ?3", "tii",
        state, limit, offset);
    return collect(db, s, 0, nest_model, out, err);
}

static void add_attempt_timings(json_t *attempt, sqlite3_stmt *s)
{
    set_parsed(attempt, "timings_ms", lam_db_text(s, 0));
}

lam_status lam_document_job(lam_db *db, int64_t job, json_t **out, lam_error *err)
{
    json_t *found = NULL, *attempts = NULL, *inputs = NULL;
    sqlite3_stmt *s = lam_db_prepare(db, err, JOB_COLUMNS "WHERE j.id = ?", "i", job);
    lam_status status = collect(db, s, 0, nest_model, &found, err);
    if (status == LAM_OK && json_array_size(found) == 0)
        status = lam_fail(err, LAM_E_NOT_FOUND, "there is no job %lld", (long long)job);
    if (status == LAM_OK) {
        s = lam_db_prepare(db, err,
                           "SELECT timings, number, started_ms, finished_ms, outcome, reason FROM attempt"
                           " WHERE job_id = ? ORDER BY number",
                           "i", job);
        status = collect(db, s, 1, add_attempt_timings, &attempts, err);
    }
    if (status == LAM_OK)
        status =
            collect(db,
                    lam_db_prepare(db, err,
                                   "SELECT i.role, t.uid AS study_uid, s.uid AS series_uid FROM job_input i"
                                   " JOIN series s ON s.id = i.series_id JOIN study t ON t.id = s.study_id"
                                   " WHERE i.job_id = ? ORDER BY i.position",
                                   "i", job),
                    0, NULL, &inputs, err);
    if (status == LAM_OK) {
        *out = json_incref(json_array_get(found, 0));
        json_object_set_new(*out, "inputs", inputs);
        json_object_set_new(*out, "attempts_made", json_incref(attempts));
    }
    json_decref(attempts);
    json_decref(found);
    return status;
}

/* ---- studies ---- */

lam_status lam_document_studies(lam_db *db, const char *state, int64_t limit, int64_t offset, json_t **out,
                                lam_error *err)
{
    sqlite3_stmt *s = lam_db_prepare(
        db, err,
        "SELECT uid AS study_uid, state, patient_id, patient_name, study_date, accession_number, description,"
        " (SELECT count(*) FROM series WHERE study_id = study.id) AS series_count,"
        " (SELECT coalesce(sum(instances), 0) FROM series WHERE study_id = study.id) AS instances,"
        " created_ms, updated_ms FROM study WHERE ?1 IS NULL OR state = ?1 ORDER BY id DESC LIMIT ?2 OFFSET "
        "?3",
        "tii", state, limit, offset);
    return collect(db, s, 0, NULL, out, err);
}

static lam_status find_study(lam_db *db, const char *study_uid, json_t **out, lam_error *err)
{
    json_t *found = NULL;
    sqlite3_stmt *s =
        lam_db_prepare(db, err,
                       "SELECT uid AS study_uid, state, patient_id, patient_name, study_date,"
                       " accession_number, description, created_ms, updated_ms FROM study WHERE uid = ?",
                       "t", study_uid);
    lam_status status = collect(db, s, 0, NULL, &found, err);
    if (status == LAM_OK && json_array_size(found) == 0)
        status = lam_fail(err, LAM_E_NOT_FOUND, "no such study is stored");
    if (status == LAM_OK)
        *out = json_incref(json_array_get(found, 0));
    json_decref(found);
    return status;
}

static void add_wanted(json_t *opinion, sqlite3_stmt *s)
{
    json_object_set_new(opinion, "wanted", json_boolean(sqlite3_column_int(s, 0)));
}

/* The series of a study, each with what the installed models said of it. */
static lam_status collect_series(lam_db *db, const char *study_uid, json_t **out, lam_error *err)
{
    json_t *series = NULL, *one;
    size_t i;
    lam_status status = collect(
        db,
        lam_db_prepare(db, err,
                       "SELECT id, uid AS series_uid, modality, number, description, instances, state, reason"
                       " FROM series WHERE study_id = (SELECT id FROM study WHERE uid = ?) ORDER BY id",
                       "t", study_uid),
        0, NULL, &series, err);
    json_array_foreach(series, i, one)
    {
        json_t *models = NULL;
        int64_t id = json_integer_value(json_object_get(one, "id"));
        json_object_del(one, "id");
        if (status == LAM_OK)
            status = collect(db,
                             lam_db_prepare(db, err,
                                            "SELECT wanted, model AS name, version, reason FROM opinion"
                                            " WHERE series_id = ? ORDER BY wanted DESC, model",
                                            "i", id),
                             1, add_wanted, &models, err);
        json_object_set_new(one, "models", models);
    }
    if (status == LAM_OK)
        *out = series;
    else
        json_decref(series);
    return status;
}

lam_status lam_document_study(lam_db *db, const char *study_uid, json_t **out, lam_error *err)
{
    json_t *study = NULL, *series = NULL, *jobs = NULL;
    lam_status status = find_study(db, study_uid, &study, err);
    if (status == LAM_OK)
        status = collect_series(db, study_uid, &series, err);
    if (status == LAM_OK) {
        sqlite3_stmt *s =
            lam_db_prepare(db, err, JOB_COLUMNS "WHERE t.uid = ? ORDER BY j.id", "t", study_uid);
        status = collect(db, s, 0, nest_model, &jobs, err);
    }
    if (status != LAM_OK) {
        json_decref(study);
        json_decref(series);
        return status;
    }
    json_object_set_new(study, "series", series);
    json_object_set_new(study, "jobs", jobs);
    *out = study;
    return LAM_OK;
}

/* ---- results ---- */

static void merge_findings(json_t *result, sqlite3_stmt *s)
{
    json_t *findings = json_loads(lam_db_text(s, 0), 0, NULL);
    json_object_update(result, findings);
    json_decref(findings);
    nest_model(result, s);
}

static lam_status add_list(lam_db *db, json_t *result, const char *key, const char *sql, lam_error *err)
{
    json_t *list = NULL;
    int64_t job = json_integer_value(json_object_get(result, "job"));
    lam_status status = collect(db, lam_db_prepare(db, err, sql, "i", job), 0, NULL, &list, err);
    if (status == LAM_OK)
        json_object_set_new(result, key, list);
    return status;
}

static lam_status add_objects(lam_db *db, json_t *result, lam_error *err)
{
    static const char objects[] =
        "SELECT o.type, o.profile, o.problems, i.sop_class_uid, s.uid AS series_uid, i.uid AS sop_uid"
        " FROM result_object o"
        " JOIN instance i ON i.id = o.instance_id JOIN series s ON s.id = i.series_id WHERE o.job_id = ?"
        " ORDER BY o.position";
    static const char pictures[] = "SELECT name, media_type FROM picture WHERE job_id = ? ORDER BY name";
    lam_status status = add_list(db, result, "objects", objects, err);
    return status == LAM_OK ? add_list(db, result, "pictures", pictures, err) : status;
}

lam_status lam_document_results(lam_db *db, const char *study_uid, json_t **out, lam_error *err)
{
    json_t *study = NULL, *results = NULL;
    lam_status status = find_study(db, study_uid, &study, err);
    if (status == LAM_OK) {
        sqlite3_stmt *s = lam_db_prepare(
            db, err,
            "SELECT r.findings, j.id AS job, j.model, j.version, j.weights_sha256, s.uid AS series_uid,"
            " iif(EXISTS (SELECT 1 FROM current_job c WHERE c.id = j.id), j.state, 'superseded') AS state,"
            " r.created_ms"
            " FROM result r JOIN job j ON j.id = r.job_id JOIN series s ON s.id = j.series_id"
            " JOIN study t ON t.id = s.study_id WHERE t.uid = ?"
            " ORDER BY NOT EXISTS (SELECT 1 FROM current_job c WHERE c.id = j.id), j.id",
            "t", study_uid);
        status = collect(db, s, 1, merge_findings, &results, err);
    }
    for (size_t i = 0; status == LAM_OK && i < json_array_size(results); i++)
        status = add_objects(db, json_array_get(results, i), err);
    if (status == LAM_OK)
        *out = json_pack("{s:O,s:O,s:O}", "study_uid", json_object_get(study, "study_uid"), "state",
                         json_object_get(study, "state"), "results", results);
    json_decref(study);
    json_decref(results);
    return status;
}

/* ---- models, counts ---- */

json_t *lam_document_model(const lam_model *model, bool whole)
{
    const lam_manifest *m = model->manifest;
    json_t *document =
        json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:b}", "name", m->name, "version", m->version, "title", m->title,
                  "task", lam_task_name(m->task), "licence", m->provenance.licence, "weights_sha256",
                  model->weights_sha256, "newest", model->newest);
    if (whole) {
        json_object_set_new(document, "manifest", json_loadb(m->text, m->text_length, 0, NULL));
        json_object_set_new(document, "card", model->card ? json_string(model->card) : json_null());
    }
    return document;
}

lam_status lam_document_counts(lam_db *db, const char *sql, json_t **out, lam_error *err)
{
    json_t *counts = json_object();
    sqlite3_stmt *s = lam_db_prepare(db, err, sql, "");
    for (bool row = true; row;) {
        lam_status status = lam_db_step(db, s, &row, err);
        if (status != LAM_OK) {
            json_decref(counts);
            return status;
        }
        if (row)
            json_object_set_new(counts, lam_db_text(s, 0), json_integer(sqlite3_column_int64(s, 1)));
    }
    *out = counts;
    return LAM_OK;
}
