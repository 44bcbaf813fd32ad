/* The network: a small acyclic graph of layers read from model.json, its parameters, and a session that runs
 * it.
 *
 * Three objects, three lifetimes. lam_network is the structure: immutable. lam_weights holds the parameters
 * in one flat buffer plus what layers derive from them (packed matrices): immutable while anything runs.
 * lam_session is one thread's workspace: planned for an input shape, which is the only step that allocates or
 * fails; running it cannot fail.
 *
 * Names, shapes and gate orders of parameters: core/rnn/README.md. */
#ifndef LAMINA_RNN_NETWORK_H
#define LAMINA_RNN_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/cleanup.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/rnn/kernels/pool.h"
#include "core/rnn/safetensors.h"
#include "core/rnn/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lam_network lam_network;
typedef struct lam_weights lam_weights;
typedef struct lam_session lam_session;

enum {
    LAM_MAX_LAYERS = 1024,
    LAM_MAX_INPUTS = 8, /* of one layer */
    LAM_MAX_NAME = 96,
};

/* ---- structure ---- */

/* Builds the graph from the manifest's `network` object and checks every layer's options and channels.
 * Errors: LAM_E_INVALID naming the layer and the member, LAM_E_UNSUPPORTED (unknown layer kind), LAM_E_LIMIT.
 */
lam_status lam_network_create(const lam_jv *json, lam_network **out, lam_error *err);
void lam_network_free(lam_network *network);
LAM_DEFINE_AUTO(lam_network, lam_network_free)

/* Axes between batch and channels, and channels of the input and the output. */
int lam_network_axes(const lam_network *network);
int64_t lam_network_input_channels(const lam_network *network);
int64_t lam_network_output_channels(const lam_network *network);

/* Whether the output is probabilities already (a softmax is the last thing the network does) and not logits.
 */
bool lam_network_gives_probabilities(const lam_network *network);

typedef struct lam_parameter {
    char name[LAM_MAX_NAME]; /* "blocks.0.sw.weight_hh" */
    lam_shape shape;
    int64_t offset; /* in floats, from the start of the flat buffer */
    int64_t count;
    bool decay;     /* weight decay applies: matrices and kernels, not biases and gains */
    bool trainable; /* moved by descent: not frozen, not a statistic */
    bool statistic; /* a running statistic, moved by what the pass back leaves in its gradient */
    int layer;      /* index of the layer it belongs to */
} lam_parameter;

size_t lam_network_parameter_count(const lam_network *network);
const lam_parameter *lam_network_parameter(const lam_network *network, size_t index);
/* Floats in the flat buffer, padding included: the length of a gradient buffer. */
int64_t lam_network_parameter_floats(const lam_network *network);

/* ---- parameters ---- */

/* Fresh parameters, drawn from counter-based random numbers keyed by `seed` (see layers/ for the
 * distributions). */
lam_status lam_weights_create(const lam_network *network, uint64_t seed, lam_weights **out, lam_error *err);
/* From a file: exactly the parameters of the network, float32, exact shapes, finite. The error names the
 * first tensor that is missing, superfluous or wrong. */
lam_status lam_weights_load(const lam_network *network, const lam_safetensors *file, lam_weights **out,
                            lam_error *err);
/* The same of member `member` of `members`, whose tensors are named "member.N." and the parameter (just the
 * parameter when there is one member). */
lam_status lam_weights_load_member(const lam_network *network, const lam_safetensors *file, int member,
                                   int members, lam_weights **out, lam_error *err);
/* Takes over those parameters of `file` that have a name and shape of the network's; `*taken` counts them.
 * For fine-tuning. Errors: LAM_E_INVALID (a value that is not finite). */
lam_status lam_weights_adopt(lam_weights *weights, const lam_safetensors *file, size_t *taken,
                             lam_error *err);
void lam_weights_free(lam_weights *weights);
LAM_DEFINE_AUTO(lam_weights, lam_weights_free)

/* Borrowed. */
const lam_network *lam_weights_network(const lam_weights *weights);

/* The flat buffer. After changing it call lam_weights_refresh before anything runs. */
float *lam_weights_data(lam_weights *weights);
const float *lam_weights_view(const lam_weights *weights);
/* Packs again what layers derive from the parameters. Not while a session runs. */
void lam_weights_refresh(lam_weights *weights);
/* Writes all parameters of one or more weight sets of one network as a safetensors file, named as
 * lam_weights_load_member says. `metadata` as in lam_safetensors_write. */
lam_status lam_weights_save(const lam_weights *const *members, size_t member_count, int fd,
                            const char *const (*metadata)[2], size_t metadata_count, lam_error *err);

/* ---- running ---- */

typedef enum lam_mode { LAM_MODE_INFER, LAM_MODE_TRAIN } lam_mode;

/* Nothing is allocated for the network yet. `weights` and `pool` (NULL: one thread) must outlive the session.
 */
lam_status lam_session_create(const lam_weights *weights, lam_mode mode, lam_pool *pool, lam_session **out,
                              lam_error *err);
void lam_session_free(lam_session *session);
LAM_DEFINE_AUTO(lam_session, lam_session_free)

/* From now on runs another weight set of the same network, which must outlive the session; the plan stays. */
void lam_session_use(lam_session *session, const lam_weights *weights);

/* Plans for inputs of `input` = [batch, axes…, channels]; memory of an earlier plan is used again where it
 * suffices. Errors: LAM_E_INVALID (a layer cannot take this size; names it), LAM_E_LIMIT, LAM_E_NO_MEMORY;
 * then the session has no plan. */
lam_status lam_session_plan(lam_session *session, const lam_shape *input, lam_error *err);

/* Bytes held. */
size_t lam_session_bytes(const lam_session *session);

/* Where the input goes and the output comes from; borrowed, valid until the next plan. The input is preserved
 * by a run in training only. */
float *lam_session_input(lam_session *session);
const float *lam_session_output(const lam_session *session);
const lam_shape *lam_session_output_shape(const lam_session *session);

/* For networks of sequences of unequal length: how many steps of each of the batch are valid (borrowed; at
 * least 1, at most the planned number), or NULL for all. Recurrent layers keep the state and give 0 after the
 * end, and start there when they run backward. Valid until the next call or plan. */
void lam_session_set_lengths(lam_session *session, const uint32_t *lengths);

/* input → output. Needs a plan; cannot fail. */
void lam_session_run(lam_session *session);

/* Training. `key` seeds what is random in this pass (dropout): the same key, the same bits. */
void lam_session_forward(lam_session *session, uint64_t key);
/* How a training session behaves: as in training (the default), as in inference while everything is kept that
 * lam_session_backward needs (gradients that explain an answer), or as in inference but for dropout (answers
 * that vary with the key: Gal, Ghahramani, ICML 2016). Valid from the next forward on. */
typedef enum lam_behaviour { LAM_BEHAVE_TRAINING, LAM_BEHAVE_INFERENCE, LAM_BEHAVE_DROPOUT } lam_behaviour;
void lam_session_behave(lam_session *session, lam_behaviour behaviour);

/* For each position that the layer `name` of kind attention_pool weighs, how much (they sum to 1 over the
 * pooled axes): shape [batch, axes…] of its input. NULL when there is no such layer. Of a training session,
 * after forward; borrowed until the next one. */
const float *lam_session_attention(const lam_session *session, const char *name, lam_shape *shape);

/* Gradient of the loss with respect to the output: filled by the caller before lam_session_backward. */
float *lam_session_output_gradient(lam_session *session);
/* Adds the gradient with respect to every parameter to `gradient` (layout of the flat parameter buffer).
 * Uses what lam_session_forward kept. With `want_input` also computes lam_session_input_gradient. */
void lam_session_backward(lam_session *session, float *gradient, bool want_input);
const float *lam_session_input_gradient(const lam_session *session);

#ifdef __cplusplus
}
#endif
#endif
