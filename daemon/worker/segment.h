/* From an arranged series to a label map in its own grid: pixels, axes and spacing of the network, the
 * network, and the way back. Without messages and without objects, so that the command line uses it too. */
#ifndef LAMINA_DAEMON_WORKER_SEGMENT_H
#define LAMINA_DAEMON_WORKER_SEGMENT_H

#include "core/base/status.h"
#include "core/rnn/bundle.h"
#include "core/rnn/predict.h"
#include "daemon/worker/progress.h"
#include "dicom/result.h"
#include "dicom/series.h"

typedef struct lam_segmented {
    float *voxels;   /* [z, y, x] of the series, modality values */
    uint8_t *labels; /* the same shape: 0 or a segment's number */
    lam_segment
        *segments; /* with voxels and volumes counted in the series' grid; text borrowed from the manifest */
    size_t segment_count;
} lam_segmented;

/* Errors of the series (LAM_E_INVALID, LAM_E_UNSUPPORTED, LAM_E_LIMIT: it does not suit the model, with
 * numbers) and of lam_predict_segment. The pixels of `series` are used up. */
lam_status lam_segment_series(lam_series *series, const lam_bundle *bundle, lam_predictor *predictor,
                              lam_progress *progress, lam_segmented *out, lam_error *err);
void lam_segmented_done(lam_segmented *segmented);

#endif
