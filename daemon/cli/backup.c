/* lamina backup, lamina migrate: the data of a daemon, running or not, by the configuration it uses. */
#include "daemon/laminad/backup.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "daemon/cli/cli.h"
#include "daemon/cli/options.h"
#include "daemon/laminad/config.h"
#include "daemon/laminad/data_lock.h"
#include "daemon/laminad/db.h"

int lam_cli_backup(int argc, char **argv)
{
    const char *path = NULL, *store = NULL;
    char **rest;
    const lam_option known[] = {{"config", .text = &path}, {"store", .text = &store}, {0}};
    lam_error err = {0};
    size_t copied = 0, missing = 0;
    LAM_AUTO_PTR(lam_config) *config = NULL;
    int usage = lam_options_read(argc, argv, known, &rest);
    if (usage != LAM_CLI_OK)
        return usage;
    if (!rest[0] || rest[1])
        return lam_cli_usage(argv[0], "needs exactly one FILE for the copy of the database");
    const char *file = rest[0];
    lam_status status = lam_config_load(path, &config, &err);
    if (status == LAM_OK)
        status = lam_backup_database(config->data_dir, file, &err);
    if (status == LAM_OK)
        printf("database copied to %s\n", file);
    if (status == LAM_OK && store)
        status = lam_backup_store(config->data_dir, file, store, &copied, &missing, &err);
    if (status != LAM_OK)
        return lam_cli_fail_error(&err);
    if (store)
        printf("%zu new files of the store copied to %s\n", copied, store);
    if (missing)
        return lam_cli_fail("%zu files were deleted while the backup ran, and are not in it", missing);
    return LAM_CLI_OK;
}

/* The schema must not change under a running daemon; where there is no database, there is none to change. */
static lam_status prepare(const lam_config *config, char path[PATH_MAX], int *lock, lam_error *err)
{
    snprintf(path, PATH_MAX, "%s/lamina.db", config->data_dir);
    if (access(path, F_OK) < 0)
        return lam_fail_errno(err, errno, "cannot find a database %s", path);
    lam_status status = lam_data_lock(config->data_dir, lock, err);
    if (status == LAM_E_BUSY)
        return lam_fail(err, status, "laminad uses %s: stop it first (it migrates by itself when it starts)",
                        config->data_dir);
    return status;
}

int lam_cli_migrate(int argc, char **argv)
{
    const char *file = NULL;
    char **rest;
    const lam_option known[] = {{"config", .text = &file}, {0}};
    lam_error err = {0};
    char path[PATH_MAX];
    lam_autoclose int lock = -1;
    int64_t version = 0;
    LAM_AUTO_PTR(lam_config) *config = NULL;
    int usage = lam_options_read(argc, argv, known, &rest);
    if (usage != LAM_CLI_OK)
        return usage;
    if (*rest)
        return lam_cli_usage(argv[0], "takes no arguments");
    lam_status status = lam_config_load(file, &config, &err);
    if (status == LAM_OK)
        status = prepare(config, path, &lock, &err);
    lam_database *database = NULL;
    if (status == LAM_OK)
        status = lam_database_open(path, &database, &err);
    lam_db *db = status == LAM_OK ? lam_db_get(database, &err) : NULL;
    if (db)
        status = lam_db_get_integer(db, &version, &err, "PRAGMA user_version", "");
    lam_db_put(db);
    lam_database_close(database);
    if (status != LAM_OK)
        return lam_cli_fail_error(&err);
    printf("%s has schema %lld, the newest this program knows\n", path, (long long)version);
    return LAM_CLI_OK;
}
