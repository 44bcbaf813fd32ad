/* The data dictionary (PS3.6): what the value representation of a tag is where the bytes do not say. Behind
 * it is DCMTK's. */
#ifndef LAMINA_DICOM_DICTIONARY_H
#define LAMINA_DICOM_DICTIONARY_H

#include <stdbool.h>
#include <stdint.h>

#include "dicom/boundary.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Two letters and NUL into `vr`; "xs" for "US or SS" (the pixel representation decides), "OW" for "OB or OW",
 * "UL" for group lengths, "LO" for private creators. False, and "UN", when the tag is not a standard one. */
bool lam_dictionary_vr(uint32_t tag, char vr[3]) LAM_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif
