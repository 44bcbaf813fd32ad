#include "daemon/laminad/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/rnn/kernels/cpu.h"
#include "daemon/ipc/ipc.h"

/* Their shadow memory takes terabytes of address space. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool sanitised = true;
#else
static const bool sanitised = false;
#endif

enum { SHORT_LIFE_MS = 10000, FIRST_PAUSE_MS = 50, LONGEST_PAUSE_MS = 10000, START_MS = 30000 };

void lam_child_init(lam_child *child, const char *program)
{
    *child = (lam_child){.program = program, .socket = -1};
}

lam_status lam_child_find(const char *program, char path[4096], lam_error *err)
{
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0)
        return lam_fail_errno(err, errno, "cannot find where this program lies");
    self[length] = '\0';
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = '\0';
    const char *elsewhere = getenv("LAMINA_LIBEXEC");
    char candidates[3][4096] = {{0}};
    if (elsewhere)
        snprintf(candidates[0], sizeof candidates[0], "%s/%s", elsewhere, program);
    snprintf(candidates[1], sizeof candidates[1], "%.4000s/%s", self, program);
    snprintf(candidates[2], sizeof candidates[2], "%.4000s/../libexec/lamina/%s", self, program);
    for (size_t i = 0; i < LAM_COUNT(candidates); i++)
        if (candidates[i][0] && access(candidates[i], X_OK) == 0) {
            memcpy(path, candidates[i], sizeof candidates[i]);
            return LAM_OK;
        }
    return lam_fail(err, LAM_E_NOT_FOUND,
                    "%s is neither beside laminad in %s nor in ../libexec/lamina: reinstall it", program,
                    self);
}

/* What a child may see of our environment: locale, time zone, whether its messages go to the journal, and the
 * hooks of the test suite. */
static const char *const passed_variables[] = {
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "DCMDICTPATH",
    "JOURNAL_STREAM",
    "LAMINA_TEST_HOOKS",
    "LAMINA_FAILPOINTS",
    "LAMINA_ISA",
    "ASAN_OPTIONS",
    "TSAN_OPTIONS",
    "UBSAN_OPTIONS",
    "LSAN_OPTIONS",
};

typedef struct child_environment {
    char *list[LAM_COUNT(passed_variables) + 4];
    size_t count;
    char space[8192];
    size_t used;
} child_environment;

static void set_variable(child_environment *e, const char *name, const char *value)
{
    size_t room = sizeof e->space - e->used;
    int length = value ? snprintf(e->space + e->used, room, "%s=%s", name, value) : -1;
    if (length < 0 || (size_t)length >= room)
        return;
    e->list[e->count++] = e->space + e->used;
    e->used += (size_t)length + 1;
}

static void make_environment(child_environment *e)
{
    *e = (child_environment){.count = 0};
    for (size_t i = 0; i < LAM_COUNT(passed_variables); i++)
        set_variable(e, passed_variables[i], getenv(passed_variables[i]));
    set_variable(e, "OPENBLAS_CORETYPE", lam_cpu_openblas_coretype()); /* read while OpenBLAS is loaded */
    set_variable(e, "OPENBLAS_NUM_THREADS", "1");                      /* the engine splits work itself */
}

/* RLIMIT_DATA counts what is private and writable, so that a large file which is mapped to be read does not.
 */
static void limit_memory(const lam_child_limits *limits)
{
    if (limits->address_space <= 0 || sanitised)
        return;
    rlim_t own = (rlim_t)limits->address_space, all = own + (rlim_t)limits->mapped_files;
    setrlimit(RLIMIT_DATA, &(struct rlimit){own, own});
    setrlimit(RLIMIT_AS, &(struct rlimit){all, all});
}

/* Between fork and exec: only async-signal-safe calls. */
static void become_child(const char *path, char *program, char **environment, int socket,
                         const lam_child_limits *limits)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* ports below 1024 are laminad's to open */
    setpgid(0, 0); /* a terminal's ^C is for laminad, which drains its children */
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    limit_memory(limits);
    if (limits->file_size > 0) {
        struct rlimit size = {(rlim_t)limits->file_size, (rlim_t)limits->file_size};
        setrlimit(RLIMIT_FSIZE, &size);
    }
    struct rlimit files = {(rlim_t)limits->open_files, (rlim_t)limits->open_files};
    setrlimit(RLIMIT_NOFILE, &files);
    int null = open("/dev/null", O_RDWR);
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    if (socket == LAM_IPC_CHILD_SOCKET)
        fcntl(socket, F_SETFD, 0);
    else
        dup2(socket, LAM_IPC_CHILD_SOCKET);
    syscall(SYS_close_range, LAM_IPC_CHILD_SOCKET + 1, ~0U, 0);
    char *arguments[] = {program, NULL};
    execve(path, arguments, environment);
    _exit(127);
}

int64_t lam_child_wait_ms(const lam_child *child)
{
    int64_t left = child->retry_ms - lam_clock_monotonic_ms();
    return left > 0 ? left : 0;
}

/* Failures in a row wait longer and longer. */
static void pause_before_retry(lam_child *child)
{
    child->failures++;
    int64_t pause = 0;
    if (child->failures > 1)
        pause = (int64_t)FIRST_PAUSE_MS << (child->failures < 9 ? child->failures : 9);
    child->retry_ms = lam_clock_monotonic_ms() + (pause < LONGEST_PAUSE_MS ? pause : LONGEST_PAUSE_MS);
}

static lam_status start(lam_child *child, const lam_child_limits *limits, lam_error *err)
{
    char path[4096], program[64];
    lam_status status = lam_child_find(child->program, path, err);
    if (status != LAM_OK)
        return status;
    snprintf(program, sizeof program, "%s", child->program);
    child_environment environment;
    make_environment(&environment);
    lam_autoclose int ours = -1;
    lam_autoclose int theirs = -1;
    status = lam_ipc_pair(&ours, &theirs, err);
    if (status != LAM_OK)
        return status;
    pid_t pid = fork();
    if (pid < 0)
        return lam_fail_errno(err, errno, "cannot start %s", child->program);
    if (pid == 0)
        become_child(path, program, environment.list, theirs, limits);
    if (limits->non_blocking)
        fcntl(ours, F_SETFL, O_NONBLOCK);
    child->pid = pid;
    child->socket = LAM_TAKE_FD(ours);
    child->started_ms = lam_clock_monotonic_ms();
    child->ready = false;
    return LAM_OK;
}

lam_status lam_child_start(lam_child *child, const lam_child_limits *limits, lam_error *err)
{
    if (child->pid > 0)
        return LAM_OK;
    if (lam_child_wait_ms(child) > 0)
        return LAM_E_BUSY;
    lam_status status = start(child, limits, err);
    if (status != LAM_OK)
        pause_before_retry(child);
    return status;
}

static void describe_end(int wait_status, char how[64])
{
    if (WIFSIGNALED(wait_status))
        snprintf(how, 64, "killed by signal %d", WTERMSIG(wait_status));
    else
        snprintf(how, 64, "exit status %d", WEXITSTATUS(wait_status));
}

void lam_child_stop(lam_child *child, char how[64])
{
    if (child->pid <= 0)
        return;
    int wait_status = 0;
    bool ended_itself = waitpid(child->pid, &wait_status, WNOHANG) == child->pid;
    if (!ended_itself) {
        kill(child->pid, SIGKILL);
        while (waitpid(child->pid, &wait_status, 0) < 0 && errno == EINTR)
            ;
    }
    if (how)
        describe_end(wait_status, how);
    if (lam_clock_monotonic_ms() - child->started_ms >= SHORT_LIFE_MS)
        child->failures = 0;
    pause_before_retry(child);
    if (child->socket >= 0)
        close(child->socket);
    child->pid = 0;
    child->socket = -1;
    child->ready = false;
}

bool lam_child_is_stuck(const lam_child *child)
{
    return child->pid > 0 && !child->ready && lam_clock_monotonic_ms() - child->started_ms > START_MS;
}
