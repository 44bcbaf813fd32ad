#include "daemon/laminad/audit_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/io.h"
#include "core/base/text.h"

enum { NAME = LAM_AUDIT_DAY + 4, DAY_MS = 24 * 60 * 60 * 1000 };

lam_status lam_audit_file_init(lam_audit_file *file, const char *path, lam_error *err)
{
    *file = (lam_audit_file){.folder = -1, .fd = -1};
    lam_status status = lam_io_make_directories(path, 0750, err);
    if (status != LAM_OK)
        return status;
    file->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return file->folder < 0 ? lam_fail_errno(err, errno, "cannot open %s", path) : LAM_OK;
}

static void close_day(lam_audit_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}

void lam_audit_file_done(lam_audit_file *file)
{
    close_day(file);
    if (file->folder >= 0)
        close(file->folder);
    file->folder = -1;
}

static void day_of(int64_t wall_ms, char day[LAM_AUDIT_DAY])
{
    char text[LAM_CLOCK_TEXT];
    lam_clock_iso8601(wall_ms, text);
    text[LAM_AUDIT_DAY - 1] = '\0';
    memcpy(day, text, LAM_AUDIT_DAY);
}

/* A record that a loss of power has cut ends here, and does not swallow the next. */
static lam_status end_cut_line(int fd, int64_t bytes, lam_error *err)
{
    char last = '\n';
    if (bytes > 0 && pread(fd, &last, 1, bytes - 1) != 1)
        return lam_fail_errno(err, errno, "cannot read the end of the audit file");
    return last == '\n' ? LAM_OK : lam_io_write_all(fd, "\n", 1, err);
}

static lam_status open_day(lam_audit_file *file, const char *day, lam_error *err)
{
    char name[NAME];
    struct stat info;
    snprintf(name, sizeof name, "%s.log", day);
    int fd = openat(file->folder, name, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0)
        return lam_fail_errno(err, errno, "cannot open audit/%s", name);
    lam_status status = fstat(fd, &info) < 0 ? lam_fail_errno(err, errno, "cannot look at audit/%s", name)
                                             : end_cut_line(fd, info.st_size, err);
    if (status == LAM_OK && fsync(file->folder) < 0)
        status = lam_fail_errno(err, errno, "cannot sync the folder audit");
    if (status != LAM_OK) {
        close(fd);
        return status;
    }
    file->fd = fd;
    lam_text_copy(file->day, LAM_AUDIT_DAY, day);
    return LAM_OK;
}

lam_status lam_audit_file_append(lam_audit_file *file, int64_t wall_ms, const lam_buffer *lines,
                                 lam_error *err)
{
    char day[LAM_AUDIT_DAY];
    struct stat info;
    lam_status status = LAM_OK;
    day_of(wall_ms, day);
    bool another = file->fd < 0 || strcmp(day, file->day) != 0;
    file->began |= another;
    if (another && file->dirty)
        status = lam_audit_file_sync(file, err);
    if (status == LAM_OK && another) {
        close_day(file);
        status = open_day(file, day, err);
    }
    if (status != LAM_OK)
        return status;
    if (fstat(file->fd, &info) < 0)
        return lam_fail_errno(err, errno, "cannot look at the audit file");
    file->dirty = true;
    status = lam_io_write_all(file->fd, lines->data, lines->length, err);
    if (status != LAM_OK && ftruncate(file->fd, info.st_size) < 0)
        close_day(file); /* opened again, a cut line is ended */
    return status;
}

lam_status lam_audit_file_sync(lam_audit_file *file, lam_error *err)
{
    lam_status status = file->dirty && file->fd >= 0 ? lam_io_sync(file->fd, err) : LAM_OK;
    file->dirty &= status != LAM_OK;
    return status;
}

/* "2026-11-24.log" */
static bool is_ours(const char *name)
{
    static const char form[] = "dddd-dd-dd.log";
    size_t i = 0;
    for (; form[i] && name[i]; i++)
        if (form[i] == 'd' ? name[i] < '0' || name[i] > '9' : name[i] != form[i])
            return false;
    return !form[i] && !name[i];
}

void lam_audit_file_expire(lam_audit_file *file, int64_t wall_ms, int64_t keep_ms)
{
    char last[LAM_AUDIT_DAY];
    file->began = false;
    if (keep_ms <= 0 || keep_ms > wall_ms)
        return;
    day_of(wall_ms - keep_ms - DAY_MS, last); /* the last whole day that ended so long ago */
    int fd = openat(file->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (const struct dirent *entry; (entry = readdir(folder));)
        if (is_ours(entry->d_name) && strncmp(entry->d_name, last, LAM_AUDIT_DAY - 1) <= 0)
            unlinkat(file->folder, entry->d_name, 0);
    closedir(folder);
}
