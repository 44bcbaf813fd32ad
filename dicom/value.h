/* One value of a data set by its path, as the index writes it into a BulkDataURI: tag, or tag of a sequence,
 * item from 0, tag in it, and so on. Looks at structure only; nothing is copied. */
#ifndef LAMINA_DICOM_VALUE_H
#define LAMINA_DICOM_VALUE_H

#include "core/base/status.h"
#include "dicom/dataset.h"
#include "dicom/part10.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The bytes of the value as encoded, borrowed from the file: of a sequence its items, of encapsulated pixel
 * data its fragments. Errors: LAM_E_INVALID (not a path), LAM_E_NOT_FOUND, those of lam_walk_next. */
lam_status lam_value_find(const lam_part10 *file, const char *text, lam_bytes *out, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
