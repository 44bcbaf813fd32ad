#include "core/rnn/elements.h"

#include <string.h>

#include "core/rnn/numbers.h"

double lam_element_at(const lam_tensor *tensor, int64_t index)
{
    const void *data = tensor->data;
    switch (tensor->dtype) {
    case LAM_DTYPE_BOOL:
    case LAM_DTYPE_U8:
        return ((const uint8_t *)data)[index];
    case LAM_DTYPE_I8:
        return ((const int8_t *)data)[index];
    case LAM_DTYPE_I16:
        return ((const int16_t *)data)[index];
    case LAM_DTYPE_U16:
        return ((const uint16_t *)data)[index];
    case LAM_DTYPE_F16:
        return (double)lam_float_of_half(((const uint16_t *)data)[index]);
    case LAM_DTYPE_BF16:
        return (double)lam_float_of_bf16(((const uint16_t *)data)[index]);
    case LAM_DTYPE_I32:
        return ((const int32_t *)data)[index];
    case LAM_DTYPE_U32:
        return ((const uint32_t *)data)[index];
    case LAM_DTYPE_F32:
        return (double)((const float *)data)[index];
    case LAM_DTYPE_F64:
        return ((const double *)data)[index];
    case LAM_DTYPE_I64:
        return (double)((const int64_t *)data)[index];
    case LAM_DTYPE_U64:
        return (double)((const uint64_t *)data)[index];
    case LAM_DTYPE_COUNT:
        break;
    }
    return 0;
}

void lam_elements_read(const lam_tensor *tensor, int64_t first, int64_t count, float *out)
{
    if (tensor->dtype == LAM_DTYPE_F32)
        memcpy(out, (const float *)tensor->data + first, (size_t)count * sizeof *out);
    else
        for (int64_t i = 0; i < count; i++)
            out[i] = (float)lam_element_at(tensor, first + i);
}
