/* Models trained elsewhere: ONNX files, and PyTorch's or Keras's states saved as safetensors.
 *
 * What an ONNX file holds becomes layers of ours; a state has only numbers, so that its network must be
 * described first. Weights are taken over exactly, gates and axes put in our order. */
#ifndef LAMINA_RNN_IMPORT_IMPORT_H
#define LAMINA_RNN_IMPORT_IMPORT_H

#include "core/base/buffer.h"
#include "core/base/json.h"
#include "core/rnn/network.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Reads an ONNX model (opset 7 to 18).
 *
 * `layout` says what the dimensions of its input are: a letter each, N the batch, C the channels, others name
 * axes (NTCHW: axes t, h, w); NULL: NC + spatial axes before a convolution, TNC before a recurrent node, else
 * NC, NTC, NCHW, NTCHW by rank. `output`, or NULL for the first, is the graph's output that is wanted.
 *
 * `json` gets the manifest's `network` object. Errors: LAM_E_UNSUPPORTED naming node and operator,
 * LAM_E_CORRUPT, LAM_E_INVALID, LAM_E_LIMIT, LAM_E_NO_MEMORY. */
lam_status lam_import_onnx(const void *bytes, size_t length, const char *layout, const char *output,
                           lam_buffer *json, lam_network **network, lam_weights **weights, lam_error *err);

typedef enum lam_state_framework { LAM_STATE_PYTORCH, LAM_STATE_KERAS } lam_state_framework;

/* Fills a network's parameters from a state.
 *
 * `map` (or NULL) is an object: a layer of ours to the name of the module (PyTorch, "encoder.rnn") or layer
 * (Keras, "bidirectional_1") it comes from, or to {"from": name, "layer": n} for layer n (from 0) of a
 * stacked PyTorch RNN. Layers that it does not name come from a module of their own name.
 *
 * PyTorch: the names of state_dict(). Keras: <layer>/…/kernel and so on (":0" is ignored), or Keras 3's
 * <layer>/…/vars/0; forward_ and backward_ in the path of a Bidirectional. Numbers may be F32, F64, F16 or
 * BF16. Errors: LAM_E_INVALID or LAM_E_NOT_FOUND naming parameter and tensor, also for tensors of the state
 * that no parameter took. */
lam_status lam_import_state(const lam_network *network, const lam_safetensors *state,
                            lam_state_framework framework, const lam_jv *map, lam_weights **out,
                            lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
