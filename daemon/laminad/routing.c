#include "daemon/laminad/routing.h"

#include <string.h>

#include "core/base/buffer.h"
#include "daemon/laminad/catalog.h"
#include "daemon/laminad/jobs.h"
#include "daemon/laminad/release.h"
#include "daemon/laminad/routed.h"

enum { MAX_REASONS = 8192, MAX_SETTLED = 64 /* in one call, so that the caller can do other things */ };

/* A series that is being settled. */
typedef struct settling {
    lam_db *db;
    lam_routed series;
    const lam_config *config;
    const char *only;
    bool retry;
    int64_t now_ms;
    lam_buffer reasons; /* of the models that do not want it */
} settling;

static lam_status queue_again(const settling *s, const lam_model *model, const lam_job_input *inputs,
                              size_t count, lam_error *err)
{
    char input_set[65];
    int64_t job = 0;
    lam_jobs_input_set(inputs, count, input_set);
    lam_status status =
        lam_db_get_integer(s->db, &job, err,
                           "SELECT id FROM job WHERE series_id = ? AND model = ? AND version = ?"
                           " AND weights_sha256 = ? AND input_set = ? AND state = 'failed'",
                           "itttt", inputs->series, model->manifest->name, model->manifest->version,
                           model->weights_sha256, input_set);
    if (status == LAM_E_NOT_FOUND)
        return LAM_OK;
    static const lam_job_limits none = {0};
    return status == LAM_OK ? lam_jobs_apply(s->db, job, LAM_JOB_RETRY, &none, NULL, NULL, s->now_ms, err)
                            : status;
}

static lam_status queue(void *context, const lam_model *model, const lam_job_input *inputs, size_t count,
                        lam_error *err)
{
    settling *s = context;
    bool queued = false;
    lam_status status = lam_jobs_add(s->db, inputs, count, model->manifest->name, model->manifest->version,
                                     model->weights_sha256, s->now_ms, &queued, err);
    if (status == LAM_OK && !queued && s->retry)
        status = queue_again(s, model, inputs, count, err);
    for (size_t i = 0; status == LAM_OK && i < count; i++)
        status = lam_catalog_refresh(s->db, inputs[i].series, s->now_ms, err);
    return status;
}

static lam_status ask_model(settling *s, const lam_model *model, lam_error *err)
{
    const lam_manifest *manifest = model->manifest;
    char reason[LAM_RULE_REASON] = "";
    bool wanted = false;
    if (!model->newest || (s->only && strcmp(s->only, manifest->name) != 0))
        return LAM_OK;
    const lam_routed_question question = {s->db, model, s->config, s->only != NULL, queue, s};
    lam_status status = lam_routed_ask(&question, &s->series, &wanted, reason, err);
    if (status == LAM_OK)
        status = lam_routed_note(s->db, s->series.id, model, wanted, reason, err);
    if (status == LAM_OK && !wanted)
        lam_buffer_printf(&s->reasons, "%s%s %s: %s", s->reasons.length ? "; " : "", manifest->name,
                          manifest->version, reason);
    return status;
}

static lam_status cancel_superseded(const settling *s, lam_error *err)
{
    static const lam_job_limits none = {0};
    for (;;) {
        int64_t job = 0;
        lam_status status =
            lam_db_get_integer(s->db, &job, err,
                               "SELECT j.id FROM job_input i JOIN job j ON j.id = i.job_id"
                               " WHERE i.series_id = ? AND i.input_set <> ? AND j.state = 'queued' LIMIT 1",
                               "it", s->series.id, s->series.input_set);
        if (status == LAM_E_NOT_FOUND)
            return LAM_OK;
        if (status == LAM_OK)
            status = lam_jobs_apply(s->db, job, LAM_JOB_CANCEL, &none, "superseded: the series has grown",
                                    NULL, s->now_ms, err);
        if (status != LAM_OK)
            return status;
    }
}

/* The series first says what it is now, so that those who read it beside others find it so. */
static lam_status settle(settling *s, const lam_models *models, lam_error *err)
{
    lam_status status = lam_db_run(
        s->db, err, "UPDATE series SET state = 'no_model', reason = NULL, input_set = ? WHERE id = ?", "ti",
        s->series.input_set, s->series.id);
    if (status == LAM_OK)
        status = lam_release_forget(s->db, s->series.id, err);
    if (status == LAM_OK && !s->only)
        status = lam_db_run(s->db, err, "DELETE FROM opinion WHERE series_id = ?", "i", s->series.id);
    for (size_t i = 0; status == LAM_OK && i < lam_models_count(models); i++)
        status = ask_model(s, lam_models_at(models, i), err);
    if (status == LAM_OK) /* whoever waits for the old jobs finds the new ones in their place */
        status = cancel_superseded(s, err);
    const char *reasons = lam_models_count(models) ? lam_buffer_text(&s->reasons) : "no model is installed";
    if (status == LAM_OK)
        status =
            lam_db_run(s->db, err, "UPDATE series SET reason = ? WHERE id = ?", "ti", reasons, s->series.id);
    if (status == LAM_OK)
        status = lam_catalog_refresh(s->db, s->series.id, s->now_ms, err);
    return status;
}

lam_status lam_routing_settle(lam_db *db, int64_t series, const lam_models *models, const lam_config *config,
                              const char *only, bool retry, int64_t now_ms, lam_error *err)
{
    settling s = {.db = db, .config = config, .only = only, .retry = retry, .now_ms = now_ms};
    lam_status status = lam_routed_read(db, series, &s.series, err);
    if (status != LAM_OK)
        return status;
    lam_buffer_init(&s.reasons, MAX_REASONS);
    status = settle(&s, models, err);
    lam_buffer_done(&s.reasons);
    lam_routed_done(&s.series);
    return status;
}

static lam_status settle_one(lam_db *db, int64_t series, const lam_models *models, const lam_config *config,
                             int64_t now_ms, lam_error *err)
{
    lam_status status = lam_db_begin(db, err);
    if (status != LAM_OK)
        return status;
    status = lam_routing_settle(db, series, models, config, NULL, false, now_ms, err);
    return lam_db_end(db, status, err);
}

/* A series is complete when it was quiet for as long as its sender's peer section or the configuration says,
 * or at once when its study has exactly as many instances as was announced. A time of receipt in the future
 * is a clock that was set back: it counts as now, so that nothing waits for it. */
static lam_status settle_next(lam_db *db, const lam_models *models, const lam_config *config, int64_t now_ms,
                              bool *found, lam_error *err)
{
    int64_t series = 0;
    lam_status status =
        lam_db_get_integer(db, &series, err,
                           "SELECT id FROM series WHERE state = 'receiving'"
                           " AND (received_ms <= ?2 - coalesce(quiet_ms, ?1) OR received_ms > ?2 + 1000"
                           " OR EXISTS (SELECT 1 FROM study t WHERE t.id = series.study_id AND announced ="
                           "  (SELECT sum(instances) FROM series o WHERE o.study_id = t.id"
                           "   AND o.state <> 'result'))) ORDER BY received_ms LIMIT 1",
                           "ii", config->stable_after_ms, now_ms);
    *found = status == LAM_OK;
    if (status == LAM_E_NOT_FOUND)
        return LAM_OK;
    return status == LAM_OK ? settle_one(db, series, models, config, now_ms, err) : status;
}

lam_status lam_routing_settle_due(lam_db *db, const lam_models *models, const lam_config *config,
                                  int64_t now_ms, int64_t *wait_ms, lam_error *err)
{
    bool found = true;
    lam_status status = LAM_OK;
    for (int settled = 0; status == LAM_OK && found; settled++) {
        if (settled == MAX_SETTLED) {
            *wait_ms = 0;
            return LAM_OK;
        }
        status = settle_next(db, models, config, now_ms, &found, err);
    }
    if (status != LAM_OK)
        return status;
    int64_t first = 0;
    status = lam_db_get_integer(db, &first, err,
                                "SELECT min(received_ms + coalesce(quiet_ms, ?)) FROM series"
                                " WHERE state = 'receiving'",
                                "i", config->stable_after_ms);
    if (status == LAM_E_NOT_FOUND) {
        *wait_ms = -1;
        return LAM_OK;
    }
    if (status == LAM_OK)
        *wait_ms = first > now_ms ? first - now_ms : 0;
    return status;
}

static lam_status settle_study(lam_db *db, int64_t study, const lam_models *models, const lam_config *config,
                               const char *only, int64_t now_ms, lam_error *err)
{
    int64_t series = 0;
    for (;;) {
        lam_status status = lam_db_get_integer(
            db, &series, err,
            "SELECT min(id) FROM series WHERE study_id = ? AND id > ? AND state <> 'result'", "ii", study,
            series);
        if (status == LAM_E_NOT_FOUND)
            return LAM_OK;
        if (status == LAM_OK)
            status = lam_routing_settle(db, series, models, config, only, true, now_ms, err);
        if (status != LAM_OK)
            return status;
    }
}

lam_status lam_routing_analyze(lam_db *db, const char *study_uid, const lam_models *models,
                               const lam_config *config, const char *only, int64_t now_ms, lam_error *err)
{
    if (only && !lam_models_find(models, only, NULL))
        return lam_fail(err, LAM_E_NOT_FOUND, "no model of that name is installed: see /api/v1/models");
    int64_t study = 0;
    lam_status status = lam_catalog_find_study(db, study_uid, &study, err);
    if (status == LAM_OK)
        status = lam_db_begin(db, err);
    if (status != LAM_OK)
        return status;
    return lam_db_end(db, settle_study(db, study, models, config, only, now_ms, err), err);
}
