/* Segmentation objects (PS3.3 A.51) and label maps (A.51, Supplement 243): all segments of a series in one
 * instance, in the form that the result's choices ask for. */
#ifndef LAMINA_DICOM_SEG_H
#define LAMINA_DICOM_SEG_H

#include "dicom/result.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LAM_SEG_SOP_CLASS "1.2.840.10008.5.1.4.1.1.66.4"

#define LAM_LABELMAP_SOP_CLASS "1.2.840.10008.5.1.4.1.1.66.7"

/* The SOP class that holds a form. */
const char *lam_seg_sop_class(lam_seg_form form);

/* The form in which the object of a result is written. */
lam_seg_form lam_seg_form_of(const lam_result *result);

/* Builds the object. A form that cannot hold the findings (a label map of overlapping segments, probabilities
 * that are not known) gives way to BINARY. Errors: LAM_E_STATE (no segments, or images without a place),
 * LAM_E_LIMIT (more than 4 GiB of pixels), LAM_E_NO_MEMORY, LAM_E_INVALID. */
lam_status lam_seg_create(const lam_result *result, lam_dataset **out, lam_error *err);

/* Packs `count` pixels of one frame into the continuous bit stream of PS3.5 8.2, at bit `offset`, lowest bit
 * first: a pixel is 1 where `labels` is `label`. `bits` is zero there before. */
void lam_seg_pack(const uint8_t *labels, size_t count, uint8_t label, uint8_t *bits, uint64_t offset);

#ifdef __cplusplus
}
#endif
#endif
