/* Put before every source of the engine to compile it a second time with `float` as double: the reference
 * that derivatives are held against. The engine's own lines of layers, cells, losses and blocking run, in the
 * plain form; what is replaced is the arithmetic below them, vec.h with its polynomials made for float, by
 * libm. Such objects must not meet ordinary ones of the engine; core/base knows no float. */
#ifndef LAMINA_TESTS_RNN_DOUBLE_H
#define LAMINA_TESTS_RNN_DOUBLE_H

/* All that the engine includes of the system, before the word changes its meaning. */
#include <assert.h>
#include <cblas.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <regex.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef float lam_single; /* as files hold it */

#define float double
#define sqrtf       sqrt
#define expf        exp
#define exp2f       exp2
#define logf        log
#define cosf        cos
#define sinf        sin
#define fabsf       fabs
#define fmaxf       fmax
#define fminf       fmin
#define floorf      floor
#define roundf      round
#define powf        pow
#define tanhf       tanh
#define cblas_sgemm cblas_dgemm
#undef __x86_64__ /* no form but the plain one */

/* ---- in place of core/rnn/kernels/vec.h ---- */

#define LAMINA_RNN_KERNELS_VEC_H
#define INLINE     static inline __attribute__((always_inline))
#define FORM(name) name##_plain

typedef double vf __attribute__((vector_size(16)));
typedef int64_t vi __attribute__((vector_size(16)));
enum { LANES = 2 };

typedef struct vf_constants {
    char none;
} vf_constants;
static const vf_constants vf_constants_known = {0};

typedef struct vf_fraction {
    vf top, bottom;
} vf_fraction;

INLINE const vf_constants *vf_constants_here(void)
{
    return &vf_constants_known;
}
INLINE vf vf_set(double a)
{
    return (vf){a, a};
}
INLINE vf vf_load(const double *p)
{
    return (vf){p[0], p[1]};
}
INLINE void vf_store(double *p, vf a)
{
    p[0] = a[0];
    p[1] = a[1];
}
INLINE void vf_stream(double *p, vf a)
{
    vf_store(p, a);
}
INLINE vf vf_load_part(const double *p, size_t n)
{
    return (vf){n > 0 ? p[0] : 0, n > 1 ? p[1] : 0};
}
INLINE void vf_store_part(double *p, size_t n, vf a)
{
    for (size_t i = 0; i < n; i++)
        p[i] = a[i];
}
INLINE vf vf_fma(vf a, vf b, vf c)
{
    return a * b + c;
}
INLINE vf vf_mac(vf a, vf b, vf c)
{
    return a * b + c;
}
INLINE vf vf_max(vf a, vf b)
{
    return (vf){a[0] > b[0] ? a[0] : b[0], a[1] > b[1] ? a[1] : b[1]};
}
INLINE vf vf_if_positive(vf x, vf a, vf b)
{
    return (vf){x[0] > 0 ? a[0] : b[0], x[1] > 0 ? a[1] : b[1]};
}
INLINE double vf_sum(vf a)
{
    return a[0] + a[1];
}
INLINE vf vf_exp(const vf_constants *k, vf x)
{
    (void)k;
    return (vf){exp(x[0]), exp(x[1])};
}
INLINE vf vf_sigmoid_denominator(const vf_constants *k, vf x)
{
    return vf_set(1) + vf_exp(k, -x);
}
INLINE vf vf_sigmoid(const vf_constants *k, vf x)
{
    return vf_set(1) / vf_sigmoid_denominator(k, x);
}
INLINE vf vf_gate(const vf_constants *k, vf x)
{
    return vf_sigmoid(k, x);
}
INLINE vf vf_light_gate(const vf_constants *k, vf x)
{
    return vf_sigmoid(k, x);
}
INLINE vf vf_tanh(const vf_constants *k, vf x)
{
    (void)k;
    return (vf){tanh(x[0]), tanh(x[1])};
}
INLINE vf vf_tanh_gate(const vf_constants *k, vf x)
{
    return vf_tanh(k, x);
}
INLINE vf_fraction vf_tanh_fraction(const vf_constants *k, vf x)
{
    return (vf_fraction){vf_tanh(k, x), vf_set(1)};
}

#endif
