/* Short floating-point numbers as float32, exactly, infinities and NaN included. Internal to core/rnn. */
#ifndef LAMINA_RNN_NUMBERS_H
#define LAMINA_RNN_NUMBERS_H

#include <math.h>
#include <stdint.h>

/* 16 bits: a sign, an exponent, and `fraction_bits` of a fraction. */
static inline float lam_float_of_short(uint16_t bits, int fraction_bits)
{
    int exponents = 1 << (15 - fraction_bits), bias = exponents / 2 - 1;
    int exponent = bits >> fraction_bits & (exponents - 1), fraction = bits & ((1 << fraction_bits) - 1);
    double value;
    if (exponent == exponents - 1)
        value = fraction ? (double)NAN : (double)INFINITY;
    else if (exponent == 0)
        value = ldexp(fraction, 1 - bias - fraction_bits);
    else
        value = ldexp(fraction + (1 << fraction_bits), exponent - bias - fraction_bits);
    return (float)(bits >> 15 ? -value : value);
}

/* bfloat16: the upper half of a float32. */
static inline float lam_float_of_bf16(uint16_t bits)
{
    return lam_float_of_short(bits, 7);
}

/* IEEE 754 binary16. */
static inline float lam_float_of_half(uint16_t half)
{
    return lam_float_of_short(half, 10);
}

#endif
