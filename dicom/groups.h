/* What an object of several frames says of one of them (functional groups, PS3.3 C.7.6.16). */
#ifndef LAMINA_DICOM_GROUPS_H
#define LAMINA_DICOM_GROUPS_H

#include "dicom/dataset.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The first item of the functional group `macro` of a frame (from 0): its own, else the one shared by all;
 * NULL when there is none. Borrowed from the object. */
lam_dataset *lam_groups_item(lam_dataset *object, lam_tag macro, size_t frame);

#ifdef __cplusplus
}
#endif
#endif
