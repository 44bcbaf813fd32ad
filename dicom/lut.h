/* Lookup tables of grey and palette images (PS3.3 C.7.6.3.1.5, C.11.1.1, C.11.2.1.1). */
#ifndef LAMINA_DICOM_LUT_H
#define LAMINA_DICOM_LUT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/cleanup.h"
#include "dicom/dataset.h"
#include "dicom/tag.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LAM_LUT_MOST = 65536 };

typedef struct lam_lut {
    double first; /* the value that the first entry is for */
    size_t count;
    int bits; /* of an entry, 1 to 16 */
    double values[LAM_LUT_MOST];
} lam_lut;

/* From descriptor and data in `item` (NULL: none). `first_is_signed`: how the descriptor's second value is
 * read. NULL when there is none that makes sense, or no memory for it. Freed with lam_lut_free. */
lam_lut *lam_lut_read(lam_dataset *item, lam_tag descriptor, lam_tag data, bool first_is_signed);
void lam_lut_free(lam_lut *lut);
LAM_DEFINE_AUTO(lam_lut, lam_lut_free)

/* The entry for a value; the first or the last one for values beyond, the first for NaN. */
double lam_lut_at(const lam_lut *lut, double value);

#ifdef __cplusplus
}
#endif
#endif
