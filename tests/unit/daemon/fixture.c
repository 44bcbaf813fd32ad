#include "tests/unit/daemon/fixture.h"

#include <ftw.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/io.h"
#include "daemon/laminad/jobs.h"
#include "daemon/laminad/recovery.h"
#include "daemon/laminad/release.h"

static const char bundle[] = "models/hippocampus/1.0.0/model.json";

const char *fixture_path(const fixture *f, const char *name)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", f->directory, name);
    return path;
}

static size_t open_all(fixture *f)
{
    lam_error err = {LAM_OK, ""};
    size_t removed = 0;
    assert_ok(lam_database_open(fixture_path(f, "lamina.db"), &f->database, &err), err);
    assert_ok(lam_store_open(f->directory, &f->store, &err), err);
    assert_ok(lam_recovery_run(f->database, f->store, &removed, &err), err);
    f->db = lam_db_get(f->database, &err);
    assert_non_null(f->db);
    return removed;
}

static void close_all(fixture *f)
{
    lam_db_put(f->db);
    lam_store_close(f->store);
    lam_database_close(f->database);
}

int fixture_set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    strcpy(f->directory, "/tmp/lamina-unit-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    snprintf(f->config.data_dir, sizeof f->config.data_dir, "%s", f->directory);
    f->config.max_object_bytes = 1 << 20;
    f->config.quarantine_bytes = 1 << 20;
    f->config.stable_after_ms = 1000;
    f->config.max_attempts = 3;
    open_all(f);
    *state = f;
    return 0;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

int fixture_tear_down(void **state)
{
    fixture *f = *state;
    close_all(f);
    nftw(f->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

size_t fixture_restart(fixture *f)
{
    close_all(f);
    return open_all(f);
}

static size_t counted;

static int count_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)path;
    (void)info;
    (void)where;
    counted += kind == FTW_F;
    return 0;
}

size_t fixture_count_files(const fixture *f, const char *name)
{
    counted = 0;
    nftw(fixture_path(f, name), count_one, 16, FTW_PHYS);
    return counted;
}

char *fixture_indexed(const char *study, const char *series, const char *sop, const char *more)
{
    char *text = NULL;
    assert_true(
        asprintf(&text,
                 "{\"transfer_syntax_uid\":\"1.2.840.10008.1.2.1\",\"dataset_offset\":0,\"attributes\":{"
                 "\"00080016\":{\"vr\":\"UI\",\"Value\":[\"1.2.840.10008.5.1.4.1.1.4\"]},"
                 "\"00080018\":{\"vr\":\"UI\",\"Value\":[\"%s\"]},"
                 "\"0020000D\":{\"vr\":\"UI\",\"Value\":[\"%s\"]},"
                 "\"0020000E\":{\"vr\":\"UI\",\"Value\":[\"%s\"]}%s}}",
                 sop, study, series, more) > 0);
    return text;
}

void fixture_spool(fixture *f, const char *content, char name[LAM_SPOOL_NAME])
{
    lam_error err = {LAM_OK, ""};
    lam_autoclose int fd = -1;
    assert_ok(lam_spool_create(f->store, name, &fd, &err), err);
    assert_ok(lam_io_write_all(fd, content, strlen(content), &err), err);
}

int64_t fixture_receive(fixture *f, const char *study, const char *series, const char *sop, const char *more,
                        int64_t now_ms)
{
    return fixture_receive_by(f, LAM_NO_ASSOCIATION, study, series, sop, more, now_ms);
}

int64_t fixture_receive_by(fixture *f, int64_t association, const char *study, const char *series,
                           const char *sop, const char *more, int64_t now_ms)
{
    lam_error err = {LAM_OK, ""};
    lam_autofree char *payload = fixture_indexed(study, series, sop, more);
    char name[LAM_SPOOL_NAME];
    lam_header header;
    lam_catalog_file file = {.bytes = (int64_t)strlen(payload), .sender = "TEST", .association = association};
    int64_t instance = 0, id = 0;
    fixture_spool(f, payload, name);
    assert_ok(lam_header_parse(payload, &header, &err), err);
    assert_ok(lam_db_begin(f->db, &err), err);
    assert_ok(lam_store_adopt(f->store, name, &file.number, &err), err);
    assert_ok(lam_catalog_add(f->db, &header, &file, now_ms, &instance, &err), err);
    assert_ok(lam_store_sync(f->store, NULL, 0, &err), err);
    assert_ok(lam_db_commit(f->db, &err), err);
    lam_header_done(&header);
    assert_ok(
        lam_db_get_integer(f->db, &id, &err, "SELECT series_id FROM instance WHERE id = ?", "i", instance),
        err);
    return id;
}

/* Not through lam_db: its cache wants literals. */
static sqlite3 *look(const fixture *f, const char *sql, sqlite3_stmt **statement)
{
    sqlite3 *handle = NULL;
    assert_int_equal(sqlite3_open(fixture_path(f, "lamina.db"), &handle), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(handle, sql, -1, statement, NULL), SQLITE_OK);
    return handle;
}

int64_t fixture_integer(fixture *f, const char *sql)
{
    sqlite3_stmt *s = NULL;
    sqlite3 *handle = look(f, sql, &s);
    int64_t value = -1;
    if (sqlite3_step(s) == SQLITE_ROW && sqlite3_column_type(s, 0) != SQLITE_NULL)
        value = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(handle);
    return value;
}

char *fixture_text(fixture *f, const char *sql)
{
    sqlite3_stmt *s = NULL;
    sqlite3 *handle = look(f, sql, &s);
    char *value = NULL;
    if (sqlite3_step(s) == SQLITE_ROW && sqlite3_column_type(s, 0) != SQLITE_NULL)
        value = strdup((const char *)sqlite3_column_text(s, 0));
    sqlite3_finalize(s);
    sqlite3_close(handle);
    return value;
}

/* ---- models ---- */

static void write_file(const char *folder, const char *name, const char *content)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(content, file);
    assert_int_equal(fclose(file), 0);
}

void fixture_install(const fixture *f, const char *name, const char *version, const char *modality,
                     const char *pattern, int minimum_slices, const char *weights)
{
    json_t *selector =
        json_pack("{s:s,s:[],s:i}", "modality", modality, "match", "minimum_slices", minimum_slices);
    if (pattern)
        json_array_append_new(
            json_object_get(selector, "match"),
            json_pack("{s:s,s:s,s:b}", "keyword", "SeriesDescription", "pattern", pattern, "ignore_case", 1));
    fixture_install_selector(f, name, version, selector, weights);
}

void fixture_install_selector(const fixture *f, const char *name, const char *version, json_t *selector,
                              const char *weights)
{
    lam_error err = {LAM_OK, ""};
    json_t *manifest = json_load_file(bundle, 0, NULL);
    assert_non_null(manifest);
    json_object_set_new(manifest, "name", json_string(name));
    json_object_set_new(manifest, "version", json_string(version));
    json_object_set_new(manifest, "selector", selector);
    json_object_del(json_object_get(manifest, "provenance"), "weights_sha256"); /* these are others */
    char folder[400];
    snprintf(folder, sizeof folder, "%s/models/%s/%s", f->directory, name, version);
    assert_ok(lam_io_make_directories(folder, 0755, &err), err);
    lam_autofree char *text = json_dumps(manifest, 0);
    write_file(folder, "model.json", text);
    write_file(folder, "weights.safetensors", weights);
    json_decref(manifest);
}

lam_status fixture_add_job(fixture *f, int64_t series, const char *model, const char *weights,
                           const char *input_set, int64_t now_ms, bool *queued)
{
    lam_job_input input = {.series = series};
    snprintf(input.input_set, sizeof input.input_set, "%s", input_set);
    return lam_jobs_add(f->db, &input, 1, model, "1.0.0", weights, now_ms, queued, NULL);
}

lam_models *fixture_models(const fixture *f)
{
    lam_error err = {LAM_OK, ""};
    lam_models *models = NULL;
    assert_ok(lam_models_load(fixture_path(f, "models"), lam_models_log, NULL, &models, &err), err);
    return models;
}
