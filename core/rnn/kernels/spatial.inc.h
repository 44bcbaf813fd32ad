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

/* First tap, and one past the last, whose position stays inside [0, size). */
INLINE size_t tap_begin(size_t at, size_t half)
{
    return at < half ? half - at : 0;
}
INLINE size_t tap_end(size_t at, size_t half, size_t taps, size_t size)
{
    size_t room = size - at + half; /* taps that fit before the far border */
    return room < taps ? room : taps;
}

/* A row of outputs being computed: the taps that lie inside in z and y, and one vector of channels. */
typedef struct depthwise_row {
    const lam_depthwise *shape;
    const float *x, *w;
    size_t z, y, z0, z1, y0, y1, channel, part;
    bool mirror;
} depthwise_row;

/* A vector of channels; `full` is a constant, so that whole vectors cost no mask. */
INLINE vf channels_load(bool full, const float *p, size_t part)
{
    return full ? vf_load(p) : vf_load_part(p, part);
}

/* Sums of `count` positions side by side from `i` on, over taps [x0, x1) of each kernel row. */
INLINE void depthwise_sums(int count, bool full, const depthwise_row *r, size_t i, size_t x0, size_t x1,
                           vf *acc)
{
    const lam_depthwise *s = r->shape;
    size_t hz = s->kernel_depth / 2, hy = s->kernel_height / 2, hx = s->kernel_width / 2,
           channels = s->channels;
    size_t last = s->kernel_depth * s->kernel_height * s->kernel_width - 1;
    for (size_t tz = r->z0; tz < r->z1; tz++) {
        for (size_t ty = r->y0; ty < r->y1; ty++) {
            size_t row = ((r->z + tz - hz) * s->height + r->y + ty - hy) * s->width + i - hx;
            size_t tap = (tz * s->kernel_height + ty) * s->kernel_width;
            for (size_t tx = x0; tx < x1; tx++) {
                size_t k = r->mirror ? last - tap - tx : tap + tx;
                vf w = channels_load(full, r->w + k * channels + r->channel, r->part);
                const float *x = r->x + (row + tx) * channels + r->channel;
                UNROLL for (int j = 0; j < count; j++) acc[j] =
                    vf_fma(w, channels_load(full, x + (size_t)j * channels, r->part), acc[j]);
            }
        }
    }
}

INLINE void depthwise_positions(int count, bool full, const depthwise_row *r, size_t i, const float *bias,
                                bool add_input, float *out)
{
    const lam_depthwise *s = r->shape;
    size_t hx = s->kernel_width / 2,
           here = ((r->z * s->height + r->y) * s->width + i) * s->channels + r->channel;
    vf acc[8], start = bias ? vf_load_part(bias + r->channel, r->part) : vf_set(0);
    UNROLL for (int j = 0; j < count; j++)
    {
        acc[j] = start;
        if (add_input)
            acc[j] = acc[j] + vf_load_part(r->x + here + (size_t)j * s->channels, r->part);
    }
    if (count == 1)
        depthwise_sums(1, full, r, i, tap_begin(i, hx), tap_end(i, hx, s->kernel_width, s->width), acc);
    else
        depthwise_sums(count, full, r, i, 0, s->kernel_width, acc);
    UNROLL for (int j = 0; j < count; j++)
        vf_store_part(out + here + (size_t)j * s->channels, r->part, acc[j]);
}

/* One vector of channels of a row: eight or four positions at a time where all taps lie inside, one at a time
 * at the borders. */
INLINE void depthwise_channels(bool full, const depthwise_row *r, const float *bias, bool add_input,
                               float *out)
{
    size_t hx = r->shape->kernel_width / 2, width = r->shape->width;
    for (size_t i = 0; i < width;) {
        size_t inside = i >= hx && i + hx < width ? width - hx - i : 0;
        if (inside >= 8) {
            depthwise_positions(8, full, r, i, bias, add_input, out);
            i += 8;
        } else if (inside >= 4) {
            depthwise_positions(4, full, r, i, bias, add_input, out);
            i += 4;
        } else {
            depthwise_positions(1, full, r, i, bias, add_input, out);
            i++;
        }
    }
}

static void depthwise(const lam_depthwise *s, size_t z, size_t y, const float *x, const float *w,
                      const float *bias, bool add_input, bool mirror, float *out)
{
    size_t hz = s->kernel_depth / 2, hy = s->kernel_height / 2;
    depthwise_row r = {.shape = s, .x = x, .w = w, .z = z, .y = y, .mirror = mirror};
    r.z0 = tap_begin(z, hz);
    r.z1 = tap_end(z, hz, s->kernel_depth, s->depth);
    r.y0 = tap_begin(y, hy);
    r.y1 = tap_end(y, hy, s->kernel_height, s->height);
    for (r.channel = 0; r.channel < s->channels; r.channel += LANES) {
        r.part = tile_part(r.channel, s->channels);
        if (r.part == LANES)
            depthwise_channels(true, &r, bias, add_input, out);
        else
            depthwise_channels(false, &r, bias, add_input, out);
    }
}

/* What gives the gradients of one kernel slice (tap_z) for one vector of channels of one sample. */
typedef struct depthwise_back {
    const lam_depthwise *shape;
    const float *x, *dy; /* at the vector's first channel */
    float *dw;           /* [kernel height · width] of that slice, likewise */
    size_t part;
} depthwise_back;

/* Adds Σ dy·x over positions [begin, end) of a row to tap (ty, tx); rows start at `out` and `in`. */
INLINE void depthwise_tap(const depthwise_back *b, size_t ty, size_t tx, size_t out, size_t in, size_t begin,
                          size_t end)
{
    size_t channels = b->shape->channels, hx = b->shape->kernel_width / 2;
    float *dw = b->dw + (ty * b->shape->kernel_width + tx) * channels;
    vf sum = vf_load_part(dw, b->part);
    size_t least = tx < hx ? hx - tx : 0, most = b->shape->width + hx > tx ? b->shape->width + hx - tx : 0;
    begin = begin < least ? least : begin;
    end = end > most ? most : end;
    for (size_t i = begin; i < end; i++)
        sum = vf_fma(vf_load_part(b->dy + (out + i) * channels, b->part),
                     vf_load_part(b->x + (in + i + tx - hx) * channels, b->part), sum);
    vf_store_part(dw, b->part, sum);
}

/* All nine taps of a 3x3 slice over the inner positions of a row: nine sums in registers. */
INLINE void depthwise_nine(bool full, const depthwise_back *b, size_t out, const size_t *in)
{
    size_t channels = b->shape->channels;
    vf acc[9];
    UNROLL for (int k = 0; k < 9; k++) acc[k] = channels_load(full, b->dw + (size_t)k * channels, b->part);
    for (size_t i = 1; i + 1 < b->shape->width; i++) {
        vf d = channels_load(full, b->dy + (out + i) * channels, b->part);
        UNROLL for (int k = 0; k < 9; k++)
        {
            const float *x = b->x + (in[k / 3] + i + (size_t)(k % 3) - 1) * channels;
            acc[k] = vf_fma(d, channels_load(full, x, b->part), acc[k]);
        }
    }
    UNROLL for (int k = 0; k < 9; k++) vf_store_part(b->dw + (size_t)k * channels, b->part, acc[k]);
}

/* One row of positions: the fast way for inner rows of 3x3 kernels, tap by tap otherwise and at the borders.
 */
static void depthwise_weights_row(const depthwise_back *b, size_t z_out, size_t z_in, size_t y)
{
    const lam_depthwise *s = b->shape;
    size_t hy = s->kernel_height / 2, width = s->width, out = (z_out * s->height + y) * width;
    bool nine = s->kernel_height == 3 && s->kernel_width == 3 && y >= 1 && y + 1 < s->height && width >= 3;
    if (nine) {
        size_t in[3] = {(z_in * s->height + y - 1) * width, (z_in * s->height + y) * width,
                        (z_in * s->height + y + 1) * width};
        if (b->part == LANES)
            depthwise_nine(true, b, out, in);
        else
            depthwise_nine(false, b, out, in);
    }
    for (size_t ty = tap_begin(y, hy); ty < tap_end(y, hy, s->kernel_height, s->height); ty++) {
        size_t in = (z_in * s->height + y + ty - hy) * width;
        for (size_t tx = 0; tx < s->kernel_width; tx++) {
            depthwise_tap(b, ty, tx, out, in, 0, nine ? 1 : width);
            if (nine)
                depthwise_tap(b, ty, tx, out, in, width - 1, width);
        }
    }
}

static void depthwise_weights(const lam_depthwise *s, size_t first, size_t count, size_t tap_z,
                              const float *x, const float *dy, float *dw)
{
    size_t hz = s->kernel_depth / 2;
    depthwise_back b = {s, x + first, dy + first,
                        dw + tap_z * s->kernel_height * s->kernel_width * s->channels + first, count};
    for (size_t z = tap_begin(tap_z, hz); z + tap_z < s->depth + hz && z < s->depth; z++) {
        for (size_t y = 0; y < s->height; y++)
            depthwise_weights_row(&b, z, z + tap_z - hz, y);
    }
}
