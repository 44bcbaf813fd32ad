/* Which slices of a series matter for its findings. */
#ifndef LAMINA_DICOM_RELEVANT_H
#define LAMINA_DICOM_RELEVANT_H

#include "dicom/result.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Marks them in relevant[slices]: where each segment is largest, where each detection scores highest; for a
 * classification alone the middle one. Returns how many there are, at least one. */
size_t lam_relevant_slices(const lam_result *result, bool *relevant);

#ifdef __cplusplus
}
#endif
#endif
