#include "daemon/laminad/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/io.h"

enum { PAGES = 1024, RETRY_MS = 50, BUSY_MS = 10000, FILES_A_FOLDER = 1024 };

static lam_status fail_sqlite(sqlite3 *db, const char *what, lam_error *err)
{
    int cause =
        db ? sqlite3_system_errno(db) : 0; /* SQLite's own words do not say that a folder is missing */
    return lam_fail(err, LAM_E_IO, "%s: %s%s%s", what, db ? sqlite3_errmsg(db) : "out of memory",
                    cause ? ": " : "", cause ? strerror(cause) : "");
}

/* ---- the database ---- */

/* Pages in portions, so that the daemon's writers never wait long. */
static lam_status copy_pages(sqlite3 *from, sqlite3 *to, lam_error *err)
{
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
    if (!backup)
        return fail_sqlite(to, "cannot begin the backup", err);
    int code;
    do {
        code = sqlite3_backup_step(backup, PAGES);
        if (code == SQLITE_BUSY || code == SQLITE_LOCKED)
            sqlite3_sleep(RETRY_MS);
    } while (code == SQLITE_OK || code == SQLITE_BUSY || code == SQLITE_LOCKED);
    sqlite3_backup_finish(backup);
    return code == SQLITE_DONE ? LAM_OK : fail_sqlite(to, "cannot copy the database", err);
}

static lam_status check_copy(sqlite3 *copy, lam_error *err)
{
    sqlite3_stmt *s = NULL;
    /* A copy of a WAL database is one; without its -wal it should be a plain file. */
    sqlite3_exec(copy, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
    lam_status status = LAM_OK;
    if (sqlite3_prepare_v2(copy, "PRAGMA quick_check(1)", -1, &s, NULL) != SQLITE_OK ||
        sqlite3_step(s) != SQLITE_ROW)
        status = fail_sqlite(copy, "cannot check the backup", err);
    else if (strcmp((const char *)sqlite3_column_text(s, 0), "ok") != 0)
        status = lam_fail(err, LAM_E_CORRUPT, "the database is damaged: %.200s",
                          (const char *)sqlite3_column_text(s, 0));
    sqlite3_finalize(s);
    return status;
}

static lam_status copy_database(const char *source, const char *unfinished, lam_error *err)
{
    sqlite3 *from = NULL, *to = NULL;
    lam_status status = LAM_OK;
    if (sqlite3_open_v2(source, &from, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK)
        status = fail_sqlite(from, source, err);
    else if (sqlite3_open(unfinished, &to) != SQLITE_OK)
        status = fail_sqlite(to, unfinished, err);
    sqlite3_busy_timeout(from, BUSY_MS);
    if (status == LAM_OK)
        status = copy_pages(from, to, err);
    if (status == LAM_OK)
        status = check_copy(to, err);
    sqlite3_close(to);
    sqlite3_close(from);
    return status;
}

lam_status lam_backup_database(const char *data_dir, const char *path, lam_error *err)
{
    char source[PATH_MAX], unfinished[PATH_MAX];
    if (snprintf(source, sizeof source, "%s/lamina.db", data_dir) >= (int)sizeof source ||
        snprintf(unfinished, sizeof unfinished, "%s.new", path) >= (int)sizeof unfinished)
        return lam_fail(err, LAM_E_LIMIT, "a path is too long");
    if (access(source, R_OK) < 0)
        return lam_fail_errno(err, errno, "cannot read %s", source);
    unlink(unfinished);
    mode_t before = umask(0077);
    lam_status status = copy_database(source, unfinished, err);
    umask(before);
    if (status == LAM_OK)
        status = lam_io_sync_path(unfinished, err);
    if (status == LAM_OK && rename(unfinished, path) < 0)
        status = lam_fail_errno(err, errno, "cannot rename %s", unfinished);
    if (status == LAM_OK)
        status = lam_io_sync_folder_of(path, err);
    if (status != LAM_OK)
        unlink(unfinished);
    return status;
}

/* ---- the store ---- */

static lam_status copy_bytes(int from, int to, lam_error *err)
{
    for (;;) {
        ssize_t got = copy_file_range(from, NULL, to, NULL, SSIZE_MAX / 2, 0);
        if (got == 0)
            return lam_io_sync(to, err);
        if (got < 0 && (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP))
            break;
        if (got < 0 && errno != EINTR)
            return lam_fail_errno(err, errno, "cannot copy a file of the store");
    }
    char bytes[64 * 1024];
    ssize_t got;
    while ((got = read(from, bytes, sizeof bytes)) > 0) {
        lam_status status = lam_io_write_all(to, bytes, (size_t)got, err);
        if (status != LAM_OK)
            return status;
    }
    return got < 0 ? lam_fail_errno(err, errno, "cannot read a file of the store") : lam_io_sync(to, err);
}

static lam_status copy_file(int store, int target, long long number, size_t *copied, size_t *missing,
                            lam_error *err)
{
    char folder[16], name[40], unfinished[48];
    snprintf(folder, sizeof folder, "%05llx", (unsigned long long)number / FILES_A_FOLDER);
    snprintf(name, sizeof name, "%s/%08llx", folder, (unsigned long long)number);
    snprintf(unfinished, sizeof unfinished, "%s.new", name);
    if (faccessat(target, name, F_OK, 0) == 0)
        return LAM_OK;
    lam_autoclose int from = openat(store, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (from < 0 && errno == ENOENT) {
        (*missing)++;
        return LAM_OK;
    }
    if (mkdirat(target, folder, 0750) < 0 && errno != EEXIST)
        return lam_fail_errno(err, errno, "cannot make a folder of the backup");
    lam_autoclose int to = openat(target, unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (from < 0 || to < 0)
        return lam_fail_errno(err, errno, "cannot open %s", from < 0 ? name : unfinished);
    lam_status status = copy_bytes(from, to, err);
    if (status == LAM_OK && renameat(target, unfinished, target, name) < 0)
        status = lam_fail_errno(err, errno, "cannot rename %s", unfinished);
    *copied += status == LAM_OK;
    return status;
}

static lam_status copy_all(sqlite3 *db, int store, int target, size_t *copied, size_t *missing,
                           lam_error *err)
{
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(db, "SELECT file FROM instance UNION SELECT file FROM picture", -1, &s, NULL) !=
        SQLITE_OK)
        return fail_sqlite(db, "cannot list the files", err);
    lam_status status = LAM_OK;
    int code = SQLITE_DONE;
    while (status == LAM_OK && (code = sqlite3_step(s)) == SQLITE_ROW)
        status = copy_file(store, target, sqlite3_column_int64(s, 0), copied, missing, err);
    if (status == LAM_OK && code != SQLITE_DONE)
        status = fail_sqlite(db, "cannot list the files", err);
    sqlite3_finalize(s);
    return status;
}

lam_status lam_backup_store(const char *data_dir, const char *path, const char *folder, size_t *copied,
                            size_t *missing, lam_error *err)
{
    char source[PATH_MAX];
    sqlite3 *db = NULL;
    *copied = *missing = 0;
    snprintf(source, sizeof source, "%s/store", data_dir);
    lam_status status = lam_io_make_directories(folder, 0750, err);
    if (status != LAM_OK)
        return status;
    lam_autoclose int store = open(source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    lam_autoclose int target = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store < 0 || target < 0)
        return lam_fail_errno(err, errno, "cannot open %s", store < 0 ? source : folder);
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK)
        status = fail_sqlite(db, path, err);
    else
        status = copy_all(db, store, target, copied, missing, err);
    if (status == LAM_OK && syncfs(target) < 0) /* names of files and of folders */
        status = lam_fail_errno(err, errno, "cannot sync %s", folder);
    sqlite3_close(db);
    return status;
}
