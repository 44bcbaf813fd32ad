/* Elements of a stored tensor as numbers, whatever their type: what others wrote comes as they had it. */
#ifndef LAMINA_RNN_ELEMENTS_H
#define LAMINA_RNN_ELEMENTS_H

#include "core/rnn/safetensors.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One element; exact but for 64-bit integers beyond 2^53, which are rounded. `index` is within the tensor. */
double lam_element_at(const lam_tensor *tensor, int64_t index);

/* `count` elements from number `first` on, rounded to float32. All are within the tensor. */
void lam_elements_read(const lam_tensor *tensor, int64_t first, int64_t count, float *out);

#ifdef __cplusplus
}
#endif
#endif
