/* What a worker can still ask of the kernel once its filter is on, and what not: each probe in a process of
 * its own. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "daemon/worker/filter.h"
#include "tests/unit/unit.h"

static void *square(void *number)
{
    *(int *)number *= *(int *)number;
    return NULL;
}

/* Each gives 0 or the error number. */
static int thread(void)
{
    pthread_t other;
    int number = 7;
    if (pthread_create(&other, NULL, square, &number) != 0 || pthread_join(other, NULL) != 0)
        return EAGAIN;
    return number == 49 ? 0 : EINVAL;
}

static int memory_file(void)
{
    int fd = memfd_create("probe", MFD_CLOEXEC);
    struct stat about;
    char back = 0;
    if (fd < 0 || pwrite(fd, "x", 1, 0) != 1 || ftruncate(fd, 4096) < 0 || fstat(fd, &about) < 0 ||
        pread(fd, &back, 1, 0) != 1)
        return errno;
    return about.st_size == 4096 && back == 'x' ? 0 : EINVAL;
}

static int large_memory(void)
{
    size_t length = (size_t)64 << 20;
    char *bytes = malloc(length);
    if (!bytes)
        return ENOMEM;
    bytes[length - 1] = 1;
    free(bytes);
    return 0;
}

static int descriptor_of_ours(void)
{
    int pair[2];
    return pipe(pair) < 0 ? errno : 0; /* pipes are not needed and not kept */
}

static int file(void)
{
    return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 ? errno : 0;
}

static int new_file(void)
{
    return open("probe-of-filter", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0 ? errno : 0;
}

static int about_file(void)
{
    struct stat about;
    return stat("/etc/passwd", &about) < 0 ? errno : 0;
}

static int connection(void)
{
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) < 0 ? errno : 0;
}

static int process(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    return child < 0 ? errno : 0;
}

static int program(void)
{
    char *const arguments[] = {"true", NULL};
    execv("/bin/true", arguments);
    return errno;
}

static int code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno
                                                                                                     : 0;
}

static int made_code(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return ENOMEM;
    return mprotect(page, 4096, PROT_READ | PROT_EXEC) < 0 ? errno : 0;
}

static int somebody_else(void)
{
    return kill(getppid(), 0) < 0 ? errno : 0;
}

/* As kill refuses it, but of one thread. */
static int thread_of_somebody_else(void)
{
    return syscall(SYS_tgkill, getppid(), getppid(), 0) < 0 ? errno : 0;
}

static int thread_of_ours(void)
{
    return syscall(SYS_tgkill, getpid(), gettid(), 0) < 0 ? errno : 0; /* abort() needs it */
}

/* Who is named here gets a signal of our choice when something can be read. */
static int owner(void)
{
    return fcntl(STDERR_FILENO, F_SETOWN, getppid()) < 0 ? errno : 0;
}

static int copy_of_descriptor(void)
{
    return fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3) < 0 ? errno : 0;
}

static int traced(void)
{
    return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) < 0 ? errno : 0;
}

static int raised_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return ENOSYS; /* asking is kept */
    return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? errno : 0;
}

static const struct {
    const char *name;
    int (*try)(void);
    int expected;
} probes[] = {
    {"a thread", thread, 0},
    {"a file in memory", memory_file, 0},
    {"memory", large_memory, 0},
    {"a pipe", descriptor_of_ours, EPERM},
    {"reading a file", file, EPERM},
    {"making a file", new_file, EPERM},
    {"looking at a file", about_file, EPERM},
    {"a socket", connection, EPERM},
    {"a process", process, EPERM},
    {"a program", program, EPERM},
    {"mapping code", code, EPERM},
    {"making code", made_code, EPERM},
    {"a signal to another process", somebody_else, EPERM},
    {"a signal to a thread of another process", thread_of_somebody_else, EPERM},
    {"a signal to a thread of ours", thread_of_ours, 0},
    {"a signal by way of a descriptor", owner, EPERM},
    {"a copy of a descriptor", copy_of_descriptor, 0},
    {"tracing another process", traced, EPERM},
    {"a limit", raised_limit, EPERM},
};

enum { NO_FILTER = 255 };

static void filtered(void **state)
{
    (void)state;
    for (size_t i = 0; i < LAM_COUNT(probes); i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            _exit(lam_worker_filter(NULL) == LAM_OK ? probes[i].try() : NO_FILTER);
        int ended = 0;
        assert_int_equal(waitpid(child, &ended, 0), child);
        if (!WIFEXITED(ended) || WEXITSTATUS(ended) != probes[i].expected)
            fail_msg("%s: ended with %#x, expected error %d", probes[i].name, (unsigned)ended,
                     probes[i].expected);
    }
}

int main(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return 0; /* their run-time libraries need more than a worker */
#endif
    const struct CMUnitTest tests[] = {cmocka_unit_test(filtered)};
    return cmocka_run_group_tests_name("filter", tests, NULL, NULL);
}
