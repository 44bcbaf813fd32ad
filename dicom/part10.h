/* A DICOM file (PS3.10) open on a descriptor: its data set located and inflated if need be. Parses
 * nothing of the data set; walk.h does. */
#ifndef LAMINA_DICOM_PART10_H
#define LAMINA_DICOM_PART10_H

#include <stddef.h>

#include "core/base/status.h"
#include "dicom/file_meta.h"
#include "dicom/transfer_syntax.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LAM_PART10_MAX_BYTES    ((size_t)8 << 30)   /* of a file */
#define LAM_PART10_MAX_INFLATED ((size_t)256 << 20) /* of a deflated data set */

typedef struct lam_part10 {
    const unsigned char *data; /* the data set, inflated when the transfer syntax is deflated */
    size_t length;
    size_t offset; /* of the data set in the file */
    lam_transfer_syntax syntax;
    lam_file_meta meta;
    const void *mapping;
    size_t mapped;
    void *inflated;
} lam_part10;

/* Maps the file read-only; `fd` may be closed afterwards. Errors: those of lam_file_meta_read, LAM_E_CORRUPT
 * (a deflated data set that does not inflate), LAM_E_LIMIT, LAM_E_IO. */
lam_status lam_part10_open(int fd, lam_part10 *out, lam_error *err);
void lam_part10_close(lam_part10 *file);

#ifdef __cplusplus
}
#endif
#endif
