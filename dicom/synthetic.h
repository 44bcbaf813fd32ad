/* Images that a program drew as DICOM series: complete, valid, and marked as synthetic in every way the
 * standard has (Synthetic Data of the SOP Common Module; Image Type DERIVED; derivation, comments,
 * contributing equipment; the patient's name). Everything in them is a function of the drawing: the same
 * drawing gives the same bytes. */
#ifndef LAMINA_DICOM_SYNTHETIC_H
#define LAMINA_DICOM_SYNTHETIC_H

#include <stdint.h>

#include "dicom/dataset.h"
#include "dicom/result.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One patient's one series; all borrowed. */
typedef struct lam_synthetic {
    lam_algorithm algorithm; /* what drew it */
    const char
        *identity;  /* what makes this drawing another than others of the algorithm; UIDs derive from it */
    int64_t number; /* of the patient, from 0 */
    const char *modality;    /* "MR" or "CR" */
    const char *date;        /* YYYYMMDD */
    const char *orientation; /* directions that x, y, z grow to, as lam_model_preprocessing's; "": LPS */
    double spacing_mm[3];    /* z, y, x; 0: not known */
    int64_t size[3];         /* z, y, x */
    const uint16_t *pixels;  /* [z, y, x], at most 12 bits */
    const char *series_description, *body_part;
    const char *finding; /* what was asked to be drawn; "" or NULL: nothing special */
} lam_synthetic;

/* Slice `index` as an object. Errors: LAM_E_UNSUPPORTED (the modality), LAM_E_NO_MEMORY. */
lam_status lam_synthetic_create(const lam_synthetic *series, int64_t index, lam_dataset **out,
                                lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
