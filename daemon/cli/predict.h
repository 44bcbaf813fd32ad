/* The two kinds of input of `lamina predict`. */
#ifndef LAMINA_CLI_PREDICT_H
#define LAMINA_CLI_PREDICT_H

#include <jansson.h>

#include "core/rnn/bundle.h"
#include "core/rnn/predict.h"
#include "daemon/worker/find.h"
#include "dicom/profile.h"

typedef struct lam_prediction_job {
    const lam_bundle *bundle;
    lam_predictor *predictor;
    const char *out; /* folder, or NULL: nothing is written */
    lam_profile profile;
    bool any; /* series that the model's selector does not want, too */
    lam_find_options find;
} lam_prediction_job;

/* Runs the model on the series among the DICOM files and folders `paths` (NULL-terminated). Appends a RESULT
 * a series to `results`; one that cannot be analysed has its state and reason. */
lam_status lam_predict_dicom(const lam_prediction_job *job, char **paths, json_t *results, lam_error *err);

/* Runs the model on each image of a safetensors set (core/rnn/train/samples.h says the layouts; labels are
 * not needed). Appends {"id", and what was found} a case; with `out` writes predictions.safetensors, a map
 * ID.label for each case that was segmented; slices that make stacks are put together and taken apart again.
 */
lam_status lam_predict_set(const lam_prediction_job *job, const char *path, json_t *results, lam_error *err);

#endif
