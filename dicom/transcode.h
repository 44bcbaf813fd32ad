/* A DICOM file in another transfer syntax: its pixels decoded, its elements encoded anew. */
#ifndef LAMINA_DICOM_TRANSCODE_H
#define LAMINA_DICOM_TRANSCODE_H

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Reads the Part 10 file `from` and writes it to `to` (at its position) in `transfer_syntax`, one with native
 * pixels: LAM_TS_EXPLICIT_LITTLE or LAM_TS_IMPLICIT_LITTLE. What the pixels mean stays; photometric
 * interpretation and planar configuration of colour may change. lam_dicom_prepare comes first. Errors:
 * LAM_E_UNSUPPORTED (a compression that is not decoded here), LAM_E_LIMIT, LAM_E_CORRUPT, those of
 * lam_dataset_read and lam_dataset_write. */
lam_status lam_transcode(int from, int to, const char *transfer_syntax, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
