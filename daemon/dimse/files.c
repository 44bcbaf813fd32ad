#include "daemon/dimse/files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/cleanup.h"

enum {
    READ = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
    RUN = READ | LANDLOCK_ACCESS_FS_EXECUTE, /* the C library loads what its name service switch names */
    SPOOL = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |
            LANDLOCK_ACCESS_FS_REMOVE_FILE,
    /* every right of the first version, so that what no rule gives is refused */
    ALL = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1,
};

static const struct {
    const char *path;
    uint64_t rights;
} readable[] = {
    {"/etc", READ}, /* hosts, resolv.conf, nsswitch.conf, time zone */
    {"/run", READ}, /* where resolv.conf points to */
    {"/usr", RUN},
    {"/lib", RUN},
    {"/lib64", RUN},
    {"/dev/null", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE},
    {"/dev/urandom", LANDLOCK_ACCESS_FS_READ_FILE},
};

static int allow(int rules, int fd, uint64_t rights)
{
    const struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = fd};
    return (int)syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

static int describe(int rules, int spool)
{
    if (spool >= 0 && allow(rules, spool, SPOOL) < 0)
        return -1;
    for (size_t i = 0; i < LAM_COUNT(readable); i++) {
        lam_autoclose int fd = open(readable[i].path, O_PATH | O_CLOEXEC);
        if (fd >= 0 && allow(rules, fd, readable[i].rights) < 0)
            return -1;
    }
    return 0;
}

lam_status lam_scp_files_restrict(int spool, lam_error *err)
{
    const struct landlock_ruleset_attr all = {.handled_access_fs = ALL};
    lam_autoclose int rules = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof all, 0);
    /* EPERM is no answer of the kernel: a container that does not know the call refuses it like that. */
    if (rules < 0 && (errno == ENOSYS || errno == EOPNOTSUPP || errno == EPERM))
        return LAM_OK;
    if (rules < 0 || describe(rules, spool) < 0 || syscall(SYS_landlock_restrict_self, rules, 0) < 0)
        return lam_fail_errno(err, errno, "cannot give up access to files");
    return LAM_OK;
}
