/* A strictly causal network run in steps: position after position in memory order, while its input comes to
 * be known. States of recurrent layers and delayed values are kept, and each layer runs as early as what it
 * reads is known, on as much as is known then: what depends on earlier planes alone once a plane, on earlier
 * rows once a row, and only the rest once a position. So all steps together cost one pass over the input, and
 * give what one pass gives. Knows nothing of images or of drawing (generate.h). */
#ifndef LAMINA_RNN_CAUSAL_H
#define LAMINA_RNN_CAUSAL_H

#include "core/base/cleanup.h"
#include "core/rnn/network.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One thread's. Runs a batch of inputs side by side. */
typedef struct lam_causal lam_causal;

/* `input` is [batch, axes…, channels] as for lam_session_plan; `weights` must outlive the result. Channel 0
 * is what comes to be known, the others are known beforehand. Errors: LAM_E_INVALID (the network's result
 * depends on its own position's channel 0 or on later ones: names the layer), LAM_E_UNSUPPORTED (a layer that
 * cannot be run in steps), LAM_E_LIMIT, LAM_E_NO_MEMORY. */
lam_status lam_causal_create(const lam_weights *weights, const lam_shape *input, lam_causal **out,
                             lam_error *err);
void lam_causal_free(lam_causal *causal);
LAM_DEFINE_AUTO(lam_causal, lam_causal_free)

/* The whole input [batch, axes…, channels]; borrowed. All channels but the first are to be filled before the
 * first step after lam_causal_restart. */
float *lam_causal_input(lam_causal *causal);

/* Goes to the next position in memory order, at first to the first one, and gives the network's result there:
 * [batch, channels], borrowed until the next step. Channel 0 of the positions before must be known by now.
 * Not to be called more often than there are positions. */
const float *lam_causal_step(lam_causal *causal);

/* Back to before the first position, for other inputs of the same shape. */
void lam_causal_restart(lam_causal *causal);

#ifdef __cplusplus
}
#endif
#endif
