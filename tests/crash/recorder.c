/* Preloaded into a program (LD_PRELOAD), it writes down what the program does to files: bytes written, names
 * made, moved and removed, and what was synced, in the order in which it happened and over all processes that
 * share the log. powerloss.py makes from that what a disk may hold after the power failed. Tests only: not
 * linked with anything.
 *
 * A record is a header and `length` bytes. Files and folders are named by their inode numbers, because a
 * descriptor may have come from another process. A sync has two records: what was recorded before its first
 * is durable once its second is there. A descriptor above all that a program asks for holds the log, and
 * stays open when the program closes "all others". */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { LOG_FD = 60 };

enum { WRITE = 1, TRUNCATE, CREATE, FOLDER, RENAME, LINK, UNLINK, SYNC_BEGIN, SYNC_END };

typedef struct record {
    uint32_t kind, length; /* of what follows: bytes, or names, each ended by NUL */
    uint64_t file, from, to;
    int64_t offset;
} record;

static int log_fd = -1;
static uint64_t syncs;         /* numbers of syncs, with the process id above */
static uint64_t seen[1 << 16]; /* files whose writing passed through here; a slot has one inode of many */

static uint64_t *slot_of(uint64_t file)
{
    return &seen[file % (sizeof seen / sizeof *seen)];
}

/* Looked up once: after a fork of a process with threads it could not be. */
#define REAL(name)                                                                                           \
    __extension__({                                                                                          \
        static __typeof__(&(name)) found;                                                                    \
        if (!found)                                                                                          \
            found = (__typeof__(&(name)))real(#name);                                                        \
        found;                                                                                               \
    })

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}

__attribute__((constructor)) static void open_log(void)
{
    const char *path = getenv("LAMINA_RECORD");
    int fd = path ? REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return;
    log_fd = fcntl(fd, F_DUPFD_CLOEXEC, LOG_FD);
    REAL(close)(fd);
    close_range(UINT_MAX, UINT_MAX, 0); /* so that these are looked up before any fork */
    syscall(SYS_getpid);
}

/* One call, so that records of several processes do not mix; little stack, because threads may have little.
 */
static void put(record head, const void *first, size_t length, const char *second)
{
    size_t more = second ? strlen(second) + 1 : 0;
    int kept = errno;
    if (log_fd < 0)
        return;
    head.length = (uint32_t)(length + more);
    const struct iovec pieces[] = {
        {&head, sizeof head}, {(void *)(uintptr_t)first, length}, {(void *)(uintptr_t)second, more}};
    if (REAL(writev)(log_fd, pieces, 3) != (ssize_t)(sizeof head + length + more))
        abort();
    errno = kept;
}

static uint64_t inode_of(int fd, bool files_only)
{
    struct stat info;
    if (log_fd < 0 || fstat(fd, &info) < 0 ||
        !(S_ISREG(info.st_mode) || (S_ISDIR(info.st_mode) && !files_only)))
        return 0;
    return info.st_ino;
}

/* The folder that a path lies in. */
static uint64_t folder_of(int folder, const char *path, const char **name)
{
    struct stat info;
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    if (!slash && folder != AT_FDCWD)
        return inode_of(folder, false);
    char *parent = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    int failed = parent ? fstatat(folder, parent, &info, 0) : -1;
    free(parent);
    return failed ? 0 : info.st_ino;
}

/* The C library names the parameters of what follows with underscores.
 * NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */

/* ---- bytes ---- */

static void wrote(int fd, const void *bytes, ssize_t count, int64_t offset)
{
    uint64_t file = count > 0 && fd != log_fd ? inode_of(fd, true) : 0;
    if (!file)
        return;
    *slot_of(file) = file;
    put((record){.kind = WRITE, .file = file, .offset = offset}, bytes, (size_t)count, NULL);
}

/* Where the next write goes, -1 for what is no file. */
static int64_t position(int fd)
{
    return inode_of(fd, true) ? lseek(fd, 0, SEEK_CUR) : -1;
}

ssize_t write(int fd, const void *bytes, size_t count)
{
    int64_t at = position(fd);
    ssize_t done = REAL(write)(fd, bytes, count);
    if (at >= 0)
        wrote(fd, bytes, done, at);
    return done;
}

ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    int64_t at = position(fd);
    ssize_t done = REAL(writev)(fd, pieces, count), left = done;
    for (int i = 0; at >= 0 && i < count && left > 0; i++) {
        ssize_t length = left < (ssize_t)pieces[i].iov_len ? left : (ssize_t)pieces[i].iov_len;
        wrote(fd, pieces[i].iov_base, length, at);
        at += length;
        left -= length;
    }
    return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
    ssize_t done = REAL(pwrite)(fd, bytes, count, offset);
    wrote(fd, bytes, done, offset);
    return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset)
{
    return pwrite(fd, bytes, count, offset);
}

int ftruncate(int fd, off_t length)
{
    int failed = REAL(ftruncate)(fd, length);
    uint64_t file = failed ? 0 : inode_of(fd, true);
    if (file)
        put((record){.kind = TRUNCATE, .file = file, .offset = length}, NULL, 0, NULL);
    return failed;
}

int ftruncate64(int fd, off64_t length)
{
    return ftruncate(fd, length);
}

/* Where it made the file longer, its new length. */
int fallocate(int fd, int mode, off_t offset, off_t length)
{
    struct stat info;
    int failed = REAL(fallocate)(fd, mode, offset, length);
    uint64_t file = failed ? 0 : inode_of(fd, true);
    if (file && fstat(fd, &info) == 0)
        put((record){.kind = TRUNCATE, .file = file, .offset = info.st_size}, NULL, 0, NULL);
    return failed;
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length)
{
    return fallocate(fd, mode, offset, length);
}

/* ---- syncs ---- */

/* Standard streams write past us. What is in a file when its sync begins is what becomes durable. */
static void catch_up(int fd, uint64_t file)
{
    struct stat info;
    if (*slot_of(file) == file || fstat(fd, &info) < 0 || !S_ISREG(info.st_mode))
        return;
    char *content = malloc((size_t)info.st_size + 1);
    ssize_t got = content ? pread(fd, content, (size_t)info.st_size, 0) : -1;
    if (got > 0)
        put((record){.kind = WRITE, .file = file}, content, (size_t)got, NULL);
    free(content);
}

static int synced(int fd, int (*sync)(int))
{
    uint64_t file = inode_of(fd, false);
    uint64_t number = ((uint64_t)getpid() << 32) | __atomic_add_fetch(&syncs, 1, __ATOMIC_SEQ_CST);
    if (!file)
        return sync(fd);
    catch_up(fd, file);
    put((record){.kind = SYNC_BEGIN, .file = file, .from = number}, NULL, 0, NULL);
    int failed = sync(fd);
    if (!failed)
        put((record){.kind = SYNC_END, .file = file, .from = number}, NULL, 0, NULL);
    return failed;
}

int fsync(int fd)
{
    return synced(fd, REAL(fsync));
}

int fdatasync(int fd)
{
    return synced(fd, REAL(fdatasync));
}

/* ---- names ---- */

static int opened(int folder, const char *path, int flags, mode_t mode)
{
    const char *name = NULL;
    bool made = (flags & O_CREAT) && log_fd >= 0 && faccessat(folder, path, F_OK, AT_SYMLINK_NOFOLLOW) != 0;
    int fd = REAL(openat)(folder, path, flags, mode);
    uint64_t file = fd >= 0 && (made || (flags & O_TRUNC)) ? inode_of(fd, true) : 0;
    if (file && made) {
        uint64_t parent = folder_of(folder, path, &name);
        *slot_of(file) = 0; /* the inode may have been another file's */
        put((record){.kind = CREATE, .file = file, .to = parent}, name, strlen(name) + 1, NULL);
    } else if (file) {
        put((record){.kind = TRUNCATE, .file = file, .offset = 0}, NULL, 0, NULL);
    }
    return fd;
}

#define WITH_MODE(last)                                                                                      \
    mode_t mode = 0;                                                                                         \
    if ((last) & (O_CREAT | O_TMPFILE)) {                                                                    \
        va_list arguments;                                                                                   \
        va_start(arguments, last);                                                                           \
        mode = va_arg(arguments, mode_t);                                                                    \
        va_end(arguments);                                                                                   \
    }

int open(const char *path, int flags, ...)
{
    WITH_MODE(flags)
    return opened(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    WITH_MODE(flags)
    return opened(AT_FDCWD, path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    WITH_MODE(flags)
    return opened(folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...)
{
    WITH_MODE(flags)
    return opened(folder, path, flags, mode);
}

int mkdirat(int folder, const char *path, mode_t mode)
{
    struct stat info;
    const char *name = NULL;
    int failed = REAL(mkdirat)(folder, path, mode);
    uint64_t parent = failed || log_fd < 0 ? 0 : folder_of(folder, path, &name);
    if (parent && fstatat(folder, path, &info, 0) == 0)
        put((record){.kind = FOLDER, .file = info.st_ino, .to = parent}, name, strlen(name) + 1, NULL);
    return failed;
}

int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

/* Both names: of RENAME and LINK. */
static void moved(uint32_t kind, int from, const char *old_path, int to, const char *path)
{
    struct stat info;
    const char *old_name = NULL, *name = NULL;
    uint64_t source = folder_of(from, old_path, &old_name), target = folder_of(to, path, &name);
    if (fstatat(to, path, &info, AT_SYMLINK_NOFOLLOW) == 0)
        put((record){.kind = kind, .file = info.st_ino, .from = source, .to = target}, old_name,
            strlen(old_name) + 1, name);
}

int renameat(int from, const char *old_path, int to, const char *path)
{
    int failed = REAL(renameat)(from, old_path, to, path);
    if (!failed && log_fd >= 0)
        moved(RENAME, from, old_path, to, path);
    return failed;
}

int rename(const char *old_path, const char *path)
{
    return renameat(AT_FDCWD, old_path, AT_FDCWD, path);
}

int renameat2(int from, const char *old_path, int to, const char *path, unsigned flags)
{
    int failed = REAL(renameat2)(from, old_path, to, path, flags);
    if (!failed && log_fd >= 0)
        moved(RENAME, from, old_path, to, path);
    return failed;
}

int linkat(int from, const char *old_path, int to, const char *path, int flags)
{
    int failed = REAL(linkat)(from, old_path, to, path, flags);
    if (!failed && log_fd >= 0)
        moved(LINK, from, old_path, to, path);
    return failed;
}

int unlinkat(int folder, const char *path, int flags)
{
    const char *name = NULL;
    uint64_t parent = log_fd >= 0 ? folder_of(folder, path, &name) : 0;
    int failed = REAL(unlinkat)(folder, path, flags);
    if (!failed && parent)
        put((record){.kind = UNLINK, .from = parent}, name, strlen(name) + 1, NULL);
    return failed;
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

/* ---- what goes by syscall(), and the log, which stays open ---- */

int close_range(unsigned first, unsigned last, int flags)
{
    unsigned log = (unsigned)log_fd;
    if (log_fd < 0 || log < first || log > last)
        return REAL(close_range)(first, last, flags);
    if (log > first && REAL(close_range)(first, log - 1, flags) < 0)
        return -1;
    return log < last ? REAL(close_range)(log + 1, last, flags) : 0;
}

long syscall(long number, ...)
{
    va_list list;
    va_start(list, number);
    long a = va_arg(list, long), b = va_arg(list, long), c = va_arg(list, long);
    long d = va_arg(list, long), e = va_arg(list, long), f = va_arg(list, long);
    va_end(list);
    if (number == SYS_close_range)
        return close_range((unsigned)a, (unsigned)b, (int)c);
    return REAL(syscall)(number, a, b, c, d, e, f);
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
