/* A model bundle in memory: manifest, network and weights, everything checked, so that running it cannot
 * fail. Immutable after loading and shared between threads. */
#ifndef LAMINA_RNN_BUNDLE_H
#define LAMINA_RNN_BUNDLE_H

#include "core/base/cleanup.h"
#include "core/base/status.h"
#include "core/rnn/gate.h"
#include "core/rnn/manifest.h"
#include "core/rnn/network.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lam_bundle lam_bundle;

#define LAM_BUNDLE_MANIFEST "model.json"
#define LAM_BUNDLE_WEIGHTS  "weights.safetensors"
#define LAM_BUNDLE_GATE     "gate.safetensors"
#define LAM_BUNDLE_CARD     "card.md"

/* Loads from descriptors (which the caller may close afterwards): for a process that is handed descriptors
 * and sees no paths. `gate_fd` -1: none, which is an error where the manifest has one. Checks names, shapes,
 * sizes and the SHA-256 of weights and gate. Errors: LAM_E_INVALID, LAM_E_CORRUPT (the hash differs),
 * LAM_E_LIMIT, LAM_E_NO_MEMORY, LAM_E_IO; the message names the tensor or member. */
lam_status lam_bundle_load(int manifest_fd, int weights_fd, int gate_fd, lam_bundle **out, lam_error *err);

/* The same from a bundle's directory. */
lam_status lam_bundle_load_dir(int directory_fd, lam_bundle **out, lam_error *err);

/* The bundle's directory that a person means by `path`: itself where it has a model.json, else, as the folder
 * of a model's versions, that of the newest (in the order of strverscmp). `out` has room for `size` bytes.
 * LAM_E_NOT_FOUND: neither; LAM_E_IO; LAM_E_LIMIT: too long. */
lam_status lam_bundle_find(const char *path, char *out, size_t size, lam_error *err);
/* lam_bundle_load_dir of what lam_bundle_find gives. */
lam_status lam_bundle_load_path(const char *path, lam_bundle **out, lam_error *err);

void lam_bundle_free(lam_bundle *bundle);
LAM_DEFINE_AUTO(lam_bundle, lam_bundle_free)

/* Borrowed. */
const lam_manifest *lam_bundle_manifest(const lam_bundle *bundle);
const lam_network *lam_bundle_network(const lam_bundle *bundle);
const lam_weights *lam_bundle_weights(const lam_bundle *bundle); /* of the first member */
/* NULL when the model has none. */
const lam_gate *lam_bundle_gate(const lam_bundle *bundle);
/* All weight sets: one, or those of an ensemble, whose tensors are named "member.N." and the parameter. */
const lam_weights *const *lam_bundle_members(const lam_bundle *bundle, size_t *count);
/* SHA-256 of the weights file as it is, lower-case hexadecimal. */
const char *lam_bundle_weights_sha256(const lam_bundle *bundle);

/* lam_session_plan, and the check that the result has the shape the task needs: a segmentation the input's
 * size and a channel a class, a classification [batch, classes]. */
lam_status lam_bundle_plan(const lam_manifest *manifest, lam_session *session, const lam_shape *input,
                           lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
