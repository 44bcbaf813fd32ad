/* Key Object Selection documents (PS3.3 A.35.4, PS3.16 TID 2010): the slices that matter, and the result
 * objects themselves. */
#ifndef LAMINA_DICOM_KEY_OBJECTS_H
#define LAMINA_DICOM_KEY_OBJECTS_H

#include "dicom/result.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LAM_KO_SOP_CLASS "1.2.840.10008.5.1.4.1.1.88.59"

lam_status lam_key_objects_create(const lam_result *result, lam_dataset **out, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
