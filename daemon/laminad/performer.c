#include "daemon/laminad/performer.h"

#include <stdio.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/text.h"
#include "daemon/laminad/element.h"
#include "daemon/laminad/jobs.h"
#include "daemon/laminad/routing.h"

enum { MAX_BEGUN = 16 /* in one turn, so that the caller can do other things */, PROGRESS_TEXT = 64 };

/* The series i names, of the store's own making aside. */
#define SERIES_OF_INPUT                                                                                      \
    " study t JOIN series s ON s.study_id = t.id AND s.state <> 'result'"                                    \
    " WHERE t.uid = i.study_uid AND (i.series_uid IS NULL OR s.uid = i.series_uid)"

/* The series of the input of workitem ?1. */
#define SERIES                                                                                               \
    " FROM workitem_input i JOIN study t ON t.uid = i.study_uid JOIN series s ON s.study_id = t.id"          \
    " AND s.state <> 'result' AND (i.series_uid IS NULL OR s.uid = i.series_uid) WHERE i.workitem_id = ?1"

/* The jobs of workitem ?1, for the model ?2 or all: of each model that wants a series as it is today the
 * latest. What a model did that is asked no more does not count. */
#define JOBS                                                                                                 \
    "SELECT j.id FROM job j JOIN current_job c ON c.id = j.id WHERE j.id IN (SELECT n.job_id FROM job_input" \
    " n WHERE n.series_id IN (SELECT s.id" SERIES ")) AND (?2 IS NULL OR j.model = ?2) AND EXISTS"           \
    " (SELECT 1 FROM job_input q JOIN opinion o ON o.series_id = q.series_id AND o.model = j.model"          \
    "  WHERE q.job_id = j.id AND o.wanted) AND NOT EXISTS (SELECT 1 FROM job k JOIN current_job d"           \
    "  ON d.id = k.id WHERE k.series_id = j.series_id AND k.model = j.model AND k.id > j.id)"

static const char *model_of(const lam_workitem *item)
{
    return *item->model ? item->model : NULL;
}

/* ---- what the data set tells ---- */

/* Performed Procedure, begun now where it has not been. Borrowed. */
static json_t *performed_of(json_t *data_set, int64_t now_ms)
{
    char time[LAM_DATETIME_TEXT];
    if (!lam_element_has_value(data_set, LAM_UPS_PERFORMED)) {
        json_t *performed = json_object();
        json_t *code = json_deep_copy(lam_element_items(data_set, LAM_UPS_WORK));
        lam_element_set_text(performed, "00404050", "DT", lam_element_write_datetime(now_ms, time));
        if (!json_array_size(code)) {
            json_decref(code);
            code = json_pack("[o]", lam_element_code("110004", "DCM", "Computer Aided Detection"));
        }
        lam_element_set_items(performed, "00404019", code);
        lam_element_set_item(data_set, LAM_UPS_PERFORMED, performed);
    }
    return lam_element_item(data_set, LAM_UPS_PERFORMED);
}

/* False when it says just that already. */
static bool set_progress(lam_workitem *item, int64_t ended, int64_t jobs)
{
    char percent[24], text[PROGRESS_TEXT];
    json_t *progress = lam_workitem_progress(item->attributes);
    snprintf(percent, sizeof percent, "%lld", (long long)(jobs ? 100 * ended / jobs : 0));
    snprintf(text, sizeof text, "%lld of %lld jobs ended", (long long)ended, (long long)jobs);
    const char *said = lam_element_text(progress, "00741006");
    if (said && strcmp(said, text) == 0)
        return false;
    lam_element_set_text(progress, "00741004", "DS", percent);
    lam_element_set_text(progress, "00741006", "ST", text);
    return true;
}

/* An item of Output Information Sequence for the series of the row (PS3.3 table 10-3c). */
static json_t *output_of(const lam_workitem *item, const char *study_uid, const char *series_uid)
{
    char url[sizeof item->retrieve_root + 160];
    json_t *output = json_object();
    lam_element_set_text(output, "0020000D", "UI", study_uid);
    lam_element_set_text(output, "0020000E", "UI", series_uid);
    lam_element_set_text(output, "0040E020", "CS", "DICOM");
    lam_element_set_items(output, "00081199", json_array());
    if (*item->retrieve_root) {
        json_t *retrieval = json_object();
        snprintf(url, sizeof url, "%s/studies/%s/series/%s", item->retrieve_root, study_uid, series_uid);
        lam_element_set_text(retrieval, "00081190", "UR", url);
        lam_element_set_item(output, "0040E025", retrieval);
    }
    return output;
}

/* The objects for the study itself; the variants for other readers are theirs. */
static lam_status list_outputs(lam_db *db, const lam_workitem *item, json_t *outputs, lam_error *err)
{
    sqlite3_stmt *s =
        lam_db_prepare(db, err,
                       "SELECT t.uid, s.uid, n.sop_class_uid, n.uid FROM result_object o JOIN instance n"
                       " ON n.id = o.instance_id JOIN series s ON s.id = n.series_id"
                       " JOIN study t ON t.id = s.study_id JOIN job r ON r.id = o.job_id AND r.state = 'done'"
                       " WHERE o.profile = 'strict' AND o.job_id IN (" JOBS ") ORDER BY s.id, n.id",
                       "it", item->id, model_of(item));
    char last[LAM_UID_TEXT] = "";
    for (bool row = true; row;) {
        lam_status status = lam_db_step(db, s, &row, err);
        if (status != LAM_OK || !row)
            return status;
        if (strcmp(last, lam_db_text(s, 1)) != 0)
            json_array_append_new(outputs, output_of(item, lam_db_text(s, 0), lam_db_text(s, 1)));
        lam_text_copy(last, sizeof last, lam_db_text(s, 1));
        json_t *reference = json_object();
        lam_element_set_text(reference, "00081150", "UI", lam_db_text(s, 2));
        lam_element_set_text(reference, "00081155", "UI", lam_db_text(s, 3));
        const json_t *output = json_array_get(outputs, json_array_size(outputs) - 1);
        json_array_append_new(lam_element_items(output, "00081199"), reference);
    }
    return LAM_OK;
}

/* ---- ends ---- */

/* What was performed until now, and what came of it; nothing where it was not begun. */
static lam_status end_with(lam_db *db, lam_workitem *item, lam_workitem_state state, int64_t now_ms,
                           lam_error *err)
{
    char time[LAM_DATETIME_TEXT];
    lam_status status = LAM_OK;
    json_t *performed = lam_element_item(item->attributes, LAM_UPS_PERFORMED);
    if (performed) {
        json_t *outputs = json_array();
        lam_element_set_items(performed, "00404033", outputs);
        lam_element_set_text(performed, "00404051", "DT", lam_element_write_datetime(now_ms, time));
        status = list_outputs(db, item, outputs, err);
    }
    item->state = state;
    return status == LAM_OK ? lam_worklist_write(db, item, now_ms, err) : status;
}

static lam_status give_up(lam_db *db, lam_workitem *item, json_t *code, const char *reason, int64_t now_ms,
                          lam_error *err)
{
    lam_workitem_discontinue(item->attributes, code, reason, now_ms);
    return end_with(db, item, LAM_WORKITEM_CANCELED, now_ms, err);
}

/* Ended first, so that the end of its jobs does not end it once more. */
lam_status lam_performer_cancel(lam_db *db, lam_workitem *item, json_t *code, const char *reason,
                                int64_t now_ms, lam_error *err)
{
    static const lam_job_limits none = {0};
    bool begun = item->state == LAM_WORKITEM_IN_PROGRESS;
    lam_status status = give_up(db, item, code, reason, now_ms, err);
    while (status == LAM_OK && begun) {
        int64_t job = 0;
        status = lam_db_get_integer(
            db, &job, err, "SELECT id FROM job WHERE state IN ('queued', 'running') AND id IN (" JOBS ")",
            "it", item->id, model_of(item));
        if (status == LAM_E_NOT_FOUND)
            return LAM_OK;
        if (status == LAM_OK)
            status = lam_jobs_apply(db, job, LAM_JOB_CANCEL, &none, "cancelled with its workitem", NULL,
                                    now_ms, err);
    }
    return status;
}

/* Why, as routing noted it. */
static lam_status nothing_wants_it(lam_db *db, lam_workitem *item, int64_t now_ms, lam_error *err)
{
    bool row = false;
    char reason[1024] = "there is no input: none is named, or it was removed";
    sqlite3_stmt *s = lam_db_prepare(
        db, err,
        "SELECT (SELECT count(*)" SERIES "), (SELECT substr(group_concat(DISTINCT o.model ||"
        " ': ' || o.reason), 1, 800) FROM opinion o WHERE o.series_id IN (SELECT s.id" SERIES ")"
        " AND NOT o.wanted AND (?2 IS NULL OR o.model = ?2))",
        "it", item->id, model_of(item));
    lam_status status = lam_db_step(db, s, &row, err);
    if (status != LAM_OK)
        return status;
    bool none = sqlite3_column_int64(s, 0) == 0;
    const char *reasons = lam_db_text(s, 1);
    if (!none) {
        size_t length = lam_text_copy(reason, sizeof reason, "no model takes the input: ");
        lam_text_copy(reason + length, sizeof reason - length, reasons ? reasons : "none is installed");
    }
    sqlite3_reset(s);
    return give_up(db, item,
                   none ? lam_element_code("110523", "DCM", "Object Set incomplete")
                        : lam_element_code("110522", "DCM", "Object Types not supported"),
                   reason, now_ms, err);
}

/* ---- the state follows from the jobs ---- */

typedef struct tally {
    int64_t jobs, ended, failed, receiving;
    char reasons[2048];
} tally;

static lam_status count(lam_db *db, const lam_workitem *item, tally *out, lam_error *err)
{
    sqlite3_stmt *s = lam_db_prepare(
        db, err,
        "SELECT count(*), count(CASE WHEN state NOT IN ('queued', 'running') THEN 1 END),"
        " count(CASE WHEN state IN ('failed', 'cancelled') THEN 1 END),"
        " group_concat(CASE WHEN state IN ('failed', 'cancelled') THEN 'job ' || id || ' (' || model || '): '"
        "  || coalesce(reason, state) END, '; '), (SELECT count(*)" SERIES " AND s.state = 'receiving')"
        " FROM job WHERE id IN (" JOBS ")",
        "it", item->id, model_of(item));
    bool row = false;
    lam_status status = lam_db_step(db, s, &row, err);
    if (status != LAM_OK)
        return status;
    *out = (tally){.jobs = sqlite3_column_int64(s, 0),
                   .ended = sqlite3_column_int64(s, 1),
                   .failed = sqlite3_column_int64(s, 2),
                   .receiving = sqlite3_column_int64(s, 4)};
    lam_text_copy(out->reasons, sizeof out->reasons, lam_db_text(s, 3));
    sqlite3_reset(s);
    return LAM_OK;
}

/* `settled`: every series has been in front of its models, so that without a job there will be none. */
static lam_status follow(lam_db *db, lam_workitem *item, bool settled, int64_t now_ms, lam_error *err)
{
    tally t;
    lam_status status = count(db, item, &t, err);
    if (status != LAM_OK)
        return status;
    bool changed = set_progress(item, t.ended, t.jobs);
    if (t.receiving || t.ended < t.jobs || (t.jobs == 0 && !settled))
        return changed ? lam_worklist_write(db, item, now_ms, err) : LAM_OK;
    if (t.jobs == 0)
        return nothing_wants_it(db, item, now_ms, err);
    if (t.failed)
        return give_up(db, item, NULL, t.reasons, now_ms, err);
    return end_with(db, item, LAM_WORKITEM_COMPLETED, now_ms, err);
}

static lam_status follow_one(lam_db *db, int64_t id, bool settled, int64_t now_ms, lam_error *err)
{
    lam_workitem item = {0};
    lam_status status = lam_worklist_read(db, id, NULL, &item, err);
    if (status == LAM_OK && item.state == LAM_WORKITEM_IN_PROGRESS && item.ours)
        status = follow(db, &item, settled, now_ms, err);
    lam_workitem_done(&item);
    return status;
}

lam_status lam_performer_refresh_job(lam_db *db, int64_t job, int64_t now_ms, lam_error *err)
{
    int64_t id = 0;
    for (;;) {
        lam_status status = lam_db_get_integer(
            db, &id, err,
            "SELECT min(w.id) FROM job_input n JOIN series s ON s.id = n.series_id"
            " JOIN study t ON t.id = s.study_id JOIN workitem_input i ON i.study_uid = t.uid"
            " AND (i.series_uid IS NULL OR i.series_uid = s.uid) JOIN workitem w ON w.id = i.workitem_id"
            " WHERE n.job_id = ? AND w.state = 'IN PROGRESS' AND w.ours AND w.id > ?",
            "ii", job, id);
        if (status == LAM_E_NOT_FOUND)
            return LAM_OK;
        if (status == LAM_OK)
            status = follow_one(db, id, false, now_ms, err);
        if (status != LAM_OK)
            return status;
    }
}

/* ---- beginning ---- */

/* Puts all series of the input in front of the models; failed jobs are tried again, as by `analyze`. */
static lam_status settle_input(lam_db *db, const lam_workitem *item, const lam_models *models,
                               const lam_config *config, int64_t now_ms, lam_error *err)
{
    int64_t series = 0;
    for (;;) {
        lam_status status = lam_db_get_integer(db, &series, err, "SELECT min(s.id)" SERIES " AND s.id > ?2",
                                               "ii", item->id, series);
        if (status == LAM_E_NOT_FOUND)
            return LAM_OK;
        if (status == LAM_OK)
            status = lam_routing_settle(db, series, models, config, model_of(item), true, now_ms, err);
        if (status != LAM_OK)
            return status;
    }
}

/* Why it cannot be done at all; NULL when it can. */
static const char *find_obstacle(const lam_workitem_plan *plan, const lam_models *models)
{
    if (plan->work == LAM_WORK_UNKNOWN)
        return "the Scheduled Workitem Code is none that is performed here: name a model with the coding "
               "scheme 99LAMINA, or use 110001, 110003 or 110004 (DCM)";
    if (plan->model && !lam_models_find(models, plan->model, NULL))
        return "no model of the name in the Scheduled Workitem Code is installed";
    return NULL;
}

static lam_status begin(lam_db *db, lam_workitem *item, const lam_models *models, const lam_config *config,
                        int64_t now_ms, lam_error *err)
{
    lam_workitem_plan plan;
    lam_workitem_read_plan(item->attributes, config->ae_title, &plan);
    const char *obstacle = find_obstacle(&plan, models);
    if (obstacle)
        return give_up(db, item, lam_element_code("110502", "DCM", "Incorrect procedure ordered"), obstacle,
                       now_ms, err);
    json_t *performed = performed_of(item->attributes, now_ms);
    lam_element_set_item(performed, "00404028", lam_element_code(config->ae_title, "99LAMINA", "Lamina"));
    if (*config->public_url)
        snprintf(item->retrieve_root, sizeof item->retrieve_root, "%s/dicom-web", config->public_url);
    lam_status status = settle_input(db, item, models, config, now_ms, err);
    item->state = LAM_WORKITEM_IN_PROGRESS; /* from here on it follows its jobs */
    return status == LAM_OK ? lam_worklist_write(db, item, now_ms, err) : status;
}

static lam_status give_up_waiting(lam_db *db, lam_workitem *item, int64_t now_ms, lam_error *err)
{
    return give_up(db, item, lam_element_code("110523", "DCM", "Object Set incomplete"),
                   "the input was not here as a whole, and ready, in time", now_ms, err);
}

/* A workitem that is due. Beginning it may end it at once: its jobs are done already, or there are none. */
static lam_status perform(lam_db *db, int64_t id, bool ready, const lam_models *models,
                          const lam_config *config, int64_t now_ms, lam_error *err)
{
    lam_workitem item = {0};
    lam_status status = lam_worklist_read(db, id, NULL, &item, err);
    if (status == LAM_OK)
        status =
            ready ? begin(db, &item, models, config, now_ms, err) : give_up_waiting(db, &item, now_ms, err);
    lam_workitem_done(&item);
    return status == LAM_OK ? follow_one(db, id, true, now_ms, err) : status;
}

/* ---- a turn ---- */

/* Each item of its input is here and nobody is sending more. */
#define READY                                                                                                \
    "(w.ready AND w.start_ms <= ?1 AND NOT EXISTS (SELECT 1 FROM workitem_input i WHERE i.workitem_id = "    \
    "w.id AND ("                                                                                             \
    "  NOT EXISTS (SELECT 1 FROM" SERIES_OF_INPUT ")"                                                        \
    "  OR EXISTS (SELECT 1 FROM" SERIES_OF_INPUT " AND s.state = 'receiving')"                               \
    "  OR EXISTS (SELECT 1 FROM json_each(i.instances) e WHERE NOT EXISTS"                                   \
    "   (SELECT 1 FROM instance n WHERE n.uid = e.value)))))"

static lam_status find_due(lam_db *db, int64_t now_ms, int64_t *id, bool *ready, lam_error *err)
{
    bool row = false;
    sqlite3_stmt *s = lam_db_prepare(db, err,
                                     "SELECT id, r FROM (SELECT w.id, w.priority, w.expires_ms, " READY
                                     " AS r FROM workitem w"
                                     " WHERE w.state = 'SCHEDULED' AND w.ours) WHERE r OR expires_ms <= ?1"
                                     " ORDER BY priority, id LIMIT 1",
                                     "i", now_ms);
    lam_status status = lam_db_step(db, s, &row, err);
    if (status != LAM_OK)
        return status;
    if (!row)
        return LAM_E_NOT_FOUND;
    *id = sqlite3_column_int64(s, 0);
    *ready = sqlite3_column_int(s, 1) != 0;
    sqlite3_reset(s);
    return LAM_OK;
}

static lam_status perform_next(lam_db *db, const lam_models *models, const lam_config *config, int64_t now_ms,
                               bool *found, lam_error *err)
{
    int64_t id = 0;
    bool ready = false;
    lam_status status = find_due(db, now_ms, &id, &ready, err);
    *found = status == LAM_OK;
    if (status == LAM_E_NOT_FOUND)
        return LAM_OK;
    if (status == LAM_OK)
        status = lam_db_begin(db, err);
    if (status != LAM_OK)
        return status;
    status = find_due(db, now_ms, &id, &ready, err); /* another may have claimed it meanwhile */
    if (status == LAM_OK)
        status = perform(db, id, ready, models, config, now_ms, err);
    status = lam_db_end(db, status, err);
    if (status == LAM_OK)
        lam_log(LAM_LOG_INFO, "workitem_due", "number=%lld input=%s", (long long)id,
                ready ? "ready" : "missing");
    return status == LAM_E_NOT_FOUND ? LAM_OK : status;
}

/* Those in progress without a job that waits or runs: their jobs were removed with their input, or what their
 * series have become is for no model. */
static lam_status follow_idle(lam_db *db, int64_t now_ms, lam_error *err)
{
    int64_t id = 0;
    for (;;) {
        lam_status status = lam_db_get_integer(
            db, &id, err,
            "SELECT min(w.id) FROM workitem w WHERE w.state = 'IN PROGRESS' AND w.ours AND w.id > ?"
            " AND NOT EXISTS (SELECT 1 FROM workitem_input i JOIN study t ON t.uid = i.study_uid"
            "  JOIN series s ON s.study_id = t.id AND (i.series_uid IS NULL OR s.uid = i.series_uid)"
            "  WHERE i.workitem_id = w.id AND s.state IN ('receiving', 'queued', 'running'))",
            "i", id);
        if (status == LAM_E_NOT_FOUND)
            return LAM_OK;
        if (status == LAM_OK)
            status = lam_db_begin(db, err);
        if (status != LAM_OK)
            return status;
        status = lam_db_end(db, follow_one(db, id, true, now_ms, err), err);
        if (status != LAM_OK)
            return status;
    }
}

static lam_status forget_ended(lam_db *db, int64_t before_ms, lam_error *err)
{
    int64_t ended = 0;
    lam_status status = lam_db_get_integer(db, &ended, err,
                                           "SELECT 1 FROM workitem WHERE state IN ('COMPLETED', 'CANCELED')"
                                           " AND updated_ms < ? LIMIT 1",
                                           "i", before_ms);
    if (status == LAM_E_NOT_FOUND)
        return LAM_OK;
    if (status == LAM_OK)
        status = lam_db_begin(db, err);
    if (status != LAM_OK)
        return status;
    status = lam_db_run(db, err,
                        "DELETE FROM workitem WHERE state IN ('COMPLETED', 'CANCELED') AND updated_ms < ?",
                        "i", before_ms);
    return lam_db_end(db, status, err);
}

static lam_status next_due(lam_db *db, int64_t now_ms, int64_t *wait_ms, lam_error *err)
{
    int64_t first = 0;
    lam_status status = lam_db_get_integer(
        db, &first, err,
        "SELECT min(iif(start_ms > ?1, min(start_ms, expires_ms), expires_ms)) FROM workitem"
        " WHERE state = 'SCHEDULED' AND ours",
        "i", now_ms);
    if (status == LAM_E_NOT_FOUND) {
        *wait_ms = -1;
        return LAM_OK;
    }
    if (status == LAM_OK)
        *wait_ms = first > now_ms ? first - now_ms : 0;
    return status;
}

lam_status lam_performer_turn(lam_db *db, const lam_models *models, const lam_config *config, int64_t now_ms,
                              int64_t *wait_ms, lam_error *err)
{
    bool found = true;
    lam_status status = LAM_OK;
    for (int begun = 0; status == LAM_OK && found && begun < MAX_BEGUN; begun++)
        status = perform_next(db, models, config, now_ms, &found, err);
    if (status == LAM_OK)
        status = follow_idle(db, now_ms, err);
    if (status == LAM_OK)
        status = forget_ended(db, now_ms - config->keep_workitems_ms, err);
    if (status == LAM_OK && found) { /* more to do, at once */
        *wait_ms = 0;
        return LAM_OK;
    }
    return status == LAM_OK ? next_due(db, now_ms, wait_ms, err) : status;
}
