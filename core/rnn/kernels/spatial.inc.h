/* Layer normalisation of a row, and rows of depthwise convolutions. Included by the form files only. */
#include <math.h>

#include "core/rnn/kernels/tile.inc.h"

/* Mean first, then the variance around it: no cancellation for data far from zero. */
static void norm(size_t channels, const float *x, const float *gamma, const float *beta, float epsilon,
                 float *y, float *stats)
{
    vf sum = vf_set(0), squares = vf_set(0);
    for (size_t c = 0; c < channels; c += LANES)
        sum = sum + vf_load_part(x + c, tile_part(c, channels));
    float mean = vf_sum(sum) / (float)channels;
    float lanes[LANES];
    for (size_t c = 0; c < channels; c += LANES) {
        size_t part = tile_part(c, channels);
        vf d = vf_load_part(x + c, part) - vf_set(mean);
        if (part < LANES) {
            memset(lanes, 0, sizeof lanes);
            vf_store_part(lanes, part, d);
            d = vf_load(lanes);
        }
        squares = vf_fma(d, d, squares);
    }
    float rstd = 1.0f / sqrtf(vf_sum(squares) / (float)channels + epsilon);
    vf scale = vf_set(rstd), shift = vf_set(mean);
    for (size_t c = 0; c < channels; c += LANES) {
        size_t part = tile_part(c, channels);
        vf v = (vf_load_part(x + c, part) - shift) * scale;
        if (gamma)
            v = v * vf_load_part(gamma + c, part);
        if (beta)
            v = v + vf_load_part(beta + c, part);
        vf_store_part(y + c, part, v);
    }
    if (stats) {
        stats[0] = mean;
        stats[1] = rstd;
    }
}

/* dx = rstd · (dx̂ - mean(dx̂) - x̂ · mean(dx̂·x̂)) with dx̂ = dy·gamma. */
static void norm_back(size_t channels, const float *x, const float *gamma, const float *stats,
                      const float *dy, float *dx)
{
    vf mean = vf_set(stats[0]), rstd = vf_set(stats[1]), sum = vf_set(0), cross = vf_set(0);
    for (size_t c = 0; c < channels; c += LANES) {
        size_t part = tile_part(c, channels);
        vf d = vf_load_part(dy + c, part), xhat = (vf_load_part(x + c, part) - mean) * rstd;
        if (gamma)
            d = d * vf_load_part(gamma + c, part);
        sum = sum + d;
        cross = vf_fma(d, xhat, cross);
    }
    vf m = vf_set(vf_sum(sum) / (float)channels), mx = vf_set(vf_sum(cross) / (float)channels);
    for (size_t c = 0; c < channels; c += LANES) {
        size_t part = tile_part(c, channels);
        vf d = vf_load_part(dy + c, part), xhat = (vf_load_part(x + c, part) - mean) * rstd;
        if (gamma)
            d = d * vf_load_part(gamma + c, part);
        vf_store_part(dx + c, part, rstd * (d - m - xhat * mx));
    }
}

static void norm_back_sums(size_t rows, size_t n, const float *x, size_t ldx, const float *stats,
                           const float *dy, size_t lddy, float *dgamma, float *dbeta)
{
    for (size_t c = 0; c < n; c += LANES) {
        size_t part = tile_part(c, n);
        vf sum = vf_set(0), cross = vf_set(0);
        for (size_t r = 0; r < rows; r++) {
            vf d = vf_load_part(dy + r * lddy + c, part), mean = vf_set(stats[2 * r]),
               rstd = vf_set(stats[2 * r + 1]);
            sum = sum + d;
            cross = vf_fma(d * rstd, vf_load_part(x + r * ldx + c, part) - mean, cross);
        }
        if (dgamma)
            vf_store_part(dgamma + c, part, vf_load_part(dgamma + c, part) + cross);
        if (dbeta)
            vf_store_part(dbeta + c, part, vf_load_part(dbeta + c, part) + sum);
    }
}

/* First and last tap whose position stays inside [0, size). */
INLINE size_t tap_begin(size_t at, size_t half)
{
    return at < half ? half - at : 0;
}
INLINE size_t tap_end(size_t at, size_t half, size_t taps, size_t size)
{
    size_t room = size - at + half; /* taps that fit before the far border */
    return room < taps ? room : taps;
}

/* A row of outputs: for each position and vector of channels the sum over the taps that lie inside. */
static void depthwise(const lam_depthwise *s, size_t z, size_t y, const float *x, const float *w,
                      const float *bias, bool add_input, bool mirror, float *out)
{
    size_t hz = s->kernel_depth / 2, hy = s->kernel_height / 2, hx = s->kernel_width / 2,
           channels = s->channels;
    size_t z0 = tap_begin(z, hz), z1 = tap_end(z, hz, s->kernel_depth, s->depth);
    size_t y0 = tap_begin(y, hy), y1 = tap_end(y, hy, s->kernel_height, s->height);
    size_t last = s->kernel_depth * s->kernel_height * s->kernel_width - 1;
    for (size_t c = 0; c < channels; c += LANES) {
        size_t part = tile_part(c, channels);
        for (size_t i = 0; i < s->width; i++) {
            size_t x0 = tap_begin(i, hx), x1 = tap_end(i, hx, s->kernel_width, s->width);
            size_t here = ((z * s->height + y) * s->width + i) * channels + c;
            vf sum = bias ? vf_load_part(bias + c, part) : vf_set(0);
            if (add_input)
                sum = sum + vf_load_part(x + here, part);
            for (size_t tz = z0; tz < z1; tz++) {
                for (size_t ty = y0; ty < y1; ty++) {
                    size_t row = ((z + tz - hz) * s->height + y + ty - hy) * s->width + i - hx;
                    size_t tap = (tz * s->kernel_height + ty) * s->kernel_width;
                    for (size_t tx = x0; tx < x1; tx++) {
                        size_t k = mirror ? last - tap - tx : tap + tx;
                        sum = vf_fma(vf_load_part(w + k * channels + c, part),
                                     vf_load_part(x + (row + tx) * channels + c, part), sum);
                    }
                }
            }
            vf_store_part(out + here, part, sum);
        }
    }
}

/* dw for the taps of one kernel row, some channels of one sample: sums stay in registers along each image
 * row. */
static void depthwise_weights(const lam_depthwise *s, size_t first, size_t count, size_t tap_z, size_t tap_y,
                              const float *x, const float *dy, float *dw)
{
    size_t hz = s->kernel_depth / 2, hy = s->kernel_height / 2, hx = s->kernel_width / 2,
           channels = s->channels;
    for (size_t tx = 0; tx < s->kernel_width; tx++) {
        float *sums = dw + ((tap_z * s->kernel_height + tap_y) * s->kernel_width + tx) * channels + first;
        vf sum = vf_load_part(sums, count);
        size_t begin = tx < hx ? hx - tx : 0, beyond = tx > hx ? tx - hx : 0;
        size_t end = beyond < s->width ? s->width - beyond : 0;
        for (size_t z = 0; z < s->depth; z++) {
            if (z + tap_z < hz || z + tap_z - hz >= s->depth)
                continue;
            for (size_t y = 0; y < s->height; y++) {
                if (y + tap_y < hy || y + tap_y - hy >= s->height)
                    continue;
                size_t out = (z * s->height + y) * s->width;
                size_t in = ((z + tap_z - hz) * s->height + y + tap_y - hy) * s->width + tx - hx;
                for (size_t i = begin; i < end; i++)
                    sum = vf_fma(vf_load_part(dy + (out + i) * channels + first, count),
                                 vf_load_part(x + (in + i) * channels + first, count), sum);
            }
        }
        vf_store_part(sums, count, sum);
    }
}
