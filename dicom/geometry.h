/* Where voxels are: planes of images in the patient, the regular grid that a stack of them makes, and turning
 * that grid to the axes a network was trained with. Pure arithmetic in DICOM patient coordinates (LPS: x to
 * the patient's left, y to the back, z to the head; PS3.3 C.7.6.2.1.1), millimetres.
 *
 * Triples that belong to memory are in memory order: z (slices), y (rows), x (columns). */
#ifndef LAMINA_DICOM_GEOMETRY_H
#define LAMINA_DICOM_GEOMETRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One image in space. */
typedef struct lam_plane {
    double position[3];   /* of the centre of the first pixel (ImagePositionPatient) */
    double row[3];        /* direction along a row, to higher columns (ImageOrientationPatient 1 to 3) */
    double column[3];     /* direction along a column, to higher rows (4 to 6) */
    double spacing_mm[2]; /* between rows, between columns (PixelSpacing) */
    double thickness_mm;  /* SpacingBetweenSlices, else SliceThickness; 0: not said. Used where a stack is one
                             slice */
    int64_t rows, columns;
} lam_plane;

/* A stack of parallel planes at equal distances. */
typedef struct lam_grid {
    int64_t size[3];
    double spacing_mm[3];
    double axis[3][3]; /* unit vectors that z, y, x grow along; z = row × column */
    double origin[3];  /* centre of voxel [0, 0, 0] */
} lam_grid;

/* Sorts the planes by position along their common normal and checks that they make a grid: order[i] is the
 * index in `planes` of slice i. LAM_E_INVALID, with the reason in numbers for the person who sent the series:
 * a single image without a thickness, different sizes, spacings or orientations, two images at one place,
 * missing slices, uneven distances, a sideways shift, orientations that are not perpendicular unit vectors.
 */
lam_status lam_grid_from_planes(const lam_plane *planes, size_t count, size_t *order, lam_grid *out,
                                lam_error *err);

/* Which planes of one orientation lie at the same place: place_of[i] counts the places along the normal from
 * 0;
 * `*places` is their number. LAM_E_INVALID as above, for planes that are not alike. */
lam_status lam_grid_places(const lam_plane *planes, size_t count, size_t *place_of, size_t *places,
                           lam_error *err);

/* Between voxel indices (z, y, x; fractions allowed) and patient coordinates (x, y, z). */
void lam_grid_to_patient(const lam_grid *grid, const double index[3], double patient[3]);
void lam_grid_to_index(const lam_grid *grid, const double patient[3], double index[3]);

/* Volume of one voxel. */
double lam_grid_voxel_ml(const lam_grid *grid);

/* How to turn a grid: axis i of the turned one is axis `from[i]` of the source, backwards if `flip[i]`. */
typedef struct lam_turn {
    int from[3];
    bool flip[3];
} lam_turn;

/* The turn that makes x, y and z grow to the three patient directions in `letters` (of L R A P I S, such as
 * "RAS"), to the nearest axis where the grid is oblique. "" changes nothing. LAM_E_INVALID: letters that do
 * not name three directions. */
lam_status lam_turn_to(const lam_grid *grid, const char *letters, lam_turn *out, lam_error *err);

/* Size and spacing of the turned grid. */
void lam_turn_shape(const lam_turn *turn, const lam_grid *grid, int64_t size[3], double spacing_mm[3]);

/* Moves voxels of a source of `size` into the turned array, and labels of a turned array back. No overlap. */
void lam_turn_floats(const lam_turn *turn, const int64_t size[3], const float *source, float *turned);
void lam_turn_labels_back(const lam_turn *turn, const int64_t size[3], const uint8_t *turned,
                          uint8_t *source);
void lam_turn_floats_back(const lam_turn *turn, const int64_t size[3], const float *turned, float *source);

#ifdef __cplusplus
}
#endif
#endif
