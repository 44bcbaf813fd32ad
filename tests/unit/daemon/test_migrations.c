/* A database of schema 2 with studies in it becomes one of today: what searches need is made from the stored
 * headers (migration 0003). */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/laminad/migrations.h"
#include "tests/unit/daemon/fixture.h"

static const char filling[] =
    "PRAGMA user_version=2;"
    "INSERT INTO study (id, uid, state, patient_id, patient_name, study_date, created_ms, updated_ms)"
    " VALUES (1, '1.2', 'done', 'P1', 'Müller^Eva', '20200105', 5, 5),"
    " (2, '1.3', 'receiving', NULL, NULL, NULL, 5, 5);"
    "INSERT INTO series (id, study_id, uid, state, modality, instances, received_ms)"
    " VALUES (1, 1, '1.2.1', 'done', 'MR', 2, 5), (2, 1, '1.2.2', 'result', 'SEG', 1, 5),"
    " (3, 1, '1.2.3', 'done', 'MR', 0, 5);"
    "INSERT INTO instance (id, series_id, uid, sop_class_uid, transfer_syntax_uid, file, bytes, "
    "dataset_offset,"
    " received_ms) VALUES (1, 1, '1.2.1.1', '1.4', '1.2.840.10008.1.2.1', 1, 9, 0, 5),"
    " (2, 1, '1.2.1.2', '1.4', '1.2.840.10008.1.2.1', 2, 9, 0, 5),"
    " (3, 2, '1.2.2.1', '1.66.4', '1.2.840.10008.1.2.1', 3, 9, 0, 5);"
    "INSERT INTO metadata (instance_id, attributes) VALUES (1, "
    "'{\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO_IR 100\"]},"
    "\"00080018\":{\"vr\":\"UI\",\"Value\":[\"1.2.1.1\"]},\"00080060\":{\"vr\":\"CS\",\"Value\":[\"MR\"]},"
    "\"00080090\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"Ärztin^A\"}]},"
    "\"00100020\":{\"vr\":\"LO\",\"Value\":[\"P1\"]},\"00180050\":{\"vr\":\"DS\",\"Value\":[3]}}'),"
    " (2, '{\"00080018\":{\"vr\":\"UI\",\"Value\":[\"1.2.1.2\"]}}'), (3, '{}');";

static void make_older(const char *path)
{
    sqlite3 *handle = NULL;
    char *message = NULL;
    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    const char *const scripts[] = {lam_migrations[0].sql, lam_migrations[1].sql, filling};
    for (size_t i = 0; i < 3; i++)
        if (sqlite3_exec(handle, scripts[i], NULL, NULL, &message) != SQLITE_OK)
            fail_msg("script %zu: %s", i, message);
    sqlite3_close(handle);
}

/* {what it says, SQL that gives it} */
static const struct {
    const char *expected, *sql;
} rows[] = {
    {"muller^eva^=", "SELECT name_key FROM study WHERE id = 1"},
    {"arztin^a^=", "SELECT referring_key FROM study WHERE id = 1"},
    {"3 3", "SELECT series_count || ' ' || instance_count FROM study WHERE id = 1"},
    {"0 0", "SELECT series_count || ' ' || instance_count FROM study WHERE id = 2"},
    {"1", "SELECT modalities IN ('\\MR\\SEG\\', '\\SEG\\MR\\') FROM study WHERE id = 1"},
    {"1", "SELECT modalities = '' AND attributes = '{}' FROM study WHERE id = 2"},
    {"P1", "SELECT json_extract(attributes, '$.\"00100020\".Value[0]') FROM study WHERE id = 1"},
    {"MR", "SELECT json_extract(attributes, '$.\"00080060\".Value[0]') FROM series WHERE id = 1"},
    {"1.2.1.2", "SELECT json_extract(attributes, '$.\"00080018\".Value[0]') FROM instance WHERE id = 2"},
    {"1", "SELECT json_extract(attributes, '$.\"00180050\"') IS NULL FROM instance WHERE id = 1"},
    {"ISO_IR 192",
     "SELECT json_extract(attributes, '$.\"00080005\".Value[0]') FROM metadata WHERE instance_id = 1"},
    {"3", "SELECT count(*) FROM instance"},
};

static void test_a_filled_database_moves_on(void **state)
{
    const fixture *f = *state;
    fixture older = {0};
    assert_true(snprintf(older.directory, sizeof older.directory, "%s/older", f->directory) < 60);
    assert_int_equal(mkdir(older.directory, 0700), 0);
    const char *path = fixture_path(&older, "lamina.db");
    make_older(path);
    lam_error err = {LAM_OK, ""};
    assert_ok(lam_database_open(path, &older.database, &err), err);
    for (size_t i = 0; i < LAM_COUNT(rows); i++)
        assert_row(&older, rows[i].sql, rows[i].expected);
    lam_database_close(older.database);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_filled_database_moves_on, fixture_set_up, fixture_tear_down),
    };
    return cmocka_run_group_tests_name("migrations", tests, NULL, NULL);
}
