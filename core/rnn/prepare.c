#include "core/rnn/prepare.h"

#include <math.h>
#include <string.h>

#define DEVIATION_FLOOR 1e-6

lam_frame lam_prepare_frame_cropped(const lam_model_preprocessing *preprocessing, const int64_t size[3],
                                    const int64_t crop[3])
{
    lam_frame frame;
    for (int i = 0; i < 3; i++) {
        int64_t multiple = preprocessing->pad_multiple[i];
        frame.taken[i] = crop[i] > 0 && crop[i] < size[i] ? crop[i] : size[i];
        frame.from[i] = (size[i] - frame.taken[i]) / 2;
        frame.size[i] = (frame.taken[i] + multiple - 1) / multiple * multiple;
        frame.before[i] = (frame.size[i] - frame.taken[i]) / 2;
    }
    return frame;
}

lam_frame lam_prepare_frame(const lam_model_preprocessing *preprocessing, const int64_t size[3])
{
    return lam_prepare_frame_cropped(preprocessing, size, preprocessing->crop);
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

/* Mean and deviation of the values that count. */
static void z_score(const lam_model_preprocessing *preprocessing, const float *part, int64_t part_count,
                    float *values, int64_t count)
{
    double floor = preprocessing->z_score_mask == LAM_INTENSITY_POSITIVE ? 0 : -INFINITY;
    double sum = 0, squares = 0;
    int64_t used = 0;
    for (int64_t i = 0; i < part_count; i++)
        if (part[i] > floor) {
            sum += part[i];
            used++;
        }
    double mean = used ? sum / (double)used : 0;
    for (int64_t i = 0; i < part_count; i++)
        if (part[i] > floor)
            squares += (part[i] - mean) * (part[i] - mean);
    double deviation = (used ? sqrt(squares / (double)used) : 0) + DEVIATION_FLOOR;
    for (int64_t i = 0; i < count; i++)
        values[i] = (float)((values[i] - mean) / deviation);
}

/* Gathers the part that a frame takes of a volume [size…, channels]; returns the number of values. */
static int64_t gather(const lam_frame *frame, const int64_t size[3], int64_t channels, const float *in,
                      float *out)
{
    int64_t row = frame->taken[2] * channels, used = 0;
    for (int64_t z = 0; z < frame->taken[0]; z++)
        for (int64_t y = 0; y < frame->taken[1]; y++, used += row) {
            int64_t line = (z + frame->from[0]) * size[1] + y + frame->from[1];
            memcpy(out + used, in + (line * size[2] + frame->from[2]) * channels, (size_t)row * sizeof *out);
        }
    return used;
}

void lam_prepare_intensities(const lam_model_preprocessing *preprocessing, const int64_t size[3],
                             int64_t channels, const float *in, float *scratch, float *out)
{
    lam_frame frame = lam_prepare_frame(preprocessing, size);
    int64_t count = size[0] * size[1] * size[2] * channels;
    for (int64_t i = 0; i < count; i++)
        out[i] = isfinite(in[i]) ? in[i] : 0;
    if (preprocessing->binary)
        for (int64_t i = 0; i < count; i++)
            out[i] = out[i] > preprocessing->threshold;
    if (preprocessing->clip_percentile > 0) {
        int64_t used = gather(&frame, size, channels, out, scratch);
        float limit = lam_prepare_percentile(scratch, used, preprocessing->clip_percentile);
        for (int64_t i = 0; i < count; i++)
            out[i] = out[i] < limit ? out[i] : limit;
    }
    if (preprocessing->z_score) {
        int64_t used = gather(&frame, size, channels, out, scratch);
        z_score(preprocessing, scratch, used, out, count);
    }
    if (preprocessing->scale != 1 || preprocessing->offset != 0)
        for (int64_t i = 0; i < count; i++)
            out[i] = (float)(out[i] * preprocessing->scale + preprocessing->offset);
}

lam_shape lam_prepare_shape(const lam_frame *frame, int axes, int64_t batch, int64_t channels)
{
    lam_shape shape = {.rank = axes + 2};
    shape.dim[0] = batch;
    for (int i = 0; i < axes; i++)
        shape.dim[1 + i] = frame->size[3 - axes + i];
    shape.dim[axes + 1] = channels;
    return shape;
}

/* Rows of `bytes` a voxel from the volume into the input. */
static void copy_part(const lam_frame *frame, const int64_t size[3], size_t bytes, const char *in, char *out)
{
    size_t row = (size_t)frame->taken[2] * bytes;
    memset(out, 0, (size_t)(frame->size[0] * frame->size[1] * frame->size[2]) * bytes);
    for (int64_t z = 0; z < frame->taken[0]; z++)
        for (int64_t y = 0; y < frame->taken[1]; y++) {
            int64_t to = (z + frame->before[0]) * frame->size[1] + y + frame->before[1];
            int64_t from = (z + frame->from[0]) * size[1] + y + frame->from[1];
            memcpy(out + (size_t)(to * frame->size[2] + frame->before[2]) * bytes,
                   in + (size_t)(from * size[2] + frame->from[2]) * bytes, row);
        }
}

void lam_prepare_pad(const lam_frame *frame, const int64_t size[3], int64_t channels, const float *in,
                     float *out)
{
    copy_part(frame, size, (size_t)channels * sizeof *in, (const char *)in, (char *)out);
}

void lam_prepare_pad_map(const lam_frame *frame, const int64_t size[3], const uint8_t *in, uint8_t *out)
{
    copy_part(frame, size, 1, (const char *)in, (char *)out);
}
