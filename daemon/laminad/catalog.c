#include "daemon/laminad/catalog.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/sha256.h"
#include "core/base/text.h"
#include "daemon/laminad/release.h"

typedef struct text_of {
    char buffer[LAM_HEADER_VALUE];
} text_of;

static const char *text_in(const lam_header *header, uint32_t tag, text_of *text)
{
    json_t *attribute = lam_header_attribute(header, tag);
    const char *found = lam_header_value(attribute, text->buffer);
    json_decref(attribute);
    return found;
}

#define TEXT(header, tag) text_in((header), (tag), &(text_of){{0}})

/* A person name with its groups, NULL when absent: what lam_fold_name takes. */
static const char *whole_name_in(const lam_header *header, uint32_t tag, char *text, size_t size)
{
    json_t *attribute = lam_header_attribute(header, tag);
    const json_t *name = json_array_get(json_object_get(attribute, "Value"), 0);
    static const char *const groups[] = {"Alphabetic", "Ideographic", "Phonetic"};
    size_t used = 0;
    for (size_t i = 0; i < LAM_COUNT(groups) && used + 2 < size; i++) {
        const char *group = json_string_value(json_object_get(name, groups[i]));
        if (i)
            text[used++] = '=';
        used += lam_text_copy(text + used, size - used, group);
    }
    text[used] = '\0';
    bool present = name != NULL;
    json_decref(attribute);
    return present ? text : NULL;
}

#define whole_name(header, tag)                                                                              \
    whole_name_in((header), (tag), (char[3 * LAM_HEADER_VALUE]){0}, (size_t)3 * LAM_HEADER_VALUE)

static lam_status add_study(lam_db *db, const lam_header *header, int64_t now_ms, int64_t *id, lam_error *err)
{
    lam_status status =
        lam_db_get_integer(db, id, err, "SELECT id FROM study WHERE uid = ?", "t", header->study_uid);
    if (status != LAM_E_NOT_FOUND)
        return status;
    lam_autofree char *attributes = lam_header_pick(header, LAM_LEVEL_STUDY);
    if (!attributes)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for the attributes of a study");
    status = lam_db_run(
        db, err,
        "INSERT INTO study (uid, state, patient_id, patient_name, birth_date, sex, study_date, study_time,"
        " accession_number, study_id, description, created_ms, updated_ms, attributes, name_key,"
        " referring_key) VALUES (?, 'receiving', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, lam_fold_name(?),"
        " lam_fold_name(?))",
        "ttttttttttiittt", header->study_uid, TEXT(header, 0x00100020), TEXT(header, 0x00100010),
        TEXT(header, 0x00100030), TEXT(header, 0x00100040), TEXT(header, 0x00080020),
        TEXT(header, 0x00080030), TEXT(header, 0x00080050), TEXT(header, 0x00200010),
        TEXT(header, 0x00081030), now_ms, now_ms, attributes, whole_name(header, 0x00100010),
        whole_name(header, 0x00080090));
    if (status == LAM_OK)
        *id = lam_db_last_id(db);
    return status;
}

/* An integer string (IS): a number in DICOM JSON, or text where the number could not be kept. NULL when it is
 * absent or no number; else points into *value. */
static const int64_t *integer_of(const lam_header *header, uint32_t tag, int64_t *value)
{
    json_t *attribute = lam_header_attribute(header, tag);
    const json_t *first = json_array_get(json_object_get(attribute, "Value"), 0);
    const char *text = json_string_value(first);
    char *end = NULL;
    bool found = json_is_integer(first);
    if (found) {
        *value = json_integer_value(first);
    } else if (text) {
        errno = 0;
        *value = strtoll(text, &end, 10);
        found = end != text && *end == '\0' && errno == 0;
    }
    json_decref(attribute);
    return found ? value : NULL;
}

static lam_status add_series(lam_db *db, const lam_header *header, int64_t study,
                             const lam_catalog_file *file, int64_t now_ms, int64_t *id, lam_error *err)
{
    lam_status status = lam_db_get_integer(
        db, id, err, "SELECT id FROM series WHERE study_id = ? AND uid = ?", "it", study, header->series_uid);
    if (status != LAM_E_NOT_FOUND)
        return status;
    lam_autofree char *attributes = lam_header_pick(header, LAM_LEVEL_SERIES);
    if (!attributes)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for the attributes of a series");
    int64_t number;
    status =
        lam_db_run(db, err,
                   "INSERT INTO series (study_id, uid, state, modality, number, description, received_ms,"
                   " attributes) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                   "itttotit", study, header->series_uid, file->is_result ? "result" : "receiving",
                   TEXT(header, 0x00080060), integer_of(header, 0x00200011, &number),
                   TEXT(header, 0x0008103E), now_ms, attributes);
    if (status != LAM_OK)
        return status;
    *id = lam_db_last_id(db);
    return lam_db_run(
        db, err,
        "UPDATE study SET series_count = series_count + 1, modalities = CASE"
        " WHEN ?2 IS NULL OR instr(modalities, '\\' || ?2 || '\\') THEN modalities"
        " WHEN modalities = '' THEN '\\' || ?2 || '\\' ELSE modalities || ?2 || '\\' END WHERE id = ?1",
        "it", study, TEXT(header, 0x00080060));
}

static lam_status add_metadata(lam_db *db, int64_t instance, const lam_header *header, lam_error *err)
{
    return lam_db_run(db, err, "INSERT INTO metadata (instance_id, attributes) VALUES (?, ?)", "it", instance,
                      header->text);
}

static lam_status add_pixels(lam_db *db, int64_t instance, const lam_header *header, lam_error *err)
{
    if (!header->pixels)
        return LAM_OK;
    return lam_db_run(db, err, "INSERT INTO pixels (instance_id, layout) VALUES (?, ?)", "it", instance,
                      header->pixels);
}

/* A received object opens its series again; a result does not touch the state of what it came from. */
static lam_status touch_series(lam_db *db, int64_t series, const lam_catalog_file *file, int64_t now_ms,
                               lam_error *err)
{
    return lam_db_run(db, err,
                      "UPDATE series SET instances = instances + 1, received_ms = ?2,"
                      " state = CASE WHEN ?3 OR state = 'result' THEN state ELSE 'receiving' END,"
                      " reason = CASE WHEN ?3 THEN reason ELSE NULL END,"
                      " quiet_ms = CASE WHEN ?3 THEN quiet_ms ELSE ?4 END WHERE id = ?1",
                      "iiio", series, now_ms, (int64_t)file->is_result,
                      file->quiet_ms ? &file->quiet_ms : NULL);
}

static lam_status touch_study(lam_db *db, int64_t study, int64_t series, const lam_header *header,
                              bool is_result, int64_t now_ms, lam_error *err)
{
    int64_t announced;
    if (is_result)
        return lam_db_run(db, err, "UPDATE study SET instance_count = instance_count + 1 WHERE id = ?", "i",
                          study);
    return lam_db_run(
        db, err,
        "UPDATE study SET instance_count = instance_count + 1, announced = coalesce(?4, announced),"
        " updated_ms = iif(s.state = 'receiving', ?2, updated_ms),"
        " state = iif(s.state = 'receiving', 'receiving', study.state)"
        " FROM (SELECT state FROM series WHERE id = ?3) AS s WHERE study.id = ?1",
        "iiio", study, now_ms, series, integer_of(header, 0x00201208, &announced));
}

lam_status lam_catalog_add(lam_db *db, const lam_header *header, const lam_catalog_file *file, int64_t now_ms,
                           int64_t *instance, lam_error *err)
{
    int64_t study = 0, series = 0, number;
    lam_autofree char *attributes = lam_header_pick(header, LAM_LEVEL_INSTANCE);
    if (!attributes)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for the attributes of an instance");
    lam_status status = add_study(db, header, now_ms, &study, err);
    if (status == LAM_OK)
        status = add_series(db, header, study, file, now_ms, &series, err);
    if (status == LAM_OK)
        status = lam_db_run(
            db, err,
            "INSERT INTO instance (series_id, uid, sop_class_uid, transfer_syntax_uid, number, file,"
            " bytes, dataset_offset, revision, sender, received_ms, attributes)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            "itttoiiiitit", series, header->sop_uid, header->sop_class_uid, header->transfer_syntax_uid,
            integer_of(header, 0x00200013, &number), file->number, file->bytes, header->dataset_offset,
            file->revision, file->sender, now_ms, attributes);
    if (status != LAM_OK)
        return status;
    int64_t id = lam_db_last_id(db);
    status = add_metadata(db, id, header, err);
    if (status == LAM_OK)
        status = add_pixels(db, id, header, err);
    if (status == LAM_OK)
        status = touch_series(db, series, file, now_ms, err);
    if (status == LAM_OK && !file->is_result)
        status = lam_release_expect(db, series, file->association, err);
    if (status == LAM_OK)
        status = touch_study(db, study, series, header, file->is_result, now_ms, err);
    if (status == LAM_OK)
        *instance = id;
    return status;
}

lam_status lam_catalog_find_instance(lam_db *db, const lam_header *header, lam_catalog_instance *out,
                                     lam_error *err)
{
    sqlite3_stmt *s = lam_db_prepare(db, err,
                                     "SELECT i.id, i.file, i.bytes, i.dataset_offset,"
                                     " s.uid = ?2 AND t.uid = ?3, i.transfer_syntax_uid = ?4, i.revision,"
                                     " s.state = 'result'"
                                     " FROM instance i JOIN series s ON s.id = i.series_id"
                                     " JOIN study t ON t.id = s.study_id WHERE i.uid = ?1",
                                     "tttt", header->sop_uid, header->series_uid, header->study_uid,
                                     header->transfer_syntax_uid);
    bool row = false;
    lam_status status = lam_db_step(db, s, &row, err);
    if (status != LAM_OK)
        return status;
    if (!row)
        return LAM_E_NOT_FOUND;
    *out = (lam_catalog_instance){
        .id = sqlite3_column_int64(s, 0),
        .file = sqlite3_column_int64(s, 1),
        .bytes = sqlite3_column_int64(s, 2),
        .dataset_offset = sqlite3_column_int64(s, 3),
        .same_place = sqlite3_column_int(s, 4) != 0,
        .same_syntax = sqlite3_column_int(s, 5) != 0,
        .revision = sqlite3_column_int64(s, 6),
        .is_result = sqlite3_column_int(s, 7) != 0,
    };
    sqlite3_reset(s);
    return LAM_OK;
}

lam_status lam_catalog_remove(lam_db *db, const lam_catalog_instance *instance, lam_error *err)
{
    lam_status status = lam_db_run(db, err,
                                   "UPDATE series SET instances = instances - 1 WHERE id ="
                                   " (SELECT series_id FROM instance WHERE id = ?)",
                                   "i", instance->id);
    if (status == LAM_OK)
        status = lam_db_run(db, err,
                            "UPDATE study SET instance_count = instance_count - 1 WHERE id = (SELECT"
                            " s.study_id FROM series s JOIN instance i ON i.series_id = s.id WHERE i.id = ?)",
                            "i", instance->id);
    if (status == LAM_OK)
        status = lam_db_run(db, err, "INSERT INTO removed_file (file) VALUES (?)", "i", instance->file);
    if (status == LAM_OK)
        status = lam_db_run(db, err, "DELETE FROM instance WHERE id = ?", "i", instance->id);
    return status;
}

static lam_status visit_removed(lam_db *db, void (*visit)(void *context, int64_t file), void *context,
                                lam_error *err)
{
    sqlite3_stmt *s = lam_db_prepare(db, err, "SELECT file FROM removed_file", "");
    for (bool row = true; row;) {
        lam_status status = lam_db_step(db, s, &row, err);
        if (status != LAM_OK)
            return status;
        if (row)
            visit(context, sqlite3_column_int64(s, 0));
    }
    return LAM_OK;
}

lam_status lam_catalog_sweep(lam_db *db, void (*visit)(void *context, int64_t file), void *context,
                             lam_error *err)
{
    lam_status status = lam_db_begin(db, err);
    if (status != LAM_OK)
        return status;
    status = visit_removed(db, visit, context, err);
    if (status == LAM_OK)
        status = lam_db_run(db, err, "DELETE FROM removed_file", "");
    return lam_db_end(db, status, err);
}

lam_status lam_catalog_find_study(lam_db *db, const char *study_uid, int64_t *study, lam_error *err)
{
    lam_status status =
        lam_db_get_integer(db, study, err, "SELECT id FROM study WHERE uid = ?", "t", study_uid);
    if (status == LAM_E_NOT_FOUND)
        lam_fail(err, status, "no such study is stored");
    return status;
}

lam_status lam_catalog_last_file(lam_db *db, int64_t *number, lam_error *err)
{
    lam_status status = lam_db_get_integer(
        db, number, err,
        "SELECT max(n) FROM (SELECT max(file) AS n FROM instance UNION ALL SELECT max(file) FROM picture"
        " UNION ALL SELECT max(file) FROM removed_file)",
        "");
    if (status == LAM_E_NOT_FOUND) {
        *number = -1;
        return LAM_OK;
    }
    return status;
}

static void hash_instance(lam_sha256 *hash, const char *uid, int64_t revision)
{
    char text[96];
    if (revision > 0) {
        snprintf(text, sizeof text, "%s#%lld", uid, (long long)revision);
        uid = text;
    }
    lam_sha256_update_text(hash, uid);
}

lam_status lam_catalog_input_set(lam_db *db, int64_t series, char text[65], int64_t *instances,
                                 lam_error *err)
{
    sqlite3_stmt *s = lam_db_prepare(
        db, err, "SELECT uid, revision FROM instance WHERE series_id = ? ORDER BY uid", "i", series);
    lam_sha256 hash;
    lam_sha256_init(&hash);
    int64_t count = 0;
    for (bool row = true; row;) {
        lam_status status = lam_db_step(db, s, &row, err);
        if (status != LAM_OK)
            return status;
        if (row) {
            hash_instance(&hash, lam_db_text(s, 0), sqlite3_column_int64(s, 1));
            count++;
        }
    }
    lam_sha256_final_text(&hash, text);
    *instances = count;
    return LAM_OK;
}

/* The jobs that read the series as it is, on behalf of its own study: what an earlier study lends to a job of
 * a later one changes nothing about the earlier. */
#define JOBS_OF_SERIES                                                                                       \
    " FROM job_input i JOIN current_job c ON c.id = i.job_id JOIN job j ON j.id = i.job_id"                  \
    " JOIN series own ON own.id = j.series_id"                                                               \
    " WHERE i.series_id = series.id AND own.study_id = series.study_id"

/* Of several jobs (or series) the state that matters most comes first. A cancelled job leaves its series
 * failed: nothing will come of it (promise 6: cancel is final), and the reason says so. */
lam_status lam_catalog_refresh(lam_db *db, int64_t series, int64_t now_ms, lam_error *err)
{
    lam_status status = lam_db_run(
        db, err,
        "UPDATE series SET (state, reason) = ("
        " SELECT CASE WHEN sum(j.state = 'running') THEN 'running' WHEN sum(j.state = 'queued') THEN 'queued'"
        "  WHEN sum(j.state IN ('failed', 'cancelled')) THEN 'failed' ELSE 'done' END,"
        "  group_concat(CASE WHEN j.state IN ('failed', 'cancelled') THEN"
        "   'job ' || j.id || ' (' || j.model || '): ' || coalesce(j.reason, j.state) END, '; "
        "')" JOBS_OF_SERIES
        ") WHERE id = ?1 AND state NOT IN ('receiving', 'result') AND EXISTS (SELECT 1" JOBS_OF_SERIES ")",
        "i", series);
    if (status != LAM_OK)
        return status;
    return lam_db_run(
        db, err,
        "UPDATE study SET updated_ms = ?2, state = ("
        " SELECT CASE WHEN sum(s.state = 'receiving') THEN 'receiving'"
        "  WHEN sum(s.state = 'running') THEN 'running' WHEN sum(s.state = 'queued') THEN 'queued'"
        "  WHEN sum(s.state = 'failed') THEN 'failed' WHEN sum(s.state = 'done') THEN 'done'"
        "  ELSE 'no_model' END FROM series s WHERE s.study_id = study.id)"
        " WHERE id = (SELECT study_id FROM series WHERE id = ?1)",
        "ii", series, now_ms);
}

lam_status lam_catalog_refresh_job(lam_db *db, int64_t job, int64_t now_ms, lam_error *err)
{
    for (int64_t position = 0;; position++) {
        int64_t series = 0;
        lam_status status = lam_db_get_integer(
            db, &series, err, "SELECT series_id FROM job_input WHERE job_id = ? AND position = ?", "ii", job,
            position);
        if (status == LAM_E_NOT_FOUND)
            return LAM_OK;
        if (status == LAM_OK)
            status = lam_catalog_refresh(db, series, now_ms, err);
        if (status != LAM_OK)
            return status;
    }
}
