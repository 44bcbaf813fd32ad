/* Parametric Map objects (PS3.3 A.75) in 32-bit floating point: a value for each voxel, such as where the
 * network looked. */
#ifndef LAMINA_DICOM_PARAMETRIC_MAP_H
#define LAMINA_DICOM_PARAMETRIC_MAP_H

#include "dicom/result.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LAM_PARAMETRIC_MAP_SOP_CLASS "1.2.840.10008.5.1.4.1.1.30"

/* Builds the object from findings.heat, a frame a slice. LAM_E_STATE: there is none; LAM_E_INVALID: a value
 * is not finite; LAM_E_LIMIT: more than 4 GiB. */
lam_status lam_parametric_map_create(const lam_result *result, lam_dataset **out, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
