/* The inside of a predictor, for the files that turn its network's results into answers: a case is prepared
 * once and run in passes, one for each member of the ensemble and each view of the case (view.h); an answer
 * is the mean over passes. Internal to core/rnn. */
#ifndef LAMINA_RNN_PREDICT_PASSES_H
#define LAMINA_RNN_PREDICT_PASSES_H

#include "core/rnn/predict.h"
#include "core/rnn/prepare.h"
#include "core/rnn/view.h"

/* Borrowed. */
const lam_manifest *lam_predictor_manifest(const lam_predictor *predictor);
const lam_network *lam_predictor_network(const lam_predictor *predictor);
/* The workspace, for tasks that fill the input themselves. */
lam_session *lam_predictor_session(lam_predictor *predictor);

/* LAM_E_LIMIT naming sizes when the model does not take this volume. */
lam_status lam_predictor_check_size(const lam_manifest *manifest, const lam_volume *volume, lam_error *err);

/* Checks the size, plans the session for it, normalises. */
lam_status lam_predictor_prepare(lam_predictor *predictor, const lam_volume *volume, lam_frame *frame,
                                 lam_error *err);

/* Passes a prepared case needs: at least 1. */
size_t lam_predictor_passes(const lam_predictor *predictor);

/* One pass's result, of a view of the case: borrowed until the next pass. */
typedef struct lam_pass {
    const float *scores;
    const lam_shape *shape; /* [1, axes…, channels] */
    lam_view view;
} lam_pass;
lam_pass lam_predictor_run(lam_predictor *predictor, size_t pass);

#endif
