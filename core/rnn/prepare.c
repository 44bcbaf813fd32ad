#include "core/rnn/prepare.h"

#include <math.h>
#include <string.h>

#define DEVIATION_FLOOR 1e-6

lam_padding lam_prepare_padding(const lam_model_preprocessing *preprocessing, const int64_t size[3])
{
    lam_padding padding;
    for (int i = 0; i < 3; i++) {
        int64_t multiple = preprocessing->pad_multiple[i];
        padding.size[i] = (size[i] + multiple - 1) / multiple * multiple;
        padding.before[i] = (padding.size[i] - size[i]) / 2;
    }
    return padding;
}

static void swap(float *a, float *b)
{
    float t = *a;
    *a = *b;
    *b = t;
}

/* Hoare's selection: afterwards values[rank] is what sorting would put there, nothing before it is larger and
 * nothing after it smaller. */
static void select_rank(float *values, int64_t count, int64_t rank)
{
    int64_t low = 0, high = count - 1;
    while (low < high) {
        float pivot = values[low + (high - low) / 2];
        int64_t i = low, j = high;
        while (i <= j) {
            while (values[i] < pivot)
                i++;
            while (values[j] > pivot)
                j--;
            if (i <= j)
                swap(&values[i++], &values[j--]);
        }
        if (rank <= j)
            high = j;
        else if (rank >= i)
            low = i;
        else
            return;
    }
}

float lam_prepare_percentile(float *values, int64_t count, double percentile)
{
    double position = percentile / 100 * (double)(count - 1);
    int64_t rank = (int64_t)position;
    select_rank(values, count, rank);
    float below = values[rank];
    if (rank + 1 >= count)
        return below;
    float above = INFINITY;
    for (int64_t i = rank + 1; i < count; i++)
        if (values[i] < above)
            above = values[i];
    return (float)(below + ((double)above - below) * (position - (double)rank));
}

static void z_score(const lam_model_preprocessing *preprocessing, float *values, int64_t count)
{
    double floor = preprocessing->z_score_mask == LAM_INTENSITY_POSITIVE ? 0 : -INFINITY;
    double sum = 0, squares = 0;
    int64_t used = 0;
    for (int64_t i = 0; i < count; i++)
        if (values[i] > floor) {
            sum += values[i];
            used++;
        }
    double mean = used ? sum / (double)used : 0;
    for (int64_t i = 0; i < count; i++)
        if (values[i] > floor)
            squares += (values[i] - mean) * (values[i] - mean);
    double deviation = (used ? sqrt(squares / (double)used) : 0) + DEVIATION_FLOOR;
    for (int64_t i = 0; i < count; i++)
        values[i] = (float)((values[i] - mean) / deviation);
}

void lam_prepare_intensities(const lam_model_preprocessing *preprocessing, const float *in, int64_t count,
                             float *scratch, float *out)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = isfinite(in[i]) ? in[i] : 0;
    if (preprocessing->clip_percentile > 0) {
        memcpy(scratch, out, (size_t)count * sizeof *out);
        float limit = lam_prepare_percentile(scratch, count, preprocessing->clip_percentile);
        for (int64_t i = 0; i < count; i++)
            out[i] = out[i] < limit ? out[i] : limit;
    }
    if (preprocessing->z_score)
        z_score(preprocessing, out, count);
    if (preprocessing->scale != 1 || preprocessing->offset != 0)
        for (int64_t i = 0; i < count; i++)
            out[i] = (float)(out[i] * preprocessing->scale + preprocessing->offset);
}

lam_shape lam_prepare_shape(const lam_padding *padding, int axes, int64_t batch, int64_t channels)
{
    lam_shape shape = {.rank = axes + 2};
    shape.dim[0] = batch;
    for (int i = 0; i < axes; i++)
        shape.dim[1 + i] = padding->size[3 - axes + i];
    shape.dim[axes + 1] = channels;
    return shape;
}

void lam_prepare_pad(const lam_padding *padding, const int64_t size[3], int64_t channels, const float *in,
                     float *out)
{
    size_t row = (size_t)(size[2] * channels);
    memset(out, 0, (size_t)(padding->size[0] * padding->size[1] * padding->size[2] * channels) * sizeof *out);
    for (int64_t z = 0; z < size[0]; z++)
        for (int64_t y = 0; y < size[1]; y++) {
            int64_t line = (z + padding->before[0]) * padding->size[1] + y + padding->before[1];
            memcpy(out + (line * padding->size[2] + padding->before[2]) * channels,
                   in + (size_t)(z * size[1] + y) * row, row * sizeof *out);
        }
}
