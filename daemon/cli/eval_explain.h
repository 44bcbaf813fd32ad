/* `lamina eval --explain`: whether maps of where the network looked point at what matters to it. */
#ifndef LAMINA_CLI_EVAL_EXPLAIN_H
#define LAMINA_CLI_EVAL_EXPLAIN_H

#include "core/rnn/bundle.h"
#include "core/rnn/train/samples.h"
#include "core/rnn/train/scores.h"

/* Explains up to `cases` of the samples, at equal distances, by integrated gradients, and adds the areas
 * under their deletion and insertion curves, explain_deletion and explain_insertion, those of voxels in
 * random order, …_chance, and how much better the map is, …_gain, with 95 % intervals over bootstrap samples
 * of the cases. Cases without an answer that could be asked about (no object, no segment) are passed over.
 * LAM_E_NOT_FOUND when none is left. */
lam_status lam_eval_add_explain(const lam_bundle *bundle, const lam_samples *samples, lam_pool *pool,
                                size_t cases, lam_scores *scores, lam_error *err);

#endif
