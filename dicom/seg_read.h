/* Segmentation objects (PS3.3 A.51, A.86; C.8.20.2), whoever made them, read back: what their segments are,
 * what their frames mark, and all of it as one label map in the grid of a series. Made they are by seg.h. Not
 * thread-safe: one thread at a time for each object. */
#ifndef LAMINA_DICOM_SEG_READ_H
#define LAMINA_DICOM_SEG_READ_H

#include "dicom/findings.h"
#include "dicom/frames.h"
#include "dicom/geometry.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A segment as an object describes it. Texts are borrowed from the object; the value of a code is NULL where
 * it is not given. */
typedef struct lam_drawn_segment {
    int64_t number;
    const char *label; /* never NULL */
    lam_code type, type_modifier, anatomy, anatomy_modifier;
} lam_drawn_segment;

/* The number of the segment that the frame belongs to; 0 when it says none, as in a label map. */
int64_t lam_seg_read_segment(lam_frames *seg, int64_t index);

/* What a decoded frame marks, as [rows, columns]: 1 for binary and fractional ones (from half of the most
 * on), the segment's number for label maps (lower 8 bits). */
void lam_seg_read_values(lam_frames *seg, const unsigned char *bytes, uint8_t *out);

/* Describes segment `index` (from 0) of the object. False past the last one. */
bool lam_seg_read_description(lam_frames *seg, size_t index, lam_drawn_segment *out);

/* Adds what is drawn to `labels`, [z, y, x] of the grid: a voxel of segment number i gets values[i] where
 * that is greater than what it has, so the order of frames and objects does not matter. `overlap` is
 * increased by the voxels that two values claimed. Frames may be cut out of the grid's slices, but must lie
 * in them: LAM_E_INVALID, with the reason, for what was drawn on another grid; LAM_E_LIMIT for label maps of
 * segment numbers above 255; else those of lam_frames_decode. */
lam_status lam_seg_read_map(lam_frames *seg, const lam_grid *grid, const uint8_t values[256], uint8_t *labels,
                            int64_t *overlap, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
