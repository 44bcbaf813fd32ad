/* A bundle's card.md: what the model is, how good it was when it was measured, and where it fails; written
 * from the manifest and an evaluation, never by hand, so that it cannot disagree with the weights. */
#ifndef LAMINA_RNN_TRAIN_CARD_H
#define LAMINA_RNN_TRAIN_CARD_H

#include "core/rnn/bundle.h"
#include "core/rnn/train/evaluate.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LAM_CARD_FAILURES = 5 };
#define LAM_CARD_PICTURE "failure-%zu.png" /* from 1 */
#define LAM_CARD_FROC    "froc.svg"

/* Appends the card to `out`. `data` names the set that the scores were measured on, as people know it. The
 * hash of the weights stands in a line of its own: "Weights SHA-256: ". The first `pictures` of the failures,
 * as lam_evaluation_worst lists them, have files LAM_CARD_PICTURE beside the card, and what lam_froc_measured
 * has LAM_CARD_FROC. */
lam_status lam_card_write(const lam_bundle *bundle, const lam_evaluation *evaluation,
                          const lam_scores *scores, const char *data, size_t pictures, lam_buffer *out,
                          lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
