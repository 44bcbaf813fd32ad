#include "daemon/laminad/data_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/cleanup.h"

lam_status lam_data_lock(const char *data_dir, int *fd, lam_error *err)
{
    char path[PATH_MAX];
    struct stat folder, file;
    if (snprintf(path, sizeof path, "%s/lock", data_dir) >= (int)sizeof path)
        return lam_fail(err, LAM_E_LIMIT, "the path of data_dir is too long");
    lam_autoclose int opened = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (opened < 0)
        return lam_fail_errno(err, errno, "cannot open %s%s", path,
                              errno == EROFS
                                  ? " (the service writes to /var/lib/lamina only; another data_dir "
                                    "needs ReadWritePaths=, see systemctl edit laminad)"
                                  : "");
    if (stat(data_dir, &folder) < 0 || fstat(opened, &file) < 0 ||
        (file.st_uid != folder.st_uid && geteuid() == 0 && fchown(opened, folder.st_uid, folder.st_gid) < 0))
        return lam_fail_errno(err, errno, "cannot give %s to the owner of its folder", path);
    if (flock(opened, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? lam_fail(err, LAM_E_BUSY, "another laminad uses data_dir %s", data_dir)
                                    : lam_fail_errno(err, errno, "cannot lock %s", path);
    *fd = LAM_TAKE_FD(opened);
    return LAM_OK;
}
