/* Measurement reports (PS3.16 TID 1500) as Comprehensive 3D SR objects (PS3.3 A.35.13). */
#ifndef LAMINA_DICOM_SR_H
#define LAMINA_DICOM_SR_H

#include "dicom/result.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LAM_SR_SOP_CLASS "1.2.840.10008.5.1.4.1.1.88.34"

/* Builds the report: language, the device as observer, the procedure, an image library, and what was found: a
 * measurement group (TID 1411) with volume and derived numbers for each segment of the SEG object of the same
 * result (seg.h), one with its regions (TID 1410, 1411) for each detection, and one (TID 1501) with a
 * qualitative evaluation for a classification. */
lam_status lam_sr_create(const lam_result *result, lam_dataset **out, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
