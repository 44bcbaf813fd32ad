/* One vector of floats, in the form that the including file is compiled for: AVX-512, AVX2 with FMA, or GNU C
 * vectors of four. Kernels are written once against this and compiled three times (forms_*.c).
 *
 * vf_stream writes a whole vector to an address aligned to it, past the caches; other threads may read it
 * after a store fence.
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
#ifdef LAM_FORM_BF16
#define FORM(name) name##_bf16
#else
#define FORM(name) name##_avx512
#endif

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
INLINE void vf_stream(float *p, vf a)
{
    _mm512_stream_ps(p, a);
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
#ifdef LAM_FORM_BF16
/* The product loops of this form take a vector of bfloat16 pairs for a vector of floats: c + a0·b0 + a1·b1.
 */
INLINE vf vf_mac(vf a, vf b, vf c)
{
    return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b);
}
INLINE void vf_store_bf16(float *p, vf a)
{
    _mm256_storeu_si256((__m256i *)(void *)p, (__m256i)_mm512_cvtneps_pbh(a));
}
#endif
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
INLINE vf vf_round(vf a) /* |a| < 2^22 */
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
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
INLINE void vf_stream(float *p, vf a)
{
    _mm256_stream_ps(p, a);
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
INLINE vf vf_round(vf a)
{
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

#else

#ifdef __aarch64__
#include <arm_neon.h>
#endif

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
INLINE void vf_stream(float *p, vf a)
{
    vf_store(p, a);
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
#ifdef __aarch64__
    return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
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
INLINE vf vf_round(vf a)
{
    const vf magic = vf_set(12582912.0f); /* 1.5·2^23: adding it rounds to an integer */
    return (a + magic) - magic;
}

#endif

#ifndef LAM_FORM_BF16
INLINE vf vf_mac(vf a, vf b, vf c)
{
    return vf_fma(a, b, c);
}
#endif

/* Coefficients of the functions below. Kernels with a product loop pass vf_constants_here() so that the
 * compiler reads them after the loop instead of keeping them in registers through it, where the sums must be.
 */
typedef struct vf_constants {
    float one, log2_e, ln2_high, ln2_low;
    float exp[4]; /* of f², f³, f⁴, f⁵ in exp(f) - 1 - f; minimax on ±ln2/2, relative error 1.1e-7 */
    float exp_least, exp_most; /* where exp is 0 and infinite */
    float gate_limit;          /* ±126: beyond it a gate is 0 or 1 */
    float exp2[5];             /* of f … f⁵ in 2^f - 1; minimax on ±1/2, relative error 9.2e-8 */
    float exp2_floor[6];       /* of 1 … f⁵ in 2^f; minimax on 0 … 1, relative error 9.0e-8 */
    float tanh_limit;          /* where tanh is 1 in float */
    float tanh_top[4], tanh_bottom[4]; /* of u, u², u³, u⁴ in x·(1 + …) / (1 + …), u = x²; minimax, 2.1e-8 */
} vf_constants;

static const vf_constants vf_constants_known = {
    .one = 1.0f,
    .log2_e = 1.44269504f,
    .ln2_high = -0.693359375f,
    .ln2_low = 2.12194440e-4f,
    .exp = {4.999923031e-1f, 1.666711539e-1f, 4.189033157e-2f, 8.312501289e-3f},
    .exp_least = -104.5f,
    .exp_most = 89.5f,
    .gate_limit = 126.0f,
    .exp2 = {6.931469764e-1f, 2.402224046e-1f, 5.550735032e-2f, 9.671619004e-3f, 1.326459076e-3f},
    .exp2_floor = {9.999999404e-1f, 6.931530833e-1f, 2.401536107e-1f, 5.582631752e-2f, 8.989339694e-3f,
                   1.877576695e-3f},
    .tanh_limit = 9.02f,
    .tanh_top = {1.337972432e-1f, 3.494031727e-3f, 2.058347127e-5f, 1.331906851e-8f},
    .tanh_bottom = {4.671304524e-1f, 2.587107383e-2f, 3.283089900e-4f, 7.762011478e-7f},
};

INLINE const vf_constants *vf_constants_here(void)
{
    const vf_constants *k = &vf_constants_known;
    __asm__ volatile("" : "+r"(k));
    return k;
}

/* exp(x) = p · 2^n with n integral and p in [0.7, 1.42]. */
INLINE vf vf_exp_reduced(const vf_constants *k, vf x, vf *n)
{
    *n = vf_round(x * vf_set(k->log2_e));
    vf f = vf_fma(*n, vf_set(k->ln2_high), x);
    f = vf_fma(*n, vf_set(k->ln2_low), f);
    vf p = vf_fma(vf_set(k->exp[3]), f, vf_set(k->exp[2]));
    p = vf_fma(p, f, vf_set(k->exp[1]));
    p = vf_fma(p, f, vf_set(k->exp[0]));
    return vf_fma(f * f, p, f + vf_set(k->one));
}

/* exp over the whole range: 0 below -104, infinity above 88.73, denormals in between. */
INLINE vf vf_exp(const vf_constants *k, vf x)
{
    vf n, p = vf_exp_reduced(k, vf_max(vf_set(k->exp_least), vf_min(vf_set(k->exp_most), x)), &n);
    return vf_scale(p, n);
}

INLINE vf vf_clamp(vf x, float limit)
{
    return vf_max(vf_set(-limit), vf_min(vf_set(limit), x));
}

/* x - n, n the integer below x, kept within ±limit; vf_scale_normal(p, *n) is then p · 2^n. */
INLINE vf vf_above_floor(vf x, float limit, vf *n)
{
#if defined(__AVX512F__) && defined(__AVX512DQ__)
    (void)limit; /* scaling rounds down itself, and knows 0 and infinity */
    *n = x;
    return _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#else
    x = vf_clamp(x, limit);
    *n = vf_round(x - vf_set(0.5f));
    return x - *n;
#endif
}

/* 1 + exp(-x), always finite: the denominator of a sigmoid. Works in powers of two without a second step of
 * reduction, whose error the sigmoid's flatness hides. */
INLINE vf vf_sigmoid_denominator(const vf_constants *k, vf x)
{
    vf y = vf_clamp(x * vf_set(-k->log2_e), k->gate_limit), n = vf_round(y), f = y - n;
    vf p = vf_fma(vf_set(k->exp2[4]), f, vf_set(k->exp2[3]));
    p = vf_fma(p, f, vf_set(k->exp2[2]));
    p = vf_fma(p, f, vf_set(k->exp2[1]));
    p = vf_fma(p, f, vf_set(k->exp2[0]));
    p = vf_fma(p, f, vf_set(k->one));
    return vf_scale_normal(p, n) + vf_set(k->one);
}

/* The light cell's gate, which weighs more there: with the integer below instead of the nearest, a step less,
 * and in AVX-512 no clamp. Absolute error 1.5e-7. */
INLINE vf vf_light_gate(const vf_constants *k, vf x)
{
    vf n, f = vf_above_floor(x * vf_set(-k->log2_e), k->gate_limit, &n);
    vf p = vf_fma(vf_set(k->exp2_floor[5]), f, vf_set(k->exp2_floor[4]));
    p = vf_fma(p, f, vf_set(k->exp2_floor[3]));
    p = vf_fma(p, f, vf_set(k->exp2_floor[2]));
    p = vf_fma(p, f, vf_set(k->exp2_floor[1]));
    p = vf_fma(p, f, vf_set(k->exp2_floor[0]));
    return vf_set(k->one) / (vf_scale_normal(p, n) + vf_set(k->one));
}

/* A gate: absolute error 1.5e-7. */
INLINE vf vf_gate(const vf_constants *k, vf x)
{
    return vf_set(k->one) / vf_sigmoid_denominator(k, x);
}

/* The logistic function with full relative accuracy. */
INLINE vf vf_sigmoid(const vf_constants *k, vf x)
{
    vf z = vf_exp(k, vf_set(0.0f) - vf_abs(x));
    return vf_if_negative(x, z, vf_set(k->one)) / (vf_set(k->one) + z);
}

/* tanh x = top / bottom, kept as a fraction so that a product of activations needs one division. */
typedef struct vf_fraction {
    vf top, bottom;
} vf_fraction;

INLINE vf_fraction vf_tanh_fraction(const vf_constants *k, vf x)
{
    x = vf_clamp(x, k->tanh_limit);
    vf u = x * x, p = vf_set(k->tanh_top[3]), q = vf_set(k->tanh_bottom[3]);
    p = vf_fma(p, u, vf_set(k->tanh_top[2]));
    q = vf_fma(q, u, vf_set(k->tanh_bottom[2]));
    p = vf_fma(p, u, vf_set(k->tanh_top[1]));
    q = vf_fma(q, u, vf_set(k->tanh_bottom[1]));
    p = vf_fma(p, u, vf_set(k->tanh_top[0]));
    q = vf_fma(q, u, vf_set(k->tanh_bottom[0]));
    p = vf_fma(p, u, vf_set(k->one));
    q = vf_fma(q, u, vf_set(k->one));
    return (vf_fraction){x * p, q};
}

/* For cells: within 6 ulp, so 4e-7 absolute. */
INLINE vf vf_tanh_gate(const vf_constants *k, vf x)
{
    vf_fraction t = vf_tanh_fraction(k, x);
    return t.top / t.bottom;
}

/* tanh with full relative accuracy: the fraction near zero, elsewhere 1 - 2 / (exp 2|x| + 1) with x's sign.
 */
INLINE vf vf_tanh(const vf_constants *k, vf x)
{
    vf one = vf_set(k->one), size = vf_abs(x);
    vf far = one - vf_set(2.0f) / (vf_exp(k, size + size) + one);
    far = vf_if_negative(x, vf_set(0.0f) - far, far);
    return vf_if_negative(size - vf_set(0.6f), vf_tanh_gate(k, x), far);
}

#endif
