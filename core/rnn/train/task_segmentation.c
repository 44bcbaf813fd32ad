/* Segmentation: every voxel has a class, 0 is the background; the network gives [batch, the input's axes…,
 * classes]. Of stacks of slices also Dice by slice, and the ejection fraction from a patient's two phases. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rnn/train/loss.h"
#include "core/rnn/train/metrics.h"

enum { MAX_CLASSES = 256, BOX_MARGIN = 2 };

struct label_result {
    double dice, hd95, volume_error_ml;
    int64_t predicted, truth;  /* voxels */
    double slice_dice, slices; /* sum over the slices where there is anything, and their number */
};

struct result {
    int classes;
    lam_calibration calibration;
    float *probabilities; /* of the voxels that count for calibration [rows, classes]; NULL: not kept */
    uint8_t *labels;      /* their classes */
    int64_t rows;
    struct label_result label[]; /* by class; 0 unused */
};

static void release(void *memory)
{
    struct result *r = memory;
    if (!r)
        return;
    free(r->probabilities);
    free(r->labels);
    free(r);
}

static lam_status read_truth(const lam_sample_source *source, lam_sample *sample, lam_error *err)
{
    int64_t voxels = sample->size[0] * sample->size[1] * sample->size[2];
    if (!(sample->map = malloc((size_t)voxels)))
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    sample->truth.map = sample->map;
    return lam_samples_labels(source, voxels, sample->map, err);
}

/* ---- what counts for calibration ---- */

/* Voxels low … high, along z, y, x. */
struct region {
    int64_t low[3], high[3];
};

static bool is_inside(const struct region *region, int64_t z, int64_t y, int64_t x)
{
    return z >= region->low[0] && z <= region->high[0] && y >= region->low[1] && y <= region->high[1] &&
           x >= region->low[2] && x <= region->high[2];
}

static void grow(struct region *region, int axis, int64_t at)
{
    region->low[axis] = at < region->low[axis] ? at : region->low[axis];
    region->high[axis] = at > region->high[axis] ? at : region->high[axis];
}

/* The box around all foreground of either map, with a margin. */
static struct region foreground(const int64_t size[3], const uint8_t *predicted, const uint8_t *truth)
{
    struct region region = {{size[0], size[1], size[2]}, {-1, -1, -1}};
    for (int64_t i = 0; i < size[0] * size[1] * size[2]; i++) {
        if (predicted[i] == 0 && truth[i] == 0)
            continue;
        grow(&region, 0, i / (size[1] * size[2]));
        grow(&region, 1, i / size[2] % size[1]);
        grow(&region, 2, i % size[2]);
    }
    for (int i = 0; i < 3; i++) {
        region.low[i] -= BOX_MARGIN;
        region.high[i] += BOX_MARGIN;
    }
    return region;
}

static void add_calibration(const float *p, int classes, uint8_t truth, lam_calibration *calibration)
{
    int best = 0;
    for (int c = 1; c < classes; c++)
        best = p[c] > p[best] ? c : best;
    lam_calibration_add(calibration, p[best], best == truth);
}

static lam_status calibrate(const lam_sample *sample, const lam_segmentation *segmentation, bool keep,
                            struct result *r, lam_error *err)
{
    const int64_t *size = sample->size;
    const uint8_t *truth = sample->truth.map;
    size_t classes = (size_t)r->classes, count = (size_t)(size[0] * size[1] * size[2]);
    struct region region = foreground(size, segmentation->labels, truth);
    if (keep && (!(r->probabilities = malloc(count * classes * sizeof *r->probabilities)) ||
                 !(r->labels = malloc(count))))
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++) {
        int64_t at = (int64_t)i;
        const float *p = segmentation->probabilities + i * classes;
        if (!is_inside(&region, at / (size[1] * size[2]), at / size[2] % size[1], at % size[2]))
            continue;
        add_calibration(p, r->classes, truth[i], &r->calibration);
        if (keep) {
            memcpy(r->probabilities + (size_t)r->rows * classes, p, classes * sizeof *p);
            r->labels[r->rows++] = truth[i];
        }
    }
    return LAM_OK;
}

/* ---- a case ---- */

static lam_status measure(const lam_scoring *scoring, const lam_sample *sample,
                          const lam_segmentation *segmentation, int c, struct label_result *out,
                          lam_error *err)
{
    const double *spacing = scoring->spacing_mm;
    const uint8_t *truth = sample->truth.map, *predicted = segmentation->labels, label = (uint8_t)c;
    int64_t area = sample->size[1] * sample->size[2], count = sample->size[0] * area;
    out->predicted = segmentation->voxels[c];
    for (int64_t i = 0; i < count; i++)
        out->truth += truth[i] == label;
    out->dice = lam_metric_dice(predicted, truth, count, label);
    out->volume_error_ml =
        fabs((double)(out->predicted - out->truth)) * spacing[0] * spacing[1] * spacing[2] / 1000;
    for (int64_t z = 0; z < sample->size[0]; z++) {
        const uint8_t *a = predicted + z * area, *b = truth + z * area;
        if (!memchr(a, label, (size_t)area) && !memchr(b, label, (size_t)area))
            continue;
        out->slice_dice += lam_metric_dice(a, b, area, label);
        out->slices++;
    }
    if (!scoring->thorough)
        return LAM_OK;
    return lam_metric_hd95(predicted, truth, sample->size, spacing, label, &out->hd95, err);
}

static lam_status score(const lam_scoring *scoring, lam_predictor *predictor, const lam_sample *sample,
                        void **result, lam_error *err)
{
    LAM_AUTO(lam_segmentation_done) lam_segmentation segmentation = {0};
    lam_volume volume = lam_sample_volume(sample, scoring->spacing_mm);
    lam_status status = lam_predict_segment(predictor, &volume, &segmentation, err);
    if (status)
        return status;
    size_t classes = scoring->manifest->segment_count + 1;
    struct result *r = calloc(1, sizeof *r + classes * sizeof r->label[0]);
    if (!r)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    r->classes = (int)classes;
    for (int c = 1; c < r->classes && status == LAM_OK; c++)
        status = measure(scoring, sample, &segmentation, c, &r->label[c], err);
    if (status == LAM_OK && (scoring->thorough || scoring->calibrate))
        status = calibrate(sample, &segmentation, scoring->calibrate, r, err);
    if (status)
        release(r);
    else
        *result = r;
    return status;
}

/* ---- all cases ---- */

static double mean_over(const lam_scored *const *cases, size_t count, int c, size_t offset)
{
    double sum = 0, used = 0;
    for (size_t i = 0; i < count; i++) {
        const struct result *r = cases[i]->result;
        double value;
        memcpy(&value, (const char *)&r->label[c] + offset, sizeof value);
        if (!isnan(value)) {
            sum += value;
            used++;
        }
    }
    return used > 0 ? sum / used : NAN;
}

static double slice_dice(const lam_scored *const *cases, size_t count, int c)
{
    double sum = 0, slices = 0;
    for (size_t i = 0; i < count; i++) {
        const struct result *r = cases[i]->result;
        sum += r->label[c].slice_dice;
        slices += r->label[c].slices;
    }
    return slices > 0 ? sum / slices : NAN;
}

/* In percent, from the largest and the smallest volume of the first segment over a patient's phases. */
static double ejection_fraction(const lam_scored *const *cases, size_t count, bool truth)
{
    double most = 0, least = INFINITY;
    for (size_t i = 0; i < count; i++) {
        const struct label_result *l = &((const struct result *)cases[i]->result)->label[1];
        double voxels = (double)(truth ? l->truth : l->predicted);
        most = voxels > most ? voxels : most;
        least = voxels < least ? voxels : least;
    }
    return most > 0 ? 100 * (1 - least / most) : 0;
}

/* Mean absolute error in percentage points over patients with several phases. A patient's cases stand
 * together; one that comes again (bootstrap) starts with the same case. */
static double ejection_error(const lam_scored *const *cases, size_t count)
{
    double sum = 0, patients = 0;
    for (size_t begin = 0, end; begin < count; begin = end) {
        const lam_sample *first = cases[begin]->sample;
        for (end = begin + 1; end < count && cases[end]->sample->group == first->group &&
                              cases[end]->sample->phase != first->phase;)
            end++;
        if (first->phase < 0 || end - begin < 2)
            continue;
        sum += fabs(ejection_fraction(cases + begin, end - begin, false) -
                    ejection_fraction(cases + begin, end - begin, true));
        patients++;
    }
    return patients > 0 ? sum / patients : NAN;
}

static double calibration_error(const lam_scored *const *cases, size_t count)
{
    lam_calibration all = {0};
    for (size_t i = 0; i < count; i++)
        lam_calibration_join(&all, &((const struct result *)cases[i]->result)->calibration);
    return lam_calibration_error(&all);
}

static void add_stack_scores(const lam_scoring *scoring, const lam_scored *const *cases, size_t count,
                             const char *part, lam_scores *out)
{
    int classes = (int)scoring->manifest->segment_count + 1;
    double sum = 0, least = INFINITY;
    for (int c = 1; c < classes; c++) {
        sum += slice_dice(cases, count, c) / (classes - 1);
        for (size_t i = 0; i < count; i++)
            least = fmin(least, ((const struct result *)cases[i]->result)->label[c].dice);
    }
    lam_scores_add(out, sum, "dice_slice", part);
    lam_scores_add(out, least, "dice_least", part);
    lam_scores_add(out, ejection_error(cases, count), "ef_error", part);
}

static double mean_dice(const lam_scored *const *cases, size_t count, int classes)
{
    double mean = 0;
    for (int c = 1; c < classes; c++)
        mean += mean_over(cases, count, c, offsetof(struct label_result, dice)) / (classes - 1);
    return mean;
}

/* The same without the cases whose truth the recipe does not trust. */
static lam_status add_trusted(const lam_scoring *scoring, const lam_scored *const *cases, size_t count,
                              lam_scores *out, lam_error *err)
{
    const lam_jv *names = lam_jv_get(scoring->manifest->training, "leave_out");
    size_t kept = 0;
    if (lam_jv_count(names) == 0)
        return LAM_OK;
    lam_autofree const lam_scored **trusted = malloc((count + 1) * sizeof *trusted);
    if (!trusted)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++)
        if (!lam_samples_is_named(cases[i]->sample->id, names))
            trusted[kept++] = cases[i];
    lam_scores_add(out, mean_dice(trusted, kept, (int)scoring->manifest->segment_count + 1), "dice_mean",
                   "trusted");
    if (kept > 0 && trusted[0]->sample->phase >= 0)
        add_stack_scores(scoring, trusted, kept, "trusted", out);
    return LAM_OK;
}

static lam_status summarise(const lam_scoring *scoring, const lam_scored *const *cases, size_t count,
                            lam_scores *out, lam_error *err)
{
    int classes = (int)scoring->manifest->segment_count + 1;
    lam_scores_add(out, mean_dice(cases, count, classes), "dice_mean", "");
    for (int c = 1; c < classes; c++) {
        const char *name = scoring->manifest->segments[c - 1].name;
        lam_scores_add(out, mean_over(cases, count, c, offsetof(struct label_result, dice)), "dice", name);
        if (!scoring->thorough)
            continue;
        lam_scores_add(out, mean_over(cases, count, c, offsetof(struct label_result, hd95)), "hd95_mm", name);
        lam_scores_add(out, mean_over(cases, count, c, offsetof(struct label_result, volume_error_ml)),
                       "volume_error_ml", name);
    }
    if (count > 0 && cases[0]->sample->phase >= 0)
        add_stack_scores(scoring, cases, count, "", out);
    if (scoring->thorough)
        lam_scores_add(out, calibration_error(cases, count), "ece", "");
    return add_trusted(scoring, cases, count, out, err);
}

static double quality(const lam_scored *scored)
{
    const struct result *r = scored->result;
    double sum = 0;
    for (int c = 1; c < r->classes; c++)
        sum += r->label[c].dice;
    return sum / (r->classes - 1);
}

static void calibration(const lam_scored *scored, lam_calibration_rows *out)
{
    const struct result *r = scored->result;
    *out = (lam_calibration_rows){r->probabilities, r->labels, r->rows, r->classes};
}

const lam_task_kind lam_task_segmentation = {
    .task = LAM_TASK_SEGMENTATION,
    .metric = "dice_mean",
    .read = read_truth,
    .criterion_create = lam_loss_create,
    .criterion_free = lam_loss_free,
    .criterion_run = lam_loss_run,
    .score = score,
    .release = release,
    .summarise = summarise,
    .quality = quality,
    .calibration = calibration,
};
