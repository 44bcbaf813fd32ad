#include "daemon/laminad/db.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/io.h"
#include "daemon/laminad/fold.h"
#include "daemon/laminad/migrations.h"

enum { BUSY_TIMEOUT_MS = 10000, COMPOSED = 24, DEADLINE_STEPS = 20000, PENDING = 64 };

struct lam_database {
    char *path;
    pthread_mutex_t
        writer; /* held from begin to commit: writers take turns instead of polling SQLite's lock */
    pthread_mutex_t pool_lock;
    lam_db *idle;
    lam_changes *changes;
    int64_t opened_ms;
};

typedef struct cached_statement {
    const char *sql;
    sqlite3_stmt *statement;
} cached_statement;

/* A statement whose SQL is not a literal. */
typedef struct composed_statement {
    char *sql;
    sqlite3_stmt *statement;
} composed_statement;

struct lam_db {
    lam_database *database;
    sqlite3 *handle;
    lam_db *next; /* in the pool */
    size_t cached, capacity;
    cached_statement *cache; /* as many as the program has literals */
    composed_statement composed[COMPOSED];
    size_t next_composed; /* the one that makes room */
    int64_t deadline_ms;
    lam_change pending[PENDING]; /* to be published once they are committed */
    size_t pending_count;
    bool pending_lost; /* there are more */
};

static const struct {
    int code;
    lam_status status;
} sqlite_map[] = {
    {SQLITE_FULL, LAM_E_NO_SPACE}, {SQLITE_NOMEM, LAM_E_NO_MEMORY}, {SQLITE_BUSY, LAM_E_BUSY},
    {SQLITE_LOCKED, LAM_E_BUSY},   {SQLITE_CORRUPT, LAM_E_CORRUPT}, {SQLITE_NOTADB, LAM_E_CORRUPT},
    {SQLITE_PERM, LAM_E_DENIED},   {SQLITE_READONLY, LAM_E_DENIED}, {SQLITE_CONSTRAINT, LAM_E_INTERNAL},
    {SQLITE_CANTOPEN, LAM_E_IO},   {SQLITE_INTERRUPT, LAM_E_LIMIT},
};

static lam_status fail_sqlite(sqlite3 *handle, int code, lam_error *err, const char *what)
{
    lam_status status = LAM_E_IO;
    for (size_t i = 0; i < LAM_COUNT(sqlite_map); i++)
        if (sqlite_map[i].code == (code & 0xff))
            status = sqlite_map[i].status;
    int extended = handle ? sqlite3_extended_errcode(handle) : code;
    if (extended == SQLITE_CONSTRAINT_UNIQUE || extended == SQLITE_CONSTRAINT_PRIMARYKEY)
        status = LAM_E_EXISTS;
    int cause = code == SQLITE_CANTOPEN && handle ? sqlite3_system_errno(handle) : 0;
    if (cause == EACCES)
        status = LAM_E_DENIED;
    return lam_fail(err, status, "database: %s: %s%s%s", what,
                    handle ? sqlite3_errmsg(handle) : sqlite3_errstr(code), cause ? ": " : "",
                    cause ? strerror(cause) : "");
}

static lam_status execute(sqlite3 *handle, const char *sql, lam_error *err)
{
    int code = sqlite3_exec(handle, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? LAM_OK : fail_sqlite(handle, code, err, "cannot execute");
}

/* SQLite calls it for every row that is written, whoever writes it. */
static void on_row(void *context, int operation, const char *schema, const char *table, sqlite3_int64 row)
{
    static const char *const tables[LAM_CHANGE_KINDS] = {"study", "job", "delivery", "workitem"};
    (void)operation;
    (void)schema;
    lam_db *db = context;
    int kind = 0;
    while (kind < LAM_CHANGE_KINDS && strcmp(table, tables[kind]) != 0)
        kind++;
    if (kind == LAM_CHANGE_KINDS)
        return;
    for (size_t i = 0; i < db->pending_count; i++)
        if (db->pending[i].id == row && (int)db->pending[i].kind == kind)
            return;
    if (db->pending_count < PENDING)
        db->pending[db->pending_count++] = (lam_change){.kind = (lam_change_kind)kind, .id = row};
    else
        db->pending_lost = true;
}

static void forget_pending(lam_db *db)
{
    db->pending_count = 0;
    db->pending_lost = false;
}

static void publish_pending(lam_db *db)
{
    if (db->pending_count)
        lam_changes_publish(db->database->changes, db->pending, db->pending_count, db->pending_lost);
    forget_pending(db);
}

static void connection_free(lam_db *db)
{
    if (!db)
        return;
    for (size_t i = 0; i < db->cached; i++)
        sqlite3_finalize(db->cache[i].statement);
    for (size_t i = 0; i < COMPOSED; i++) {
        sqlite3_finalize(db->composed[i].statement);
        free(db->composed[i].sql);
    }
    sqlite3_close(db->handle);
    free(db->cache);
    free(db);
}

static lam_status connection_open(lam_database *database, lam_db **out, lam_error *err)
{
    lam_db *db = calloc(1, sizeof *db);
    if (!db)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a database connection");
    db->database = database;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    int code = sqlite3_open_v2(database->path, &db->handle, flags, NULL);
    lam_status status = LAM_OK;
    if (code != SQLITE_OK)
        status = fail_sqlite(db->handle, code, err, database->path);
    if (status == LAM_OK) {
        sqlite3_busy_timeout(db->handle, BUSY_TIMEOUT_MS);
        lam_fold_register(db->handle);
        sqlite3_update_hook(db->handle, on_row, db);
        status = execute(db->handle,
                         "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
                         "PRAGMA trusted_schema=OFF; PRAGMA cache_size=-8192; PRAGMA temp_store=MEMORY;"
                         "PRAGMA journal_size_limit=33554432;", /* a burst's WAL shrinks again */
                         err);
    }
    if (status != LAM_OK) {
        connection_free(db);
        return status;
    }
    *out = db;
    return LAM_OK;
}

/* An empty file with owner and mode of the database: root may be who migrates it. */
static lam_status make_like(const char *database, const char *path, lam_error *err)
{
    struct stat like;
    if (stat(database, &like) < 0)
        return lam_fail_errno(err, errno, "cannot read %s", database);
    lam_autoclose int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0 || (geteuid() == 0 && fchown(file, like.st_uid, like.st_gid) < 0) ||
        fchmod(file, like.st_mode & 0777) < 0)
        return lam_fail_errno(err, errno, "cannot make %s", path);
    return LAM_OK;
}

/* A copy beside the database, made by SQLite itself so that it is consistent, and durable before the first
 * step (promise 11). It has its name only once it is whole. */
static lam_status back_up(lam_db *db, int before, lam_error *err)
{
    char path[PATH_MAX], unfinished[PATH_MAX + 8];
    if (snprintf(path, sizeof path, "%s.before-%04d", db->database->path, before) >= (int)sizeof path)
        return lam_fail(err, LAM_E_LIMIT, "the path of the database is too long");
    snprintf(unfinished, sizeof unfinished, "%s.new", path);
    unlink(unfinished);
    lam_status status = make_like(db->database->path, unfinished, err);
    if (status == LAM_OK)
        status = lam_db_run(db, err, "VACUUM INTO ?", "t", unfinished);
    if (status == LAM_OK)
        status = lam_io_sync_path(unfinished, err);
    if (status == LAM_OK && rename(unfinished, path) < 0)
        status = lam_fail_errno(err, errno, "cannot rename %s", unfinished);
    if (status == LAM_OK)
        status = lam_io_sync_folder_of(path, err);
    if (status != LAM_OK) {
        unlink(unfinished);
        lam_error_prefix(err, "backup before the migration of %s", db->database->path);
    }
    return status;
}

static lam_status apply_migration(lam_db *db, const lam_migration *step, lam_error *err)
{
    lam_status status = lam_db_begin(db, err);
    if (status != LAM_OK)
        return status;
    char version[64];
    snprintf(version, sizeof version, "PRAGMA user_version=%d", step->number);
    status = execute(db->handle, step->sql, err);
    if (status == LAM_OK)
        status = execute(db->handle, version, err);
    if (status == LAM_OK)
        return lam_db_commit(db, err);
    lam_db_rollback(db);
    lam_error_prefix(err, "migration %s", step->name);
    return status;
}

static lam_status migrate(lam_db *db, lam_error *err)
{
    int64_t have = 0;
    lam_status status = lam_db_get_integer(db, &have, err, "PRAGMA user_version", "");
    if (status != LAM_OK)
        return status;
    int newest = lam_migrations[lam_migration_count - 1].number;
    if (have > newest)
        return lam_fail(
            err, LAM_E_UNSUPPORTED,
            "database %s has schema %lld, this program knows up to %d: install the newer Lamina again",
            db->database->path, (long long)have, newest);
    if (have > 0 && have < newest)
        status = back_up(db, (int)have + 1, err);
    for (size_t i = 0; status == LAM_OK && i < lam_migration_count; i++)
        if (lam_migrations[i].number > have)
            status = apply_migration(db, &lam_migrations[i], err);
    return status;
}

lam_status lam_database_open(const char *path, lam_database **out, lam_error *err)
{
    lam_database *database = calloc(1, sizeof *database);
    if (database) {
        database->path = strdup(path);
        database->changes = lam_changes_create();
        database->opened_ms = lam_clock_wall_ms();
    }
    if (!database || !database->path || !database->changes) {
        if (database) {
            lam_changes_free(database->changes);
            free(database->path);
        }
        free(database);
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    }
    pthread_mutex_init(&database->writer, NULL);
    pthread_mutex_init(&database->pool_lock, NULL);
    lam_db *db = NULL;
    lam_status status = connection_open(database, &db, err);
    if (status == LAM_OK)
        status = migrate(db, err);
    lam_db_put(db);
    if (status == LAM_E_CORRUPT)
        lam_error_prefix(err, "%s is damaged; restore it and the store from a backup", path);
    if (status == LAM_E_NO_SPACE)
        lam_error_prefix(err, "no room for %s: free space on its disk", path);
    if (status != LAM_OK) {
        lam_database_close(database);
        return status;
    }
    *out = database;
    return LAM_OK;
}

void lam_database_close(lam_database *database)
{
    if (!database)
        return;
    while (database->idle) {
        lam_db *next = database->idle->next;
        connection_free(database->idle);
        database->idle = next;
    }
    pthread_mutex_destroy(&database->writer);
    pthread_mutex_destroy(&database->pool_lock);
    lam_changes_free(database->changes);
    free(database->path);
    free(database);
}

lam_changes *lam_database_changes(lam_database *database)
{
    return database->changes;
}

int64_t lam_database_opened_ms(const lam_database *database)
{
    return database->opened_ms;
}

lam_db *lam_db_get(lam_database *database, lam_error *err)
{
    pthread_mutex_lock(&database->pool_lock);
    lam_db *db = database->idle;
    if (db)
        database->idle = db->next;
    pthread_mutex_unlock(&database->pool_lock);
    if (!db && connection_open(database, &db, err) != LAM_OK)
        return NULL;
    return db;
}

void lam_db_put(lam_db *db)
{
    if (!db)
        return;
    for (size_t i = 0; i < db->cached; i++)
        sqlite3_reset(db->cache[i].statement); /* an idle connection must not hold a read transaction open */
    for (size_t i = 0; i < COMPOSED; i++)
        sqlite3_reset(db->composed[i].statement);
    publish_pending(db); /* what was written without a transaction */
    lam_database *database = db->database;
    pthread_mutex_lock(&database->pool_lock);
    db->next = database->idle;
    database->idle = db;
    pthread_mutex_unlock(&database->pool_lock);
}

lam_status lam_db_begin(lam_db *db, lam_error *err)
{
    pthread_mutex_lock(&db->database->writer);
    int fault = lam_failpoint_hit(LAM_FAIL_DB_BEGIN);
    lam_status status =
        fault ? fail_sqlite(NULL, fault, err, "cannot begin") : lam_db_run(db, err, "BEGIN IMMEDIATE", "");
    if (status != LAM_OK)
        pthread_mutex_unlock(&db->database->writer);
    return status;
}

lam_status lam_db_commit(lam_db *db, lam_error *err)
{
    lam_status status = LAM_OK;
    int fault = lam_failpoint_hit(LAM_FAIL_DB_COMMIT);
    if (fault)
        status = fail_sqlite(NULL, fault, err, "cannot commit");
    else if (lam_db_in_transaction(db))
        status = lam_db_run(db, err, "COMMIT", "");
    else
        status = lam_fail(err, LAM_E_IO, "database: the transaction was given up after an error");
    if (status != LAM_OK) {
        sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
        forget_pending(db);
    }
    publish_pending(db);
    pthread_mutex_unlock(&db->database->writer);
    return status;
}

void lam_db_rollback(lam_db *db)
{
    sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    forget_pending(db);
    pthread_mutex_unlock(&db->database->writer);
}

lam_status lam_db_end(lam_db *db, lam_status status, lam_error *err)
{
    if (status == LAM_OK)
        return lam_db_commit(db, err);
    lam_db_rollback(db);
    return status;
}

static lam_status grow_cache(lam_db *db, lam_error *err)
{
    if (db->cached < db->capacity)
        return LAM_OK;
    size_t capacity = db->capacity ? 2 * db->capacity : 32;
    cached_statement *cache = realloc(db->cache, capacity * sizeof *cache);
    if (!cache)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a statement");
    db->cache = cache;
    db->capacity = capacity;
    return LAM_OK;
}

static sqlite3_stmt *find_statement(lam_db *db, const char *sql, lam_error *err)
{
    for (size_t i = 0; i < db->cached; i++)
        if (db->cache[i].sql == sql) {
            sqlite3_reset(db->cache[i].statement);
            sqlite3_clear_bindings(db->cache[i].statement);
            return db->cache[i].statement;
        }
    if (grow_cache(db, err) != LAM_OK)
        return NULL;
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL);
    if (code != SQLITE_OK) {
        fail_sqlite(db->handle, code, err, "cannot prepare");
        return NULL;
    }
    db->cache[db->cached++] = (cached_statement){sql, statement};
    return statement;
}

static int bind_optional(sqlite3_stmt *statement, int position, const int64_t *value)
{
    return value ? sqlite3_bind_int64(statement, position, *value) : sqlite3_bind_null(statement, position);
}

static sqlite3_stmt *prepare_v(lam_db *db, lam_error *err, const char *sql, const char *types,
                               va_list arguments)
{
    sqlite3_stmt *statement = find_statement(db, sql, err);
    int code = SQLITE_OK;
    for (int i = 0; statement && types[i] && code == SQLITE_OK; i++) {
        if (types[i] == 't')
            code = sqlite3_bind_text(statement, i + 1, va_arg(arguments, const char *), -1, SQLITE_TRANSIENT);
        else if (types[i] == 'i')
            code = sqlite3_bind_int64(statement, i + 1, va_arg(arguments, int64_t));
        else if (types[i] == 'o')
            code = bind_optional(statement, i + 1, va_arg(arguments, const int64_t *));
        else
            code = sqlite3_bind_double(statement, i + 1, va_arg(arguments, double));
    }
    if (statement && code != SQLITE_OK) {
        fail_sqlite(db->handle, code, err, "cannot bind");
        return NULL;
    }
    return statement;
}

sqlite3_stmt *lam_db_prepare(lam_db *db, lam_error *err, const char *sql, const char *types, ...)
{
    va_list arguments;
    va_start(arguments, types);
    sqlite3_stmt *statement = prepare_v(db, err, sql, types, arguments);
    va_end(arguments);
    return statement;
}

sqlite3_stmt *lam_db_prepare_composed(lam_db *db, const char *sql, lam_error *err)
{
    for (size_t i = 0; i < COMPOSED; i++)
        if (db->composed[i].sql && strcmp(db->composed[i].sql, sql) == 0) {
            sqlite3_reset(db->composed[i].statement);
            sqlite3_clear_bindings(db->composed[i].statement);
            return db->composed[i].statement;
        }
    composed_statement fresh = {.sql = strdup(sql)};
    int code =
        fresh.sql ? sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &fresh.statement, NULL)
                  : SQLITE_NOMEM;
    if (code != SQLITE_OK) {
        free(fresh.sql);
        fail_sqlite(db->handle, code, err, "cannot prepare");
        return NULL;
    }
    composed_statement *slot = &db->composed[db->next_composed++ % COMPOSED];
    sqlite3_finalize(slot->statement);
    free(slot->sql);
    *slot = fresh;
    return fresh.statement;
}

static int is_late(void *context)
{
    const lam_db *db = context;
    return lam_clock_monotonic_ms() > db->deadline_ms;
}

void lam_db_set_deadline(lam_db *db, int64_t budget_ms)
{
    db->deadline_ms = lam_clock_monotonic_ms() + budget_ms;
    sqlite3_progress_handler(db->handle, budget_ms ? DEADLINE_STEPS : 0, budget_ms ? is_late : NULL, db);
}

lam_status lam_db_step(lam_db *db, sqlite3_stmt *statement, bool *row, lam_error *err)
{
    *row = false;
    if (!statement)
        return err && err->status != LAM_OK ? err->status : LAM_E_IO;
    int fault = lam_failpoint_hit(LAM_FAIL_DB_STEP);
    int code = fault ? fault : sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        *row = true;
        return LAM_OK;
    }
    lam_status status = code == SQLITE_DONE ? LAM_OK : fail_sqlite(db->handle, code, err, "cannot run");
    sqlite3_reset(statement);
    return status;
}

static lam_status run_to_end(lam_db *db, sqlite3_stmt *statement, lam_error *err)
{
    bool row = true;
    lam_status status = LAM_OK;
    while (status == LAM_OK && row)
        status = lam_db_step(db, statement, &row, err);
    return status;
}

lam_status lam_db_run(lam_db *db, lam_error *err, const char *sql, const char *types, ...)
{
    lam_error local = {0};
    va_list arguments;
    va_start(arguments, types);
    sqlite3_stmt *statement = prepare_v(db, err ? err : &local, sql, types, arguments);
    va_end(arguments);
    return run_to_end(db, statement, err ? err : &local);
}

lam_status lam_db_get_integer(lam_db *db, int64_t *out, lam_error *err, const char *sql, const char *types,
                              ...)
{
    lam_error local = {0};
    va_list arguments;
    va_start(arguments, types);
    sqlite3_stmt *statement = prepare_v(db, err ? err : &local, sql, types, arguments);
    va_end(arguments);
    bool row = false;
    lam_status status = lam_db_step(db, statement, &row, err ? err : &local);
    if (status != LAM_OK)
        return status;
    if (!row)
        return LAM_E_NOT_FOUND;
    bool null = sqlite3_column_type(statement, 0) == SQLITE_NULL;
    int64_t value = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    if (null)
        return LAM_E_NOT_FOUND;
    *out = value;
    return LAM_OK;
}

bool lam_db_in_transaction(lam_db *db)
{
    return !sqlite3_get_autocommit(db->handle);
}

int64_t lam_db_last_id(lam_db *db)
{
    return sqlite3_last_insert_rowid(db->handle);
}

int lam_db_changes(lam_db *db)
{
    return sqlite3_changes(db->handle);
}

const char *lam_db_text(sqlite3_stmt *statement, int column)
{
    return (const char *)sqlite3_column_text(statement, column);
}
