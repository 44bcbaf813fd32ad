/* The views of a case that predictions are averaged over: mirror images, and turns about the z axis (in the
 * plane of the slices). Internal to core/rnn. */
#ifndef LAMINA_RNN_VIEW_H
#define LAMINA_RNN_VIEW_H

#include "core/rnn/manifest.h"
#include "core/rnn/prepare.h"

/* What the network is shown: the case turned about the middle of the part that is taken, then mirrored as a
 * whole, padding included. */
typedef struct lam_view {
    bool flip[3]; /* z, y, x: position i shows what belongs to size - 1 - i */
    double turn;  /* radians */
} lam_view;

/* Every combination of a turn (none among them) and the mirror images along the axes that the manifest names.
 * At least 1; the first is the case as it is. */
size_t lam_view_count(const lam_manifest *manifest);
lam_view lam_view_at(const lam_manifest *manifest, size_t number);

/* Fills a network's input [frame->size…, channels] from a volume [size…, channels]. A turn shows what lies
 * around the part that is taken, and repeats the volume's border beyond it, as augmentation in training does.
 */
void lam_view_fill(const lam_view *view, const lam_frame *frame, const int64_t size[3], int64_t channels,
                   const float *volume, float *input);

/* Undoes the view for one line of the part that is taken: `row` [frame->taken[2], channels] gets what
 * `scores` [frame->size…, channels] says about its voxels. Turned scores are interpolated; a voxel that the
 * turn moved out of the frame is read at the frame's edge. */
void lam_view_read(const lam_view *view, const lam_frame *frame, int64_t channels, const float *scores,
                   int64_t z, int64_t y, float *row);

#endif
