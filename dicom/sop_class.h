/* Which SOP classes and transfer syntaxes an object may have that is stored here. By rule of the registry
 * (PS3.6 annex A) rather than by list, so that classes and codecs younger than any list are stored as well.
 */
#ifndef LAMINA_DICOM_SOP_CLASS_H
#define LAMINA_DICOM_SOP_CLASS_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LAM_SOP_CLASS_VERIFICATION "1.2.840.10008.1.1"
#define LAM_SOP_CLASS_COMMITMENT   "1.2.840.10008.1.20.1" /* Storage Commitment, push model */
#define LAM_APPLICATION_CONTEXT    "1.2.840.10008.3.1.1.1"

/* A class of composite objects that belong to a patient's study (PS3.4 annex B.5). */
bool lam_sop_class_is_storage(const char *uid);

/* Outside the standard's root, so a manufacturer's own. */
bool lam_sop_class_is_private(const char *uid);

/* A transfer syntax of the standard in which a data set can be stored as it comes. */
bool lam_transfer_syntax_is_storable(const char *uid);

#ifdef __cplusplus
}
#endif
#endif
