/* What a task is to training and scoring: one row of functions a task. Reading files, augmentation, batches,
 * threads, optimisers, checkpoints, ensembles and confidence intervals know no task; they call these.
 *
 * To add a task: write its functions in task_<name>.c, declare its kind below, list it in task.c; say in
 * bundle.c what its network must give and in predict.h what a prediction is. Internal to core/rnn. */
#ifndef LAMINA_RNN_TRAIN_TASK_H
#define LAMINA_RNN_TRAIN_TASK_H

#include "core/rnn/predict.h"
#include "core/rnn/prepare.h"
#include "core/rnn/train/samples.h"
#include "core/rnn/train/scores.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One sample of a batch after the pass forward. */
typedef struct lam_loss_case {
    const lam_shape *shape;    /* of the network's result for this sample alone: [1, axes…, channels] */
    const float *scores;       /* the result [axes…, channels] */
    const lam_frame *frame;    /* where the image lies in the input */
    const float *input;        /* the network's input [frame's size…, channels] */
    const lam_truth *truth;    /* in the input's positions: map [frame's size…], boxes in its pixels */
    double scale;              /* the gradient is written times this */
    float *gradient, *scratch; /* [axes…, channels] each */
} lam_loss_case;

/* What is being scored. */
typedef struct lam_scoring {
    const lam_manifest *manifest;
    const double *spacing_mm; /* z, y, x */
    bool thorough;            /* measures that take long, too */
    bool calibrate;           /* keep what a temperature is fitted to */
} lam_scoring;

/* One scored case: the sample and what the task's `score` made of its prediction. */
typedef struct lam_scored {
    const lam_sample *sample;
    void *result;
} lam_scored;

/* Probabilities of classes with the class that is true, for calibration; borrowed from a result. */
typedef struct lam_calibration_rows {
    const float *probabilities; /* [rows, classes] */
    const uint8_t *labels;      /* [rows] */
    int64_t rows;
    int classes;
} lam_calibration_rows;

typedef struct lam_task_kind {
    lam_task task;
    const char *metric;   /* the score that validation judges by */
    bool lower_is_better; /* of it */

    /* ---- reading ---- */

    /* Channels of the images in the files; NULL: those of the network's input. */
    int64_t (*image_channels)(const lam_manifest *manifest, const lam_network *network);
    /* Reads and checks what is true of a sample whose image has been read; fields by lam_samples_field. */
    lam_status (*read)(const lam_sample_source *source, lam_sample *sample, lam_error *err);

    /* ---- training ---- */

    /* Writes a sample's image (augmented, [inner's size…, image channels], of which `inner` takes all) into
     * its place in the input. NULL: lam_prepare_pad, in the middle of zeros. */
    void (*fill)(const lam_manifest *manifest, const lam_frame *inner, const lam_truth *truth,
                 const float *image, float *input);
    /* The criterion that `training` describes (members `loss`, `class_weights` and what the task adds to the
     * recipe's members). Errors name the member. */
    lam_status (*criterion_create)(const lam_manifest *manifest, const lam_network *network, void **out,
                                   lam_error *err);
    void (*criterion_free)(void *criterion);
    /* The loss of one sample. Writes its gradient. Sums run in a fixed order. */
    double (*criterion_run)(const void *criterion, const lam_loss_case *at);

    /* ---- scoring ---- */

    /* Predicts through the path that production uses, and measures. */
    lam_status (*score)(const lam_scoring *scoring, lam_predictor *predictor, const lam_sample *sample,
                        void **result, lam_error *err);
    void (*release)(void *result);
    /* The scores over cases, of which some may come more than once (bootstrap). */
    lam_status (*summarise)(const lam_scoring *scoring, const lam_scored *const *cases, size_t count,
                            lam_scores *out, lam_error *err);
    /* How well a case went, for finding failures: larger is better. NULL: not known. */
    double (*quality)(const lam_scored *scored);
    /* NULL: the task's probabilities are not calibrated. */
    void (*calibration)(const lam_scored *scored, lam_calibration_rows *out);
} lam_task_kind;

/* A sample as prediction takes it. */
lam_volume lam_sample_volume(const lam_sample *sample, const double spacing_mm[3]);

/* LAM_E_UNSUPPORTED when models of this task can be neither trained nor scored. */
lam_status lam_task_kind_of(const lam_manifest *manifest, const lam_task_kind **out, lam_error *err);

extern const lam_task_kind lam_task_classification; /* task_classification.c */
extern const lam_task_kind lam_task_detection;      /* task_detection.c */
extern const lam_task_kind lam_task_generation;     /* task_generation.c */
extern const lam_task_kind lam_task_segmentation;   /* task_segmentation.c */

#ifdef __cplusplus
}
#endif
#endif
