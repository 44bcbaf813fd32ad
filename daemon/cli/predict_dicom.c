/* `lamina predict` on DICOM: files are sorted into series, each series is analysed as the daemon's worker
 * does it. */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/io.h"
#include "core/base/pattern.h"
#include "core/base/sha256.h"
#include "core/base/text.h"
#include "daemon/cli/cli.h"
#include "daemon/cli/predict.h"
#include "daemon/worker/find.h"
#include "daemon/worker/outputs.h"
#include "dicom/dictionary.h"
#include "dicom/tag.h"

enum { MAX_JSON = 64 << 20, MAX_PATH_TEXT = 4096 };

/* What is written for a series, by outputs.h, and the ends of the names of the files. */
static const struct {
    const char *output, *end;
} files[] = {{"SEG", ".SEG.dcm"}, {"SR", ".SR.dcm"}, {"montage", ".png"}};

/* ---- the files ---- */

struct source {
    char *path;
    char series_uid[LAM_UID_TEXT], study_uid[LAM_UID_TEXT], sop_uid[LAM_UID_TEXT];
};

struct sources {
    struct source *items;
    size_t count, capacity;
};

static void sources_done(struct sources *sources)
{
    for (size_t i = 0; i < sources->count; i++)
        free(sources->items[i].path);
    free(sources->items);
}

static lam_status add_source(struct sources *sources, const char *path, lam_dataset *header, lam_error *err)
{
    if (sources->count == sources->capacity) {
        size_t capacity = sources->capacity ? 2 * sources->capacity : 256;
        struct source *grown = realloc(sources->items, capacity * sizeof *grown);
        if (!grown)
            return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for %zu files", capacity);
        sources->items = grown;
        sources->capacity = capacity;
    }
    struct source *source = &sources->items[sources->count];
    source->path = strdup(path);
    if (!source->path)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_text_copy(source->series_uid, sizeof source->series_uid,
                  lam_dataset_text(header, LAM_TAG_SERIES, ""));
    lam_text_copy(source->study_uid, sizeof source->study_uid, lam_dataset_text(header, LAM_TAG_STUDY, ""));
    lam_text_copy(source->sop_uid, sizeof source->sop_uid,
                  lam_dataset_text(header, LAM_TAG_SOP_INSTANCE, ""));
    sources->count++;
    return LAM_OK;
}

/* What is no image of a series is passed over with a note. */
static lam_status look_at(struct sources *sources, const char *path, lam_error *err)
{
    LAM_AUTO_PTR(lam_dataset) *header = NULL;
    lam_error why = {0};
    lam_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return lam_fail_errno(err, errno, "%s", path);
    if (lam_dataset_read(fd, LAM_DATASET_HEADER, &header, &why) != LAM_OK) {
        fprintf(stderr, "skipped: %s: %s\n", path, why.message);
        return LAM_OK;
    }
    if (!lam_dataset_has(header, LAM_TAG_SERIES) || !lam_dataset_has(header, LAM_TAG_ROWS))
        return LAM_OK;
    return add_source(sources, path, header, err);
}

static lam_status find_files(char **paths, struct sources *out, lam_error *err)
{
    FTS *walk = fts_open(paths, FTS_LOGICAL | FTS_NOCHDIR, NULL);
    if (!walk)
        return lam_fail_errno(err, errno, "cannot walk through the folders");
    lam_status status = LAM_OK;
    for (FTSENT *entry; status == LAM_OK && (entry = fts_read(walk));)
        if (entry->fts_info == FTS_F)
            status = look_at(out, entry->fts_path, err);
        else if (entry->fts_info == FTS_NS || entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR)
            status = lam_fail_errno(err, entry->fts_errno, "%s", entry->fts_path);
    fts_close(walk);
    return status;
}

static int by_series(const void *a, const void *b)
{
    const struct source *left = a, *right = b;
    int order = strcmp(left->series_uid, right->series_uid);
    return order ? order : strcmp(left->sop_uid, right->sop_uid);
}

/* ---- does the model want it ---- */

static lam_status check_match(const lam_model_match *match, lam_dataset *header, lam_error *err)
{
    uint32_t tag;
    regex_t pattern;
    if (!lam_dictionary_tag(match->keyword, &tag))
        return lam_fail(err, LAM_E_INVALID, "the model's selector names %s, which is no attribute",
                        match->keyword);
    const char *value = lam_dataset_text(header, tag, "");
    lam_status status =
        lam_pattern_compile(match->pattern, REG_NOSUB | (match->ignore_case ? REG_ICASE : 0), &pattern, err);
    if (status)
        return status;
    bool matches = regexec(&pattern, value, 0, NULL, 0) == 0;
    regfree(&pattern);
    return matches ? LAM_OK
                   : lam_fail(err, LAM_E_NOT_FOUND, "%s does not match /%s/", match->keyword, match->pattern);
}

/* LAM_E_NOT_FOUND with the reason when it does not. */
static lam_status check_selector(const lam_manifest *manifest, lam_dataset *header, lam_error *err)
{
    const lam_model_selector *selector = &manifest->selector;
    const char *modality = lam_dataset_text(header, LAM_TAG_MODALITY, "");
    if (*selector->modality && strcmp(modality, selector->modality) != 0)
        return lam_fail(err, LAM_E_NOT_FOUND, "Modality is %.16s, not %s", modality, selector->modality);
    lam_status status = LAM_OK;
    for (size_t i = 0; i < selector->match_count && status == LAM_OK; i++)
        status = check_match(&selector->matches[i], header, err);
    return status;
}

/* ---- one series ---- */

static void hash_inputs(const struct source *sources, size_t count, char text[LAM_SHA256_TEXT])
{
    lam_sha256 hash;
    uint8_t digest[LAM_SHA256_BYTES];
    lam_sha256_init(&hash);
    for (size_t i = 0; i < count; i++)
        lam_sha256_update_text(&hash, sources[i].sop_uid);
    lam_sha256_final(&hash, digest);
    lam_sha256_hex(digest, text);
}

static lam_status read_series(const struct source *sources, size_t count, lam_series **out, lam_error *err)
{
    LAM_AUTO_PTR(lam_series) *series = NULL;
    lam_status status = lam_series_create(&series, err);
    for (size_t i = 0; i < count && status == LAM_OK; i++) {
        lam_autoclose int fd = open(sources[i].path, O_RDONLY | O_CLOEXEC);
        status = fd < 0 ? lam_fail_errno(err, errno, "%s", sources[i].path) : lam_series_add(series, fd, err);
    }
    if (status)
        return status;
    *out = LAM_TAKE_PTR(series);
    return LAM_OK;
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
    static const char names[] = "[\"SEG\",\"SR\",\"montage\"]";
    char variants[128], path[MAX_PATH_TEXT];
    int fds[LAM_COUNT(files)];
    LAM_AUTO_PTR(lam_json) *list = NULL;
    const char *profile = lam_profile_name(job->profile);
    snprintf(variants, sizeof variants, "[\"SEG@%s\",\"SR@%s\",\"montage\"]", profile, profile);
    const char *wanted = job->profile == LAM_PROFILE_STRICT ? names : variants;
    lam_status status = lam_json_parse(wanted, strlen(wanted), &list, err);
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
                              const struct source *source, json_t *out, lam_error *err)
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
    json_object_del(written, "pictures");
    json_object_update(out, written);
    json_decref(written);
    return LAM_OK;
}

static lam_status analyse(const lam_prediction_job *job, const struct source *sources, size_t count,
                          json_t *out, lam_error *err)
{
    LAM_AUTO_PTR(lam_series) *series = NULL;
    LAM_AUTO(lam_found_done) lam_found found = {.voxels = NULL};
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    const lam_manifest *manifest = lam_bundle_manifest(job->bundle);
    lam_progress progress = {.tell = NULL};
    char input_set[LAM_SHA256_TEXT];
    lam_buffer_init(&text, MAX_JSON);
    lam_status status = read_series(sources, count, &series, err);
    if (status == LAM_OK && !job->any)
        status = check_selector(manifest, lam_series_object(series, 0), err);
    if (status == LAM_OK)
        status = lam_series_arrange(series, err);
    if (status == LAM_OK)
        status = lam_find(series, job->bundle, job->predictor, &progress, &found, err);
    if (status != LAM_OK)
        return status;
    hash_inputs(sources, count, input_set);
    const lam_result result = {.series = series,
                               .input_set = input_set,
                               .device = {"Lamina", "Lamina", "predict", LAMINA_VERSION},
                               .algorithm = {manifest->name, manifest->version,
                                             lam_bundle_weights_sha256(job->bundle), manifest->title},
                               .findings = found.findings,
                               .voxels = found.voxels,
                               .profile = job->profile,
                               .choices = lam_profile_choose(job->profile),
                               .made_ms = lam_clock_wall_ms()};
    lam_json_writer w = lam_json_write_to(&text);
    lam_jw_object(&w, NULL);
    lam_findings_write(&found.findings, series, &w);
    lam_progress_enter(&progress, LAM_STAGE_WRITE);
    if (job->out && (status = write_files(job, &result, sources->series_uid, &w, err)))
        return status;
    lam_progress_finish(&progress);
    lam_progress_write(&progress, &w);
    lam_jw_end(&w);
    return finish_json(job, &text, sources, out, err);
}

static lam_status predict_series(const lam_prediction_job *job, const struct source *sources, size_t count,
                                 json_t *results, lam_error *err)
{
    const lam_manifest *manifest = lam_bundle_manifest(job->bundle);
    lam_error why = {0};
    char created[LAM_CLOCK_TEXT];
    json_t *result =
        json_pack("{s:{s:s,s:s,s:s},s:s,s:s,s:s,s:s}", "model", "name", manifest->name, "version",
                  manifest->version, "weights_sha256", lam_bundle_weights_sha256(job->bundle), "study_uid",
                  sources->study_uid, "series_uid", sources->series_uid, "task",
                  lam_task_name(manifest->task), "created", lam_clock_iso8601(lam_clock_wall_ms(), created));
    if (!result)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_status status = analyse(job, sources, count, result, &why);
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
    LAM_AUTO(sources_done) struct sources sources = {.items = NULL};
    lam_status status = find_files(paths, &sources, err);
    if (status == LAM_OK && sources.count == 0)
        status = lam_fail(err, LAM_E_NOT_FOUND, "there is no DICOM image in %s", paths[0]);
    if (status != LAM_OK)
        return status;
    qsort(sources.items, sources.count, sizeof sources.items[0], by_series);
    for (size_t first = 0, next; first < sources.count && status == LAM_OK; first = next) {
        for (next = first + 1; next < sources.count; next++)
            if (strcmp(sources.items[next].series_uid, sources.items[first].series_uid) != 0)
                break;
        status = predict_series(job, &sources.items[first], next - first, results, err);
    }
    return status;
}
