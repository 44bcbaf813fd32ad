#include "dicom/resample.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"

/* The weights of one output position: taps from first on. */
typedef struct taps {
    int64_t first;
    int64_t count;
    float *weights; /* into a shared array */
} taps;

typedef struct axis_taps {
    taps *at; /* one for each output position */
    float *weights;
} axis_taps;

static void axis_taps_done(axis_taps *axis)
{
    free(axis->at);
    free(axis->weights);
}

void lam_resample_shape(const int64_t size[3], const double spacing_mm[3], const double target_mm[3],
                        int64_t out[3])
{
    for (int i = 0; i < 3; i++)
        out[i] =
            (int64_t)fmin(LAM_RESAMPLE_MOST, fmax(1, round((double)size[i] * spacing_mm[i] / target_mm[i])));
}

/* A tent of the width of the wider voxel, cut at the border and summing to 1. */
static lam_status make_taps(int64_t in, int64_t out, axis_taps *axis, lam_error *err)
{
    double scale = (double)in / (double)out, reach = fmax(1, scale);
    int64_t most = (int64_t)ceil(2 * reach) + 1;
    axis->at = calloc((size_t)out, sizeof *axis->at);
    axis->weights = calloc((size_t)(out * most), sizeof *axis->weights);
    if (!axis->at || !axis->weights)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for resampling");
    for (int64_t o = 0; o < out; o++) {
        double centre = ((double)o + 0.5) * scale - 0.5, sum = 0;
        taps *t = &axis->at[o];
        t->weights = axis->weights + o * most;
        t->first = (int64_t)fmax(0, floor(centre - reach) + 1);
        for (int64_t i = t->first; i < in && (double)i < centre + reach && t->count < most; i++) {
            double weight = 1 - fabs((double)i - centre) / reach;
            t->weights[t->count++] = (float)weight;
            sum += weight;
        }
        for (int64_t i = 0; i < t->count; i++)
            t->weights[i] = (float)(t->weights[i] / sum);
    }
    return LAM_OK;
}

/* One axis of an array seen as [outer, n, inner]. */
static void apply(const axis_taps *axis, const float *in, int64_t outer, int64_t n, int64_t inner, float *out,
                  int64_t out_n)
{
    for (int64_t a = 0; a < outer; a++)
        for (int64_t o = 0; o < out_n; o++) {
            const taps *t = &axis->at[o];
            float *to = out + (a * out_n + o) * inner;
            memset(to, 0, (size_t)inner * sizeof *to);
            for (int64_t k = 0; k < t->count; k++) {
                const float *from = in + (a * n + t->first + k) * inner;
                for (int64_t i = 0; i < inner; i++)
                    to[i] += t->weights[k] * from[i];
            }
        }
}

lam_status lam_resample_floats(const float *in, const int64_t size[3], float *out, const int64_t out_size[3],
                               lam_error *err)
{
    axis_taps z LAM_AUTO(axis_taps_done) = {NULL}, y LAM_AUTO(axis_taps_done) = {NULL},
                x LAM_AUTO(axis_taps_done) = {NULL};
    lam_status status = make_taps(size[0], out_size[0], &z, err);
    if (status == LAM_OK)
        status = make_taps(size[1], out_size[1], &y, err);
    if (status == LAM_OK)
        status = make_taps(size[2], out_size[2], &x, err);
    if (status != LAM_OK)
        return status;
    lam_autofree float *by_z = calloc((size_t)(out_size[0] * size[1] * size[2]), sizeof *by_z);
    lam_autofree float *by_y = calloc((size_t)(out_size[0] * out_size[1] * size[2]), sizeof *by_y);
    if (!by_z || !by_y)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for resampling");
    apply(&z, in, 1, size[0], size[1] * size[2], by_z, out_size[0]);
    apply(&y, by_z, out_size[0], size[1], size[2], by_y, out_size[1]);
    apply(&x, by_y, out_size[0] * out_size[1], size[2], 1, out, out_size[2]);
    return LAM_OK;
}

lam_status lam_resample_labels(const uint8_t *in, const int64_t size[3], uint8_t *out,
                               const int64_t out_size[3], lam_error *err)
{
    size_t count = (size_t)(size[0] * size[1] * size[2]);
    size_t out_count = (size_t)(out_size[0] * out_size[1] * out_size[2]);
    lam_autofree float *indicator = calloc(count, sizeof *indicator);
    lam_autofree float *share = calloc(out_count, sizeof *share);
    lam_autofree float *best = calloc(out_count, sizeof *best);
    if (!indicator || !share || !best)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for resampling");
    bool present[256] = {false};
    for (size_t i = 0; i < count; i++)
        present[in[i]] = true;
    memset(out, 0, out_count);
    for (int label = 0; label < 256; label++) {
        if (!present[label])
            continue;
        for (size_t i = 0; i < count; i++)
            indicator[i] = in[i] == label;
        lam_status status = lam_resample_floats(indicator, size, share, out_size, err);
        if (status != LAM_OK)
            return status;
        for (size_t i = 0; i < out_count; i++)
            if (share[i] > best[i] + 1e-6f) {
                best[i] = share[i];
                out[i] = (uint8_t)label;
            }
    }
    return LAM_OK;
}
