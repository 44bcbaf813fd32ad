/* One vector of floats, in the form that the including file is compiled for: AVX-512, AVX2 with FMA, or GNU C
 * vectors of four. Kernels are written once against this and compiled three times (forms_*.c).
 *
 * Private to the kernels. Arithmetic on `vf` uses the operators + - * /. In vf_max and vf_min the second
 * operand wins when either is NaN, so that NaN survives a clamp. */
#ifndef LAMINA_RNN_KERNELS_VEC_H
#define LAMINA_RNN_KERNELS_VEC_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

#if defined(__AVX512F__) && defined(__AVX512DQ__)

#include <immintrin.h>

typedef __m512 vf;
enum { LANES = 16 };
#define FORM(name) name##_avx512

INLINE vf vf_set(float a)
{
    return _mm512_set1_ps(a);
}
INLINE vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
INLINE void vf_store(float *p, vf a)
{
    _mm512_storeu_ps(p, a);
}
INLINE vf vf_load_part(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
INLINE void vf_store_part(float *p, size_t n, vf a)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), a);
}
INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}
INLINE vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}
INLINE vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}
INLINE vf vf_abs(vf a)
{
    return _mm512_abs_ps(a);
}
/* a where test < 0 or -0, else b. */
INLINE vf vf_if_negative(vf test, vf a, vf b)
{
    return _mm512_mask_blend_ps(_mm512_movepi32_mask(_mm512_castps_si512(test)), b, a);
}
/* a where x > 0, else b (also for NaN). */
INLINE vf vf_if_positive(vf x, vf a, vf b)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GT_OQ), b, a);
}
INLINE float vf_sum(vf a)
{
    return _mm512_reduce_add_ps(a);
}
/* a · 2^n for integral n, overflow and denormals done right; vf_scale_normal: where the result is normal. */
INLINE vf vf_scale(vf a, vf n)
{
    return _mm512_scalef_ps(a, n);
}
INLINE vf vf_scale_normal(vf a, vf n)
{
    return _mm512_scalef_ps(a, n);
}

#elif defined(__AVX2__) && defined(__FMA__)

#include <immintrin.h>

typedef __m256 vf;
enum { LANES = 8 };
#define FORM(name) name##_avx2

INLINE __m256i vf_part_mask(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
INLINE vf vf_set(float a)
{
    return _mm256_set1_ps(a);
}
INLINE vf vf_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
INLINE void vf_store(float *p, vf a)
{
    _mm256_storeu_ps(p, a);
}
INLINE vf vf_load_part(const float *p, size_t n)
{
    return n == LANES ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, vf_part_mask(n));
}
INLINE void vf_store_part(float *p, size_t n, vf a)
{
    if (n == LANES)
        _mm256_storeu_ps(p, a);
    else
        _mm256_maskstore_ps(p, vf_part_mask(n), a);
}
INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}
INLINE vf vf_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}
INLINE vf vf_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}
INLINE vf vf_abs(vf a)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}
INLINE vf vf_if_negative(vf test, vf a, vf b)
{
    return _mm256_blendv_ps(b, a, test);
}
INLINE vf vf_if_positive(vf x, vf a, vf b)
{
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GT_OQ));
}
INLINE float vf_sum(vf a)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}
INLINE vf vf_power(__m256i n)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}
INLINE vf vf_scale(vf a, vf n)
{
    __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    return a * vf_power(half) * vf_power(_mm256_sub_epi32(whole, half));
}
INLINE vf vf_scale_normal(vf a, vf n)
{
    return a * vf_power(_mm256_cvtps_epi32(n));
}

#else

typedef float vf __attribute__((vector_size(16)));
typedef int32_t vi __attribute__((vector_size(16)));
enum { LANES = 4 };
#define FORM(name) name##_plain

INLINE vf vf_set(float a)
{
    return (vf){a, a, a, a};
}
INLINE vf vf_load(const float *p)
{
    vf a;
    memcpy(&a, p, sizeof a);
    return a;
}
INLINE void vf_store(float *p, vf a)
{
    memcpy(p, &a, sizeof a);
}
INLINE vf vf_load_part(const float *p, size_t n)
{
    vf a = {0, 0, 0, 0};
    for (size_t i = 0; i < n; i++)
        a[i] = p[i];
    return a;
}
INLINE void vf_store_part(float *p, size_t n, vf a)
{
    for (size_t i = 0; i < n; i++)
        p[i] = a[i];
}
INLINE vf vf_fma(vf a, vf b, vf c)
{
#ifdef __FP_FAST_FMAF /* as on aarch64 */
    return (vf){__builtin_fmaf(a[0], b[0], c[0]), __builtin_fmaf(a[1], b[1], c[1]),
                __builtin_fmaf(a[2], b[2], c[2]), __builtin_fmaf(a[3], b[3], c[3])};
#else
    return a * b + c;
#endif
}
INLINE vf vf_select(vi mask, vf a, vf b)
{
    return (vf)((mask & (vi)a) | (~mask & (vi)b));
}
INLINE vf vf_max(vf a, vf b)
{
    return vf_select(a > b, a, b);
}
INLINE vf vf_min(vf a, vf b)
{
    return vf_select(a < b, a, b);
}
INLINE vf vf_abs(vf a)
{
    return (vf)((vi)a & 0x7fffffff);
}
INLINE vf vf_if_negative(vf test, vf a, vf b)
{
    return vf_select((vi)test >> 31, a, b);
}
INLINE vf vf_if_positive(vf x, vf a, vf b)
{
    return vf_select(x > vf_set(0), a, b);
}
INLINE float vf_sum(vf a)
{
    return (a[0] + a[2]) + (a[1] + a[3]);
}
INLINE vf vf_power(vi n)
{
    return (vf)((n + 127) << 23);
}
INLINE vi vf_to_int(vf n) /* exact for integral n; NaN gives something */
{
    return (vi)(n + vf_set(12582912.0f)) - 0x4b400000;
}
INLINE vf vf_scale(vf a, vf n)
{
    vi whole = vf_to_int(n), half = whole >> 1;
    return a * vf_power(half) * vf_power(whole - half);
}
INLINE vf vf_scale_normal(vf a, vf n)
{
    return a * vf_power(vf_to_int(n));
}

#endif

/* exp on [-ln2/2, ln2/2] as a polynomial (minimax, relative error 1.1e-7) after reduction by n·ln2. */
INLINE vf vf_exp_reduced(vf x, vf *n)
{
    const vf magic = vf_set(12582912.0f); /* 1.5·2^23: adding it rounds to an integer */
    *n = vf_fma(x, vf_set(1.44269504f), magic) - magic;
    vf f = vf_fma(*n, vf_set(-0.693359375f), x);
    f = vf_fma(*n, vf_set(2.12194440e-4f), f);
    vf p = vf_fma(vf_set(8.312501289e-3f), f, vf_set(4.189033157e-2f));
    p = vf_fma(p, f, vf_set(1.666711539e-1f));
    p = vf_fma(p, f, vf_set(4.999923031e-1f));
    return vf_fma(f * f, p, f + vf_set(1.0f));
}

/* exp over the whole range: 0 below -104, infinity above 88.73, denormals in between. */
INLINE vf vf_exp(vf x)
{
    vf n, p = vf_exp_reduced(vf_max(vf_set(-104.5f), vf_min(vf_set(89.5f), x)), &n);
    return vf_scale(p, n);
}

/* 1 + exp(-x), x taken as within ±87: the denominator of a sigmoid, always finite. */
INLINE vf vf_sigmoid_denominator(vf x)
{
    vf n, p = vf_exp_reduced(vf_set(0.0f) - vf_max(vf_set(-87.0f), vf_min(vf_set(87.0f), x)), &n);
    return vf_scale_normal(p, n) + vf_set(1.0f);
}

/* A gate: absolute error 1e-7 everywhere (relative error grows below -17). */
INLINE vf vf_gate(vf x)
{
    return vf_set(1.0f) / vf_sigmoid_denominator(x);
}

/* The logistic function with full relative accuracy. */
INLINE vf vf_sigmoid(vf x)
{
    vf z = vf_exp(vf_set(0.0f) - vf_abs(x));
    return vf_if_negative(x, z, vf_set(1.0f)) / (vf_set(1.0f) + z);
}

/* tanh x = top / bottom as a rational function of x², minimax relative error 2.1e-8 up to 9.02, where tanh is
 * 1 in float. Kept as a fraction so that a product of activations needs one division. */
typedef struct vf_fraction {
    vf top, bottom;
} vf_fraction;

INLINE vf_fraction vf_tanh_fraction(vf x)
{
    x = vf_max(vf_set(-9.02f), vf_min(vf_set(9.02f), x));
    vf u = x * x;
    vf p = vf_fma(u, vf_set(1.331905183e-8f), vf_set(2.058346519e-5f));
    vf q = vf_fma(u, vf_set(7.762010761e-7f), vf_set(3.283091174e-4f));
    p = vf_fma(p, u, vf_set(3.494033508e-3f));
    q = vf_fma(q, u, vf_set(2.587106912e-2f));
    p = vf_fma(p, u, vf_set(1.337971703e-1f));
    q = vf_fma(q, u, vf_set(4.671303227e-1f));
    p = vf_fma(p, u, vf_set(1.0f));
    q = vf_fma(q, u, vf_set(1.0f));
    return (vf_fraction){x * p, q};
}

INLINE vf vf_tanh(vf x)
{
    vf_fraction t = vf_tanh_fraction(x);
    return t.top / t.bottom;
}

#endif
