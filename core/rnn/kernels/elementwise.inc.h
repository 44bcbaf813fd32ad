/* Elementwise functions and sums over arrays. Included by the form files only. */
#include <math.h>

#include "core/rnn/kernels/tile.inc.h"

#define EACH(body)                                                                                           \
    for (size_t i = 0, part; i < n; i += part) {                                                             \
        part = tile_part(i, n);                                                                              \
        body;                                                                                                \
    }

#define MAP(name, expression)                                                                                \
    static void name(size_t n, const float *x, float *y)                                                     \
    {                                                                                                        \
        const vf_constants *k = &vf_constants_known;                                                         \
        (void)k;                                                                                             \
        EACH(vf v = vf_load_part(x + i, part); vf_store_part(y + i, part, expression))                       \
    }
MAP(map_exp, vf_exp(k, v))
MAP(map_tanh, vf_tanh(k, v))
MAP(map_sigmoid, vf_sigmoid(k, v))
MAP(map_relu, vf_max(vf_set(0), v))

#define MAP_BACK(name, expression)                                                                           \
    static void name(size_t n, const float *y, const float *dy, float *dx)                                   \
    {                                                                                                        \
        EACH(vf v = vf_load_part(y + i, part); vf d = vf_load_part(dy + i, part);                            \
             vf_store_part(dx + i, part, expression))                                                        \
    }
MAP_BACK(tanh_back, d *(vf_set(1) - v * v))
MAP_BACK(sigmoid_back, d *v *(vf_set(1) - v))
MAP_BACK(relu_back, vf_if_positive(v, d, vf_set(0)))

static void axpy(size_t n, float a, const float *x, float *y)
{
    vf factor = vf_set(a);
    EACH(vf_store_part(y + i, part, vf_fma(factor, vf_load_part(x + i, part), vf_load_part(y + i, part))))
}

static float row_sum(size_t n, const float *x)
{
    vf sum = vf_set(0);
    EACH(sum = sum + vf_load_part(x + i, part))
    return vf_sum(sum);
}

static float row_dot(size_t n, const float *x, const float *y)
{
    vf sum = vf_set(0);
    EACH(sum = vf_fma(vf_load_part(x + i, part), vf_load_part(y + i, part), sum))
    return vf_sum(sum);
}

/* The largest element; NaN if there is one. */
static float row_max(size_t n, const float *x)
{
    float most = x[0];
    for (size_t i = 1; i < n; i++)
        most = !(x[i] <= most) && !(most != most) ? x[i] : most;
    return most;
}

/* y = exp(x - shift); returns the sum. */
static float exp_shifted(size_t n, const float *x, float shift, float *y)
{
    const vf_constants *k = &vf_constants_known;
    vf sum = vf_set(0), s = vf_set(shift);
    EACH(vf e = vf_exp(k, vf_load_part(x + i, part) - s); if (part < LANES) {
        float lanes[LANES] = {0};
        vf_store_part(lanes, part, e);
        e = vf_load(lanes);
    } if (y) vf_store_part(y + i, part, e);
         sum = sum + e)
    return vf_sum(sum);
}

static void row_softmax(size_t n, const float *x, float *y)
{
    float most = row_max(n, x), scale = 1.0f / exp_shifted(n, x, most, y);
    vf factor = vf_set(scale);
    EACH(vf_store_part(y + i, part, vf_load_part(y + i, part) * factor))
}

static void row_log_softmax(size_t n, const float *x, float *y)
{
    float most = row_max(n, x), log_sum = logf(exp_shifted(n, x, most, NULL));
    vf shift = vf_set(most), down = vf_set(log_sum);
    EACH(vf_store_part(y + i, part, vf_load_part(x + i, part) - shift - down))
}

static void add_columns(size_t rows, const size_t *row, size_t n, const float *a, size_t lda, float *sums)
{
    EACH(vf sum = vf_set(0);
         for (size_t r = 0; r < rows; r++) sum = sum + vf_load_part(a + (row ? row[r] : r) * lda + i, part);
         vf_store_part(sums + i, part, vf_load_part(sums + i, part) + sum))
}
