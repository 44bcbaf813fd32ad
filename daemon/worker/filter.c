#include "daemon/worker/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/cleanup.h"

#define EVERY_BIT (~(scmp_datum_t)0)

/* Allowed whatever the arguments. Names and not numbers: a machine that lacks a call leaves it out. */
static const char *const kept[] = {
    /* the descriptors we were handed, and files in memory */
    "read", "pread64", "readv", "preadv", "write", "pwrite64", "writev", "pwritev", "lseek", "close",
    "close_range", "fstat", "fstatfs", "ftruncate", "fallocate", "fsync", "fdatasync", "dup", "dup2", "dup3",
    "sendfile", "copy_file_range", "memfd_create",
    /* the socket to laminad */
    "sendmsg", "recvmsg", "poll", "ppoll", "getsockopt",
    /* memory */
    "brk", "munmap", "mremap", "madvise", "mincore",
    /* threads and their waiting */
    "futex", "set_robust_list", "rseq", "sched_yield", "sched_getaffinity", "sched_setaffinity",
    "restart_syscall", "getpid", "getppid", "gettid", "exit", "exit_group", "set_tid_address",
    /* signals */
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack",
    /* time, chance, what machine this is */
    "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "getrandom",
    "getrusage", "sysinfo", "uname", "getcpu"};

/* Allowed where (argument & mask) == value; several rows of one name: where any of them holds. */
static const struct {
    const char *name;
    unsigned argument;
    scmp_datum_t mask, value;
} bounded[] = {
    {"mmap", 2, PROT_EXEC, 0},                /* data, never code */
    {"mprotect", 2, PROT_EXEC, 0},            /* the same */
    {"clone", 0, CLONE_THREAD, CLONE_THREAD}, /* a thread, never a process */
    {"newfstatat", 3, 0x1000, 0x1000},        /* AT_EMPTY_PATH: the C library's fstat */
    {"prlimit64", 2, EVERY_BIT, 0},           /* asks for a limit, sets none */
    {"fcntl", 1, EVERY_BIT, F_GETFD}, /* not F_SETOWN, by which the kernel would signal whom we name */
    {"fcntl", 1, EVERY_BIT, F_SETFD},
    {"fcntl", 1, EVERY_BIT, F_GETFL},
    {"fcntl", 1, EVERY_BIT, F_DUPFD_CLOEXEC},
    {"fcntl", 1, EVERY_BIT, F_ADD_SEALS}, /* of long messages (daemon/ipc) */
    {"fcntl", 1, EVERY_BIT, F_GET_SEALS},
};

static int keep(scmp_filter_ctx filter, const char *name, unsigned count,
                const struct scmp_arg_cmp *condition)
{
    int number = seccomp_syscall_resolve_name(name);
    return number < 0 ? 0 : seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, count, condition);
}

static int describe(scmp_filter_ctx filter)
{
    int failed = 0;
    for (size_t i = 0; !failed && i < LAM_COUNT(kept); i++)
        failed = keep(filter, kept[i], 0, NULL);
    for (size_t i = 0; !failed && i < LAM_COUNT(bounded); i++) {
        const struct scmp_arg_cmp condition =
            SCMP_CMP(bounded[i].argument, SCMP_CMP_MASKED_EQ, bounded[i].mask, bounded[i].value);
        failed = keep(filter, bounded[i].name, 1, &condition);
    }
    /* abort() signals a thread of ours; laminad and other workers may be of the same user. */
    const struct scmp_arg_cmp ours = SCMP_CMP(0, SCMP_CMP_EQ, (scmp_datum_t)getpid());
    if (!failed)
        failed = keep(filter, "tgkill", 1, &ours);
    /* Its flags lie in memory, where a filter cannot look; told that it is unknown, the C library takes
     * clone. */
    if (!failed)
        failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    return failed;
}

lam_status lam_worker_filter(lam_error *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!filter)
        return lam_fail(err, LAM_E_NO_MEMORY, "cannot make a filter of system calls");
    int failed = describe(filter);
    if (!failed)
        failed = seccomp_load(filter);
    seccomp_release(filter);
    return failed ? lam_fail_errno(err, -failed, "cannot give up system calls") : LAM_OK;
}
