#include "core/base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/cleanup.h"

lam_status lam_io_write_all(int fd, const void *bytes, size_t length, lam_error *err)
{
    const char *next = bytes;
    while (length) {
        ssize_t written = write(fd, next, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return lam_fail_errno(err, errno, "cannot write %zu bytes", length);
        next += written;
        length -= (size_t)written;
    }
    return LAM_OK;
}

lam_status lam_io_pread_all(int fd, void *bytes, size_t length, int64_t offset, lam_error *err)
{
    char *next = bytes;
    while (length) {
        ssize_t got = pread(fd, next, length, offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return lam_fail_errno(err, errno, "cannot read %zu bytes at %lld", length, (long long)offset);
        if (got == 0)
            return lam_fail(err, LAM_E_CORRUPT, "file ends %zu bytes early at %lld", length,
                            (long long)offset);
        next += got;
        length -= (size_t)got;
        offset += got;
    }
    return LAM_OK;
}

lam_status lam_io_read_to_end(int fd, lam_buffer *out, lam_error *err)
{
    char chunk[16384];
    for (;;) {
        ssize_t got = read(fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return lam_fail_errno(err, errno, "cannot read");
        if (got == 0)
            return LAM_OK;
        lam_status status = lam_buffer_append(out, chunk, (size_t)got);
        if (status != LAM_OK)
            return lam_fail(err, status, "more than the %zu bytes allowed here", out->maximum);
    }
}

lam_status lam_io_read_file(const char *path, lam_buffer *out, lam_error *err)
{
    lam_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return lam_fail_errno(err, errno, "cannot open %s", path);
    lam_status status = lam_io_read_to_end(fd, out, err);
    if (status != LAM_OK)
        lam_error_prefix(err, "%s", path);
    return status;
}

lam_status lam_io_sync(int fd, lam_error *err)
{
    while (fdatasync(fd) < 0)
        if (errno != EINTR)
            return lam_fail_errno(err, errno, "cannot sync to disk");
    return LAM_OK;
}

void lam_io_fill_standard(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR); /* the lowest that is free */
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

lam_status lam_io_sync_path(const char *path, lam_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int failed = fd < 0 || fsync(fd) < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return failed ? lam_fail_errno(err, failed, "cannot sync %s", path) : LAM_OK;
}

lam_status lam_io_sync_folder_of(const char *path, lam_error *err)
{
    const char *slash = strrchr(path, '/');
    char folder[PATH_MAX] = ".";
    if (slash && slash - path >= (ptrdiff_t)sizeof folder)
        return lam_fail(err, LAM_E_LIMIT, "path of %zu characters is too long", strlen(path));
    if (slash)
        snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    return lam_io_sync_path(folder, err);
}

lam_status lam_io_replace(int folder, const char *name, lam_io_writer *write, void *context, lam_error *err)
{
    char aside[256];
    if (snprintf(aside, sizeof aside, ".%s.new", name) >= (int)sizeof aside)
        return lam_fail(err, LAM_E_LIMIT, "the name %.40s… is too long", name);
    int fd = openat(folder, aside, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return lam_fail_errno(err, errno, "%s", aside);
    lam_status status = write(context, fd, err);
    if (status == LAM_OK)
        status = lam_io_sync(fd, err);
    if (close(fd) != 0 && status == LAM_OK)
        status = lam_fail_errno(err, errno, "%s", aside);
    if (status == LAM_OK && renameat(folder, aside, folder, name) != 0)
        status = lam_fail_errno(err, errno, "%s", name);
    if (status == LAM_OK && fsync(folder) != 0)
        status = lam_fail_errno(err, errno, "syncing the folder of %s", name);
    if (status)
        unlinkat(folder, aside, 0);
    return status;
}

void lam_io_start_writing(int fd)
{
    sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* only a hint: a failure shows when it is synced */
}

lam_status lam_io_make_directories(const char *path, unsigned mode, lam_error *err)
{
    char partial[PATH_MAX];
    if (strlen(path) >= sizeof partial)
        return lam_fail(err, LAM_E_LIMIT, "path of %zu characters is too long", strlen(path));
    snprintf(partial, sizeof partial, "%s", path);
    for (char *slash = partial + 1;; slash++) {
        if (*slash != '/' && *slash != '\0')
            continue;
        char kept = *slash;
        *slash = '\0';
        if (mkdir(partial, mode) < 0 && errno != EEXIST)
            return lam_fail_errno(err, errno, "cannot create directory %s", partial);
        *slash = kept;
        if (kept == '\0')
            return LAM_OK;
    }
}

lam_status lam_io_map(int fd, size_t maximum, const void **bytes, size_t *length, lam_error *err)
{
    struct stat info;
    if (fstat(fd, &info) < 0)
        return lam_fail_errno(err, errno, "cannot stat");
    if ((uint64_t)info.st_size > maximum)
        return lam_fail(err, LAM_E_LIMIT, "file of %lld bytes is over the limit of %zu",
                        (long long)info.st_size, maximum);
    const void *mapped = NULL;
    if (info.st_size > 0) {
        mapped = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (mapped == MAP_FAILED)
            return lam_fail_errno(err, errno, "cannot map %lld bytes", (long long)info.st_size);
    }
    *bytes = mapped;
    *length = (size_t)info.st_size;
    return LAM_OK;
}

void lam_io_unmap(const void *bytes, size_t length)
{
    if (bytes)
        munmap((void *)bytes, length);
}
