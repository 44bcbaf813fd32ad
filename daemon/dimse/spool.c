#include "daemon/dimse/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/failpoint.h"
#include "core/base/io.h"
#include "core/base/text.h"

/* So many bytes at a time are sent on their way to the disk while the next ones still come. */
enum { START_BYTES = 1024 * 1024 };

void lam_scp_spool_init(lam_scp_spool *spool, int directory)
{
    spool->directory = directory;
    spool->fd = -1;
    spool->name[0] = '\0';
    spool->written = spool->started = 0;
    spool->buffered = 0;
}

lam_status lam_scp_spool_check(const lam_scp_spool *spool, uint64_t reserve, lam_error *err)
{
    struct statvfs info;
    if (fstatvfs(spool->directory, &info) < 0)
        return lam_fail_errno(err, errno, "cannot find out how full the disk is");
    uint64_t available = (uint64_t)info.f_bavail * info.f_frsize;
    if (available < reserve)
        return lam_fail(err, LAM_E_NO_SPACE, "the disk is nearly full");
    return LAM_OK;
}

lam_status lam_scp_spool_begin(lam_scp_spool *spool, lam_error *err)
{
    memcpy(spool->name, "c-", 2);
    if (!lam_text_random(spool->name + 2))
        return lam_fail_errno(err, errno, "cannot get random bytes");
    int fault = lam_failpoint_hit(LAM_FAIL_SPOOL_CREATE);
    if (fault)
        return lam_fail_errno(err, fault, "cannot create a file in the spool");
    spool->fd = openat(spool->directory, spool->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (spool->fd < 0)
        return lam_fail_errno(err, errno, "cannot create a file in the spool");
    spool->written = spool->started = 0;
    spool->buffered = 0;
    return LAM_OK;
}

/* Writes what is buffered and `length` bytes more, in one call where the kernel takes all. */
static lam_status flush_with(lam_scp_spool *spool, const void *bytes, size_t length, lam_error *err)
{
    struct iovec parts[2] = {{spool->buffer, spool->buffered}, {(void *)(uintptr_t)bytes, length}};
    size_t total = spool->buffered + length;
    ssize_t written;
    int fault = lam_failpoint_hit(LAM_FAIL_SPOOL_WRITE);
    if (fault)
        return lam_fail_errno(err, fault, "cannot write %zu bytes to the spool", total);
    while ((written = writev(spool->fd, parts, 2)) < 0)
        if (errno != EINTR)
            return lam_fail_errno(err, errno, "cannot write %zu bytes to the spool", total);
    size_t done = (size_t)written;
    lam_status status = LAM_OK;
    if (done < spool->buffered) {
        status = lam_io_write_all(spool->fd, spool->buffer + done, spool->buffered - done, err);
        done = spool->buffered;
    }
    size_t of_bytes = done - spool->buffered;
    if (status == LAM_OK && of_bytes < length)
        status = lam_io_write_all(spool->fd, (const char *)bytes + of_bytes, length - of_bytes, err);
    spool->buffered = 0;
    return status;
}

lam_status lam_scp_spool_append(lam_scp_spool *spool, const void *bytes, size_t length, lam_error *err)
{
    spool->written += length;
    if (spool->written - spool->started >= START_BYTES) {
        lam_io_start_writing(spool->fd);
        spool->started = spool->written;
    }
    if (length > sizeof spool->buffer - spool->buffered)
        return flush_with(spool, bytes, length, err);
    memcpy(spool->buffer + spool->buffered, bytes, length);
    spool->buffered += length;
    return LAM_OK;
}

lam_status lam_scp_spool_finish(lam_scp_spool *spool, lam_error *err)
{
    lam_status status = flush_with(spool, NULL, 0, err);
    if (status != LAM_OK)
        lam_scp_spool_discard(spool);
    return status;
}

int lam_scp_spool_take(lam_scp_spool *spool)
{
    return LAM_TAKE_FD(spool->fd);
}

void lam_scp_spool_discard(lam_scp_spool *spool)
{
    if (spool->fd < 0)
        return;
    close(spool->fd);
    spool->fd = -1;
    unlinkat(spool->directory, spool->name, 0);
}
