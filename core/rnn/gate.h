/* The input gate: whether an input is like those that a model was trained on. A network gives an answer to
 * anything; of an image of another region, another modality, inverted, noisy or cut off, that answer means
 * nothing and its probability less.
 *
 * An input is described, after the manifest's intensity normalisation and before the network, by a few dozen
 * numbers: its histogram over the bins that hold equal shares of the training data, mean and deviation of
 * its halves along every axis, and for each axis how neighbours differ, how abruptly its profile changes or
 * ends, and its length. The score is the Mahalanobis distance of that description from those of the training
 * set, with a covariance that is shrunk towards the identity (Lee et al. NeurIPS 2018 use the same distance
 * on activations; here the input's own statistics are enough). Independent of the weights. Slices are judged
 * one by one where the network sees slices, or has learnt from nothing else: a series is as good as the best
 * quarter of them.
 *
 * A gate is immutable and shared between threads. */
#ifndef LAMINA_RNN_GATE_H
#define LAMINA_RNN_GATE_H

#include "core/base/cleanup.h"
#include "core/base/status.h"
#include "core/rnn/manifest.h"
#include "core/rnn/safetensors.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What programs read in results; people read lam_gate_describe. */
#define LAM_GATE_REASON "unlike_training_data"

typedef struct lam_gate lam_gate;

/* What the gate says of an input. */
typedef struct lam_gate_verdict {
    bool checked;     /* false: the model has no gate */
    bool accepted;    /* score <= threshold; true where nothing was checked */
    double score;     /* 1 is usual; finite */
    double threshold; /* the manifest's */
} lam_gate_verdict;

/* A genuine input: [size…, channels], after lam_prepare_intensities. */
typedef struct lam_gate_case {
    const float *prepared;
    int64_t size[3];
} lam_gate_case;

/* Learns what inputs are like. `axes` and `channels` are those of the network. `threshold` is the score that
 * a share of `false_alarms` (above 0, below 1) of the cases exceeds when each fifth of them is judged by a
 * gate that has not seen it, interpolated between two cases; fifths are contiguous, since neighbours in a set
 * may be of one patient.
 * LAM_E_INVALID: fewer than 20 cases. */
lam_status lam_gate_fit(const lam_model_preprocessing *preprocessing, int axes, int64_t channels,
                        const lam_gate_case *cases, size_t count, double false_alarms, lam_gate **out,
                        double *threshold, lam_error *err);
void lam_gate_free(lam_gate *gate);
LAM_DEFINE_AUTO(lam_gate, lam_gate_free)

/* As a file of the bundle (gate.safetensors: edges, mean, scale, factor). Any bytes give a gate or an error
 * that names the tensor. */
lam_status lam_gate_load(const lam_safetensors *file, lam_gate **out, lam_error *err);
lam_status lam_gate_save(const lam_gate *gate, int fd, lam_error *err);

/* The score of an input that is prepared already. LAM_E_INVALID: the gate is one for more axes. */
lam_status lam_gate_score(const lam_gate *gate, const lam_model_preprocessing *preprocessing, int axes,
                          int64_t channels, const lam_gate_case *input, double *score, lam_error *err);

/* The verdict on raw voxels [size…, channels] as lam_predict_* take them. */
lam_status lam_gate_check(const lam_gate *gate, const lam_manifest *manifest, int axes, int64_t channels,
                          const float *voxels, const int64_t size[3], lam_gate_verdict *out, lam_error *err);

enum { LAM_GATE_TEXT = 160 };
/* A sentence for people; "" for an accepted input. */
const char *lam_gate_describe(const lam_gate_verdict *verdict, char text[LAM_GATE_TEXT]);

#ifdef __cplusplus
}
#endif
#endif
