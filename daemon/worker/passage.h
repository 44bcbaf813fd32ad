/* The way of a series' pixels into the network and of labels back: axes and spacing of the one and of the
 * other, and whether the series suits the model at all. */
#ifndef LAMINA_DAEMON_WORKER_PASSAGE_H
#define LAMINA_DAEMON_WORKER_PASSAGE_H

#include <stdbool.h>

#include "core/base/status.h"
#include "core/rnn/manifest.h"
#include "dicom/geometry.h"
#include "dicom/series.h"

typedef struct lam_passage {
    const lam_grid *grid; /* the series' */
    const lam_model_preprocessing *wanted;
    lam_turn turn;
    int64_t turned_size[3]; /* along the network's axes, at the series' spacing */
    double turned_mm[3];
    int64_t size[3]; /* as the network sees it */
    double spacing_mm[3];
    bool resampled;
    float *turned;
    float *input; /* [size]; == turned where nothing is resampled */
} lam_passage;

/* Errors: LAM_E_INVALID, LAM_E_UNSUPPORTED, LAM_E_LIMIT: the series does not suit the model, with numbers. */
lam_status lam_passage_plan(const lam_series *series, const lam_manifest *manifest, lam_passage *p,
                            lam_error *err);
/* Fills p->input from the series' voxels, anew for each phase. */
lam_status lam_passage_prepare(lam_passage *p, const float *voxels, lam_error *err);
/* Labels of the series' grid as the network sees them: out [size]. */
lam_status lam_passage_prepare_labels(const lam_passage *p, const uint8_t *labels, uint8_t *out,
                                      lam_error *err);
/* The network's labels [size] in the grid of the series. */
lam_status lam_passage_map_back(const lam_passage *p, const uint8_t *labels, uint8_t *out, lam_error *err);
/* The same for values, interpolated linearly. */
lam_status lam_passage_map_values_back(const lam_passage *p, const float *values, float *out, lam_error *err);
/* A rectangle in a slice of the network's volume (edges in pixels, from the top left corner of its first
 * pixel) as a slice and a rectangle of the series. LAM_E_UNSUPPORTED where the series' images are not the
 * slices that the network sees. */
typedef struct lam_passage_rect {
    int64_t slice;
    double left, top, right, bottom;
} lam_passage_rect;
lam_status lam_passage_map_rect_back(const lam_passage *p, const lam_passage_rect *rect,
                                     lam_passage_rect *out, lam_error *err);
void lam_passage_done(lam_passage *p);

#endif
