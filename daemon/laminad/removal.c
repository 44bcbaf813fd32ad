#include "daemon/laminad/removal.h"

#include <stdio.h>

#include "core/base/uid.h"
#include "daemon/laminad/catalog.h"

/* The instances of the place, as a condition on s (series) and i (instance). */
#define PLACE                                                                                                \
    " FROM instance i JOIN series s ON s.id = i.series_id JOIN study t ON t.id = s.study_id"                 \
    " WHERE t.uid = ?1 AND (?2 IS NULL OR s.uid = ?2) AND (?3 IS NULL OR i.uid = ?3)"

/* The jobs that read a series of the place. */
#define JOBS "SELECT job_id FROM job_input WHERE series_id IN (SELECT s.id" PLACE ")"

typedef struct step {
    const char *sql;
    bool timed; /* the fourth parameter is the time */
} step;

static const step steps[] = {
    {"INSERT INTO removed_file (file) SELECT i.file" PLACE, false},
    /* A series that loses an instance has another input set: its jobs go, and it is settled again. */
    {"INSERT INTO removed_file (file) SELECT p.file FROM picture p JOIN job j ON j.id = p.job_id"
     " WHERE j.id IN (" JOBS ")",
     false},
    {"DELETE FROM job WHERE id IN (" JOBS ")", false},
    {"UPDATE series SET state = CASE state WHEN 'result' THEN state ELSE 'receiving' END, input_set = NULL,"
     " reason = NULL, received_ms = ?4 WHERE id IN (SELECT s.id" PLACE ")",
     true},
    {"DELETE FROM instance WHERE id IN (SELECT i.id" PLACE ")", false},
    {"UPDATE series SET instances = (SELECT count(*) FROM instance i WHERE i.series_id = series.id)"
     " WHERE study_id = (SELECT id FROM study WHERE uid = ?1) AND ?2 IS ?2 AND ?3 IS ?3",
     false},
    {"DELETE FROM series WHERE instances = 0 AND study_id = (SELECT id FROM study WHERE uid = ?1)"
     " AND ?2 IS ?2 AND ?3 IS ?3",
     false},
    {"UPDATE study SET updated_ms = ?4,"
     " series_count = (SELECT count(*) FROM series s WHERE s.study_id = study.id),"
     " instance_count = (SELECT coalesce(sum(s.instances), 0) FROM series s WHERE s.study_id = study.id),"
     " modalities = replace(coalesce((SELECT '\\' || group_concat(DISTINCT s.modality || '\\') FROM series s"
     "  WHERE s.study_id = study.id AND s.modality IS NOT NULL), ''), '\\,', '\\')"
     " WHERE uid = ?1 AND ?2 IS ?2 AND ?3 IS ?3",
     true},
    {"DELETE FROM study WHERE uid = ?1 AND series_count = 0 AND ?2 IS ?2 AND ?3 IS ?3", false},
};

static lam_status run_steps(lam_db *db, const lam_place *place, int64_t now_ms, lam_error *err)
{
    lam_status status = LAM_OK;
    for (size_t i = 0; status == LAM_OK && i < LAM_COUNT(steps); i++)
        status = lam_db_run(db, err, steps[i].sql, steps[i].timed ? "ttti" : "ttt", place->study_uid,
                            place->series_uid, place->sop_uid, now_ms);
    return status;
}

/* The objects that were made of what the place loses, each a place of its own: they may lie in another study,
 * as where the place was a prior. A row that is gone takes its result_object along, so this ends. */
static lam_status remove_results(lam_db *db, const lam_place *place, int64_t now_ms, lam_error *err)
{
    for (;;) {
        char study[LAM_UID_TEXT], series[LAM_UID_TEXT], sop[LAM_UID_TEXT];
        sqlite3_stmt *s = lam_db_prepare(
            db, err,
            "SELECT rt.uid, rs.uid, ri.uid FROM result_object o JOIN instance ri ON ri.id = o.instance_id"
            " JOIN series rs ON rs.id = ri.series_id JOIN study rt ON rt.id = rs.study_id"
            " WHERE o.job_id IN (" JOBS ") LIMIT 1",
            "ttt", place->study_uid, place->series_uid, place->sop_uid);
        bool found = false;
        lam_status status = lam_db_step(db, s, &found, err);
        if (status != LAM_OK || !found)
            return status;
        snprintf(study, sizeof study, "%s", lam_db_text(s, 0));
        snprintf(series, sizeof series, "%s", lam_db_text(s, 1));
        snprintf(sop, sizeof sop, "%s", lam_db_text(s, 2));
        sqlite3_reset(s);
        status = run_steps(db, &(lam_place){study, series, sop}, now_ms, err);
        if (status != LAM_OK)
            return status;
    }
}

/* What is left of the study has the state of its series. */
static lam_status refresh_study(lam_db *db, const lam_place *place, int64_t now_ms, lam_error *err)
{
    int64_t series = 0;
    lam_status status = lam_db_get_integer(
        db, &series, err,
        "SELECT s.id FROM series s JOIN study t ON t.id = s.study_id WHERE t.uid = ? LIMIT 1", "t",
        place->study_uid);
    if (status == LAM_E_NOT_FOUND)
        return LAM_OK;
    return status == LAM_OK ? lam_catalog_refresh(db, series, now_ms, err) : status;
}

static lam_status remove_place(lam_db *db, const lam_place *place, int64_t now_ms, lam_error *err)
{
    lam_status status = remove_results(db, place, now_ms, err);
    if (status == LAM_OK)
        status = run_steps(db, place, now_ms, err);
    return status == LAM_OK ? refresh_study(db, place, now_ms, err) : status;
}

lam_status lam_removal_take(lam_db *db, const char *sop_uid, int64_t now_ms, lam_error *err)
{
    char study[LAM_UID_TEXT], series[LAM_UID_TEXT];
    bool found = false;
    sqlite3_stmt *s = lam_db_prepare(db, err,
                                     "SELECT t.uid, s.uid FROM instance i JOIN series s ON s.id = i.series_id"
                                     " JOIN study t ON t.id = s.study_id WHERE i.uid = ?",
                                     "t", sop_uid);
    lam_status status = lam_db_step(db, s, &found, err);
    if (status == LAM_OK && !found)
        status = lam_fail(err, LAM_E_NOT_FOUND, "no such instance is stored");
    if (status != LAM_OK)
        return status;
    snprintf(study, sizeof study, "%s", lam_db_text(s, 0));
    snprintf(series, sizeof series, "%s", lam_db_text(s, 1));
    sqlite3_reset(s);
    return remove_place(db, &(lam_place){study, series, sop_uid}, now_ms, err);
}

static void remove_file(void *context, int64_t file)
{
    lam_store_remove(context, file);
}

lam_status lam_removal_run(lam_db *db, lam_store *store, const lam_place *place, int64_t now_ms,
                           int64_t *instances, lam_error *err)
{
    int64_t count = 0;
    lam_status status = lam_db_begin(db, err);
    if (status != LAM_OK)
        return status;
    status = lam_db_get_integer(db, &count, err, "SELECT count(*)" PLACE, "ttt", place->study_uid,
                                place->series_uid, place->sop_uid);
    if (status == LAM_OK && count == 0)
        status = lam_fail(err, LAM_E_NOT_FOUND, "nothing is stored under these UIDs");
    if (status == LAM_OK)
        status = remove_place(db, place, now_ms, err);
    status = lam_db_end(db, status, err);
    if (status != LAM_OK)
        return status;
    *instances = count;
    return lam_catalog_sweep(db, remove_file, store, err);
}
