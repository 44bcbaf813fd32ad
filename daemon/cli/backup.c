/* lamina backup, lamina migrate: the data of a daemon, running or not, by the configuration it uses. */
#include "daemon/laminad/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "core/base/cleanup.h"
#include "daemon/cli/cli.h"
#include "daemon/laminad/config.h"
#include "daemon/laminad/db.h"

typedef struct options {
    const char *config, *store;
} options;

static bool parse_options(int argc, char **argv, bool with_store, options *out)
{
    static const struct option known[] = {
        {"config", required_argument, NULL, 'c'}, {"store", required_argument, NULL, 's'}, {0}};
    *out = (options){0};
    optind = 0;
    for (int letter; (letter = getopt_long(argc, argv, "c:", known, NULL)) != -1;) {
        if (letter == 'c')
            out->config = optarg;
        else if (letter == 's' && with_store)
            out->store = optarg;
        else
            return false;
    }
    return true;
}

int lam_cli_backup(int argc, char **argv)
{
    options o;
    lam_error err = {0};
    size_t copied = 0, missing = 0;
    LAM_AUTO_PTR(lam_config) *config = NULL;
    if (!parse_options(argc, argv, true, &o))
        return lam_cli_usage(argv[0], NULL);
    if (argc - optind != 1)
        return lam_cli_usage(argv[0], "needs exactly one FILE for the copy of the database");
    const char *file = argv[optind];
    lam_status status = lam_config_load(o.config, &config, &err);
    if (status == LAM_OK)
        status = lam_backup_database(config->data_dir, file, &err);
    if (status == LAM_OK)
        printf("database copied to %s\n", file);
    if (status == LAM_OK && o.store)
        status = lam_backup_store(config->data_dir, file, o.store, &copied, &missing, &err);
    if (status != LAM_OK)
        return lam_cli_fail_error(&err);
    if (o.store)
        printf("%zu new files of the store copied to %s\n", copied, o.store);
    if (missing)
        return lam_cli_fail("%zu files were deleted while the backup ran, and are not in it", missing);
    return LAM_CLI_OK;
}

/* The schema must not change under a running daemon. */
static lam_status lock_data(const lam_config *config, int *fd, lam_error *err)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/lock", config->data_dir);
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (*fd < 0)
        return lam_fail_errno(err, errno, "cannot open %s", path);
    if (flock(*fd, LOCK_EX | LOCK_NB) < 0)
        return lam_fail(err, LAM_E_BUSY,
                        "laminad uses %s: stop it first (it migrates by itself when it starts)",
                        config->data_dir);
    return LAM_OK;
}

int lam_cli_migrate(int argc, char **argv)
{
    options o;
    lam_error err = {0};
    char path[PATH_MAX];
    lam_autoclose int lock = -1;
    int64_t version = 0;
    LAM_AUTO_PTR(lam_config) *config = NULL;
    if (!parse_options(argc, argv, false, &o))
        return lam_cli_usage(argv[0], NULL);
    if (argc != optind)
        return lam_cli_usage(argv[0], "takes no arguments");
    lam_status status = lam_config_load(o.config, &config, &err);
    if (status == LAM_OK)
        status = lock_data(config, &lock, &err);
    lam_database *database = NULL;
    if (status == LAM_OK) {
        snprintf(path, sizeof path, "%s/lamina.db", config->data_dir);
        status = lam_database_open(path, &database, &err);
    }
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
