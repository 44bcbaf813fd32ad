/* Sending many files to one peer: which associations and contexts that takes, several associations side by
 * side, and what became of each file. Used by `lamina send`. */
#ifndef LAMINA_DICOM_SEND_H
#define LAMINA_DICOM_SEND_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "dicom/file_meta.h"
#include "dicom/net.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LAM_SEND_MAX_ASSOCIATIONS = 64, LAM_SEND_REASON = 200 };

typedef enum lam_send_outcome {
    LAM_SEND_PENDING,
    LAM_SEND_SENT,
    LAM_SEND_WARNED, /* stored, with a warning */
    LAM_SEND_FAILED,
} lam_send_outcome;

/* A file to be sent; the caller fills the first part. */
typedef struct lam_send_file {
    const char *path; /* borrowed */
    lam_file_meta meta;
    uint64_t offset, bytes; /* of the data set in it */

    lam_send_outcome outcome;
    int32_t dimse_status;         /* of the peer's answer; -1: none */
    char reason[LAM_SEND_REASON]; /* unless SENT */
} lam_send_file;

/* Reads what is needed to send an open Part 10 file: meta, offset and bytes of *out. SOP class and instance
 * are the data set's own where it says them, for some writers leave others in the meta information, and a
 * peer holds the request against the data set. Errors: those of lam_file_meta_read; the rest of *out stays.
 */
lam_status lam_send_look_at(int fd, lam_send_file *out, lam_error *err);

/* Called after each file, never by two threads at once; `file` has its outcome. */
typedef void (*lam_send_progress)(void *user, const lam_send_file *file);

/* Sends all files over up to `associations` at a time (more follow one another where the files need more than
 * LAM_ASSOCIATE_MAX_CONTEXTS contexts). LAM_OK when every file has an answer of the peer. Otherwise the first
 * failure of an association; files that were not sent because of it are FAILED and say so. */
lam_status lam_send_files(const lam_net_peer *peer, lam_send_file *files, size_t count, int associations,
                          lam_send_progress progress, void *user, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
