/* Zip archives (libarchive), unpacked in a worker because they come from outside: an archive's descriptor
 * goes in, DICOM files come out into descriptors. Names in it are labels for people and never become paths;
 * an archive within the archive is a file like any other. No messages are sent here. */
#ifndef LAMINA_DAEMON_WORKER_UNPACK_H
#define LAMINA_DAEMON_WORKER_UNPACK_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/buffer.h"
#include "core/base/status.h"

typedef struct lam_unpack lam_unpack;

typedef struct lam_unpack_limits {
    int64_t files;      /* in the archive, folders not counted */
    int64_t bytes;      /* of all files, unpacked */
    int64_t file_bytes; /* of a single one: a larger one fails, the others do not */
    int64_t ratio;      /* of all files to the archive, where they are more than LAM_UNPACK_SMALL */
} lam_unpack_limits;

enum {
    LAM_UNPACK_SMALL = 256 * 1024 * 1024, /* bytes that may be unpacked whatever the ratio */
    LAM_UNPACK_NAME = 256
};

/* Reads the directory of the archive, which `fd` (taken) holds from offset 0, and nothing of what is in it:
 * LAM_E_LIMIT says which limit it would pass. A file that turns out to be larger than the directory said
 * fails by itself later, so no more than `bytes` is ever written. LAM_E_INVALID: not a zip archive, damaged,
 * cut off, or empty. *bytes is what all files take. */
lam_status lam_unpack_open(int fd, const lam_unpack_limits *limits, lam_unpack **out, int64_t *bytes,
                           lam_error *err);
void lam_unpack_free(lam_unpack *archive);

/* Goes on until all `count` outputs (empty files, borrowed) are used or the archive ends, and appends what it
 * found as JSON: {"files":[{"name","output"} | {"name","ignored":why} | {"name","failed":why} …],"end"}.
 * Files that are no DICOM files (PS3.10 section 7.1) and the DICOMDIR are ignored; those that are encrypted,
 * damaged or too large have failed, and their output, if they had one, is lost. */
lam_status lam_unpack_next(lam_unpack *archive, const int *outputs, size_t count, lam_buffer *answer,
                           lam_error *err);

#endif
