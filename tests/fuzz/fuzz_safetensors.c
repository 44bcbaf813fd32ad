/* Fuzzes core/rnn/safetensors: every tensor that a file is said to hold must be readable to its last byte;
 * and what takes any file for an input gate. */
#include <stdint.h>
#include <stdlib.h>

#include "core/rnn/gate.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    LAM_AUTO_PTR(lam_safetensors) *file = NULL;
    lam_error err = {LAM_OK, ""};
    volatile unsigned sum = 0;
    if (lam_safetensors_parse(bytes, length, &file, &err) != LAM_OK) {
        if (file || !err.message[0])
            abort();
        return 0;
    }
    for (size_t i = 0; i < lam_safetensors_count(file); i++) {
        const lam_tensor *tensor = lam_safetensors_at(file, i);
        if (lam_safetensors_find(file, tensor->name) != tensor)
            abort();
        for (size_t b = 0; b < tensor->bytes; b++)
            sum += ((const uint8_t *)tensor->data)[b];
    }
    LAM_AUTO_PTR(lam_gate) *gate = NULL;
    if (lam_gate_load(file, &gate, &err) != LAM_OK && (gate || !err.message[0]))
        abort();
    return 0;
}
