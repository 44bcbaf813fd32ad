/* Images at the same places told apart: a cine series has every phase of the heart at each place, and a study
 * may keep end diastole and end systole as series of their own. Knows which image belongs to which phase and
 * place, nothing of pixels. Internal to series.c. */
#ifndef LAMINA_DICOM_PHASES_H
#define LAMINA_DICOM_PHASES_H

#include "dicom/series.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Sorts `count` slices in place into `*phases` stacks one after the other, each in the order of places along
 * the normal, `count` / `*phases` of them. Of one series the phases are told apart by what all of its images
 * have and no two at one place share, the first of: Trigger Time, Nominal Cardiac Trigger Delay Time,
 * Temporal Position Identifier or Index, Instance Number, number of the frame (PS3.3 C.8.3.1, C.8.13.5.4,
 * C.7.6.16.2.2). Of several series each is a phase, in the order in which their first slices come.
 *
 * LAM_E_INVALID: planes that are not alike, places that have more images than others (which, in words),
 * images that nothing tells apart. */
lam_status lam_phases_sort(lam_slice *slices, size_t count, size_t *phases, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
