#include "core/rnn/train/metrics.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "core/base/cleanup.h"
#include "core/rnn/prepare.h"

double lam_metric_dice(const uint8_t *predicted, const uint8_t *truth, int64_t count, uint8_t label)
{
    int64_t a = 0, b = 0, both = 0;
    for (int64_t i = 0; i < count; i++) {
        a += predicted[i] == label;
        b += truth[i] == label;
        both += predicted[i] == label && truth[i] == label;
    }
    return a + b == 0 ? 1 : 2 * (double)both / (double)(a + b);
}

/* ---- surface distance ---- */

/* Whether a voxel of the label has a face neighbour that is not, or lies at the edge of the volume. */
static bool on_surface(const uint8_t *map, const int64_t size[3], int64_t index, uint8_t label)
{
    int64_t stride[3] = {size[1] * size[2], size[2], 1};
    if (map[index] != label)
        return false;
    for (int i = 0; i < 3; i++) {
        int64_t at = index / stride[i] % size[i];
        if (at == 0 || at == size[i] - 1 || map[index - stride[i]] != label ||
            map[index + stride[i]] != label)
            return true;
    }
    return false;
}

/* The lower envelope of parabolas (Felzenszwalb, Huttenlocher 2012) along one line of squared distances. */
static void transform_line(double *line, int64_t count, int64_t stride, double spacing, double *values,
                           int64_t *sites, double *borders)
{
    int64_t used = -1;
    for (int64_t q = 0; q < count; q++) {
        values[q] = line[q * stride];
        if (isinf(values[q]))
            continue;
        double border = -INFINITY, position = (double)q * spacing;
        while (used >= 0) {
            double other = (double)sites[used] * spacing;
            border = (values[q] + position * position - values[sites[used]] - other * other) /
                     (2 * (position - other));
            if (border > borders[used])
                break;
            used--;
        }
        sites[++used] = q;
        borders[used] = used ? border : -INFINITY;
    }
    for (int64_t q = 0, k = 0; q < count && used >= 0; q++) {
        double position = (double)q * spacing;
        while (k < used && borders[k + 1] < position)
            k++;
        double step = position - (double)sites[k] * spacing;
        line[q * stride] = step * step + values[sites[k]];
    }
}

/* Squared distance of every voxel to the nearest surface voxel of the label. */
static lam_status distances(const uint8_t *map, const int64_t size[3], const double spacing[3], uint8_t label,
                            double *out, lam_error *err)
{
    int64_t count = size[0] * size[1] * size[2], longest = 1;
    for (int i = 0; i < 3; i++)
        longest = size[i] > longest ? size[i] : longest;
    lam_autofree double *values = calloc((size_t)longest, sizeof *values);
    lam_autofree double *borders = malloc((size_t)longest * sizeof *borders);
    lam_autofree int64_t *sites = malloc((size_t)longest * sizeof *sites);
    if (!values || !borders || !sites)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (int64_t i = 0; i < count; i++)
        out[i] = on_surface(map, size, i, label) ? 0 : INFINITY;
    int64_t stride[3] = {size[1] * size[2], size[2], 1};
    for (int axis = 2; axis >= 0; axis--)
        for (int64_t i = 0; i < count; i++)
            if (i / stride[axis] % size[axis] == 0)
                transform_line(out + i, size[axis], stride[axis], spacing[axis], values, sites, borders);
    return LAM_OK;
}

/* The 95th percentile of the distance from the surface of `from` to that whose squared distances are given.
 */
static double percentile_95(const uint8_t *from, const int64_t size[3], uint8_t label, const double *squared,
                            float *scratch)
{
    int64_t found = 0;
    for (int64_t i = 0; i < size[0] * size[1] * size[2]; i++)
        if (on_surface(from, size, i, label))
            scratch[found++] = (float)sqrt(squared[i]);
    return lam_prepare_percentile(scratch, found, 95);
}

lam_status lam_metric_hd95(const uint8_t *predicted, const uint8_t *truth, const int64_t size[3],
                           const double spacing_mm[3], uint8_t label, double *out, lam_error *err)
{
    int64_t count = size[0] * size[1] * size[2], a = 0, b = 0;
    for (int64_t i = 0; i < count; i++) {
        a += predicted[i] == label;
        b += truth[i] == label;
    }
    if (a == 0 || b == 0) {
        *out = NAN;
        return LAM_OK;
    }
    lam_autofree double *squared = calloc((size_t)count, sizeof *squared);
    lam_autofree float *scratch = malloc((size_t)count * sizeof *scratch);
    if (!squared || !scratch)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_status status = distances(truth, size, spacing_mm, label, squared, err);
    if (status)
        return status;
    double there = percentile_95(predicted, size, label, squared, scratch);
    if ((status = distances(predicted, size, spacing_mm, label, squared, err)))
        return status;
    double back = percentile_95(truth, size, label, squared, scratch);
    *out = there > back ? there : back;
    return LAM_OK;
}

/* ---- ranking ---- */

struct ranked {
    double score;
    bool positive;
};

static int by_score(const void *a, const void *b)
{
    double x = ((const struct ranked *)a)->score, y = ((const struct ranked *)b)->score;
    return (x > y) - (x < y);
}

lam_status lam_metric_auc(const double *scores, const uint8_t *positive, int64_t count, double *out,
                          lam_error *err)
{
    lam_autofree struct ranked *ranked = malloc((size_t)(count + 1) * sizeof *ranked);
    if (!ranked)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (int64_t i = 0; i < count; i++)
        ranked[i] = (struct ranked){scores[i], positive[i] != 0};
    qsort(ranked, (size_t)count, sizeof *ranked, by_score);
    double wins = 0, negatives = 0, positives = 0;
    for (int64_t i = 0; i < count;) {
        double tied_positive = 0, tied_negative = 0;
        int64_t j = i;
        for (; j < count && ranked[j].score == ranked[i].score; j++)
            *(ranked[j].positive ? &tied_positive : &tied_negative) += 1;
        if (j == i)
            return lam_fail(err, LAM_E_INVALID, "a score is not a number");
        wins += tied_positive * (negatives + tied_negative / 2);
        positives += tied_positive;
        negatives += tied_negative;
        i = j;
    }
    *out = positives > 0 && negatives > 0 ? wins / (positives * negatives) : 0.5;
    return LAM_OK;
}

/* ---- calibration ---- */

void lam_calibration_add(lam_calibration *calibration, double top_probability, int correct)
{
    int bin = (int)(top_probability * 15);
    bin = bin < 0 ? 0 : bin > 14 ? 14 : bin;
    calibration->confidence[bin] += top_probability;
    calibration->correct[bin] += correct != 0;
    calibration->count[bin]++;
}

void lam_calibration_join(lam_calibration *calibration, const lam_calibration *from)
{
    for (int i = 0; i < 15; i++) {
        calibration->confidence[i] += from->confidence[i];
        calibration->correct[i] += from->correct[i];
        calibration->count[i] += from->count[i];
    }
}

double lam_calibration_error(const lam_calibration *calibration)
{
    double total = 0, sum = 0;
    for (int i = 0; i < 15; i++) {
        total += calibration->count[i];
        sum += fabs(calibration->confidence[i] - calibration->correct[i]);
    }
    return total > 0 ? sum / total : 0;
}

/* ---- two classes ---- */

static double ratio(int64_t part, int64_t whole)
{
    return whole > 0 ? (double)part / (double)whole : 0;
}

double lam_metric_sensitivity(const lam_confusion *c)
{
    return ratio(c->true_positive, c->true_positive + c->false_negative);
}

double lam_metric_specificity(const lam_confusion *c)
{
    return ratio(c->true_negative, c->true_negative + c->false_positive);
}

double lam_metric_f1(const lam_confusion *c)
{
    return ratio(2 * c->true_positive, 2 * c->true_positive + c->false_positive + c->false_negative);
}
