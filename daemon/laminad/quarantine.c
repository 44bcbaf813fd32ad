#include "daemon/laminad/quarantine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/io.h"

enum { NAME_TEXT = 32 };

/* Objects have consecutive numbers; some between first and next may be missing. */
struct lam_quarantine {
    int directory;
    uint64_t first, next;
    size_t count;
    int64_t bytes;
};

static void file_name(uint64_t number, const char *suffix, char text[NAME_TEXT])
{
    snprintf(text, NAME_TEXT, "%08" PRIx64 ".%s", number, suffix);
}

static bool parse_name(const char *name, uint64_t *number)
{
    size_t digits = strspn(name, "0123456789abcdef");
    if (digits < 8 || digits > 15 || strcmp(name + digits, ".dcm") != 0)
        return false;
    *number = strtoull(name, NULL, 16);
    return true;
}

static void count_in(lam_quarantine *q, const char *name)
{
    struct stat info;
    uint64_t number;
    if (!parse_name(name, &number) || fstatat(q->directory, name, &info, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    if (q->count == 0 || number < q->first)
        q->first = number;
    if (number >= q->next)
        q->next = number + 1;
    q->count++;
    q->bytes += info.st_size;
}

static lam_status take_stock(lam_quarantine *q, lam_error *err)
{
    int copy = openat(q->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = copy < 0 ? NULL : fdopendir(copy);
    if (!entries) {
        if (copy >= 0)
            close(copy);
        return lam_fail_errno(err, errno, "cannot list the quarantine");
    }
    for (const struct dirent *entry; (entry = readdir(entries));)
        count_in(q, entry->d_name);
    closedir(entries);
    return LAM_OK;
}

lam_status lam_quarantine_open(const char *data_dir, lam_quarantine **out, lam_error *err)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/quarantine", data_dir) >= (int)sizeof path)
        return lam_fail(err, LAM_E_LIMIT, "data_dir is too long");
    lam_status status = lam_io_make_directories(path, 0750, err);
    if (status != LAM_OK)
        return status;
    lam_quarantine *q = calloc(1, sizeof *q);
    if (!q)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    q->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    status = q->directory < 0 ? lam_fail_errno(err, errno, "cannot open %s", path) : take_stock(q, err);
    if (status != LAM_OK) {
        lam_quarantine_close(q);
        return status;
    }
    *out = q;
    return LAM_OK;
}

void lam_quarantine_close(lam_quarantine *q)
{
    if (!q)
        return;
    if (q->directory >= 0)
        close(q->directory);
    free(q);
}

static void remove_oldest(lam_quarantine *q)
{
    struct stat info;
    char name[NAME_TEXT];
    file_name(q->first, "txt", name);
    unlinkat(q->directory, name, 0);
    file_name(q->first++, "dcm", name);
    if (fstatat(q->directory, name, &info, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    unlinkat(q->directory, name, 0);
    q->count--;
    q->bytes -= info.st_size;
}

static void make_room(lam_quarantine *q, int64_t bytes, int64_t max_bytes)
{
    while (q->first < q->next && (q->count >= LAM_QUARANTINE_MAX_OBJECTS || q->bytes + bytes > max_bytes))
        remove_oldest(q);
}

static lam_status write_note(const lam_quarantine *q, const char *name, const char *note, lam_error *err)
{
    lam_autoclose int fd = openat(q->directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0)
        return lam_fail_errno(err, errno, "cannot create a file in the quarantine");
    return lam_io_write_all(fd, note, strlen(note), err);
}

lam_status lam_quarantine_take(lam_quarantine *q, lam_store *store, const char *spool_name, int64_t bytes,
                               const char *note, int64_t max_bytes, lam_error *err)
{
    if (bytes > max_bytes)
        return lam_fail(err, LAM_E_LIMIT, "larger than the quarantine");
    make_room(q, bytes, max_bytes);
    char object[NAME_TEXT], text[NAME_TEXT];
    file_name(q->next, "dcm", object);
    file_name(q->next, "txt", text);
    lam_status status = write_note(q, text, note, err);
    if (status == LAM_OK && renameat(lam_store_spool_fd(store), spool_name, q->directory, object) < 0)
        status = lam_fail_errno(err, errno, "cannot move a file to the quarantine");
    if (status != LAM_OK) {
        unlinkat(q->directory, text, 0);
        return status;
    }
    if (q->count == 0)
        q->first = q->next;
    q->next++;
    q->count++;
    q->bytes += bytes;
    return LAM_OK;
}

size_t lam_quarantine_count(const lam_quarantine *q)
{
    return q->count;
}

int64_t lam_quarantine_bytes(const lam_quarantine *q)
{
    return q->bytes;
}
