/* Secondary Capture (PS3.3 A.8.1): the picture of the result as an RGB image, for viewers that show neither
 * segmentations nor reports. */
#ifndef LAMINA_DICOM_SECONDARY_CAPTURE_H
#define LAMINA_DICOM_SECONDARY_CAPTURE_H

#include "dicom/result.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LAM_SC_SOP_CLASS "1.2.840.10008.5.1.4.1.1.7"

/* Builds the object from lam_picture_draw (picture.h), which writes "not for diagnosis" into it. LAM_E_STATE:
 * the result has no voxels to show. */
lam_status lam_secondary_capture_create(const lam_result *result, lam_dataset **out, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
