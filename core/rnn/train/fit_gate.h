/* The gate of a model (core/rnn/gate.h), learnt from the samples that it is trained on. */
#ifndef LAMINA_RNN_TRAIN_FIT_GATE_H
#define LAMINA_RNN_TRAIN_FIT_GATE_H

#include "core/rnn/gate.h"
#include "core/rnn/network.h"
#include "core/rnn/train/samples.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of genuine inputs so many are refused, where a training does not say otherwise: few enough to live with,
 * and hardly any input of another kind passes (docs/figures.md). */
#define LAM_FIT_GATE_FALSE_ALARMS 0.04

/* Learns the gate and writes it into the bundle's folder; `out` is for lam_manifest_update, its hash lies in
 * `sha256`. A model that generates, or is no model of images, or of fewer samples than a gate needs, has
 * none: then the hash is "" and a gate of before is removed. */
lam_status lam_fit_gate(const lam_manifest *manifest, const lam_network *network, const lam_samples *data,
                        double false_alarms, int folder, char sha256[65], lam_model_gate *out,
                        lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
