/* The inside of a predictor, for the files that turn its network's results into answers: a case is prepared
 * once and run in passes, one for each member of the ensemble and each mirror image; an answer is the mean
 * over passes. Internal to core/rnn. */
#ifndef LAMINA_RNN_PREDICT_PASSES_H
#define LAMINA_RNN_PREDICT_PASSES_H

#include "core/rnn/predict.h"
#include "core/rnn/prepare.h"

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

/* One pass's result: borrowed until the next pass. `flip` says along which axes the input was mirrored as a
 * whole, padding included: position i of the result belongs to position size - 1 - i. */
typedef struct lam_pass {
    const float *scores;
    const lam_shape *shape; /* [1, axes…, channels] */
    bool flip[3];
} lam_pass;
lam_pass lam_predictor_run(lam_predictor *predictor, size_t pass);

#endif
