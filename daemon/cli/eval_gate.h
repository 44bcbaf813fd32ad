/* `lamina eval`: what a bundle's input gate says of a labelled set, and learning it from one. */
#ifndef LAMINA_CLI_EVAL_GATE_H
#define LAMINA_CLI_EVAL_GATE_H

#include "core/rnn/bundle.h"
#include "core/rnn/train/samples.h"
#include "core/rnn/train/scores.h"

/* Adds "gate_refused": the share of the samples that the gate refuses, with a 95 % interval (Wilson 1927).
 * Nothing where the bundle has no gate. */
lam_status lam_eval_add_gate(const lam_bundle *bundle, const lam_samples *samples, lam_scores *scores,
                             lam_error *err);

/* Learns the gate from the samples and writes it, and the manifest that names it, into the bundle's folder;
 * the weights stay as they are. */
lam_status lam_eval_fit_gate(const char *directory, const lam_bundle *bundle, const lam_samples *samples,
                             double false_alarms, lam_model_gate *out, lam_error *err);

#endif
