/* Outlines of what a slice shows of a segment, along the borders of its pixels. */
#ifndef LAMINA_DICOM_CONTOUR_H
#define LAMINA_DICOM_CONTOUR_H

#include "dicom/result.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One closed outline: `count` points from `first` on in the points of its lam_contours; the last is the first
 * again. Holes have outlines of their own. */
typedef struct lam_contour {
    size_t first, count;
} lam_contour;

typedef struct lam_contours {
    double *points; /* column, row pairs in pixels from the top left corner of the image */
    size_t point_count;
    lam_contour *list;
    size_t count;
    size_t longest; /* index of the one with the most points */
} lam_contours;

/* Outlines of the pixels of `slice` that belong to segment `index`; none is no error. An outline of more than
 * `most` points is thinned out evenly. LAM_E_NO_MEMORY. */
lam_status lam_contours_trace(const lam_result *result, size_t index, size_t slice, size_t most,
                              lam_contours *out, lam_error *err);
void lam_contours_done(lam_contours *contours);

/* The slice on which segment `index` is largest; false when it has no voxel. `pixels` may be NULL. */
bool lam_contour_largest(const lam_result *result, size_t index, size_t *slice, size_t *pixels);

/* A point of an image in the patient. */
void lam_contour_to_patient(const lam_result *result, size_t slice, const double point[2], double patient[3]);

#ifdef __cplusplus
}
#endif
#endif
