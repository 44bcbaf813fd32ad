/* From an array of pixels to an answer, without DICOM: normalise, pad, run the network, undo the padding,
 * calibrate, decide, clean up. What a worker, `lamina eval` and the training's validation all call. */
#ifndef LAMINA_RNN_PREDICT_H
#define LAMINA_RNN_PREDICT_H

#include "core/base/cleanup.h"
#include "core/base/status.h"
#include "core/rnn/bundle.h"
#include "core/rnn/detect.h"
#include "core/rnn/kernels/pool.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A predictor is one thread's: it keeps the network's workspace from case to case. Bundle and pool are shared
 * and must outlive it. */
typedef struct lam_predictor lam_predictor;

/* From parts, for weights that are still being trained: the mean of one or more weight sets of one network.
 * All must outlive the predictor (the list itself is copied). */
lam_status lam_predictor_create_for(const lam_manifest *manifest, const lam_weights *const *members,
                                    size_t member_count, lam_pool *pool, lam_predictor **out, lam_error *err);

/* `pool` NULL: one thread. */
lam_status lam_predictor_create(const lam_bundle *bundle, lam_pool *pool, lam_predictor **out,
                                lam_error *err);
void lam_predictor_free(lam_predictor *predictor);
LAM_DEFINE_AUTO(lam_predictor, lam_predictor_free)

/* One case: [z, y, x] (and the network's input channels, if it has more than one) contiguous, raw intensities
 * after rescale, already along the manifest's axes and spacing. Non-finite values are read as 0. */
typedef struct lam_volume {
    const float *voxels;
    int64_t size[3];      /* z, y, x */
    double spacing_mm[3]; /* z, y, x; for volumes in ml */
} lam_volume;

typedef struct lam_timing {
    int64_t prepare_us; /* normalising, padding, planning */
    int64_t network_us;
    int64_t finish_us; /* probabilities, decision, components */
} lam_timing;

/* What a segmentation gives. Owned; release with lam_segmentation_done. */
typedef struct lam_segmentation {
    int64_t size[3];       /* z, y, x: that of the input volume */
    int classes;           /* background included: 1 + segments */
    uint8_t *labels;       /* [z, y, x]: 0 or a segment's number, after cleaning up */
    float *probabilities;  /* [z, y, x, classes]: calibrated, each voxel sums to 1 */
    int64_t voxels[256];   /* in the label map, by segment number */
    double volume_ml[256]; /* by segment number */
    lam_timing timing;
} lam_segmentation;

/* Errors: LAM_E_UNSUPPORTED (the bundle's task is another), LAM_E_LIMIT (a side is outside the manifest's
 * minimum or maximum size, or memory planning exceeds the engine's limit), LAM_E_NO_MEMORY. */
lam_status lam_predict_segment(lam_predictor *predictor, const lam_volume *volume, lam_segmentation *out,
                               lam_error *err);
void lam_segmentation_done(lam_segmentation *segmentation);

/* The probability of each class [manifest's class_count], calibrated, summing to 1. Errors as above. */
lam_status lam_predict_classes(lam_predictor *predictor, const lam_volume *volume, float *probabilities,
                               lam_error *err);

/* How the head of a detector, [1, rows, columns, channels], is read for images so many pixels wide. */
lam_head lam_predict_head(const lam_manifest *manifest, const lam_shape *shape, int64_t width);

/* The objects of a volume, slice by slice (each normalised by itself), in order of slices and in each by
 * score, in pixels of the volume. lam_detect_join makes findings of them. `*out` (NULL when nothing is found)
 * is the caller's to free. Errors as above. */
lam_status lam_predict_boxes(lam_predictor *predictor, const lam_volume *volume, lam_detected **out,
                             size_t *count, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
