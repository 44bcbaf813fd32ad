/* Which frames a segmentation has and what their pixels are, in each of its forms. Internal to seg.c. */
#ifndef LAMINA_DICOM_SEG_FRAMES_H
#define LAMINA_DICOM_SEG_FRAMES_H

#include "dicom/result.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One frame of the object: which segment on which slice. */
typedef struct lam_seg_frame {
    int segment; /* index in the findings; -1: all of them, in a label map */
    size_t slice;
} lam_seg_frame;

typedef struct lam_seg_frames {
    lam_seg_form form; /* what is written: a form that cannot hold the findings gives way to BINARY */
    bool overlap;      /* some voxel is of two segments */
    lam_seg_frame *list;
    size_t count;
} lam_seg_frames;

/* A frame for each slice on which a segment has voxels, or for all with choices.empty_frames. Where there is
 * none, one empty frame a segment, as an object cannot be without frames. */
lam_status lam_seg_frames_choose(const lam_result *result, lam_seg_frames *out, lam_error *err);
void lam_seg_frames_done(lam_seg_frames *frames);

/* Bytes of all frames, padded to an even number. */
uint64_t lam_seg_frames_bytes(const lam_result *result, const lam_seg_frames *frames);
/* Writes them into memory that is all 0. */
void lam_seg_frames_fill(const lam_result *result, const lam_seg_frames *frames, uint8_t *pixels);

#ifdef __cplusplus
}
#endif
#endif
