/* The header of an object as DICOM JSON (PS3.18 annex F), made straight from the bytes: it is on the path of
 * every object that is received. */
#ifndef LAMINA_DICOM_INDEX_H
#define LAMINA_DICOM_INDEX_H

#include "core/base/buffer.h"
#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LAM_INDEX_INLINE_BINARY = 1024,         /* longer binary values become a BulkDataURI */
    LAM_INDEX_INLINE_TEXT = 64 * 1024,      /* longer text and number lists too */
    LAM_INDEX_MAX_FRAGMENTS = 100000,       /* whose places are told */
    LAM_INDEX_MAX_BYTES = 48 * 1024 * 1024, /* of the JSON of one object */
};

/* Appends {"transfer_syntax_uid","dataset_offset","attributes":{…},"pixels":{…}?} to `out`: UTF-8, every
 * element up to the pixel data but group lengths; dataset_offset is the number of bytes before the data set
 * in the file; pixels says where the frames lie (lam_layout_write). What
 * is left out has "BulkDataURI":"bulk/<tag>", inside sequences "bulk/<tag>/<item from 0>/<tag>".
 *
 * SOP class, SOP instance, study and series UID are there and valid, else LAM_E_INVALID naming the attribute.
 * LAM_E_CORRUPT: a header that ends too early or contradicts itself. LAM_E_LIMIT: too deep, too many, too
 * large. */
lam_status lam_index_file(int fd, lam_buffer *out, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
