#include "daemon/laminad/publish.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/io.h"
#include "core/base/text.h"
#include "daemon/laminad/catalog.h"
#include "daemon/laminad/header.h"
#include "daemon/laminad/outbox.h"
#include "dicom/profile.h"

enum { MAX_PUBLISHED = 32, MAX_TYPE = 16, MAX_NAME = 64, MAX_FINDINGS = 4 << 20 };

/* One file of the result on its way. */
typedef struct published {
    int64_t file; /* in the store; -1 until adopted */
    int64_t bytes;
    bool named;  /* the worker spoke of it */
    bool wanted; /* a row names it */
} published;

typedef struct publication {
    lam_db *db;
    lam_store *store;
    const lam_job *job;
    json_t *done;
    lam_output *outputs;
    size_t output_count;
    published files[MAX_PUBLISHED];
    int64_t now_ms;
} publication;

/* Gives back the files that no row names; `doubtful`: those whose rows may or may not be there. */
static void drop_files(publication *p, lam_status status, bool doubtful)
{
    for (size_t i = 0; i < p->output_count; i++) {
        const published *file = &p->files[i];
        if (file->file < 0 || (status == LAM_OK && file->wanted))
            continue;
        if (doubtful && file->wanted)
            lam_store_doubt(p->store, file->file);
        else
            lam_store_remove(p->store, file->file);
    }
}

/* The bytes are durable before any row names them (promise 1). */
static lam_status sync_outputs(publication *p, lam_error *err)
{
    for (size_t i = 0; i < p->output_count; i++) {
        struct stat info;
        lam_status status = lam_io_sync(p->outputs[i].fd, err);
        if (status != LAM_OK)
            return status;
        if (fstat(p->outputs[i].fd, &info) < 0)
            return lam_fail_errno(err, errno, "cannot stat a result file");
        p->files[i] = (published){.file = -1, .bytes = info.st_size};
    }
    return LAM_OK;
}

static lam_status find_file(publication *p, const json_t *entry, published **out, lam_error *err)
{
    const json_t *index = json_object_get(entry, "output");
    json_int_t i = json_is_integer(index) ? json_integer_value(index) : -1;
    if (i < 0 || (size_t)i >= p->output_count || p->files[i].bytes == 0 || p->files[i].named)
        return lam_fail(err, LAM_E_CORRUPT,
                        "the worker names an output that it did not write, or names it twice");
    p->files[i].named = true;
    *out = &p->files[i];
    return LAM_OK;
}

static lam_status adopt_file(publication *p, published *file, lam_error *err)
{
    lam_status status = lam_store_adopt(p->store, p->outputs[file - p->files].name, &file->file, err);
    file->wanted = status == LAM_OK;
    return status;
}

/* A word that may stand in a URL, a file name or a page without ado. */
static bool is_word(const char *text, size_t most)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    size_t length = text ? strlen(text) : 0;
    return length > 0 && length <= most && strspn(text, allowed) == length;
}

/* An instance with this UID that a result of Lamina in this study holds may stay; anything else under it is a
 * clash. */
static lam_status find_published(publication *p, const lam_header *header, int64_t *instance, lam_error *err)
{
    lam_catalog_instance found;
    lam_status status = lam_catalog_find_instance(p->db, header, &found, err);
    if (status != LAM_OK)
        return status;
    if (!found.is_result || !found.same_place)
        return lam_fail(err, LAM_E_EXISTS, "another object has the UID of this result");
    *instance = found.id;
    return LAM_OK;
}

/* A result belongs into the study of its job, in a series that holds nothing that was received. */
static lam_status check_place(publication *p, const lam_header *header, lam_error *err)
{
    static const char misplaced[] =
        "the worker's object does not belong into a series of its own in the study";
    if (strcmp(header->study_uid, p->job->study_uid) != 0)
        return lam_fail(err, LAM_E_CORRUPT, "%s", misplaced);
    int64_t received = 0;
    lam_status status = lam_db_get_integer(p->db, &received, err,
                                           "SELECT s.state <> 'result' FROM series s JOIN study t ON t.id = "
                                           "s.study_id WHERE t.uid = ? AND s.uid = ?",
                                           "tt", header->study_uid, header->series_uid);
    if (status == LAM_OK && received)
        return lam_fail(err, LAM_E_CORRUPT, "%s", misplaced);
    return status == LAM_E_NOT_FOUND ? LAM_OK : status;
}

static lam_status enter_object(publication *p, const lam_header *header, published *file, int64_t *instance,
                               lam_error *err)
{
    if (header->dataset_offset < 0 || header->dataset_offset > file->bytes)
        return lam_fail(err, LAM_E_CORRUPT, "the worker's data set begins outside of its file");
    lam_status status = check_place(p, header, err);
    if (status == LAM_OK)
        status = find_published(p, header, instance, err);
    if (status != LAM_E_NOT_FOUND)
        return status;
    status = adopt_file(p, file, err);
    if (status != LAM_OK)
        return status;
    const lam_catalog_file row = {.number = file->file, .bytes = file->bytes, .is_result = true};
    return lam_catalog_add(p->db, header, &row, p->now_ms, instance, err);
}

/* `problems` is NULL for an object that passed; others are kept, and the outbox passes them by. */
static lam_status enter_row(publication *p, const json_t *object, size_t position, const char *type,
                            lam_profile profile, int64_t instance, lam_error *err)
{
    const json_t *list = json_object_get(object, "problems");
    lam_autofree char *problems = json_array_size(list) ? json_dumps(list, JSON_COMPACT) : NULL;
    return lam_db_run(p->db, err,
                      "INSERT OR REPLACE INTO result_object (job_id, position, type, instance_id, profile,"
                      " problems) VALUES (?, ?, ?, ?, ?, ?)",
                      "iititt", p->job->id, (int64_t)position, type, instance, lam_profile_name(profile),
                      problems);
}

static lam_status publish_object(publication *p, const json_t *object, size_t position, lam_error *err)
{
    const char *type = json_string_value(json_object_get(object, "type"));
    lam_profile profile = LAM_PROFILE_STRICT;
    published *file = NULL;
    lam_header header = {0};
    int64_t instance = 0;
    lam_status status = find_file(p, object, &file, err);
    if (status == LAM_OK && !is_word(type, MAX_TYPE))
        status = lam_fail(err, LAM_E_CORRUPT, "the worker gives an object without a type");
    const json_t *named = json_object_get(object, "profile");
    if (status == LAM_OK && named && !lam_profile_find(json_string_value(named), &profile))
        status = lam_fail(err, LAM_E_CORRUPT, "the worker gives an object for a profile that is not known");
    if (status == LAM_OK)
        status = lam_header_from_json(json_object_get(object, "index"), &header, err);
    if (status != LAM_OK)
        return status;
    status = enter_object(p, &header, file, &instance, err);
    if (status == LAM_OK)
        status = enter_row(p, object, position, type, profile, instance, err);
    lam_header_done(&header);
    return status;
}

static lam_status publish_picture(publication *p, const json_t *picture, lam_error *err)
{
    const char *name = json_string_value(json_object_get(picture, "name"));
    const char *media_type = json_string_value(json_object_get(picture, "media_type"));
    if (!is_word(name, MAX_NAME) || !media_type || strcmp(media_type, "image/png") != 0)
        return lam_fail(err, LAM_E_CORRUPT, "the worker gives a picture that is no PNG or has no name");
    published *file = NULL;
    lam_status status = find_file(p, picture, &file, err);
    int64_t known = 0;
    if (status == LAM_OK)
        status = lam_db_get_integer(p->db, &known, err, "SELECT 1 FROM picture WHERE job_id = ? AND name = ?",
                                    "it", p->job->id, name);
    if (status != LAM_E_NOT_FOUND)
        return status;
    status = adopt_file(p, file, err);
    if (status != LAM_OK)
        return status;
    return lam_db_run(p->db, err,
                      "INSERT INTO picture (job_id, name, media_type, file, bytes) VALUES (?, ?, ?, ?, ?)",
                      "ittii", p->job->id, name, media_type, file->file, file->bytes);
}

/* What RESULT has of the worker's answer. */
static lam_status publish_findings(publication *p, lam_error *err)
{
    static const char *const members[] = {"task",     "timings_ms",   "classification", "detections",
                                          "segments", "measurements", "gate",           "unexplained"};
    json_t *findings = json_object();
    for (size_t i = 0; i < LAM_COUNT(members); i++) {
        json_t *value = json_object_get(p->done, members[i]);
        if (value)
            json_object_set(findings, members[i], value);
    }
    lam_autofree char *text = json_dumps(findings, JSON_COMPACT);
    json_decref(findings);
    if (!text)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    if (strlen(text) > MAX_FINDINGS)
        return lam_fail(err, LAM_E_CORRUPT, "the worker's findings are longer than %d MiB",
                        MAX_FINDINGS >> 20);
    return lam_db_run(p->db, err,
                      "INSERT INTO result (job_id, findings, created_ms) VALUES (?1, ?2, ?3)"
                      " ON CONFLICT DO UPDATE SET findings = ?2",
                      "iti", p->job->id, text, p->now_ms);
}

static lam_status write_rows(publication *p, const lam_job_limits *limits, lam_error *err)
{
    const json_t *objects = json_object_get(p->done, "objects"),
                 *pictures = json_object_get(p->done, "pictures");
    lam_status status = LAM_OK;
    for (size_t i = 0; status == LAM_OK && i < json_array_size(objects); i++)
        status = publish_object(p, json_array_get(objects, i), i, err);
    for (size_t i = 0; status == LAM_OK && i < json_array_size(pictures); i++)
        status = publish_picture(p, json_array_get(pictures, i), err);
    if (status == LAM_OK)
        status = publish_findings(p, err);
    lam_autofree char *timings = json_dumps(json_object_get(p->done, "timings_ms"), JSON_COMPACT);
    if (status == LAM_OK)
        status = lam_jobs_apply(p->db, p->job->id, LAM_JOB_SUCCEED, limits, NULL, timings, p->now_ms, err);
    if (status == LAM_OK)
        status = lam_outbox_enter(p->db, p->job->id, p->now_ms, err);
    return status;
}

static lam_status publish_transaction(publication *p, const lam_job_limits *limits, bool *doubtful,
                                      lam_error *err)
{
    lam_status status = lam_db_begin(p->db, err);
    if (status != LAM_OK)
        return status;
    status = write_rows(p, limits, err);
    if (status == LAM_OK)
        status = lam_store_sync(p->store, NULL, 0, err);
    if (status != LAM_OK) {
        lam_db_rollback(p->db);
        return status;
    }
    status = lam_db_commit(p->db, err);
    *doubtful = status != LAM_OK;
    if (status == LAM_OK)
        lam_store_settle(p->store);
    return status;
}

static lam_status check_answer(const json_t *done, lam_error *err)
{
    if (!json_is_string(json_object_get(done, "task")) || !json_is_array(json_object_get(done, "objects")))
        return lam_fail(err, LAM_E_CORRUPT, "the worker's result is not what DONE carries");
    return LAM_OK;
}

lam_status lam_publish(lam_db *db, lam_store *store, const lam_job *job, const char *payload,
                       lam_output *outputs, size_t output_count, const lam_job_limits *limits, int64_t now_ms,
                       lam_error *err)
{
    publication p = {.db = db,
                     .store = store,
                     .job = job,
                     .outputs = outputs,
                     .output_count = output_count < MAX_PUBLISHED ? output_count : MAX_PUBLISHED,
                     .now_ms = now_ms};
    for (size_t i = 0; i < MAX_PUBLISHED; i++)
        p.files[i].file = -1;
    bool doubtful = false;
    p.done = json_loads(payload, JSON_REJECT_DUPLICATES, NULL);
    lam_status status = check_answer(p.done, err);
    if (status == LAM_OK)
        status = sync_outputs(&p, err);
    if (status == LAM_OK)
        status = publish_transaction(&p, limits, &doubtful, err);
    drop_files(&p, status, doubtful);
    json_decref(p.done);
    return status;
}

lam_status lam_publish_predecessor(lam_db *db, lam_job *job, lam_error *err)
{
    sqlite3_stmt *s = lam_db_prepare(
        db, err,
        "SELECT e.uid, i.uid FROM job j JOIN result_object o ON o.job_id = j.id AND o.type = 'SR'"
        " AND o.profile = 'strict' JOIN instance i ON i.id = o.instance_id JOIN series e ON e.id = "
        "i.series_id"
        " WHERE j.series_id = ?1 AND j.model = ?2 AND j.id < ?3 ORDER BY j.id DESC LIMIT 1",
        "iti", job->series, job->model, job->id);
    bool row = false;
    lam_status status = lam_db_step(db, s, &row, err);
    if (status != LAM_OK || !row)
        return status;
    lam_text_copy(job->replaces_series, sizeof job->replaces_series, lam_db_text(s, 0));
    lam_text_copy(job->replaces_sop, sizeof job->replaces_sop, lam_db_text(s, 1));
    return lam_db_step(db, s, &row, err);
}
