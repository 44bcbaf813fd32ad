/* A series as a volume: image objects in any order, classic single-frame or enhanced multi-frame, become
 * slices sorted along the normal of their planes, and their pixels one array. File names decide nothing.
 *
 * Where several images lie at each place, as in a cine series, there is a volume for each phase. All are of
 * one grid; one of them is looked at at a time, at first the first. */
#ifndef LAMINA_DICOM_SERIES_H
#define LAMINA_DICOM_SERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/cleanup.h"
#include "core/base/status.h"
#include "dicom/dataset.h"
#include "dicom/geometry.h"
#include "dicom/image.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LAM_SERIES_MAX_SLICES = 20000 };
#define LAM_SERIES_MAX_VOXELS ((int64_t)1 << 30)

/* One frame of one object. Everything is borrowed from the series. */
typedef struct lam_slice {
    lam_dataset *object; /* its header */
    size_t object_index; /* in the order of adding */
    int64_t frame;       /* from 0 */
    bool multi_frame;    /* the object is an enhanced one, so references name the frame */
    lam_plane plane;
    lam_rescale rescale;
    lam_dataset *position_in, *orientation_in, *measures_in; /* the items that hold these attributes */
} lam_slice;

typedef struct lam_series lam_series;

lam_status lam_series_create(lam_series **out, lam_error *err);
void lam_series_free(lam_series *series);
LAM_DEFINE_AUTO(lam_series, lam_series_free)

/* Opens one Part 10 file; its pixels stay in it until they are decoded. `fd` may be closed afterwards.
 * Errors: those of lam_frames_open. */
lam_status lam_series_add(lam_series *series, int fd, lam_error *err);

/* Sorts what was added, one image at each place. After it the functions below may be called. LAM_E_INVALID,
 * LAM_E_UNSUPPORTED, LAM_E_LIMIT with a reason for people: not one series, not grey images, a position that
 * only some have, or what lam_grid_from_planes refuses. */
lam_status lam_series_arrange(lam_series *series, lam_error *err);

/* The same for what may have several phases: images at the same places told apart by time, or series of one
 * study and frame of reference with the same places, a phase each (phases.h says how). */
lam_status lam_series_arrange_phases(lam_series *series, lam_error *err);

/* How many phases there are, at least 1; and which one is looked at from now on. */
size_t lam_series_phases(const lam_series *series);
void lam_series_look_at(lam_series *series, size_t phase);

size_t lam_series_objects(const lam_series *series);
lam_dataset *lam_series_object(const lam_series *series, size_t index); /* in the order of adding */

/* Slices from the first to the last along the normal; as many as lam_series_grid()->size[0]. Of the phase
 * that is looked at, or of another. */
const lam_slice *lam_series_slices(const lam_series *series);
const lam_slice *lam_series_slices_of(const lam_series *series, size_t phase);
const lam_grid *lam_series_grid(const lam_series *series);

/* False where the images do not say where they are in the patient (unplaced.h): then the grid's axes, places
 * and distances between slices mean nothing, and its pixel spacing is 1 where none is known. */
bool lam_series_is_placed(const lam_series *series);

/* Decodes the slices that are looked at into out [z, y, x] of the grid's size, modality values; padding takes
 * the least of the rest. Each object's
 * file is let go when its last frame is read, so this can be done once for each phase. `tick` (may be
 * NULL) hears how many slices are done. */
lam_status lam_series_voxels(lam_series *series, float *out,
                             void (*tick)(void *context, size_t done, size_t total), void *context,
                             lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
