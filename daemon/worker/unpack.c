#include "daemon/worker/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "core/base/json.h"
#include "core/base/text.h"

enum {
    BLOCK = 64 * 1024,
    PREFIX = 132,          /* preamble and "DICM" (PS3.10 section 7.1) */
    FILES_AT_A_TIME = 1000 /* in one answer */
};

struct lam_unpack {
    int fd;
    struct archive *reader;
    int64_t file_bytes;
    bool ended;
    char block[BLOCK];
};

/* What a file turned out to be: an object in the output, or why not. */
typedef enum verdict { OBJECT, IGNORED, FAILED } verdict;

static lam_status damaged(struct archive *reader, lam_error *err)
{
    if (archive_errno(reader) == ENOMEM)
        return lam_fail(err, LAM_E_LIMIT, "the directory of the archive takes too much memory");
    const char *why = archive_error_string(reader);
    return lam_fail(err, LAM_E_INVALID, "this is not a whole zip archive: %s", why ? why : "it is damaged");
}

/* By the directory at the end of the archive only: what has none is cut off. */
static lam_status open_reader(lam_unpack *u, lam_error *err)
{
    archive_read_free(u->reader);
    u->reader = archive_read_new();
    if (!u->reader)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    if (lseek(u->fd, 0, SEEK_SET) < 0)
        return lam_fail_errno(err, errno, "cannot read the archive");
    if (archive_read_support_format_zip_seekable(u->reader) < ARCHIVE_WARN ||
        archive_read_open_fd(u->reader, u->fd, BLOCK) != ARCHIVE_OK)
        return damaged(u->reader, err);
    return LAM_OK;
}

/* The next file or folder; NULL at the end. An entry whose own header is broken is passed over with the
 * verdict of its bytes. */
static lam_status next_entry(lam_unpack *u, struct archive_entry **out, lam_error *err)
{
    int code = archive_read_next_header(u->reader, out);
    if (code == ARCHIVE_EOF)
        *out = NULL;
    else if (code == ARCHIVE_FATAL)
        return damaged(u->reader, err);
    return LAM_OK;
}

static bool is_folder(struct archive_entry *entry)
{
    return archive_entry_filetype(entry) == AE_IFDIR;
}

static int64_t size_of(struct archive_entry *entry)
{
    return archive_entry_size_is_set(entry) ? archive_entry_size(entry) : 0;
}

/* ---- opening ---- */

static lam_status check_limits(int64_t files, int64_t bytes, int64_t packed, const lam_unpack_limits *limits,
                               lam_error *err)
{
    if (files > limits->files)
        return lam_fail(err, LAM_E_LIMIT, "the archive holds more than %" PRId64 " files", limits->files);
    if (bytes > limits->bytes)
        return lam_fail(err, LAM_E_LIMIT, "the archive unpacks to more than %" PRId64 " bytes",
                        limits->bytes);
    if (bytes > LAM_UNPACK_SMALL && bytes / limits->ratio > packed)
        return lam_fail(err, LAM_E_LIMIT, "the archive unpacks to more than %" PRId64 " times its size",
                        limits->ratio);
    return LAM_OK;
}

/* Counts what the directory announces; stops at the first limit. */
static lam_status survey(lam_unpack *u, const lam_unpack_limits *limits, int64_t *total, lam_error *err)
{
    struct stat info;
    struct archive_entry *entry = NULL;
    int64_t files = 0, bytes = 0;
    if (fstat(u->fd, &info) < 0)
        return lam_fail_errno(err, errno, "cannot tell the size of the archive");
    lam_status status = next_entry(u, &entry, err);
    while (status == LAM_OK && entry) {
        int64_t size = size_of(entry);
        files += !is_folder(entry);
        bytes = size < 0 || size > INT64_MAX - bytes ? INT64_MAX : bytes + size;
        status = check_limits(files, bytes, info.st_size, limits, err);
        if (status == LAM_OK)
            status = next_entry(u, &entry, err);
    }
    if (status == LAM_OK && files == 0)
        status = lam_fail(err, LAM_E_INVALID, "the archive holds no file");
    if (status == LAM_OK)
        *total = bytes;
    return status;
}

lam_status lam_unpack_open(int fd, const lam_unpack_limits *limits, lam_unpack **out, int64_t *bytes,
                           lam_error *err)
{
    lam_unpack *u = calloc(1, sizeof *u);
    if (!u) {
        close(fd);
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    }
    u->fd = fd;
    u->file_bytes = limits->file_bytes;
    lam_status status = open_reader(u, err);
    if (status == LAM_OK)
        status = survey(u, limits, bytes, err);
    if (status == LAM_OK)
        status = open_reader(u, err); /* from the beginning again */
    if (status == LAM_OK)
        *out = u;
    else
        lam_unpack_free(u);
    return status;
}

void lam_unpack_free(lam_unpack *archive)
{
    if (!archive)
        return;
    archive_read_free(archive->reader);
    close(archive->fd);
    free(archive);
}

/* ---- files ---- */

static const char *name_of(struct archive_entry *entry)
{
    const char *name = archive_entry_pathname_utf8(entry);
    if (!name)
        name = archive_entry_pathname(entry);
    return name ? name : "(a name that cannot be read)";
}

static bool is_dicomdir(const char *name)
{
    const char *slash = strrchr(name, '/');
    return strcasecmp(slash ? slash + 1 : name, "DICOMDIR") == 0;
}

/* Fills the block as far as the file goes; -1 when it is damaged. */
static ssize_t read_block(lam_unpack *u)
{
    size_t used = 0;
    while (used < BLOCK) {
        la_ssize_t got = archive_read_data(u->reader, u->block + used, BLOCK - used);
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        used += (size_t)got;
    }
    return (ssize_t)used;
}

/* What begins in the block goes to the output. No more than the directory said, which was counted. */
static verdict write_object(lam_unpack *u, ssize_t got, int64_t size, int output, lam_error *why)
{
    int64_t written = 0;
    while (got > 0) {
        written += got;
        if (written > size) {
            lam_fail(why, LAM_E_CORRUPT, "it is larger than the directory of the archive says");
            return FAILED;
        }
        if (lam_io_write_all(output, u->block, (size_t)got, why) != LAM_OK)
            return FAILED;
        got = read_block(u);
    }
    if (got == 0 && written == size)
        return OBJECT;
    const char *said = got < 0 ? archive_error_string(u->reader) : NULL;
    lam_fail(why, LAM_E_CORRUPT, "it cannot be unpacked: %s", said ? said : "it is cut off");
    return FAILED;
}

static verdict take_file(lam_unpack *u, struct archive_entry *entry, int output, lam_error *why)
{
    if (archive_entry_filetype(entry) != AE_IFREG) {
        lam_fail(why, LAM_E_UNSUPPORTED, "not a plain file");
        return IGNORED;
    }
    if (is_dicomdir(name_of(entry))) {
        lam_fail(why, LAM_E_UNSUPPORTED, "the directory of a medium");
        return IGNORED;
    }
    if (archive_entry_is_data_encrypted(entry)) {
        lam_fail(why, LAM_E_UNSUPPORTED, "it is encrypted");
        return FAILED;
    }
    if (size_of(entry) > u->file_bytes) {
        lam_fail(why, LAM_E_LIMIT, "it has more than the %" PRId64 " MiB of [storage] max_object",
                 u->file_bytes >> 20);
        return FAILED;
    }
    ssize_t got = read_block(u);
    if (got >= 0 && (got < PREFIX || memcmp(u->block + PREFIX - 4, "DICM", 4) != 0)) {
        lam_fail(why, LAM_E_UNSUPPORTED, "not a DICOM file");
        return IGNORED;
    }
    return write_object(u, got, size_of(entry), output, why);
}

static lam_status empty_again(int output, lam_error *err)
{
    if (ftruncate(output, 0) < 0 || lseek(output, 0, SEEK_SET) < 0)
        return lam_fail_errno(err, errno, "cannot empty an output");
    return LAM_OK;
}

lam_status lam_unpack_next(lam_unpack *archive, const int *outputs, size_t count, lam_buffer *answer,
                           lam_error *err)
{
    lam_json_writer w = lam_json_write_to(answer);
    lam_status status = LAM_OK;
    size_t used = 0, files = 0;
    lam_jw_object(&w, NULL);
    lam_jw_array(&w, "files");
    while (status == LAM_OK && !archive->ended && used < count && files < FILES_AT_A_TIME) {
        struct archive_entry *entry = NULL;
        status = next_entry(archive, &entry, err);
        archive->ended = !entry;
        if (status != LAM_OK || !entry || is_folder(entry))
            continue;
        char name[LAM_UNPACK_NAME];
        lam_error why = {LAM_OK, ""};
        lam_text_copy(name, sizeof name, name_of(entry));
        verdict found = take_file(archive, entry, outputs[used], &why);
        lam_jw_object(&w, NULL);
        lam_jw_text(&w, "name", name);
        if (found == OBJECT)
            lam_jw_integer(&w, "output", (int64_t)used++);
        else
            lam_jw_text(&w, found == IGNORED ? "ignored" : "failed", why.message);
        lam_jw_end(&w);
        files++;
        if (found == FAILED)
            status = empty_again(outputs[used], err);
    }
    lam_jw_end(&w);
    lam_jw_bool(&w, "end", archive->ended);
    lam_jw_end(&w);
    return status;
}
