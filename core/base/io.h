/* Whole reads and writes on descriptors, and making them durable. EINTR is retried everywhere. */
#ifndef LAMINA_BASE_IO_H
#define LAMINA_BASE_IO_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/buffer.h"
#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

lam_status lam_io_write_all(int fd, const void *bytes, size_t length, lam_error *err);

/* Exactly `length` bytes from `offset`; a shorter file is LAM_E_CORRUPT. */
lam_status lam_io_pread_all(int fd, void *bytes, size_t length, int64_t offset, lam_error *err);

/* The rest of the descriptor appended to `out`; more than out->maximum is LAM_E_LIMIT. */
lam_status lam_io_read_to_end(int fd, lam_buffer *out, lam_error *err);

/* The whole of a small file (a manifest, a configuration) into `out`. */
lam_status lam_io_read_file(const char *path, lam_buffer *out, lam_error *err);

/* Data and size of `fd` are on stable storage when this returns LAM_OK (fdatasync). */
lam_status lam_io_sync(int fd, lam_error *err);

/* Opens /dev/null for those of the descriptors 0, 1 and 2 that whoever started this program has closed: else
 * what it opens first would be written to as its standard output. For the beginning of main. */
void lam_io_fill_standard(void);

/* A file or a folder by its name is on stable storage (fsync); of a folder, the names in it. */
lam_status lam_io_sync_path(const char *path, lam_error *err);
/* The folder that `path` lies in, so that a new name is not lost. */
lam_status lam_io_sync_folder_of(const char *path, lam_error *err);

/* Makes or replaces the file `name` of a folder as a whole: `write` fills a file beside it, which is synced
 * and renamed. A failure, or a kill at any moment, leaves what was there. */
typedef lam_status lam_io_writer(void *context, int fd, lam_error *err);
lam_status lam_io_replace(int folder, const char *name, lam_io_writer *write, void *context, lam_error *err);

/* Lets the kernel begin to write what `fd` has in memory, and waits for nothing: lam_io_sync, which must
 * follow, is quicker then. */
void lam_io_start_writing(int fd);

/* mkdir -p with `mode` for each level made. */
lam_status lam_io_make_directories(const char *path, unsigned mode, lam_error *err);

/* A read-only private mapping of a whole file; NULL and 0 for an empty one. Unmap with lam_io_unmap. */
lam_status lam_io_map(int fd, size_t maximum, const void **bytes, size_t *length, lam_error *err);
void lam_io_unmap(const void *bytes, size_t length);

#ifdef __cplusplus
}
#endif
#endif
