/* Grayscale Softcopy Presentation State (PS3.3 A.33.1): outlines of segments and boxes of detections over the
 * source images, for viewers that know no segmentations. */
#ifndef LAMINA_DICOM_PRESENTATION_STATE_H
#define LAMINA_DICOM_PRESENTATION_STATE_H

#include "dicom/result.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LAM_PR_SOP_CLASS "1.2.840.10008.5.1.4.1.1.11.1"

/* Builds the object; every slice with a segment or a box has an annotation. */
lam_status lam_presentation_state_create(const lam_result *result, lam_dataset **out, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
