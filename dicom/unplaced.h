/* Images that do not say where they are in the patient: radiographs, captures, photographs. Side by side in
 * the order of their numbers they make a grid whose rows and columns are those of the images; its places mean
 * nothing. Where images say where they are, geometry.h is asked. */
#ifndef LAMINA_DICOM_UNPLACED_H
#define LAMINA_DICOM_UNPLACED_H

#include <stdbool.h>
#include <stddef.h>

#include "dicom/series.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Whether none of the series' objects has a position, by itself (PS3.3 C.7.6.2) or for its frames
 * (C.7.6.16.2.3). */
bool lam_unplaced_are(const lam_series *series);

/* Millimetres between rows and between columns: in the patient, at the detector or on film, whichever the
 * image says first; 1 where it says none. */
void lam_unplaced_spacing(lam_dataset *object, double spacing_mm[2]);

/* Sorts by Instance Number, then by SOP Instance UID, and fills the grid. LAM_E_INVALID: images of different
 * sizes or spacings, in numbers. */
lam_status lam_unplaced_sort(lam_slice *slices, size_t count, lam_grid *out, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
