/* One case in a session that can go back: what explanations, spreads and curves are computed with. Internal
 * to core/rnn. */
#ifndef LAMINA_RNN_EXPLAIN_CASE_H
#define LAMINA_RNN_EXPLAIN_CASE_H

#include "core/rnn/bundle.h"
#include "core/rnn/predict.h"
#include "core/rnn/prepare.h"

typedef struct lam_explain_case {
    const lam_manifest *manifest;
    const lam_network *network;
    lam_session *session;
    lam_frame frame;
    int64_t size[3], channels;
    int64_t inputs;  /* floats of the network's input */
    float *input;    /* that input: normalised and padded as prediction does */
    float *gradient; /* of the parameters: not wanted, but computed */
} lam_explain_case;

/* Which channel of each row of the result counts, -1 for none: decided once, on the input itself, so that a
 * changed input is asked about the same answer. */
typedef struct lam_explain_rows {
    int16_t *channel; /* owned */
    int64_t count;    /* rows that count */
    int target;       /* the class; of a segmentation -1 for all labels; of a detector -1 */
} lam_explain_rows;

/* Plans for the volume; of a detector it must be one slice. Errors as lam_explain. */
lam_status lam_explain_case_begin(lam_explain_case *c, const lam_bundle *bundle, lam_pool *pool,
                                  const lam_volume *volume, lam_error *err);
void lam_explain_case_done(lam_explain_case *c);

/* The result for this input [inputs]; `key` is that of dropout. */
void lam_explain_case_run(lam_explain_case *c, const float *input, float share, uint64_t key);

/* From the result of the last run: the rows of class `target` (-1: of the answer; of a detector the cells
 * where something is found). LAM_E_INVALID: no such class. */
lam_status lam_explain_case_choose(const lam_explain_case *c, int target, lam_explain_rows *out,
                                   lam_error *err);
void lam_explain_rows_done(lam_explain_rows *rows);

/* F, the sum over the rows that count of their scores (logits; logarithms of probabilities), of the last run,
 * and its gradient with respect to the result, which the session then has for lam_session_backward. */
double lam_explain_case_score(const lam_explain_case *c, const lam_explain_rows *chosen);

/* The mean probability of the rows' channels in the last run; of a detector that of an object. */
double lam_explain_case_probability(const lam_explain_case *c, const lam_explain_rows *chosen);

#endif
