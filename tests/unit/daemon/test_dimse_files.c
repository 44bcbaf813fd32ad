/* What lamina-dimse can still do with files: each probe in a process of its own, restricted to a fresh
 * folder. */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "daemon/dimse/files.h"
#include "tests/unit/unit.h"

static int spool = -1, beside = -1;

/* Each gives 0 or the error number. */
static int make_and_remove(int folder)
{
    int fd = openat(folder, "object", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    if (write(fd, "x", 1) != 1 || close(fd) < 0 || unlinkat(folder, "object", 0) < 0)
        return errno;
    return 0;
}

static int in_spool(void)
{
    return make_and_remove(spool);
}

static int beside_it(void)
{
    return make_and_remove(beside);
}

static int read_there(int folder, const char *name)
{
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? errno : 0;
}

static int host_names(void)
{
    return read_there(AT_FDCWD, "/etc/passwd");
}

static int database(void)
{
    return read_there(beside, "lamina.db");
}

static int write_settings(void)
{
    int fd = open("/etc/lamina-probe", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    return fd < 0 ? errno : 0;
}

static const struct {
    const char *name;
    int (*try)(void);
    bool spool; /* was one given */
    int expected;
} probes[] = {
    {"an object in the spool", in_spool, true, 0},
    {"an object beside the spool", beside_it, true, EACCES},
    {"what names hosts", host_names, true, 0},
    {"the database", database, true, EACCES},
    {"a setting of the system", write_settings, true, EACCES},
    {"a spool that was not given", in_spool, false, EACCES},
    {"what names hosts, without a spool", host_names, false, 0},
};

enum { NOT_RESTRICTED = 255 };

static int folder(char *path)
{
    assert_non_null(mkdtemp(path));
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void restricted(void **state)
{
    (void)state;
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 0)
        skip();
    char one[] = "/tmp/lamina-spool-XXXXXX", other[] = "/tmp/lamina-beside-XXXXXX";
    spool = folder(one);
    beside = folder(other);
    int fd = openat(beside, "lamina.db", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    for (size_t i = 0; i < LAM_COUNT(probes); i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            _exit(lam_scp_files_restrict(probes[i].spool ? spool : -1, NULL) == LAM_OK ? probes[i].try()
                                                                                       : NOT_RESTRICTED);
        int ended = 0;
        assert_int_equal(waitpid(child, &ended, 0), child);
        if (!WIFEXITED(ended) || WEXITSTATUS(ended) != probes[i].expected)
            fail_msg("%s: ended with %#x, expected error %d", probes[i].name, (unsigned)ended,
                     probes[i].expected);
    }
    assert_int_equal(unlinkat(beside, "lamina.db", 0), 0);
    assert_int_equal(rmdir(one) | rmdir(other), 0);
    close(spool);
    close(beside);
}

/* As systemd-nspawn and older Docker do, which do not know the call. */
static bool in_a_container_without_landlock(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    bool loaded = filter &&
                  seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SYS_landlock_create_ruleset, 0) == 0 &&
                  seccomp_load(filter) == 0;
    seccomp_release(filter);
    return loaded;
}

static void container_without_landlock(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(in_a_container_without_landlock() && lam_scp_files_restrict(-1, NULL) == LAM_OK ? 0 : 1);
    int ended = 0;
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_true(WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(restricted),
                                       cmocka_unit_test(container_without_landlock)};
    return cmocka_run_group_tests_name("dimse_files", tests, NULL, NULL);
}
