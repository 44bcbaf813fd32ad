#include "daemon/laminad/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/failpoint.h"
#include "core/base/io.h"
#include "core/base/text.h"
#include "daemon/laminad/syncer.h"

enum { FILES_PER_DIRECTORY = 1024, PATH_TEXT = 32 };

/* What is being synced. */
typedef struct sync_group {
    int *fds; /* owned: files, which are the caller's, and folders, which are ours */
    size_t files, count;
    int64_t first, last; /* folders */
} sync_group;

struct lam_store {
    int root; /* store/ */
    int spool;
    lam_syncer *syncer;
    sync_group sync;
    pthread_mutex_t syncing; /* taken before lock; syncer, sync */
    pthread_mutex_t lock;    /* next, dirty_*, directory_made, doubt* */
    int64_t next;            /* number */
    int64_t dirty_first;     /* directories with entries not yet synced; first > last: none */
    int64_t dirty_last;
    int64_t directory_made; /* highest directory that exists */
    int64_t *doubtful;
    size_t doubt_count;
};

static void directory_name(int64_t directory, char text[PATH_TEXT])
{
    snprintf(text, PATH_TEXT, "%05" PRIx64, (uint64_t)directory);
}

static void file_path(int64_t number, char text[PATH_TEXT])
{
    snprintf(text, PATH_TEXT, "%05" PRIx64 "/%08" PRIx64, (uint64_t)(number / FILES_PER_DIRECTORY),
             (uint64_t)number);
}

static lam_status sync_path(const char *path, lam_error *err)
{
    lam_autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return lam_fail_errno(err, errno, "cannot sync directory %s", path);
    return LAM_OK;
}

static lam_status open_directory(const char *data_dir, const char *name, int *out, lam_error *err)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", data_dir, name) >= (int)sizeof path)
        return lam_fail(err, LAM_E_LIMIT, "data_dir is too long");
    lam_status status = lam_io_make_directories(path, 0750, err);
    if (status != LAM_OK)
        return status;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return lam_fail_errno(err, errno, "cannot open directory %s", path);
    *out = fd;
    return LAM_OK;
}

/* The folders themselves must outlive a power loss, or what is synced in them does not (promise 1). */
static lam_status sync_data_dir(const char *data_dir, lam_error *err)
{
    char parent[PATH_MAX];
    snprintf(parent, sizeof parent, "%s/..", data_dir);
    lam_status status = sync_path(data_dir, err);
    return status == LAM_OK ? sync_path(parent, err) : status;
}

/* Calls `visit` for each entry of a directory that is not hidden. */
static lam_status each_entry(int directory, void (*visit)(lam_store *, int, const char *, void *),
                             lam_store *store, void *context, lam_error *err)
{
    int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = copy < 0 ? NULL : fdopendir(copy);
    if (!entries) {
        if (copy >= 0)
            close(copy);
        return lam_fail_errno(err, errno, "cannot list a directory of the store");
    }
    for (const struct dirent *entry; (entry = readdir(entries));)
        if (entry->d_name[0] != '.')
            visit(store, directory, entry->d_name, context);
    closedir(entries);
    return LAM_OK;
}

/* Those whose name begins with `context`. */
static void remove_entry(lam_store *store, int directory, const char *name, void *context)
{
    (void)store;
    const char *prefix = context;
    if (strncmp(name, prefix, strlen(prefix)) == 0)
        unlinkat(directory, name, 0);
}

void lam_spool_sweep(lam_store *store, const char *prefix)
{
    each_entry(store->spool, remove_entry, store, (void *)(uintptr_t)prefix, NULL);
}

/* Those that a crash left between the making and the renaming. */
static void remove_unfinished(lam_store *store, int directory, const char *name, void *context)
{
    (void)store;
    const char *prefix = context;
    if (strncmp(name, prefix, strlen(prefix)) == 0)
        unlinkat(directory, name, AT_REMOVEDIR);
}

/* Makes the empty spool anew, elsewhere on the disk. ext4 looks for the inode of a new file in the block
 * group of its folder, past each one there that was deleted in the last minutes, one by one: after a purge,
 * or beside others that delete, that costs more than the object. The group of a folder is drawn by its name
 * where the folder above is marked as the top of hierarchies (chattr +T), which is so while it is made. A
 * wish, no more: what cannot be replaced stays. */
static void renew_spool(lam_store *store, const char *data_dir)
{
    char name[64] = "spool.new-";
    char *random = name + strlen(name);
    struct statfs system;
    int flags;
    lam_autoclose int parent = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0 || fstatfs(parent, &system) < 0 || system.f_type != EXT4_SUPER_MAGIC ||
        ioctl(parent, FS_IOC_GETFLAGS, &flags) < 0)
        return;
    each_entry(parent, remove_unfinished, store, name, NULL);
    int marked = flags | FS_TOPDIR_FL;
    if (!lam_text_random(random) || ioctl(parent, FS_IOC_SETFLAGS, &marked) < 0)
        return;
    bool made = mkdirat(parent, name, 0750) == 0;
    ioctl(parent, FS_IOC_SETFLAGS, &flags);
    int fd = made ? openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0 && renameat(parent, name, parent, "spool") == 0) {
        close(store->spool);
        store->spool = fd;
        return;
    }
    if (fd >= 0)
        close(fd);
    if (made)
        unlinkat(parent, name, AT_REMOVEDIR);
}

lam_status lam_store_open(const char *data_dir, lam_store **out, lam_error *err)
{
    lam_store *store = calloc(1, sizeof *store);
    if (!store)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    store->root = store->spool = -1;
    store->directory_made = -1;
    store->dirty_first = INT64_MAX;
    store->dirty_last = -1;
    pthread_mutex_init(&store->syncing, NULL);
    pthread_mutex_init(&store->lock, NULL);
    lam_status status = lam_syncer_create(&store->syncer, err);
    if (status == LAM_OK)
        status = open_directory(data_dir, "store", &store->root, err);
    if (status == LAM_OK)
        status = open_directory(data_dir, "spool", &store->spool, err);
    if (status == LAM_OK) /* what is left there was never acknowledged */
        status = each_entry(store->spool, remove_entry, store, "", err);
    if (status == LAM_OK)
        renew_spool(store, data_dir);
    if (status == LAM_OK)
        status = sync_data_dir(data_dir, err);
    if (status != LAM_OK) {
        lam_store_close(store);
        return status;
    }
    *out = store;
    return LAM_OK;
}

void lam_store_close(lam_store *store)
{
    if (!store)
        return;
    if (store->root >= 0)
        close(store->root);
    if (store->spool >= 0)
        close(store->spool);
    lam_syncer_free(store->syncer);
    pthread_mutex_destroy(&store->syncing);
    pthread_mutex_destroy(&store->lock);
    free(store->doubtful);
    free(store);
}

typedef struct recovery {
    int64_t last;
    bool remove; /* else only count */
    size_t found;
} recovery;

static bool parse_hex(const char *name, size_t digits, int64_t *out)
{
    char *end = NULL;
    if (strlen(name) < digits || strspn(name, "0123456789abcdef") != strlen(name))
        return false;
    *out = (int64_t)strtoull(name, &end, 16);
    return *end == '\0' && *out >= 0;
}

static void visit_file(lam_store *store, int directory, const char *name, void *context)
{
    (void)store;
    recovery *r = context;
    int64_t number;
    if (parse_hex(name, 8, &number) && number > r->last && (!r->remove || unlinkat(directory, name, 0) == 0))
        r->found++;
}

static void visit_directory(lam_store *store, int root, const char *name, void *context)
{
    const recovery *r = context;
    int64_t directory;
    if (!parse_hex(name, 5, &directory))
        return;
    if (directory > store->directory_made)
        store->directory_made = directory;
    if (directory < r->last / FILES_PER_DIRECTORY)
        return; /* full before the last commit */
    lam_autoclose int fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0)
        each_entry(fd, visit_file, store, context, NULL);
}

lam_status lam_store_recover(lam_store *store, int64_t last, size_t *removed, lam_error *err)
{
    recovery counted = {.last = last}, r = {.last = last, .remove = true};
    lam_status status = each_entry(store->root, visit_directory, store, &counted, err);
    if (status == LAM_OK && counted.found > LAM_STORE_MAX_ORPHANS)
        return lam_fail(
            err, LAM_E_STATE,
            "the store holds %zu files that the database does not know: restore the database that "
            "belongs to it, or move the folder store/ away",
            counted.found);
    if (status == LAM_OK)
        status = each_entry(store->root, visit_directory, store, &r, err);
    if (status == LAM_OK && fsync(store->root) < 0) /* a crash may have come between mkdir and its sync */
        status = lam_fail_errno(err, errno, "cannot sync the store");
    if (status != LAM_OK)
        return status;
    store->next = last + 1;
    if (removed)
        *removed = r.found;
    return LAM_OK;
}

int lam_store_spool_fd(const lam_store *store)
{
    return store->spool;
}

int64_t lam_store_free_bytes(const lam_store *store)
{
    struct statvfs info;
    if (fstatvfs(store->root, &info) < 0)
        return 0;
    return (int64_t)info.f_bavail * (int64_t)info.f_frsize;
}

lam_status lam_store_check_space(const lam_store *store, int64_t reserve, lam_error *err)
{
    int64_t free_bytes = lam_store_free_bytes(store);
    if (free_bytes >= reserve)
        return LAM_OK;
    return lam_fail(err, LAM_E_NO_SPACE,
                    "only %" PRId64 " MiB are free in data_dir, [storage] reserve keeps %" PRId64
                    " MiB: make room",
                    free_bytes >> 20, reserve >> 20);
}

lam_status lam_spool_create(lam_store *store, char name[LAM_SPOOL_NAME], int *fd, lam_error *err)
{
    char text[LAM_SPOOL_NAME] = "d-";
    if (!lam_text_random(text + 2))
        return lam_fail_errno(err, errno, "cannot get random bytes");
    int created = openat(store->spool, text, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (created < 0)
        return lam_fail_errno(err, errno, "cannot create a file in the spool");
    memcpy(name, text, sizeof text);
    *fd = created;
    return LAM_OK;
}

static bool is_spool_name(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length < LAM_SPOOL_NAME && name[0] != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == length;
}

static lam_status open_plain(int directory, const char *path, int *fd, int64_t *bytes, lam_error *err)
{
    lam_autoclose int opened = openat(directory, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (opened < 0)
        return lam_fail_errno(err, errno, "cannot open %s", path);
    struct stat info;
    if (fstat(opened, &info) < 0)
        return lam_fail_errno(err, errno, "cannot stat %s", path);
    if (!S_ISREG(info.st_mode))
        return lam_fail(err, LAM_E_INVALID, "%s is not a plain file", path);
    *bytes = info.st_size;
    *fd = LAM_TAKE_FD(opened);
    return LAM_OK;
}

lam_status lam_spool_open(lam_store *store, const char *name, int *fd, int64_t *bytes, lam_error *err)
{
    if (!is_spool_name(name))
        return lam_fail(err, LAM_E_INVALID, "not a name of a file in the spool");
    int fault = lam_failpoint_hit(LAM_FAIL_SPOOL_OPEN);
    return fault ? lam_fail_errno(err, fault, "cannot open %s", name)
                 : open_plain(store->spool, name, fd, bytes, err);
}

void lam_spool_remove(lam_store *store, const char *name)
{
    if (is_spool_name(name))
        unlinkat(store->spool, name, 0);
}

lam_status lam_spool_create_unnamed(lam_store *store, int *fd, lam_error *err)
{
    char name[LAM_SPOOL_NAME];
    lam_status status = lam_spool_create(store, name, fd, err);
    if (status == LAM_OK)
        lam_spool_remove(store, name);
    return status;
}

/* Gives out the next number and makes its directory. A directory is made once, by whoever first needs it. */
static lam_status take_number(lam_store *store, int64_t *number, lam_error *err)
{
    lam_status status = LAM_OK;
    pthread_mutex_lock(&store->lock);
    int64_t directory = store->next / FILES_PER_DIRECTORY;
    if (directory > store->directory_made) {
        char name[PATH_TEXT];
        directory_name(directory, name);
        if (mkdirat(store->root, name, 0750) < 0 && errno != EEXIST)
            status = lam_fail_errno(err, errno, "cannot create a directory of the store");
        else if (fsync(store->root) < 0)
            status = lam_fail_errno(err, errno, "cannot sync the store");
        else
            store->directory_made = directory;
    }
    if (status == LAM_OK)
        *number = store->next++;
    pthread_mutex_unlock(&store->lock);
    return status;
}

static void mark_dirty(lam_store *store, int64_t directory)
{
    if (directory < store->dirty_first)
        store->dirty_first = directory;
    if (directory > store->dirty_last)
        store->dirty_last = directory;
}

lam_status lam_store_adopt(lam_store *store, const char *spool_name, int64_t *number, lam_error *err)
{
    int64_t taken = 0;
    if (!is_spool_name(spool_name))
        return lam_fail(err, LAM_E_INVALID, "not a name of a file in the spool");
    lam_status status = take_number(store, &taken, err);
    if (status != LAM_OK)
        return status;
    char path[PATH_TEXT];
    file_path(taken, path);
    int fault = lam_failpoint_hit(LAM_FAIL_STORE_RENAME);
    if (fault || renameat(store->spool, spool_name, store->root, path) < 0)
        return lam_fail_errno(err, fault ? fault : errno, "cannot move a file from the spool to the store");
    pthread_mutex_lock(&store->lock);
    mark_dirty(store, taken / FILES_PER_DIRECTORY);
    pthread_mutex_unlock(&store->lock);
    *number = taken;
    return LAM_OK;
}

/* Opens the folders that are dirty, behind the files in store->sync. */
static lam_status open_dirty(lam_store *store, lam_error *err)
{
    sync_group *s = &store->sync;
    for (int64_t folder = s->first; folder <= s->last; folder++) {
        char name[PATH_TEXT];
        directory_name(folder, name);
        int fault = lam_failpoint_hit(LAM_FAIL_STORE_SYNC);
        int fd = fault ? -1 : openat(store->root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            return lam_fail_errno(err, fault ? fault : errno, "cannot sync a directory of the store");
        s->fds[s->count++] = fd;
    }
    return LAM_OK;
}

/* What was not synced stays dirty. */
static void finish_sync(lam_store *store, lam_status status)
{
    sync_group *s = &store->sync;
    for (size_t i = s->files; s->fds && i < s->count; i++)
        close(s->fds[i]);
    free(s->fds);
    if (status != LAM_OK && s->first <= s->last) {
        pthread_mutex_lock(&store->lock);
        mark_dirty(store, s->first);
        mark_dirty(store, s->last);
        pthread_mutex_unlock(&store->lock);
    }
    pthread_mutex_unlock(&store->syncing);
}

lam_status lam_store_sync_begin(lam_store *store, const int *fds, size_t count, lam_error *err)
{
    sync_group *s = &store->sync;
    /* Held to the end: who finds nothing dirty must still wait for the sync that took his entry along. */
    pthread_mutex_lock(&store->syncing);
    pthread_mutex_lock(&store->lock);
    *s = (sync_group){.files = count, .count = count, .first = store->dirty_first, .last = store->dirty_last};
    store->dirty_first = INT64_MAX;
    store->dirty_last = -1;
    pthread_mutex_unlock(&store->lock);
    size_t folders = s->last < s->first ? 0 : (size_t)(s->last - s->first + 1);
    s->fds = malloc((count + folders + 1) * sizeof *s->fds);
    lam_status status = s->fds ? LAM_OK : lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    int fault = count ? lam_failpoint_hit(LAM_FAIL_SPOOL_SYNC) : 0;
    if (status == LAM_OK && fault)
        status = lam_fail_errno(err, fault, "cannot sync a file of the store");
    if (status == LAM_OK && count)
        memcpy(s->fds, fds, count * sizeof *s->fds);
    if (status == LAM_OK)
        status = open_dirty(store, err);
    if (status == LAM_OK)
        lam_syncer_begin(store->syncer, s->fds, s->count);
    else
        finish_sync(store, status);
    return status;
}

lam_status lam_store_sync_end(lam_store *store, lam_error *err)
{
    lam_status status = lam_syncer_end(store->syncer, err);
    finish_sync(store, status);
    return status;
}

bool lam_store_sync_is_done(lam_store *store)
{
    return lam_syncer_is_done(store->syncer);
}

int lam_store_sync_event(const lam_store *store)
{
    return lam_syncer_event(store->syncer);
}

lam_status lam_store_sync(lam_store *store, const int *fds, size_t count, lam_error *err)
{
    lam_status status = lam_store_sync_begin(store, fds, count, err);
    return status == LAM_OK ? lam_store_sync_end(store, err) : status;
}

lam_status lam_store_open_file(lam_store *store, int64_t number, int *fd, int64_t *bytes, lam_error *err)
{
    char path[PATH_TEXT];
    file_path(number, path);
    return open_plain(store->root, path, fd, bytes, err);
}

void lam_store_remove(lam_store *store, int64_t number)
{
    char path[PATH_TEXT];
    file_path(number, path);
    unlinkat(store->root, path, 0);
}

void lam_store_doubt(lam_store *store, int64_t number)
{
    pthread_mutex_lock(&store->lock);
    int64_t *grown = realloc(store->doubtful, (store->doubt_count + 1) * sizeof *grown);
    if (grown) { /* else the file stays: it costs space, nothing else */
        store->doubtful = grown;
        grown[store->doubt_count++] = number;
    }
    pthread_mutex_unlock(&store->lock);
}

void lam_store_settle(lam_store *store)
{
    pthread_mutex_lock(&store->lock);
    int64_t *doubtful = LAM_TAKE_PTR(store->doubtful);
    size_t count = store->doubt_count;
    store->doubt_count = 0;
    pthread_mutex_unlock(&store->lock);
    for (size_t i = 0; i < count; i++)
        lam_store_remove(store, doubtful[i]);
    free(doubtful);
}
