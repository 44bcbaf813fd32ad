/* daemon/laminad/db.h: promise 11 (the schema moves forward only, after a backup), transactions, turns of
 * writers, and what SQLite does behind one's back. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/laminad/migrations.h"
#include "tests/unit/daemon/fixture.h"

static int newest(void)
{
    return lam_migrations[lam_migration_count - 1].number;
}

static void execute(const char *path, const char *sql)
{
    sqlite3 *handle = NULL;
    char *message = NULL;
    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    if (sqlite3_exec(handle, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", sql, message);
    sqlite3_close(handle);
}

static int64_t ask(const char *path, const char *sql)
{
    sqlite3 *handle = NULL;
    sqlite3_stmt *s = NULL;
    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(handle, sql, -1, &s, NULL), SQLITE_OK);
    int64_t value = sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : -1;
    sqlite3_finalize(s);
    sqlite3_close(handle);
    return value;
}

static void applies_all_migrations(void **state)
{
    fixture *f = *state;
    assert_int_equal(fixture_integer(f, "PRAGMA user_version"), newest());
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM job"), 0);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM removed_file"), 0);
    assert_row(f, "PRAGMA journal_mode", "wal");
}

static void numbers_migrations_without_gaps(void **state)
{
    (void)state;
    for (size_t i = 0; i < lam_migration_count; i++)
        assert_int_equal(lam_migrations[i].number, i + 1);
}

static void promise_11_refuses_a_newer_schema(void **state)
{
    const fixture *f = *state;
    const char *path = fixture_path(f, "newer.db");
    char sql[64];
    snprintf(sql, sizeof sql, "PRAGMA user_version=%d; CREATE TABLE t (x);", newest() + 1);
    execute(path, sql);
    lam_database *database = NULL;
    lam_error err;
    assert_fails(lam_database_open(path, &database, &err), LAM_E_UNSUPPORTED, err);
    assert_null(database);
    assert_int_equal(ask(path, "PRAGMA user_version"), newest() + 1);
    assert_int_equal(ask(path, "SELECT count(*) FROM sqlite_schema"), 1);
}

static void make_older(const char *path, const char *then)
{
    execute(path, lam_migrations[0].sql);
    execute(path, "PRAGMA user_version=1");
    execute(path, then);
}

static void promise_11_backs_up_before_a_migration(void **state)
{
    const fixture *f = *state;
    const char *path = fixture_path(f, "older.db");
    char backup[600];
    snprintf(backup, sizeof backup, "%s.before-0002", path);
    make_older(path, "INSERT INTO study (uid, state, created_ms, updated_ms) VALUES ('1.2', 'done', 5, 5)");
    assert_int_equal(chmod(path, 0620), 0);
    lam_database *database = NULL;
    lam_error err = {LAM_OK, ""};
    assert_ok(lam_database_open(path, &database, &err), err);
    lam_database_close(database);
    struct stat copy;
    assert_int_equal(stat(backup, &copy), 0);
    assert_int_equal(copy.st_mode & 0777, 0620);
    assert_int_equal(ask(path, "PRAGMA user_version"), newest());
    assert_int_equal(ask(path, "SELECT created_ms FROM study"), 5);
    assert_int_equal(ask(backup, "PRAGMA user_version"), 1);
    assert_int_equal(ask(backup, "SELECT created_ms FROM study"), 5);
    assert_int_equal(ask(backup, "SELECT count(*) FROM sqlite_schema WHERE name = 'removed_file'"), 0);
    strcat(backup, ".new");
    assert_int_not_equal(access(backup, F_OK), 0);
}

static void promise_11_a_failed_migration_changes_nothing(void **state)
{
    const fixture *f = *state;
    const char *path = fixture_path(f, "odd.db");
    make_older(path, "CREATE TABLE removed_file (other TEXT)");
    lam_database *database = NULL;
    lam_error err;
    assert_fails(lam_database_open(path, &database, &err), LAM_E_IO, err);
    assert_non_null(strstr(err.message, "0002_"));
    assert_int_equal(ask(path, "PRAGMA user_version"), 1);
    assert_int_equal(ask(path, "SELECT count(*) FROM pragma_table_info('instance') WHERE name = 'revision'"),
                     0);
}

static lam_status add_study(lam_db *db, const char *uid, lam_error *err)
{
    return lam_db_run(db, err,
                      "INSERT INTO study (uid, state, created_ms, updated_ms) VALUES (?, 'receiving', 1, 1)",
                      "t", uid);
}

static void commits_and_rolls_back(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    assert_ok(lam_db_begin(f->db, &err), err);
    assert_true(lam_db_in_transaction(f->db));
    assert_ok(add_study(f->db, "1.1", &err), err);
    lam_db_rollback(f->db);
    assert_false(lam_db_in_transaction(f->db));
    assert_ok(lam_db_begin(f->db, &err), err);
    assert_ok(add_study(f->db, "1.2", &err), err);
    assert_ok(lam_db_commit(f->db, &err), err);
    assert_row(f, "SELECT group_concat(uid) FROM study", "1.2");
}

static void names_its_errors(void **state)
{
    fixture *f = *state;
    lam_error err;
    assert_int_equal(add_study(f->db, "1.2", NULL), LAM_OK);
    assert_fails(add_study(f->db, "1.2", &err), LAM_E_EXISTS, err);
    assert_fails(lam_db_run(f->db, &err, "UPDATE study SET state = 'nonsense'", ""), LAM_E_INTERNAL, err);
    assert_fails(lam_db_run(f->db, &err, "SELECT nothing", ""), LAM_E_IO, err);
    bool row;
    assert_int_equal(lam_db_step(f->db, NULL, &row, NULL), LAM_E_IO);
    int64_t value = 7;
    assert_int_equal(lam_db_get_integer(f->db, &value, NULL, "SELECT NULL", ""), LAM_E_NOT_FOUND);
    assert_int_equal(lam_db_get_integer(f->db, &value, NULL, "SELECT 1 WHERE 0", ""), LAM_E_NOT_FOUND);
    assert_int_equal(value, 7);
}

static void binds_every_type(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    int64_t number = INT64_MAX;
    bool row = false;
    sqlite3_stmt *s = lam_db_prepare(f->db, &err, "SELECT ?, ?, ?, ?, ?, ?", "titodo", "text", (int64_t)-5,
                                     NULL, &number, 2.5, NULL);
    assert_ok(lam_db_step(f->db, s, &row, &err), err);
    assert_true(row);
    assert_string_equal(lam_db_text(s, 0), "text");
    assert_int_equal(sqlite3_column_int64(s, 1), -5);
    assert_null(lam_db_text(s, 2));
    assert_int_equal(sqlite3_column_int64(s, 3), INT64_MAX);
    assert_true(sqlite3_column_double(s, 4) == 2.5);
    assert_int_equal(sqlite3_column_type(s, 5), SQLITE_NULL);
    sqlite3_reset(s);
}

enum { ROUNDS = 50 };

static void *count_up(void *argument)
{
    lam_database *database = argument;
    lam_db *db = lam_db_get(database, NULL);
    for (int i = 0; db && i < ROUNDS; i++) {
        int64_t value = 0;
        if (lam_db_begin(db, NULL) != LAM_OK)
            break;
        lam_db_get_integer(db, &value, NULL, "SELECT updated_ms FROM study", "");
        lam_db_run(db, NULL, "UPDATE study SET updated_ms = ?", "i", value + 1);
        if (lam_db_commit(db, NULL) != LAM_OK)
            break;
    }
    lam_db_put(db);
    return NULL;
}

static void writers_take_turns(void **state)
{
    fixture *f = *state;
    pthread_t threads[2];
    assert_int_equal(add_study(f->db, "1.2", NULL), LAM_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, f->database), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(fixture_integer(f, "SELECT updated_ms FROM study"), 1 + 2 * ROUNDS);
}

static void *unlock_soon(void *argument)
{
    usleep(100000);
    sqlite3_exec(argument, "COMMIT", NULL, NULL, NULL);
    return NULL;
}

static void waits_for_another_process(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    sqlite3 *other = NULL;
    pthread_t thread;
    assert_int_equal(sqlite3_open_v2(fixture_path(f, "lamina.db"), &other,
                                     SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(pthread_create(&thread, NULL, unlock_soon, other), 0);
    assert_ok(lam_db_begin(f->db, &err), err);
    lam_db_rollback(f->db);
    pthread_join(thread, NULL);
    sqlite3_close(other);
}

/* SQLite rolls back all by itself when the disk is full: what is written then must not be taken for part of
 * the transaction, and a commit of nothing must not be taken for success. */
static void knows_a_transaction_that_was_given_up(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    char large[8192];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    int64_t pages = fixture_integer(f, "PRAGMA page_count");
    assert_ok(lam_db_begin(f->db, &err), err);
    assert_ok(add_study(f->db, "1.2", &err), err);
    assert_ok(lam_db_run(f->db, &err, "PRAGMA max_page_count=1", ""), err); /* as many as there are */
    lam_status status = LAM_OK;
    for (int64_t i = 0; status == LAM_OK && i < 2 * pages; i++)
        status = lam_db_run(f->db, &err,
                            "INSERT INTO removed_file (file) SELECT max(coalesce(file, 0)) + 1"
                            " FROM (SELECT max(file) AS file FROM removed_file)",
                            "");
    status = lam_db_run(f->db, &err, "UPDATE study SET patient_id = ?", "t", large);
    assert_int_equal(status, LAM_E_NO_SPACE);
    assert_false(lam_db_in_transaction(f->db));
    assert_int_equal(lam_db_commit(f->db, &err), LAM_E_IO);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM study"), 0);
    assert_ok(lam_db_run(f->db, &err, "PRAGMA max_page_count=1000000", ""), err);
    assert_ok(lam_db_begin(f->db, &err), err);
    assert_ok(add_study(f->db, "1.3", &err), err);
    assert_ok(lam_db_commit(f->db, &err), err);
}

/* A statement left in the middle would hold a snapshot, and the log could never be written back. */
static void an_idle_connection_holds_no_snapshot(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    bool row = false;
    assert_ok(add_study(f->db, "1.2", &err), err);
    lam_db *reader = lam_db_get(f->database, &err);
    assert_ok(lam_db_step(reader, lam_db_prepare(reader, &err, "SELECT uid FROM study", ""), &row, &err),
              err);
    assert_true(row);
    lam_db_put(reader);
    assert_ok(add_study(f->db, "1.3", &err), err);
    assert_int_equal(fixture_integer(f, "PRAGMA wal_checkpoint(TRUNCATE)"), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(applies_all_migrations),
        TEST(numbers_migrations_without_gaps),
        TEST(promise_11_refuses_a_newer_schema),
        TEST(promise_11_backs_up_before_a_migration),
        TEST(promise_11_a_failed_migration_changes_nothing),
        TEST(commits_and_rolls_back),
        TEST(names_its_errors),
        TEST(binds_every_type),
        TEST(writers_take_turns),
        TEST(waits_for_another_process),
        TEST(knows_a_transaction_that_was_given_up),
        TEST(an_idle_connection_holds_no_snapshot),
    };
    return cmocka_run_group_tests_name("db", tests, NULL, NULL);
}
