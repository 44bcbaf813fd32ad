/* What objects with a frame a slice share when they are derived from a series (PS3.3 C.7.6.16, C.7.6.17):
 * dimensions, functional groups with the geometry of the source as it is written there, and references to the
 * source images. Segmentations and parametric maps are made of these. */
#ifndef LAMINA_DICOM_MULTIFRAME_H
#define LAMINA_DICOM_MULTIFRAME_H

#include "dicom/result.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Frame of Reference module: the source's, or one of the result's own where an old source has none. */
void lam_multiframe_set_frame_of_reference(const lam_result *result, lam_dataset *out);
/* Whether the source had lost information already (PS3.3 C.7.6.1.1.5); a derived object adds no loss. */
void lam_multiframe_set_lossy(const lam_result *result, lam_dataset *out);

/* Multi-frame Dimension: segment number (where `segments`) and position. */
void lam_multiframe_add_dimensions(const lam_result *result, bool segments, lam_dataset *out);
/* The group shared by all frames: orientation and pixel measures. Returned for more. */
lam_dataset *lam_multiframe_add_shared(const lam_result *result, lam_dataset *out);
/* The group of one frame: content, position, derivation from the one of `slices` that it shows. `segment` 0:
 * none. */
lam_dataset *lam_multiframe_add_frame(const lam_slice *slices, size_t slice, int segment, lam_code derivation,
                                      lam_dataset *out);
/* Common Instance Reference (PS3.3 C.12.2): every source object. */
void lam_multiframe_add_sources(const lam_result *result, lam_dataset *out);

#ifdef __cplusplus
}
#endif
#endif
