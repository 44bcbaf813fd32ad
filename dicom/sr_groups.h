/* Groups of measurements in a report (PS3.16 TID 1410, 1411, 1501) and its qualitative evaluations: one for
 * each segment, detection, and answer of a classification. Internal to sr.c. */
#ifndef LAMINA_DICOM_SR_GROUPS_H
#define LAMINA_DICOM_SR_GROUPS_H

#include "dicom/result.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Appends the containers Imaging Measurements and, for a classification, Qualitative Evaluations to the root
 * of a report. LAM_E_NO_MEMORY; what else fails is kept by the data set. */
lam_status lam_sr_groups_add(const lam_result *result, lam_dataset *root, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
