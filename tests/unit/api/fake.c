#include "tests/unit/api/fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/io.h"

struct lam_upload {
    fake *f;
    lam_buffer content;
    bool submitted, ended;
    char study[LAM_UID_TEXT];
};

void fake_init(fake *f)
{
    *f = (fake){.mutex = PTHREAD_MUTEX_INITIALIZER};
}

void fake_done(fake *f)
{
    for (size_t i = 0; i < f->count; i++)
        close(f->objects[i].fd);
    f->count = 0;
}

void fake_store(fake *f, const char *study, const char *series, const char *sop, const char *syntax,
                const void *bytes, size_t length)
{
    pthread_mutex_lock(&f->mutex);
    if (f->count < FAKE_OBJECTS) {
        fake_object *o = &f->objects[f->count++];
        snprintf(o->study, sizeof o->study, "%s", study);
        snprintf(o->series, sizeof o->series, "%s", series);
        snprintf(o->sop, sizeof o->sop, "%s", sop);
        snprintf(o->syntax, sizeof o->syntax, "%s", syntax);
        o->fd = memfd_create("object", MFD_CLOEXEC);
        o->bytes = (int64_t)length;
        lam_io_write_all(o->fd, bytes, length, NULL);
    }
    pthread_mutex_unlock(&f->mutex);
}

static lam_status upload_open(void *context, const char *sender, lam_upload **out, lam_error *err)
{
    fake *f = context;
    if (f->full)
        return lam_fail(err, LAM_E_NO_SPACE, "the disk is full");
    lam_upload *upload = calloc(1, sizeof *upload);
    upload->f = f;
    lam_buffer_init(&upload->content, f->max_bytes ? (size_t)f->max_bytes : (size_t)1 << 30);
    pthread_mutex_lock(&f->mutex);
    __atomic_add_fetch(&f->opened, 1, __ATOMIC_SEQ_CST);
    f->being_written++;
    f->most_written = f->being_written > f->most_written ? f->being_written : f->most_written;
    snprintf(f->last_sender, sizeof f->last_sender, "%s", sender);
    pthread_mutex_unlock(&f->mutex);
    *out = upload;
    return LAM_OK;
}

static lam_status upload_write(lam_upload *upload, const void *bytes, size_t length, lam_error *err)
{
    lam_status status = lam_buffer_append(&upload->content, bytes, length);
    return status == LAM_OK ? LAM_OK : lam_fail(err, status, "the object is too large");
}

static void upload_end(lam_upload *upload)
{
    pthread_mutex_lock(&upload->f->mutex);
    upload->f->being_written -= !upload->ended;
    pthread_mutex_unlock(&upload->f->mutex);
    upload->ended = true;
}

static void free_upload(lam_upload *upload, int *counter)
{
    upload_end(upload);
    __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
    lam_buffer_done(&upload->content);
    free(upload);
}

static void upload_submit(lam_upload *upload, const char *study_uid)
{
    snprintf(upload->study, sizeof upload->study, "%s", study_uid ? study_uid : "");
    upload->submitted = true;
    __atomic_add_fetch(&upload->f->submitted, 1, __ATOMIC_SEQ_CST);
}

static void upload_discard(lam_upload *upload)
{
    free_upload(upload, &upload->f->discarded);
}

static void refuse(lam_store_result *out, uint16_t dicom_status, const char *reason)
{
    out->status = LAM_E_INVALID;
    out->dicom_status = dicom_status;
    snprintf(out->reason, sizeof out->reason, "%s", reason);
}

static void upload_wait(lam_upload *upload, lam_store_result *out)
{
    fake *f = upload->f;
    *out = (lam_store_result){0};
    if (f->wait_ms)
        usleep((unsigned)f->wait_ms * 1000);
    char word[16] = "";
    int fields = sscanf(lam_buffer_text(&upload->content), "%15s %64s %64s %64s", word, out->study_uid,
                        out->series_uid, out->sop_instance_uid);
    bool coerced = strcmp(word, "COERCED") == 0;
    if (!upload->submitted) {
        refuse(out, 0x0110, "not submitted");
    } else if (fields < 4 || (strcmp(word, "OBJECT") != 0 && !coerced)) {
        *out = (lam_store_result){0};
        refuse(out, 0xC000, "not a DICOM file \"at all\"");
    } else {
        snprintf(out->sop_class_uid, sizeof out->sop_class_uid, "%s", FAKE_CLASS);
        if (upload->study[0] && strcmp(upload->study, out->study_uid) != 0)
            refuse(out, 0xA900, "the object belongs to another study");
        else
            fake_store(f, out->study_uid, out->series_uid, out->sop_instance_uid, FAKE_SYNTAX,
                       upload->content.data, upload->content.length);
        out->dicom_warning = coerced ? 0xB000 : 0;
    }
    free_upload(upload, &f->waited);
}

/* ---- archives: lines of names; see fake.h ---- */

struct lam_archive {
    fake *f;
    lam_buffer content;
};

static lam_status archive_open(void *context, const char *sender, lam_archive **out, lam_error *err)
{
    fake *f = context;
    (void)sender;
    if (f->full)
        return lam_fail(err, LAM_E_NO_SPACE, "the disk is full");
    lam_archive *archive = calloc(1, sizeof *archive);
    archive->f = f;
    lam_buffer_init(&archive->content, 1 << 20);
    __atomic_add_fetch(&f->opened, 1, __ATOMIC_SEQ_CST);
    *out = archive;
    return LAM_OK;
}

static lam_status archive_write(lam_archive *archive, const void *bytes, size_t length, lam_error *err)
{
    (void)err;
    return lam_buffer_append(&archive->content, bytes, length);
}

static lam_status archive_store(lam_archive *archive, lam_archive_report *report, void *context,
                                lam_error *err)
{
    char *text = lam_buffer_take(&archive->content), *rest = NULL;
    lam_status status = LAM_OK;
    if (strncmp(text, "BOMB", 4) == 0)
        status = lam_fail(err, LAM_E_LIMIT, "the archive unpacks to too much");
    else if (strncmp(text, "PK", 2) != 0)
        status = lam_fail(err, LAM_E_INVALID, "this is not a whole zip archive");
    char *name = status == LAM_OK ? strtok_r(text + 2, "\n", &rest) : NULL;
    for (; name; name = strtok_r(NULL, "\n", &rest)) {
        lam_store_result result = {0};
        if (strncmp(name, "IM", 2) == 0)
            snprintf(result.study_uid, sizeof result.study_uid, "1.2.%s", name + 2);
        else
            refuse(&result, 0xC000, "it cannot be unpacked");
        bool object = strncmp(name, "IM", 2) == 0 || strncmp(name, "BAD", 3) == 0;
        report(context,
               &(lam_archive_file){name, object ? NULL : "not a DICOM file", object ? &result : NULL});
    }
    free(text);
    return status;
}

static void archive_close(lam_archive *archive)
{
    if (!archive)
        return;
    __atomic_add_fetch(&archive->f->waited, 1, __ATOMIC_SEQ_CST);
    lam_buffer_done(&archive->content);
    free(archive);
}

static lam_status list(fake *f, const lam_list_query *query, json_t **out)
{
    pthread_mutex_lock(&f->mutex);
    snprintf(f->last_state, sizeof f->last_state, "%s", query->state ? query->state : "");
    f->last_limit = query->limit;
    f->last_offset = query->offset;
    pthread_mutex_unlock(&f->mutex);
    *out = json_array();
    return LAM_OK;
}

static lam_status studies(void *context, const lam_list_query *query, json_t **out, lam_error *err)
{
    (void)err;
    list(context, query, out);
    return json_array_append_new(*out, json_pack("{s:s, s:s}", "study_uid", "1.2.3", "state", "done"))
               ? LAM_E_NO_MEMORY
               : LAM_OK;
}

static lam_status jobs(void *context, const lam_list_query *query, json_t **out, lam_error *err)
{
    if (query->state && strcmp(query->state, "nonsense") == 0)
        return lam_fail(err, LAM_E_INVALID, "there is no job state nonsense");
    return list(context, query, out);
}

static lam_status study(void *context, const char *study_uid, json_t **out, lam_error *err)
{
    (void)context;
    if (strcmp(study_uid, "1.2.3") != 0)
        return lam_fail(err, LAM_E_NOT_FOUND, "no such study is stored");
    *out = json_pack("{s:s, s:s, s:[], s:[]}", "study_uid", study_uid, "state", "done", "series", "jobs");
    return LAM_OK;
}

static lam_status results(void *context, const char *study_uid, json_t **out, lam_error *err)
{
    lam_status status = study(context, study_uid, out, err);
    if (status == LAM_OK) {
        json_object_del(*out, "series");
        json_object_del(*out, "jobs");
        json_object_set_new(*out, "results", json_array());
    }
    return status;
}

static lam_status results_fhir(void *context, const char *study_uid, json_t **out, lam_error *err)
{
    lam_status status = study(context, study_uid, out, err);
    if (status == LAM_OK) {
        json_decref(*out);
        *out = json_pack("{s:s, s:s}", "resourceType", "Bundle", "type", "collection");
    }
    return status;
}

static lam_status job(void *context, int64_t number, json_t **out, lam_error *err)
{
    (void)context;
    if (number != 7)
        return lam_fail(err, LAM_E_NOT_FOUND, "there is no job %lld", (long long)number);
    *out = json_pack("{s:i, s:s}", "job", 7, "state", "failed");
    return LAM_OK;
}

static lam_status job_cancel(void *context, int64_t number, json_t **out, lam_error *err)
{
    (void)context;
    (void)number;
    (void)out;
    return lam_fail(err, LAM_E_STATE, "the job is done");
}

static lam_status deliveries(void *context, const lam_list_query *query, const char *destination,
                             json_t **out, lam_error *err)
{
    (void)context, (void)query, (void)destination, (void)err;
    *out = json_array();
    return LAM_OK;
}

static lam_status delivery(void *context, int64_t number, json_t **out, lam_error *err)
{
    (void)context, (void)out;
    return lam_fail(err, LAM_E_NOT_FOUND, "there is no delivery %lld", (long long)number);
}

static lam_status destinations(void *context, json_t **out, lam_error *err)
{
    (void)context, (void)err;
    *out = json_array();
    return LAM_OK;
}

static lam_status destination_pause(void *context, const char *name, bool paused, json_t **out,
                                    lam_error *err)
{
    (void)context, (void)name, (void)paused, (void)out;
    return lam_fail(err, LAM_E_NOT_FOUND, "there is no destination of that name");
}

static lam_status models(void *context, json_t **out, lam_error *err)
{
    (void)context;
    (void)err;
    *out = json_pack("[{s:s}]", "name", "hippocampus");
    return LAM_OK;
}

static lam_status model(void *context, const char *name, json_t **out, lam_error *err)
{
    (void)context;
    if (strcmp(name, "hippocampus") != 0)
        return lam_fail(err, LAM_E_NOT_FOUND, "no such model is installed");
    *out = json_pack("{s:s}", "name", name);
    return LAM_OK;
}

static lam_status analyze(void *context, const char *study_uid, const char *name, json_t **out,
                          lam_error *err)
{
    fake *f = context;
    snprintf(f->last_model, sizeof f->last_model, "%s", name ? name : "");
    return study(context, study_uid, out, err);
}

static lam_status daemon_status(void *context, json_t **out, lam_error *err)
{
    (void)context;
    (void)err;
    *out = json_pack("{s:s, s:i}", "version", "0", "uptime_s", 1);
    return LAM_OK;
}

static lam_status ready(void *context, lam_error *err)
{
    fake *f = context;
    return f->not_ready ? lam_fail(err, LAM_E_BUSY, "the disk is full") : LAM_OK;
}

static lam_status metrics(void *context, lam_buffer *out, lam_error *err)
{
    (void)context;
    (void)err;
    return lam_buffer_append_text(out, "lamina_up 1\n");
}

static bool object_is(const fake_object *o, const char *study_uid, const char *series_uid,
                      const char *sop_uid)
{
    return strcmp(o->study, study_uid) == 0 && (!series_uid || strcmp(o->series, series_uid) == 0) &&
           (!sop_uid || strcmp(o->sop, sop_uid) == 0);
}

static lam_status instances(void *context, const char *study_uid, const char *series_uid, const char *sop_uid,
                            json_t **out, lam_error *err)
{
    fake *f = context;
    json_t *found = json_array();
    pthread_mutex_lock(&f->mutex);
    for (size_t i = 0; i < f->count; i++) {
        const fake_object *o = &f->objects[i];
        if (object_is(o, study_uid, series_uid, sop_uid))
            json_array_append_new(found,
                                  json_pack("{s:s, s:s, s:s, s:s, s:I}", "series_uid", o->series, "sop_uid",
                                            o->sop, "sop_class_uid", FAKE_CLASS, "transfer_syntax_uid",
                                            o->syntax, "bytes", (json_int_t)o->bytes));
    }
    pthread_mutex_unlock(&f->mutex);
    if (json_array_size(found) == 0) {
        json_decref(found);
        return lam_fail(err, LAM_E_NOT_FOUND, "nothing is stored under these UIDs");
    }
    *out = found;
    return LAM_OK;
}

static int reopen(int fd)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    FILE *file = fopen(path, "re");
    int copy = file ? dup(fileno(file)) : -1; /* an offset of its own */
    if (file)
        fclose(file);
    return copy;
}

static lam_status instance_open(void *context, const char *study_uid, const char *series_uid,
                                const char *sop_uid, lam_stored_object *out, lam_error *err)
{
    fake *f = context;
    for (size_t i = 0; i < f->count; i++) {
        const fake_object *o = &f->objects[i];
        if (!object_is(o, study_uid, series_uid, sop_uid))
            continue;
        *out = (lam_stored_object){.fd = reopen(o->fd), .bytes = o->bytes};
        snprintf(out->transfer_syntax_uid, sizeof out->transfer_syntax_uid, "%s", o->syntax);
        return LAM_OK;
    }
    return lam_fail(err, LAM_E_NOT_FOUND, "no such instance is stored");
}

static lam_status picture_open(void *context, int64_t number, const char *name, int *fd, int64_t *bytes,
                               const char **media_type, lam_error *err)
{
    fake *f = context;
    if (number != 7 || strcmp(name, "montage") != 0 || f->count == 0)
        return lam_fail(err, LAM_E_NOT_FOUND, "no such picture");
    *fd = reopen(f->objects[0].fd);
    *bytes = f->objects[0].bytes;
    *media_type = "image/png";
    return LAM_OK;
}

lam_backend fake_backend(fake *f)
{
    return (lam_backend){
        .context = f,
        .upload_open = upload_open,
        .upload_write = upload_write,
        .upload_end = upload_end,
        .upload_submit = upload_submit,
        .upload_wait = upload_wait,
        .upload_discard = upload_discard,
        .archive_open = archive_open,
        .archive_write = archive_write,
        .archive_store = archive_store,
        .archive_close = archive_close,
        .studies = studies,
        .study = study,
        .results = results,
        .results_fhir = results_fhir,
        .jobs = jobs,
        .job = job,
        .models = models,
        .model = model,
        .status = daemon_status,
        .ready = ready,
        .metrics = metrics,
        .instances = instances,
        .instance_open = instance_open,
        .search = fake_search,
        .metadata = fake_metadata,
        .metadata_version = fake_metadata_version,
        .remove = fake_remove,
        .pixels = fake_pixels,
        .picture_open = picture_open,
        .analyze = analyze,
        .job_retry = job,
        .job_cancel = job_cancel,
        .deliveries = deliveries,
        .delivery = delivery,
        .delivery_retry = delivery,
        .destinations = destinations,
        .destination_pause = destination_pause,
    };
}
