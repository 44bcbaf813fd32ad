/* File meta information of a DICOM file (PS3.10 section 7.1): read what it says about the data set without
 * touching that, and write it before a data set whose bytes are known only as they come. */
#ifndef LAMINA_DICOM_FILE_META_H
#define LAMINA_DICOM_FILE_META_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "core/base/uid.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LAM_FILE_META_MAX_BYTES = 512,        /* that we write */
    LAM_FILE_META_MAX_READ = 1024 * 1024, /* that we follow in a file */
};

typedef struct lam_file_meta {
    char sop_class[LAM_UID_TEXT];
    char sop_instance[LAM_UID_TEXT];
    char transfer_syntax[LAM_UID_TEXT];
} lam_file_meta;

/* Reads the head of a Part 10 file; `offset` is where its data set begins. Errors: LAM_E_INVALID (no DICM
 * prefix, elements that do not add up, a UID missing or not valid), LAM_E_LIMIT, LAM_E_IO. The file position
 * stays. */
lam_status lam_file_meta_read(int fd, lam_file_meta *out, uint64_t *offset, lam_error *err);

/* A preamble of zeros, the prefix and the meta elements, ready for the data set's bytes. The same UIDs always
 * give the same bytes. Returns their number. */
size_t lam_file_meta_write(const lam_file_meta *meta, uint8_t out[LAM_FILE_META_MAX_BYTES]);

#ifdef __cplusplus
}
#endif
#endif
