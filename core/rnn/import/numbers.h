/* Short floating-point numbers as float32, exactly, infinities and NaN included. Internal to core/rnn/import.
 */
#ifndef LAMINA_RNN_IMPORT_NUMBERS_H
#define LAMINA_RNN_IMPORT_NUMBERS_H

#include <stdint.h>
#include <string.h>

static inline float lam_float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* bfloat16: the upper half of a float32. */
static inline float lam_float_of_bf16(uint16_t bits)
{
    return lam_float_of_bits((uint32_t)bits << 16);
}

/* IEEE 754 binary16. */
static inline float lam_float_of_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, mantissa = half & 1023;
    if (exponent == 31)
        return lam_float_of_bits(sign | 0x7f800000 | mantissa << 13);
    if (exponent)
        return lam_float_of_bits(sign | (exponent + 112) << 23 | mantissa << 13);
    float value = (float)mantissa / (1 << 24);
    return sign ? -value : value;
}

#endif
