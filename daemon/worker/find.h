/* What a model finds in an arranged series: pixels, axes and spacing of the network, the network, and its
 * answer in the terms of the series. A table of tasks. Without messages and without objects, so that the
 * command line uses it too. */
#ifndef LAMINA_DAEMON_WORKER_FIND_H
#define LAMINA_DAEMON_WORKER_FIND_H

#include "core/base/json.h"
#include "core/base/status.h"
#include "core/rnn/bundle.h"
#include "core/rnn/explain.h"
#include "core/rnn/predict.h"
#include "daemon/worker/progress.h"
#include "dicom/findings.h"
#include "dicom/series.h"

typedef struct lam_segment_label {
    char text[100];
} lam_segment_label;

/* Owned; findings borrows from it and from the bundle's manifest. */
typedef struct lam_found {
    float *voxels;   /* [z, y, x] of the series, modality values */
    uint8_t *labels; /* segmentation: the same shape */
    uint8_t *soft;   /* the segments' probabilities, one volume after the other; NULL: not wanted */
    lam_segment *segments;
    lam_segment_label *segment_labels; /* of segments that are found in several phases */
    uint8_t *masks;                    /* of those that are not in labels */
    lam_measurement *measurements;
    lam_class_score *classes;
    lam_detection *detections;
    lam_box *boxes; /* of all detections */
    float *heat;    /* the same shape as voxels: where the network looked */
    lam_findings findings;
    lam_error unexplained;       /* why there is no such map, where one was wanted */
    lam_gate_verdict gate;       /* whether the images are like those the model was trained on */
    char caution[LAM_GATE_TEXT]; /* findings.caution, where they are not */
} lam_found;

/* What becomes of images that are unlike them. */
typedef enum lam_gate_mode {
    LAM_GATE_FLAG,   /* the answer is given, and says that it means nothing */
    LAM_GATE_REFUSE, /* no answer: LAM_E_UNSUPPORTED with a reason that begins with LAM_GATE_REASON */
    LAM_GATE_IGNORE, /* nobody looks */
    LAM_GATE_MODES
} lam_gate_mode;

/* "flag", "refuse" or "ignore"; false when it is none of them. */
bool lam_gate_mode_find(const char *name, lam_gate_mode *out);

typedef struct lam_find_options {
    bool explain;       /* fill findings.heat */
    bool probabilities; /* fill those of segments; not of several phases */
    lam_explain_method method;
    int samples; /* passes for the spread of a classification; 0: none */
    lam_gate_mode gate;
} lam_find_options;

/* Arranges a series as the model reads it: one stack, or several phases where it knows what to do with them.
 * Errors: those of lam_series_arrange. */
lam_status lam_find_arrange(lam_series *series, const lam_manifest *manifest, lam_error *err);

/* `series` is arranged. Errors of the series (LAM_E_INVALID, LAM_E_UNSUPPORTED, LAM_E_LIMIT: it does not suit
 * the model, with numbers), of the prediction, and LAM_E_UNSUPPORTED for tasks that find nothing in a series.
 * The pixels of `series` are used up. */
lam_status lam_find(lam_series *series, const lam_bundle *bundle, lam_predictor *predictor,
                    const lam_find_options *options, lam_progress *progress, lam_found *out, lam_error *err);
void lam_found_done(lam_found *found);

/* "gate": {"accepted", "score", "threshold", "reason"?: LAM_GATE_REASON}, where one was asked. */
void lam_gate_write(const lam_gate_verdict *verdict, lam_json_writer *w);

/* The members "segments", "classification", "detections" and "measurements" of RESULT, as far as there are
 * findings of that kind. */
void lam_findings_write(const lam_findings *findings, const lam_series *series, lam_json_writer *w);

#endif
