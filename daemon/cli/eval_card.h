/* A bundle's card as files: card.md and pictures of its failures. */
#ifndef LAMINA_CLI_EVAL_CARD_H
#define LAMINA_CLI_EVAL_CARD_H

#include "core/rnn/bundle.h"
#include "core/rnn/train/evaluate.h"

/* What was measured, all borrowed. */
typedef struct lam_eval_card {
    const lam_bundle *bundle;
    const lam_samples *samples;      /* of what was scored */
    const lam_samples *const *parts; /* part m was scored by member m alone; NULL: all of it by all members */
    const lam_evaluation *evaluation;
    const lam_scores *scores;
    const char *data; /* the set's name, for people */
} lam_eval_card;

/* Writes into the bundle's folder; each file takes the place of an older one as a whole. */
lam_status lam_eval_write_card(const lam_eval_card *card, const char *folder, lam_error *err);

#endif
