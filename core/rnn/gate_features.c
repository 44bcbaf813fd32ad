#include "core/rnn/gate_features.h"

#include <math.h>
#include <string.h>

#define LITTLE   1e-3 /* keeps logarithms finite; below this share of the largest a slice counts as empty */
#define SMALLEST 1e-6

size_t lam_gate_feature_count(int axes)
{
    return LAM_GATE_BINS + 2 * (1u << axes) + (size_t)axes * LAM_GATE_OF_AXIS;
}

/* Square roots of shares: their variances are alike (Anscombe 1948). */
static double *add_histogram(const float *values, int64_t count, const float *edges, double *out)
{
    int64_t bins[LAM_GATE_BINS] = {0};
    for (int64_t i = 0; i < count; i++) {
        size_t bin = 0;
        for (size_t e = 0; e < LAM_GATE_EDGES; e++)
            bin += values[i] > edges[e];
        bins[bin]++;
    }
    for (size_t b = 0; b < LAM_GATE_BINS; b++)
        *out++ = sqrt((double)bins[b] / (double)count);
    return out;
}

static double deviation(double sum, double squares, double count)
{
    double mean = sum / count, variance = squares / count - mean * mean;
    return variance > 0 ? sqrt(variance) : 0;
}

/* Means, then deviations, of the blocks that halving every axis gives. */
static double *add_blocks(const float *values, const int64_t size[3], int axes, double *out)
{
    double sums[LAM_GATE_BLOCKS] = {0}, squares[LAM_GATE_BLOCKS] = {0}, counts[LAM_GATE_BLOCKS] = {0};
    size_t blocks = (size_t)1 << axes;
    for (int64_t z = 0; z < size[0]; z++)
        for (int64_t y = 0; y < size[1]; y++)
            for (int64_t x = 0; x < size[2]; x++) {
                double v = (double)*values++;
                size_t b = (size_t)(axes > 2 ? 4 * (z * 2 / size[0]) : 0) +
                           (size_t)(2 * (y * 2 / size[1]) + x * 2 / size[2]);
                sums[b] += v;
                squares[b] += v * v;
                counts[b]++;
            }
    for (size_t b = 0; b < blocks; b++) {
        double count = fmax(counts[b], 1);
        out[b] = sums[b] / count;
        out[blocks + b] = deviation(sums[b], squares[b], count);
    }
    return out + 2 * blocks;
}

/* ---- along an axis ---- */

/* An axis and how its slices lie in memory. */
typedef struct axis {
    const float *values;
    int64_t length, stride; /* of the axis */
    int64_t outer, inner;   /* runs before it, contiguous values after it */
} axis;

static axis axis_of(const float *values, const int64_t size[3], int which)
{
    axis a = {.values = values, .length = size[which], .outer = 1, .inner = 1};
    for (int i = 0; i < which; i++)
        a.outer *= size[i];
    for (int i = which + 1; i < 3; i++)
        a.inner *= size[i];
    a.stride = a.inner;
    return a;
}

/* The mean distance of values that lie `step` apart, and the share of them that are equal. */
static double mean_distance(const axis *a, int64_t step, double *equal)
{
    double sum = 0;
    int64_t same = 0, count = a->outer * (a->length - step) * a->inner;
    for (int64_t o = 0; o < a->outer; o++) {
        const float *run = a->values + o * a->length * a->stride;
        for (int64_t i = 0; i < (a->length - step) * a->stride; i++) {
            float d = run[i + step * a->stride] - run[i];
            sum += fabs((double)d);
            same += d == 0;
        }
    }
    *equal = (double)same / (double)count;
    return sum / (double)count;
}

/* Mean and deviation of each slice across the axis. */
static void profile(const axis *a, double *means, double *deviations)
{
    double count = (double)(a->outer * a->inner);
    for (int64_t k = 0; k < a->length; k++) {
        double sum = 0, squares = 0;
        for (int64_t o = 0; o < a->outer; o++) {
            const float *run = a->values + (o * a->length + k) * a->stride;
            for (int64_t i = 0; i < a->inner; i++) {
                sum += (double)run[i];
                squares += (double)run[i] * (double)run[i];
            }
        }
        means[k] = sum / count;
        deviations[k] = deviation(sum, squares, count);
    }
}

/* How abrupt the largest step of the profile is, beside the mean one and beside its range. */
static void add_steps(const double *means, int64_t length, double *out)
{
    double low = means[0], high = means[0], largest = 0, sum = 0;
    for (int64_t k = 1; k < length; k++) {
        double step = fabs(means[k] - means[k - 1]);
        low = fmin(low, means[k]);
        high = fmax(high, means[k]);
        largest = fmax(largest, step);
        sum += step;
    }
    double range = high - low + SMALLEST, little = LITTLE * range;
    out[0] = log((largest + little) / (sum / (double)(length - 1) + little));
    out[1] = log((largest + little) / range);
}

/* How much of a slice lies beside an empty one, at most, and the shares of empty slices at both ends. */
static void add_ends(const double *deviations, int64_t length, double *out)
{
    double most = SMALLEST, edge = 0;
    int64_t first = length, last = -1;
    for (int64_t k = 0; k < length; k++)
        most = fmax(most, deviations[k]);
    for (int64_t k = 0; k < length; k++) {
        if (deviations[k] > LITTLE * most) {
            first = k < first ? k : first;
            last = k;
        }
        if (k > 0 && fmin(deviations[k], deviations[k - 1]) < LITTLE * most)
            edge = fmax(edge, fmax(deviations[k], deviations[k - 1]));
    }
    out[0] = edge / most;
    out[1] = last < 0 ? 1 : (double)first / (double)length;
    out[2] = last < 0 ? 1 : 1 - (double)(last + 1) / (double)length;
}

static double *add_axis(const axis *a, double *out)
{
    double means[LAM_GATE_SIDE] = {0}, deviations[LAM_GATE_SIDE] = {0}, ignored;
    memset(out, 0, LAM_GATE_OF_AXIS * sizeof *out);
    if (a->length >= 4) {
        double near = mean_distance(a, 1, &out[2]), far = mean_distance(a, 2, &ignored);
        out[0] = log(near + LITTLE);
        out[1] = log((far + LITTLE) / (near + LITTLE));
        profile(a, means, deviations);
        add_steps(means, a->length, out + 3);
        add_ends(deviations, a->length, out + 5);
    }
    out[8] = log((double)a->length);
    return out + LAM_GATE_OF_AXIS;
}

void lam_gate_describe_input(const float *values, const int64_t size[3], int axes,
                             const float edges[LAM_GATE_EDGES], double *out)
{
    out = add_histogram(values, size[0] * size[1] * size[2], edges, out);
    out = add_blocks(values, size, axes, out);
    for (int which = 3 - axes; which < 3; which++) {
        axis a = axis_of(values, size, which);
        out = add_axis(&a, out);
    }
}
