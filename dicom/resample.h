/* A volume at another spacing, and labels back at the first one. Both grids cover the same box: voxel centres
 * are aligned so that the outer faces coincide. */
#ifndef LAMINA_DICOM_RESAMPLE_H
#define LAMINA_DICOM_RESAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Voxels along an axis that no volume has: where a nonsensical spacing would ask for more. */
enum { LAM_RESAMPLE_MOST = 1000000 };

/* Voxels along each axis when `size` voxels of `spacing_mm` become voxels of `target_mm`: 1 to
 * LAM_RESAMPLE_MOST. */
void lam_resample_shape(const int64_t size[3], const double spacing_mm[3], const double target_mm[3],
                        int64_t out[3]);

/* Trilinear; where voxels become larger, the tent grows with them, so that nothing aliases. in [z, y, x] of
 * `size`
 * -> out [z, y, x] of `out_size`. */
lam_status lam_resample_floats(const float *in, const int64_t size[3], float *out, const int64_t out_size[3],
                               lam_error *err);

/* Labels 0 … highest: each label's indicator is interpolated trilinearly and the largest wins, the lower
 * number on a tie, so that borders do not become steps. */
lam_status lam_resample_labels(const uint8_t *in, const int64_t size[3], uint8_t *out,
                               const int64_t out_size[3], lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
