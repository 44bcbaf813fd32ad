#include "daemon/laminad/backend.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "core/base/text.h"
#include "daemon/laminad/archive.h"
#include "daemon/laminad/catalog.h"
#include "daemon/laminad/documents.h"
#include "daemon/laminad/feed.h"
#include "daemon/laminad/fhir.h"
#include "daemon/laminad/jobs.h"
#include "daemon/laminad/metrics.h"
#include "daemon/laminad/query.h"
#include "daemon/laminad/removal.h"
#include "daemon/laminad/render.h"
#include "daemon/laminad/routing.h"
#include "daemon/laminad/upload.h"

lam_models *lam_daemon_models(lam_daemon *daemon)
{
    pthread_mutex_lock(&daemon->lock);
    lam_models *models = lam_models_ref(daemon->models);
    pthread_mutex_unlock(&daemon->lock);
    return models;
}

const lam_config *lam_daemon_config(lam_daemon *daemon)
{
    pthread_mutex_lock(&daemon->lock);
    const lam_config *config = daemon->config;
    pthread_mutex_unlock(&daemon->lock);
    return config;
}

static lam_status upload_open(void *context, const char *sender, lam_upload **out, lam_error *err)
{
    const lam_daemon *daemon = context;
    return lam_upload_open(daemon->intake, sender, out, err);
}

static lam_status archive_open(void *context, const char *sender, lam_archive **out, lam_error *err)
{
    lam_daemon *daemon = context;
    return lam_archive_open(daemon->intake, &daemon->unpacking, sender, out, err);
}

static lam_status studies(void *context, const lam_list_query *query, json_t **out, lam_error *err)
{
    const lam_daemon *daemon = context;
    LAM_WITH_DB(daemon, db);
    return lam_document_studies(db, query->state, query->limit, query->offset, out, err);
}

static lam_status study(void *context, const char *study_uid, json_t **out, lam_error *err)
{
    const lam_daemon *daemon = context;
    LAM_WITH_DB(daemon, db);
    return lam_document_study(db, study_uid, out, err);
}

static lam_status results(void *context, const char *study_uid, json_t **out, lam_error *err)
{
    const lam_daemon *daemon = context;
    LAM_WITH_DB(daemon, db);
    return lam_document_results(db, study_uid, out, err);
}

static lam_status results_fhir(void *context, const char *study_uid, json_t **out, lam_error *err)
{
    const lam_daemon *daemon = context;
    LAM_WITH_DB(daemon, db);
    json_t *study = NULL, *found = NULL;
    lam_status status = lam_document_study(db, study_uid, &study, err);
    if (status == LAM_OK)
        status = lam_document_results(db, study_uid, &found, err);
    if (status == LAM_OK)
        status = lam_fhir_bundle(study, found, out, err);
    json_decref(study);
    json_decref(found);
    return status;
}

static lam_status jobs(void *context, const lam_list_query *query, json_t **out, lam_error *err)
{
    const lam_daemon *daemon = context;
    LAM_WITH_DB(daemon, db);
    return lam_document_jobs(db, query->state, query->limit, query->offset, out, err);
}

static lam_status job(void *context, int64_t id, json_t **out, lam_error *err)
{
    const lam_daemon *daemon = context;
    LAM_WITH_DB(daemon, db);
    return lam_document_job(db, id, out, err);
}

static lam_status models(void *context, json_t **out, lam_error *err)
{
    (void)err;
    lam_models *installed = lam_daemon_models(context);
    json_t *list = json_array();
    for (size_t i = 0; i < lam_models_count(installed); i++)
        json_array_append_new(list, lam_document_model(lam_models_at(installed, i), false));
    lam_models_unref(installed);
    *out = list;
    return LAM_OK;
}

static lam_status model(void *context, const char *name, json_t **out, lam_error *err)
{
    lam_models *installed = lam_daemon_models(context);
    const lam_model *found = lam_models_find(installed, name, NULL);
    lam_status status = LAM_OK;
    if (found)
        *out = lam_document_model(found, true);
    else
        status = lam_fail(err, LAM_E_NOT_FOUND, "no model of that name is installed");
    lam_models_unref(installed);
    return status;
}

static json_t *address_text(const lam_config_address *address)
{
    return json_sprintf(strchr(address->host, ':') ? "[%s]:%d" : "%s:%d", address->host, address->port);
}

static lam_status status(void *context, json_t **out, lam_error *err)
{
    lam_daemon *daemon = context;
    const lam_config *config = lam_daemon_config(daemon);
    LAM_WITH_DB(daemon, db);
    json_t *study_counts = NULL, *job_counts = NULL;
    lam_status done =
        lam_document_counts(db, "SELECT state, count(*) FROM study GROUP BY state", &study_counts, err);
    if (done == LAM_OK)
        done = lam_document_counts(db, "SELECT state, count(*) FROM job GROUP BY state", &job_counts, err);
    if (done != LAM_OK) {
        json_decref(study_counts);
        return done;
    }
    *out = json_pack("{s:s,s:I,s:s,s:o,s:o,s:b,s:o,s:o,s:o,s:I}", "version", LAMINA_VERSION, "uptime_s",
                     (json_int_t)((lam_clock_monotonic_ms() - daemon->started_ms) / 1000), "ae_title",
                     config->ae_title, "dicom", address_text(&config->dicom_listen), "http",
                     address_text(&config->http_listen), "dimse_ready", lam_intake_ready(daemon->intake),
                     "studies", study_counts, "jobs", job_counts, "workers",
                     lam_scheduler_workers(daemon->scheduler), "disk_free_bytes",
                     (json_int_t)lam_store_free_bytes(daemon->store));
    return LAM_OK;
}

static lam_status ready(void *context, lam_error *err)
{
    lam_daemon *daemon = context;
    int64_t number = 0;
    LAM_WITH_DB(daemon, db);
    lam_status answer = lam_catalog_last_file(db, &number, err);
    if (answer == LAM_OK)
        answer = lam_store_check_space(daemon->store, lam_daemon_config(daemon)->reserve_bytes, err);
    if (answer == LAM_OK && !lam_intake_ready(daemon->intake))
        answer = lam_fail(err, LAM_E_BUSY, "the DICOM listener is not up");
    return answer;
}

static lam_status metrics(void *context, lam_buffer *out, lam_error *err)
{
    const lam_daemon *daemon = context;
    lam_metrics_write(out);
    lam_buffer_printf(
        out,
        "# HELP lamina_disk_free_bytes Space left for objects.\n# TYPE lamina_disk_free_bytes gauge\n"
        "lamina_disk_free_bytes %lld\n",
        (long long)lam_store_free_bytes(daemon->store));
    LAM_WITH_DB(daemon, db);
    json_t *counts = NULL;
    lam_status done = lam_document_counts(db, "SELECT state, count(*) FROM job GROUP BY state", &counts, err);
    if (done != LAM_OK)
        return done;
    lam_buffer_append_text(out, "# HELP lamina_jobs Jobs in the database.\n# TYPE lamina_jobs gauge\n");
    const char *state;
    json_t *count;
    json_object_foreach(counts, state, count) lam_buffer_printf(out, "lamina_jobs{state=\"%s\"} %lld\n",
                                                                state, (long long)json_integer_value(count));
    json_decref(counts);
    return lam_backend_write_delivery_metrics(db, out, err);
}

/* ---- objects ---- */

/* Of one instance by its own index: a condition that may be NULL would look at all of the study for each. */
#define FROM_INSTANCES                                                                                       \
    " FROM instance i JOIN series s ON s.id = i.series_id JOIN study t ON t.id = s.study_id"                 \
    " WHERE t.uid = ?1 AND (?2 IS NULL OR s.uid = ?2) AND "
#define ONE_INSTANCE  FROM_INSTANCES "i.uid = ?3"
#define ALL_INSTANCES FROM_INSTANCES "?3 IS NULL ORDER BY s.id, i.number, i.id"
#define DESCRIPTION   "SELECT s.uid, i.uid, i.sop_class_uid, i.transfer_syntax_uid, i.bytes"

static lam_status instances(void *context, const char *study_uid, const char *series_uid, const char *sop_uid,
                            json_t **out, lam_error *err)
{
    const lam_daemon *daemon = context;
    LAM_WITH_DB(daemon, db);
    sqlite3_stmt *s = lam_db_prepare(db, err, sop_uid ? DESCRIPTION ONE_INSTANCE : DESCRIPTION ALL_INSTANCES,
                                     "ttt", study_uid, series_uid, sop_uid);
    json_t *list = json_array();
    lam_status done = LAM_OK;
    for (bool row = true; row;) {
        done = lam_db_step(db, s, &row, err);
        if (done == LAM_OK && row)
            json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:s,s:I}", "series_uid", lam_db_text(s, 0),
                                                  "sop_uid", lam_db_text(s, 1), "sop_class_uid",
                                                  lam_db_text(s, 2), "transfer_syntax_uid", lam_db_text(s, 3),
                                                  "bytes", (json_int_t)sqlite3_column_int64(s, 4)));
    }
    if (done == LAM_OK && json_array_size(list) == 0)
        done = lam_fail(err, LAM_E_NOT_FOUND, "nothing is stored under these UIDs");
    if (done == LAM_OK)
        *out = list;
    else
        json_decref(list);
    return done;
}

static lam_status instance_open(void *context, const char *study_uid, const char *series_uid,
                                const char *sop_uid, lam_stored_object *out, lam_error *err)
{
    const lam_daemon *daemon = context;
    LAM_WITH_DB(daemon, db);
    sqlite3_stmt *s =
        lam_db_prepare(db, err, "SELECT i.file, i.sop_class_uid, i.uid, i.transfer_syntax_uid" ONE_INSTANCE,
                       "ttt", study_uid, series_uid, sop_uid);
    bool row = false;
    lam_status done = lam_db_step(db, s, &row, err);
    if (done == LAM_OK && !row)
        done = lam_fail(err, LAM_E_NOT_FOUND, "no such instance is stored");
    if (done != LAM_OK)
        return done;
    lam_stored_object object = {.fd = -1};
    lam_text_copy(object.sop_class_uid, LAM_UID_TEXT, lam_db_text(s, 1));
    lam_text_copy(object.sop_instance_uid, LAM_UID_TEXT, lam_db_text(s, 2));
    lam_text_copy(object.transfer_syntax_uid, LAM_UID_TEXT, lam_db_text(s, 3));
    int64_t file = sqlite3_column_int64(s, 0);
    sqlite3_reset(s);
    done = lam_store_open_file(daemon->store, file, &object.fd, &object.bytes, err);
    if (done == LAM_OK)
        *out = object;
    return done;
}

static lam_status search(void *context, const lam_search *wanted, lam_search_answer *answer, lam_error *err)
{
    const lam_daemon *daemon = context;
    LAM_WITH_DB(daemon, db);
    return lam_query_search(db, wanted, answer, err);
}

static lam_status metadata(void *context, const lam_place *place, const char *root,
                           lam_metadata_cursor *cursor, size_t enough, lam_buffer *out, lam_error *err)
{
    const lam_daemon *daemon = context;
    LAM_WITH_DB(daemon, db);
    return lam_query_metadata(db, place, root, cursor, enough, out, err);
}

static lam_status metadata_version(void *context, const lam_place *place, char text[64], lam_error *err)
{
    const lam_daemon *daemon = context;
    LAM_WITH_DB(daemon, db);
    return lam_query_metadata_version(db, place, text, err);
}

static lam_status picture_open(void *context, int64_t id, const char *name, int *fd, int64_t *bytes,
                               const char **media_type, lam_error *err)
{
    const lam_daemon *daemon = context;
    LAM_WITH_DB(daemon, db);
    int64_t file = 0;
    lam_status done = lam_db_get_integer(
        db, &file, err, "SELECT file FROM picture WHERE job_id = ? AND name = ?", "it", id, name);
    if (done == LAM_E_NOT_FOUND)
        return lam_fail(err, done, "job %lld has no picture of that name", (long long)id);
    if (done == LAM_OK)
        done = lam_store_open_file(daemon->store, file, fd, bytes, err);
    if (done == LAM_OK)
        *media_type = "image/png";
    return done;
}

static lam_status pixels(void *context, const lam_pixel_request *request, lam_pixels *out, lam_error *err)
{
    const lam_daemon *daemon = context;
    LAM_WITH_DB(daemon, db);
    return lam_render(db, daemon->store, daemon->renderers, request, out, err);
}

static lam_status changes_open(void *context, const char *last_id, lam_feed **out, lam_error *err)
{
    const lam_daemon *daemon = context;
    return lam_feed_open(daemon->database, last_id, out, err);
}

/* ---- doing ---- */

static lam_status analyze(void *context, const char *study_uid, const char *only, json_t **out,
                          lam_error *err)
{
    lam_daemon *daemon = context;
    LAM_WITH_DB(daemon, db);
    lam_models *installed = lam_daemon_models(daemon);
    lam_status done = lam_routing_analyze(db, study_uid, installed, lam_daemon_config(daemon), only,
                                          lam_clock_steady_ms(), err);
    lam_models_unref(installed);
    if (done != LAM_OK)
        return done;
    lam_scheduler_notice_jobs(daemon->scheduler);
    return lam_document_study(db, study_uid, out, err);
}

static lam_status apply_by_hand(lam_daemon *daemon, int64_t id, lam_job_event event, const char *reason,
                                json_t **out, lam_error *err)
{
    static const lam_job_limits none = {0};
    LAM_WITH_DB(daemon, db);
    lam_status done = lam_db_begin(db, err);
    if (done != LAM_OK)
        return done;
    done = lam_jobs_apply(db, id, event, &none, reason, NULL, lam_clock_steady_ms(), err);
    done = lam_db_end(db, done, err);
    if (done != LAM_OK)
        return done;
    lam_scheduler_notice_jobs(daemon->scheduler);
    return lam_document_job(db, id, out, err);
}

void lam_backend_mark(const char *uid, char mark[LAM_MARK_TEXT])
{
    char hash[LAM_SHA256_TEXT];
    lam_sha256_text(uid, strlen(uid), hash);
    lam_text_copy(mark, LAM_MARK_TEXT, hash);
}

static lam_status remove_place(void *context, const lam_place *place, const lam_client *client,
                               lam_error *err)
{
    lam_daemon *daemon = context;
    int64_t instances = 0;
    char mark[LAM_MARK_TEXT], patient_id[LAM_AUDIT_PATIENT];
    lam_backend_mark(place->study_uid, mark);
    LAM_WITH_DB(daemon, db);
    lam_audit_find_patient(db, place->study_uid, patient_id, NULL);
    lam_status done = lam_removal_run(db, daemon->store, place, lam_clock_steady_ms(), &instances, err);
    lam_backend_note_removal(daemon, place, client, patient_id, done, err);
    if (done != LAM_OK)
        return done;
    lam_log(LAM_LOG_WARNING, "removed", "client=%s study=%s level=%s instances=%lld", client->address, mark,
            place->sop_uid      ? "instance"
            : place->series_uid ? "series"
                                : "study",
            (long long)instances);
    lam_scheduler_notice_jobs(daemon->scheduler);
    return LAM_OK;
}

static lam_status job_retry(void *context, int64_t id, json_t **out, lam_error *err)
{
    return apply_by_hand(context, id, LAM_JOB_RETRY, NULL, out, err);
}

static lam_status job_cancel(void *context, int64_t id, json_t **out, lam_error *err)
{
    return apply_by_hand(context, id, LAM_JOB_CANCEL, "cancelled by hand", out, err);
}

void lam_backend_init(lam_backend *backend, lam_daemon *daemon)
{
    *backend = (lam_backend){
        .context = daemon,
        .upload_open = upload_open,
        .upload_write = lam_upload_write,
        .upload_end = lam_upload_end,
        .upload_submit = lam_upload_submit,
        .upload_wait = lam_upload_wait,
        .upload_discard = lam_upload_discard,
        .archive_open = archive_open,
        .archive_write = lam_archive_write,
        .archive_store = lam_archive_store,
        .archive_close = lam_archive_close,
        .studies = studies,
        .study = study,
        .results = results,
        .results_fhir = results_fhir,
        .jobs = jobs,
        .job = job,
        .models = models,
        .model = model,
        .status = status,
        .ready = ready,
        .metrics = metrics,
        .instances = instances,
        .instance_open = instance_open,
        .search = search,
        .metadata = metadata,
        .metadata_version = metadata_version,
        .picture_open = picture_open,
        .pixels = pixels,
        .changes_open = changes_open,
        .changes_read = lam_feed_read,
        .changes_close = lam_feed_close,
        .analyze = analyze,
        .remove = remove_place,
        .job_retry = job_retry,
        .job_cancel = job_cancel,
    };
    lam_backend_add_worklist(backend);
    lam_backend_add_audit(backend);
    lam_backend_add_delivery(backend);
}
