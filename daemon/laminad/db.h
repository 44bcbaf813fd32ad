/* The database: SQLite in WAL mode with synchronous=FULL, so a committed row survives power loss (promise 1).
 * Connections, transactions, statements and migrations; no table is named here (catalog.h, jobs.h do that).
 *
 * A lam_database is the file, shared by all threads; it serialises writers. A lam_db is one connection to it
 * and belongs to one thread at a time. */
#ifndef LAMINA_DAEMON_DB_H
#define LAMINA_DAEMON_DB_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/cleanup.h"
#include "core/base/status.h"
#include "daemon/laminad/changes.h"

typedef struct lam_database lam_database;
typedef struct lam_db lam_db;

/* Opens or creates the file and brings its schema up to date, each step in a transaction, after a backup to
 * `path.before-NNNN`. A newer schema than this program's is LAM_E_UNSUPPORTED (promise 11). */
lam_status lam_database_open(const char *path, lam_database **out, lam_error *err);
void lam_database_close(lam_database *database);

/* What this process commits to the studies, jobs and deliveries is told here. */
lam_changes *lam_database_changes(lam_database *database);
/* Wall time: tells this opening from others. */
int64_t lam_database_opened_ms(const lam_database *database);

/* A connection from the pool, to be given back; NULL with err set when none can be made. Thread-safe. */
lam_db *lam_db_get(lam_database *database, lam_error *err);
void lam_db_put(lam_db *db);
static inline void lam_cleanup_db(lam_db **db)
{
    lam_db_put(*db);
}
#define LAM_AUTO_DB LAM_AUTO(lam_cleanup_db) lam_db

/* Starts a write transaction: waits for the other writers of this process (in turn) and, up to 10 s, of
 * others. Every begin is followed by exactly one commit, rollback or end; a failed commit has rolled back. */
lam_status lam_db_begin(lam_db *db, lam_error *err);
lam_status lam_db_commit(lam_db *db, lam_error *err);
void lam_db_rollback(lam_db *db);
/* The end that the work since begin has earned: a commit when its `status` is LAM_OK, else a rollback.
 * Returns `status`, or what the commit says. */
lam_status lam_db_end(lam_db *db, lam_status status, lam_error *err);
/* False once SQLite itself has rolled back, which it does after some errors (disk full, I/O, memory): what
 * is written then would be committed by itself. Ask after each failure that the caller means to survive. */
bool lam_db_in_transaction(lam_db *db);

/* A prepared statement with its parameters bound, from the connection's cache (keyed by the address of `sql`,
 * so pass literals). `types` has a letter a parameter: t const char * (NULL is NULL), i int64_t, o const
 * int64_t * (NULL is NULL), d double. On failure the statement is NULL, err is set, and lam_db_step reports
 * it again. Valid until the same `sql` is prepared again. */
sqlite3_stmt *lam_db_prepare(lam_db *db, lam_error *err, const char *sql, const char *types, ...);

/* The same for SQL that is put together at run time; the values are texts. Keeps the last few, so what it
 * gives is valid only until the next one is composed. */
sqlite3_stmt *lam_db_prepare_composed(lam_db *db, const char *sql, lam_error *err);

/* From now on a statement that has not ended after `budget_ms` is broken off and fails with LAM_E_LIMIT; 0:
 * no limit again. */
void lam_db_set_deadline(lam_db *db, int64_t budget_ms);

/* Next row: *row tells whether there is one. After the last row or an error the statement is reset. */
lam_status lam_db_step(lam_db *db, sqlite3_stmt *statement, bool *row, lam_error *err);

/* Prepare and run to the end. */
lam_status lam_db_run(lam_db *db, lam_error *err, const char *sql, const char *types, ...);

/* Prepare and read one integer; LAM_E_NOT_FOUND (without a message) when there is no row or it is NULL. */
lam_status lam_db_get_integer(lam_db *db, int64_t *out, lam_error *err, const char *sql, const char *types,
                              ...);

int64_t lam_db_last_id(lam_db *db);
int lam_db_changes(lam_db *db);

/* Text of a column, or NULL; borrowed until the next step. */
const char *lam_db_text(sqlite3_stmt *statement, int column);

#endif
