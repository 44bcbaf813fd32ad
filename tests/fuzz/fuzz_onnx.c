/* Fuzzes core/rnn/import with ONNX files: an import gives a network and weights, or an error that says why.
 */
#include <stdint.h>
#include <stdlib.h>

#include "core/rnn/import/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    LAM_AUTO(lam_buffer_done) lam_buffer json;
    LAM_AUTO_PTR(lam_network) *network = NULL;
    LAM_AUTO_PTR(lam_weights) *weights = NULL;
    lam_error err = {LAM_OK, ""};
    lam_buffer_init(&json, 1 << 20);
    lam_status status = lam_import_onnx(bytes, length, NULL, NULL, &json, &network, &weights, &err);
    if (status == LAM_OK ? !weights || json.length == 0 : network || weights || !err.message[0])
        abort();
    return 0;
}
