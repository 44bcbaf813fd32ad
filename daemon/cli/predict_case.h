/* One case of a set: what a model finds in a volume, as JSON, and its label map. Internal to predict_set.c
 * and predict_stacks.c. */
#ifndef LAMINA_CLI_PREDICT_CASE_H
#define LAMINA_CLI_PREDICT_CASE_H

#include "core/rnn/safetensors.h"
#include "daemon/cli/predict.h"

/* The label maps of segmentations, kept until they are written. */
typedef struct lam_case_maps {
    lam_tensor *items; /* names and data are owned */
    size_t count;
} lam_case_maps;

void lam_case_maps_done(lam_case_maps *maps);
/* Copies `labels` of this shape as ID.label. */
lam_status lam_case_maps_add(lam_case_maps *maps, const char *id, const lam_shape *shape,
                             const uint8_t *labels, lam_error *err);

/* Appends {"id", "task", "state", what was found or "reason"} to `results`. `labels` [size] (NULL: not
 * wanted) gets the map of a segmentation; false in `*mapped` when there is none. */
lam_status lam_case_predict(const lam_prediction_job *job, const char *id, const lam_volume *volume,
                            uint8_t *labels, bool *mapped, json_t *results, lam_error *err);

/* The slices ID.image of a file as stacks (core/rnn/train/stack_names.h); maps slice by slice. */
lam_status lam_predict_stacks(const lam_prediction_job *job, const lam_safetensors *file, lam_case_maps *maps,
                              json_t *results, lam_error *err);

#endif
