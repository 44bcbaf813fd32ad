/* Fuzzes model.json: whatever manifest is accepted, its network can be planned or is refused, and a small one
 * runs. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/rnn/manifest.h"
#include "core/rnn/network.h"
#include "core/rnn/train/recipe.h"

enum { MOST_PARAMETERS = 1 << 16, MOST_BYTES = 1 << 24 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void run_small(const lam_network *network)
{
    LAM_AUTO_PTR(lam_weights) *weights = NULL;
    LAM_AUTO_PTR(lam_session) *session = NULL;
    lam_shape shape = {.rank = lam_network_axes(network) + 2};
    if (lam_network_parameter_floats(network) > MOST_PARAMETERS ||
        lam_weights_create(network, 1, &weights, NULL) != LAM_OK ||
        lam_session_create(weights, LAM_MODE_INFER, NULL, &session, NULL) != LAM_OK)
        return;
    for (int i = 0; i < shape.rank - 1; i++)
        shape.dim[i] = i == 0 ? 1 : 6;
    shape.dim[shape.rank - 1] = lam_network_input_channels(network);
    if (lam_network_input_channels(network) > 64 || lam_session_plan(session, &shape, NULL) != LAM_OK ||
        lam_session_bytes(session) > MOST_BYTES)
        return;
    memset(lam_session_input(session), 0, (size_t)lam_shape_count(&shape) * sizeof(float));
    lam_session_run(session);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    LAM_AUTO_PTR(lam_manifest) *manifest = NULL;
    LAM_AUTO_PTR(lam_network) *network = NULL;
    lam_error err = {LAM_OK, ""};
    lam_recipe recipe;
    if (lam_manifest_parse((const char *)bytes, length, &manifest, &err) != LAM_OK) {
        if (manifest || !err.message[0])
            abort();
        return 0;
    }
    lam_recipe_parse(manifest, &recipe, NULL);
    if (lam_network_create(manifest->network, &network, &err) == LAM_OK)
        run_small(network);
    return 0;
}
