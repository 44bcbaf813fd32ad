/* `lamina predict` on DICOM: files are sorted into series, each series is analysed as the daemon's worker
 * does it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/io.h"
#include "core/base/sha256.h"
#include "daemon/cli/cli.h"
#include "daemon/cli/dicom_files.h"
#include "daemon/cli/predict.h"
#include "daemon/cli/predict_roles.h"
#include "daemon/worker/find.h"
#include "daemon/worker/outputs.h"
#include "dicom/tag.h"

enum { MAX_JSON = 64 << 20, MAX_PATH_TEXT = 4096 };

/* What is written for a series, by outputs.h, and the ends of the names of the files. */
static const struct {
    const char *output, *end;
} files[] = {
    {"SEG", ".SEG.dcm"}, {"SR", ".SR.dcm"}, {"PM", ".PM.dcm"}, {"heat", ".heat.png"}, {"montage", ".png"}};

/* ---- one series, or several that are read together ---- */

static void hash_inputs(const lam_dicom_file *sources, size_t count, char text[LAM_SHA256_TEXT])
{
    lam_sha256 hash;
    lam_sha256_init(&hash);
    for (size_t i = 0; i < count; i++)
        lam_sha256_update_text(&hash, sources[i].sop_uid);
    lam_sha256_final_text(&hash, text);
}

static void file_name(const lam_prediction_job *job, const char *series_uid, size_t file, char *path,
                      size_t size)
{
    snprintf(path, size, "%s/%s%s", job->out, series_uid, files[file].end);
}

/* The result objects and the picture as files; an object that has nothing to hold leaves no file. */
static lam_status write_files(const lam_prediction_job *job, const lam_result *result, const char *series_uid,
                              lam_json_writer *w, lam_error *err)
{
    char names[256], path[MAX_PATH_TEXT];
    int fds[LAM_COUNT(files)];
    LAM_AUTO_PTR(lam_json) *list = NULL;
    const char *profile = lam_profile_name(job->profile);
    snprintf(names, sizeof names, "[\"SEG@%s\",\"SR@%s\",\"PM@%s\",\"heat\",\"montage\"]", profile, profile,
             profile);
    lam_status status = lam_json_parse(names, strlen(names), &list, err);
    size_t opened = 0;
    for (; opened < LAM_COUNT(files) && status == LAM_OK; opened++) {
        file_name(job, series_uid, opened, path, sizeof path);
        fds[opened] = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
        if (fds[opened] < 0) {
            status = lam_fail_errno(err, errno, "%s", path);
            break;
        }
    }
    if (status == LAM_OK)
        status = lam_outputs_write(result, lam_json_root(list), fds, w, err);
    for (size_t i = 0; i < opened; i++) {
        bool empty = lseek(fds[i], 0, SEEK_END) <= 0;
        close(fds[i]);
        file_name(job, series_uid, i, path, sizeof path);
        if (status || empty)
            unlink(path);
    }
    return status;
}

/* What the worker tells laminad, without what only laminad needs. */
static lam_status finish_json(const lam_prediction_job *job, const lam_buffer *text,
                              const lam_dicom_file *source, json_t *out, lam_error *err)
{
    json_error_t where;
    char name[256];
    json_t *written = json_loadb(text->data, text->length, 0, &where), *object;
    size_t i;
    if (text->status || !written)
        return lam_fail(err, LAM_E_INTERNAL, "the result cannot be written as JSON");
    json_array_foreach(json_object_get(written, "objects"), i, object)
    {
        int number = (int)json_integer_value(json_object_get(object, "output"));
        snprintf(name, sizeof name, "%s%s", source->series_uid, files[number].end);
        json_object_set_new(object, "file", json_string(name));
        json_object_del(object, "output");
        json_object_del(object, "index");
    }
    if (job->out) {
        snprintf(name, sizeof name, "%s%s", source->series_uid, files[LAM_COUNT(files) - 1].end);
        json_object_set_new(out, "picture", json_string(name));
    }
    json_array_foreach(json_object_get(written, "pictures"), i, object)
    {
        int number = (int)json_integer_value(json_object_get(object, "output"));
        snprintf(name, sizeof name, "%s%s", source->series_uid, files[number].end);
        if (strcmp(files[number].output, "heat") == 0)
            json_object_set_new(out, "heat_picture", json_string(name));
    }
    json_object_del(written, "pictures");
    json_object_update(out, written);
    json_decref(written);
    return LAM_OK;
}

static lam_status analyse(const lam_prediction_job *job, const lam_dicom_file *sources, size_t count,
                          json_t *out, lam_error *err)
{
    LAM_AUTO_PTR(lam_series) *series = NULL;
    LAM_AUTO(lam_found_done) lam_found found = {.voxels = NULL};
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    const lam_manifest *manifest = lam_bundle_manifest(job->bundle);
    lam_progress progress = {.tell = NULL};
    lam_profile_choices choices = lam_profile_choose(job->profile);
    lam_find_options options = job->find;
    char input_set[LAM_SHA256_TEXT];
    lam_profile_prefer(&choices, manifest->seg_form);
    options.probabilities = choices.seg_form == LAM_SEG_PROBABILITY;
    lam_buffer_init(&text, MAX_JSON);
    lam_status status = lam_dicom_files_read(sources, count, &series, err);
    if (status == LAM_OK && !job->any)
        status = lam_dicom_files_select(&manifest->selector, lam_series_object(series, 0), err);
    if (status == LAM_OK)
        status = lam_find_arrange(series, manifest, err);
    if (status == LAM_OK)
        status = lam_find(series, job->bundle, job->predictor, &options, &progress, &found, err);
    if (status != LAM_OK)
        return status;
    hash_inputs(sources, count, input_set);
    const lam_result result = {.series = series,
                               .input_set = input_set,
                               .device = {"Lamina", "Lamina", "predict", LAMINA_VERSION},
                               .algorithm = {manifest->name, manifest->version,
                                             lam_bundle_weights_sha256(job->bundle), manifest->title,
                                             manifest->seg_form},
                               .findings = found.findings,
                               .voxels = found.voxels,
                               .profile = job->profile,
                               .choices = choices,
                               .made_ms = lam_clock_wall_ms()};
    lam_json_writer w = lam_json_write_to(&text);
    lam_jw_object(&w, NULL);
    lam_findings_write(&found.findings, series, &w);
    lam_gate_write(&found.gate, &w);
    if (*found.unexplained.message)
        lam_jw_text(&w, "unexplained", found.unexplained.message);
    lam_progress_enter(&progress, LAM_STAGE_WRITE);
    if (job->out && (status = write_files(job, &result, sources->series_uid, &w, err)))
        return status;
    lam_progress_finish(&progress);
    lam_progress_write(&progress, &w);
    lam_jw_end(&w);
    return finish_json(job, &text, sources, out, err);
}

static lam_status predict_series(const lam_prediction_job *job, const lam_reading *reading, json_t *results,
                                 lam_error *err)
{
    const lam_manifest *manifest = lam_bundle_manifest(job->bundle);
    const lam_dicom_file *sources = reading->files;
    lam_error why = {0};
    char created[LAM_CLOCK_TEXT];
    json_t *result =
        json_pack("{s:{s:s,s:s,s:s},s:s,s:s,s:s,s:s}", "model", "name", manifest->name, "version",
                  manifest->version, "weights_sha256", lam_bundle_weights_sha256(job->bundle), "study_uid",
                  sources->study_uid, "series_uid", sources->series_uid, "task",
                  lam_task_name(manifest->task), "created", lam_clock_iso8601(lam_clock_wall_ms(), created));
    if (!result)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_status status =
        reading->alone && !manifest->alone && !job->any
            ? lam_fail(&why, LAM_E_NOT_FOUND, "the series beside it that the model reads are not here")
            : analyse(job, sources, reading->count, result, &why);
    const char *state = status == LAM_OK ? "done" : status == LAM_E_NOT_FOUND ? "no_model" : "failed";
    json_object_set_new(result, "state", json_string(state));
    if (status)
        json_object_set_new(result, "reason", json_string(why.message));
    json_array_append_new(results, result);
    if (status == LAM_E_NO_MEMORY || status == LAM_E_NO_SPACE || status == LAM_E_IO)
        return lam_fail(err, status, "%s", why.message); /* the others would fail too */
    return LAM_OK;
}

lam_status lam_predict_dicom(const lam_prediction_job *job, char **paths, json_t *results, lam_error *err)
{
    LAM_AUTO(lam_dicom_files_done) lam_dicom_files sources = {.items = NULL};
    LAM_AUTO(lam_readings_done) lam_readings readings = {.items = NULL};
    lam_status status = lam_dicom_files_find(paths, &sources, err);
    if (status == LAM_OK)
        status = lam_readings_find(lam_bundle_manifest(job->bundle), &sources, &readings, err);
    for (size_t i = 0; i < readings.count && status == LAM_OK; i++)
        status = predict_series(job, &readings.items[i], results, err);
    if (status == LAM_OK && readings.count == 0)
        return lam_fail(err, LAM_E_NOT_FOUND, "there is no DICOM image in %s", paths[0]);
    return status;
}
