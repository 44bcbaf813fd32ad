/* Why a series is several stacks: echoes, phases, diffusion weightings and the like, which many scanners put
 * into one series. Nothing here chooses among them; it finds the words for who has to. */
#ifndef LAMINA_DICOM_APART_H
#define LAMINA_DICOM_APART_H

#include "dicom/series.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of slices that make no grid: looks for an attribute whose every value has a grid of its own, and appends to
 * the message in `err` which one it is and what its values are. Without such an attribute, or memory, the
 * message stays as it is. */
void lam_apart_explain(const lam_slice *slices, size_t count, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
