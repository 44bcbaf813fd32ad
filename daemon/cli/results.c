/* lamina results: waits for a study, shows what was found in it, fetches the result objects. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/buffer.h"
#include "core/base/clock.h"
#include "core/base/io.h"
#include "daemon/cli/cli.h"
#include "daemon/cli/remote.h"
#include "daemon/cli/studies.h"
#include "daemon/cli/table.h"

enum { POLL_FIRST_MS = 100, POLL_MOST_MS = 1000, MAX_PATH_TEXT = 1024 };

/* ---- waiting ---- */

typedef enum outcome { PENDING, FOUND, NOTHING } outcome;

/* What each state of a study means to who waits for results. */
static const struct {
    const char *state;
    outcome outcome;
} outcomes[] = {{"done", FOUND}, {"failed", NOTHING}, {"no_model", NOTHING}};

static outcome outcome_of(const json_t *results)
{
    const char *state = lam_json_member_text(results, "state");
    for (size_t i = 0; i < LAM_COUNT(outcomes); i++)
        if (strcmp(outcomes[i].state, state) == 0)
            return outcomes[i].outcome;
    return PENDING;
}

/* Asks until the study is finished or the time is up; without --wait once. */
static lam_status fetch(const lam_remote *remote, json_t **out, lam_error *err)
{
    char path[128];
    snprintf(path, sizeof path, "/api/v1/studies/%s/results", remote->argument);
    int64_t end = lam_clock_monotonic_ms() + remote->wait_ms;
    for (int64_t pause = POLL_FIRST_MS;; pause = pause * 2 < POLL_MOST_MS ? pause * 2 : POLL_MOST_MS) {
        json_t *results = NULL;
        lam_status status = lam_rest_get(remote->rest, path, &results, err);
        if (status != LAM_OK)
            return status;
        if (remote->wait_ms < 0 || outcome_of(results) != PENDING) {
            *out = results;
            return LAM_OK;
        }
        if (lam_clock_monotonic_ms() + pause > end) {
            lam_fail(err, LAM_E_TIMEOUT, "study %s is still '%s' after %lld s; 'lamina jobs' shows what runs",
                     remote->argument, lam_json_member_text(results, "state"),
                     (long long)(remote->wait_ms / 1000));
            json_decref(results);
            return LAM_E_TIMEOUT;
        }
        json_decref(results);
        usleep((useconds_t)(pause * 1000));
    }
}

/* ---- showing ---- */

static const lam_column segment_columns[] = {
    {"SEGMENT", "label", LAM_CELL_TEXT},
    {"VOLUME/ML", "volume_ml", LAM_CELL_DECIMAL},
    {"VOXELS", "voxels", LAM_CELL_INTEGER},
};
static const lam_column class_columns[] = {
    {"CLASS", "label", LAM_CELL_TEXT},
    {"PROBABILITY", "probability", LAM_CELL_PERCENT},
};
static const lam_column detection_columns[] = {
    {"FINDING", "label", LAM_CELL_TEXT},       {"SCORE", "score", LAM_CELL_PERCENT},
    {"X", "box.x", LAM_CELL_INTEGER},          {"Y", "box.y", LAM_CELL_INTEGER},
    {"WIDTH", "box.width", LAM_CELL_INTEGER},  {"HEIGHT", "box.height", LAM_CELL_INTEGER},
    {"IMAGE", "frame_sop_uid", LAM_CELL_TEXT},
};
static const lam_column measurement_columns[] = {
    {"MEASUREMENT", "label", LAM_CELL_TEXT},
    {"VALUE", "value", LAM_CELL_DECIMAL},
    {"UNIT", "unit", LAM_CELL_TEXT},
};
static const lam_column object_columns[] = {
    {"OBJECT", "type", LAM_CELL_TEXT},
    {"SOP INSTANCE", "sop_uid", LAM_CELL_TEXT},
};

/* Each list that a result may have, and how it is shown. */
static const struct {
    const char *member;
    const lam_column *columns;
    size_t count;
} lists[] = {
    {"segments", segment_columns, LAM_COUNT(segment_columns)},
    {"classification.classes", class_columns, LAM_COUNT(class_columns)},
    {"detections", detection_columns, LAM_COUNT(detection_columns)},
    {"measurements", measurement_columns, LAM_COUNT(measurement_columns)},
    {"objects", object_columns, LAM_COUNT(object_columns)},
};

static void print_timings(const json_t *timings)
{
    const char *stage;
    const json_t *ms;
    const char *separator = "  ";
    json_object_foreach((json_t *)timings, stage, ms)
    {
        printf("%s%s %.2f s", separator, LAM_PRINTABLE(stage), json_number_value(ms) / 1000);
        separator = ", ";
    }
    if (json_object_size(timings) > 0)
        putchar('\n');
}

/* The series has grown since: a newer result stands beside it. */
static bool is_superseded(const json_t *result)
{
    return strcmp(lam_json_member_text(result, "state"), "superseded") == 0;
}

static void print_result(const json_t *result)
{
    printf("%s %s, job %lld: %s\n", LAM_PRINTABLE(lam_json_member_text(result, "model.name")),
           LAM_PRINTABLE(lam_json_member_text(result, "model.version")),
           (long long)json_integer_value(lam_json_member(result, "job")),
           LAM_PRINTABLE(lam_json_member_text(result, "state")));
    printf("  series %s\n", LAM_PRINTABLE(lam_json_member_text(result, "series_uid")));
    print_timings(lam_json_member(result, "timings_ms"));
    for (size_t i = 0; i < LAM_COUNT(lists); i++) {
        const json_t *rows = lam_json_member(result, lists[i].member);
        if (json_array_size(rows) == 0)
            continue;
        putchar('\n');
        lam_table_print(stdout, rows, lists[i].columns, lists[i].count);
    }
}

static void print_results(const json_t *answer)
{
    const json_t *results = lam_json_member(answer, "results");
    for (size_t i = 0; i < json_array_size(results); i++) {
        fputs(i > 0 ? "\n" : "", stdout);
        print_result(json_array_get(results, i));
    }
}

/* A study without results is explained by its series. */
static void explain_nothing(const lam_remote *remote)
{
    char path[128];
    json_t *study = NULL;
    snprintf(path, sizeof path, "/api/v1/studies/%s", remote->argument);
    if (lam_rest_get(remote->rest, path, &study, NULL) != LAM_OK)
        return;
    lam_studies_print_one(study);
    json_decref(study);
}

/* ---- saving ---- */

typedef struct saving {
    const lam_remote *remote;
    lam_error *err;
} saving;

static bool is_plain(const char *text)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t length = strlen(text);
    return length > 0 && length <= 64 && text[0] != '.' && strspn(text, allowed) == length;
}

static lam_status save(const saving *s, const char *path, const char *name)
{
    char file[MAX_PATH_TEXT];
    if ((size_t)snprintf(file, sizeof file, "%s/%s", s->remote->save, name) >= sizeof file)
        return lam_fail(s->err, LAM_E_LIMIT, "%.200s…: the path is too long", s->remote->save);
    lam_status status = lam_rest_download(s->remote->rest, path, file, s->err);
    if (status == LAM_OK && !s->remote->json)
        printf("saved %s\n", file);
    return status;
}

static lam_status save_object(const saving *s, const char *stem, const json_t *object, size_t number)
{
    const char *type = lam_json_member_text(object, "type");
    const char *series = lam_json_member_text(object, "series_uid");
    const char *sop = lam_json_member_text(object, "sop_uid");
    char path[MAX_PATH_TEXT], name[256], suffix[32] = "";
    if (!is_plain(type) || !is_plain(series) || !is_plain(sop))
        return lam_fail(s->err, LAM_E_PEER, "the server names a result object that cannot be one");
    if (number > 1)
        snprintf(suffix, sizeof suffix, "-%zu", number);
    snprintf(name, sizeof name, "%s-%s%s.dcm", stem, type, suffix);
    snprintf(path, sizeof path, "/dicom-web/studies/%s/series/%s/instances/%s?accept=application/dicom",
             s->remote->argument, series, sop);
    return save(s, path, name);
}

/* How many of the objects up to this one have its type, so that each file gets a name of its own. */
static size_t number_of_type(const json_t *objects, size_t index)
{
    const char *type = lam_json_member_text(json_array_get(objects, index), "type");
    size_t number = 0;
    for (size_t i = 0; i <= index; i++)
        number += strcmp(lam_json_member_text(json_array_get(objects, i), "type"), type) == 0;
    return number;
}

static lam_status save_picture(const saving *s, const char *stem, long long job, const json_t *picture)
{
    const char *picture_name = lam_json_member_text(picture, "name");
    bool png = strcmp(lam_json_member_text(picture, "media_type"), "image/png") == 0;
    char path[MAX_PATH_TEXT], name[256];
    if (!is_plain(picture_name))
        return lam_fail(s->err, LAM_E_PEER, "the server names a picture that cannot be one");
    snprintf(name, sizeof name, "%s-%s%s", stem, picture_name, png ? ".png" : "");
    snprintf(path, sizeof path, "/api/v1/jobs/%lld/pictures/%s", job, picture_name);
    return save(s, path, name);
}

static lam_status save_result(const saving *s, const json_t *result)
{
    const char *model = lam_json_member_text(result, "model.name");
    long long job = (long long)json_integer_value(lam_json_member(result, "job"));
    const json_t *objects = lam_json_member(result, "objects");
    const json_t *pictures = lam_json_member(result, "pictures");
    char stem[128];
    if (!is_plain(model))
        return lam_fail(s->err, LAM_E_PEER, "the server names a model that cannot be one");
    snprintf(stem, sizeof stem, "%s-%lld", model, job);
    lam_status status = LAM_OK;
    for (size_t i = 0; status == LAM_OK && i < json_array_size(objects); i++)
        status = save_object(s, stem, json_array_get(objects, i), number_of_type(objects, i));
    for (size_t i = 0; status == LAM_OK && i < json_array_size(pictures); i++)
        status = save_picture(s, stem, job, json_array_get(pictures, i));
    return status;
}

static lam_status save_all(const lam_remote *remote, const json_t *answer, lam_error *err)
{
    const json_t *results = lam_json_member(answer, "results");
    saving s = {remote, err};
    lam_status status = lam_io_make_directories(remote->save, 0777, err);
    for (size_t i = 0; status == LAM_OK && i < json_array_size(results); i++)
        if (!is_superseded(json_array_get(results, i)))
            status = save_result(&s, json_array_get(results, i));
    if (status != LAM_OK)
        return status;
    char file[MAX_PATH_TEXT];
    snprintf(file, sizeof file, "%s/results.json", remote->save);
    if (json_dump_file(answer, file, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) != 0)
        return lam_fail(err, LAM_E_IO, "cannot write %.300s", file);
    if (!remote->json)
        printf("saved %s\n", file);
    return LAM_OK;
}

int lam_cli_results(int argc, char **argv)
{
    LAM_AUTO(lam_remote_done) lam_remote remote;
    json_t *answer = NULL;
    lam_error err;
    int status = lam_remote_start(&remote, argc, argv, LAM_REMOTE_WAIT | LAM_REMOTE_SAVE, LAM_ARGUMENT_STUDY);
    if (status != LAM_CLI_OK)
        return status;
    if (fetch(&remote, &answer, &err) != LAM_OK)
        return lam_cli_fail_error(&err);
    bool any = json_array_size(lam_json_member(answer, "results")) > 0;
    outcome end = outcome_of(answer);
    json_incref(answer);
    lam_remote_show(&remote, answer, print_results);
    if (!any && !remote.json)
        explain_nothing(&remote);
    if (remote.save && any) {
        if (!remote.json)
            putchar('\n');
        if (save_all(&remote, answer, &err) != LAM_OK)
            status = lam_cli_fail_error(&err);
    }
    json_decref(answer);
    return end == NOTHING ? LAM_CLI_FAILED : status;
}
