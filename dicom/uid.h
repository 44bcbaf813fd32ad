/* UIDs as text are in base, as every part checks them. */
#ifndef LAMINA_DICOM_UID_H
#define LAMINA_DICOM_UID_H

#include "core/base/uid.h"

enum { LAM_DICOM_UID_TEXT = LAM_UID_TEXT };

#endif
