#include "core/rnn/train/evaluate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rnn/predict.h"
#include "core/rnn/train/metrics.h"

enum { MAX_CLASSES = 256, BOX_MARGIN = 2 };

enum measure { DICE, HD95, VOLUME_ERROR, MEASURES };

/* What one case contributes. */
struct result {
    double measure[MEASURES][MAX_CLASSES]; /* segmentation, by label */
    lam_calibration calibration;
    float *probabilities; /* of the rows that count for calibration [rows, classes] */
    uint8_t *labels;      /* their classes */
    int64_t rows;
    lam_status status;
    lam_error error;
};

struct job {
    const lam_manifest *manifest;
    const lam_samples *dataset;
    lam_predictor **predictors; /* by worker */
    struct result *results;     /* by case */
    bool thorough, keep;
    int classes;
};

double lam_scores_get(const lam_scores *scores, const char *name)
{
    for (size_t i = 0; i < scores->count; i++)
        if (strcmp(scores->items[i].name, name) == 0)
            return scores->items[i].value;
    return NAN;
}

static void add_score(lam_scores *scores, double value, const char *name, const char *part)
{
    if (scores->count == LAM_MAX_SCORES)
        return;
    lam_score *score = &scores->items[scores->count++];
    snprintf(score->name, sizeof score->name, "%s%s%.64s", name, *part ? "." : "", part);
    score->value = value;
}

/* ---- one case ---- */

/* Voxels low … high, along z, y, x. */
struct box {
    int64_t low[3], high[3];
};

static bool is_inside(const struct box *box, int64_t z, int64_t y, int64_t x)
{
    return z >= box->low[0] && z <= box->high[0] && y >= box->low[1] && y <= box->high[1] &&
           x >= box->low[2] && x <= box->high[2];
}

static void grow(struct box *box, int axis, int64_t at)
{
    box->low[axis] = at < box->low[axis] ? at : box->low[axis];
    box->high[axis] = at > box->high[axis] ? at : box->high[axis];
}

/* The box around all foreground of either map, with a margin. */
static struct box foreground_box(const int64_t size[3], const uint8_t *predicted, const uint8_t *truth)
{
    struct box box = {{size[0], size[1], size[2]}, {-1, -1, -1}};
    for (int64_t i = 0; i < size[0] * size[1] * size[2]; i++) {
        if (predicted[i] == 0 && truth[i] == 0)
            continue;
        grow(&box, 0, i / (size[1] * size[2]));
        grow(&box, 1, i / size[2] % size[1]);
        grow(&box, 2, i % size[2]);
    }
    for (int i = 0; i < 3; i++) {
        box.low[i] -= BOX_MARGIN;
        box.high[i] += BOX_MARGIN;
    }
    return box;
}

/* Keeps the probabilities that count for calibration: those of a case, or of the voxels in the box. */
static lam_status keep_rows(const struct job *job, const int64_t size[3], const struct box *box,
                            const float *probabilities, const uint8_t *truth, struct result *result,
                            lam_error *err)
{
    size_t classes = (size_t)job->classes, count = (size_t)(size[0] * size[1] * size[2]);
    result->probabilities = malloc(count * classes * sizeof *result->probabilities);
    result->labels = calloc(count, 1);
    if (!result->probabilities || !result->labels)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++) {
        int64_t at = (int64_t)i;
        if (box && !is_inside(box, at / (size[1] * size[2]), at / size[2] % size[1], at % size[2]))
            continue;
        memcpy(result->probabilities + (size_t)result->rows * classes, probabilities + i * classes,
               classes * sizeof(float));
        result->labels[result->rows++] = truth[i];
    }
    return LAM_OK;
}

static void add_calibration(int classes, struct result *result)
{
    for (int64_t r = 0; r < result->rows; r++) {
        const float *p = result->probabilities + r * classes;
        int best = 0;
        for (int c = 1; c < classes; c++)
            best = p[c] > p[best] ? c : best;
        lam_calibration_add(&result->calibration, p[best], best == result->labels[r]);
    }
}

static lam_status score_map(const struct job *job, const lam_sample *sample,
                            const lam_segmentation *segmentation, struct result *result, lam_error *err)
{
    int64_t count = sample->size[0] * sample->size[1] * sample->size[2];
    const double *spacing = lam_samples_spacing(job->dataset);
    double voxel_ml = spacing[0] * spacing[1] * spacing[2] / 1000;
    for (int c = 1; c < job->classes; c++) {
        int64_t voxels = 0;
        result->measure[DICE][c] = lam_metric_dice(segmentation->labels, sample->map, count, (uint8_t)c);
        for (int64_t i = 0; i < count; i++)
            voxels += sample->map[i] == c;
        result->measure[VOLUME_ERROR][c] = fabs((double)(segmentation->voxels[c] - voxels)) * voxel_ml;
        lam_status status = LAM_OK;
        if (job->thorough)
            status = lam_metric_hd95(segmentation->labels, sample->map, sample->size, spacing, (uint8_t)c,
                                     &result->measure[HD95][c], err);
        if (status)
            return status;
    }
    if (!job->thorough && !job->keep)
        return LAM_OK;
    struct box box = foreground_box(sample->size, segmentation->labels, sample->map);
    return keep_rows(job, sample->size, &box, segmentation->probabilities, sample->map, result, err);
}

static lam_status run_case(const struct job *job, lam_predictor *predictor, const lam_sample *sample,
                           struct result *result, lam_error *err)
{
    const double *spacing = lam_samples_spacing(job->dataset);
    lam_volume volume = {.voxels = sample->raw};
    lam_status status;
    memcpy(volume.size, sample->size, sizeof volume.size);
    memcpy(volume.spacing_mm, spacing, sizeof volume.spacing_mm);
    if (job->manifest->task == LAM_TASK_SEGMENTATION) {
        LAM_AUTO(lam_segmentation_done) lam_segmentation segmentation = {0};
        if ((status = lam_predict_segment(predictor, &volume, &segmentation, err)))
            return status;
        return score_map(job, sample, &segmentation, result, err);
    }
    float probabilities[MAX_CLASSES];
    uint8_t label = (uint8_t)sample->label;
    if ((status = lam_predict_classes(predictor, &volume, probabilities, err)))
        return status;
    return keep_rows(job, (int64_t[]){1, 1, 1}, NULL, probabilities, &label, result, err);
}

static void case_task(void *context, size_t index, size_t worker)
{
    struct job *job = context;
    struct result *result = &job->results[index];
    const lam_sample *sample = lam_samples_at(job->dataset, index);
    result->status = run_case(job, job->predictors[worker], sample, result, &result->error);
    if (result->status)
        lam_error_prefix(&result->error, "%s", sample->id);
    else if (result->probabilities)
        add_calibration(job->classes, result);
    if (!job->keep) {
        bool segmentation = job->manifest->task == LAM_TASK_SEGMENTATION;
        if (segmentation) {
            free(result->probabilities);
            free(result->labels);
            result->probabilities = NULL;
            result->labels = NULL;
        }
    }
}

/* ---- all cases ---- */

static void job_done(struct job *job, size_t workers)
{
    for (size_t i = 0; job->predictors && i < workers; i++)
        lam_predictor_free(job->predictors[i]);
    for (size_t i = 0; job->results && i < lam_samples_count(job->dataset); i++) {
        free(job->results[i].probabilities);
        free(job->results[i].labels);
    }
    free(job->predictors);
    free(job->results);
}

static lam_status run_all(struct job *job, const lam_weights *weights, lam_pool *pool, lam_error *err)
{
    size_t workers = lam_pool_threads(pool), cases = lam_samples_count(job->dataset);
    const lam_manifest *manifest = job->manifest;
    size_t classes =
        manifest->task == LAM_TASK_SEGMENTATION ? manifest->segment_count + 1 : manifest->class_count;
    if (manifest->task != LAM_TASK_SEGMENTATION && manifest->task != LAM_TASK_CLASSIFICATION)
        return lam_fail(err, LAM_E_UNSUPPORTED, "models for %s cannot be scored yet",
                        lam_task_name(manifest->task));
    if (classes > MAX_CLASSES)
        return lam_fail(err, LAM_E_LIMIT, "models of more than %d classes cannot be scored", MAX_CLASSES);
    job->classes = (int)classes;
    job->predictors = calloc(workers, sizeof(lam_predictor *));
    job->results = calloc(cases, sizeof *job->results);
    if (!job->predictors || !job->results)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < workers; i++) {
        lam_status status = lam_predictor_create_for(manifest, weights, NULL, &job->predictors[i], err);
        if (status)
            return status;
    }
    lam_pool_run(pool, cases, case_task, job);
    for (size_t i = 0; i < cases; i++)
        if (job->results[i].status) {
            if (err)
                *err = job->results[i].error;
            return job->results[i].status;
        }
    return LAM_OK;
}

/* ---- sums ---- */

static double mean_over_cases(const struct job *job, int label, enum measure measure)
{
    double sum = 0, used = 0;
    for (size_t i = 0; i < lam_samples_count(job->dataset); i++) {
        double value = job->results[i].measure[measure][label];
        if (!isnan(value)) {
            sum += value;
            used++;
        }
    }
    return used > 0 ? sum / used : NAN;
}

static double calibration_error(const struct job *job)
{
    lam_calibration all = {0};
    for (size_t i = 0; i < lam_samples_count(job->dataset); i++)
        for (int b = 0; b < 15; b++) {
            all.confidence[b] += job->results[i].calibration.confidence[b];
            all.correct[b] += job->results[i].calibration.correct[b];
            all.count[b] += job->results[i].calibration.count[b];
        }
    return lam_calibration_error(&all);
}

static void sum_segmentation(const struct job *job, lam_scores *out)
{
    double mean = 0;
    for (int c = 1; c < job->classes; c++)
        mean += mean_over_cases(job, c, DICE) / (job->classes - 1);
    add_score(out, mean, "dice_mean", "");
    for (int c = 1; c < job->classes; c++) {
        const char *name = job->manifest->segments[c - 1].name;
        add_score(out, mean_over_cases(job, c, DICE), "dice", name);
        if (!job->thorough)
            continue;
        add_score(out, mean_over_cases(job, c, HD95), "hd95_mm", name);
        add_score(out, mean_over_cases(job, c, VOLUME_ERROR), "volume_error_ml", name);
    }
    if (job->thorough)
        add_score(out, calibration_error(job), "ece", "");
}

static lam_status add_auc(const struct job *job, lam_scores *out, lam_error *err)
{
    size_t cases = lam_samples_count(job->dataset);
    lam_autofree double *scores = malloc(cases * sizeof *scores);
    lam_autofree uint8_t *positive = malloc(cases);
    double sum = 0;
    int first = job->classes == 2 ? 1 : 0;
    if (!scores || !positive)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (int c = first; c < job->classes; c++) {
        double auc;
        for (size_t i = 0; i < cases; i++) {
            scores[i] = job->results[i].probabilities[c];
            positive[i] = job->results[i].labels[0] == c;
        }
        lam_status status = lam_metric_auc(scores, positive, (int64_t)cases, &auc, err);
        if (status)
            return status;
        sum += auc / (job->classes - first);
    }
    add_score(out, sum, "auc", "");
    return LAM_OK;
}

static lam_status sum_classification(const struct job *job, lam_scores *out, lam_error *err)
{
    size_t cases = lam_samples_count(job->dataset);
    lam_confusion confusion = {0};
    double right = 0;
    for (size_t i = 0; i < cases; i++) {
        const float *p = job->results[i].probabilities;
        int best = 0, truth = job->results[i].labels[0];
        for (int c = 1; c < job->classes; c++)
            best = p[c] > p[best] ? c : best;
        right += best == truth;
        confusion.true_positive += best == 1 && truth == 1;
        confusion.false_positive += best == 1 && truth != 1;
        confusion.true_negative += best != 1 && truth != 1;
        confusion.false_negative += best != 1 && truth == 1;
    }
    add_score(out, right / (double)cases, "accuracy", "");
    lam_status status = add_auc(job, out, err);
    if (status)
        return status;
    if (job->classes == 2) {
        add_score(out, lam_metric_sensitivity(&confusion), "sensitivity", "");
        add_score(out, lam_metric_specificity(&confusion), "specificity", "");
        add_score(out, lam_metric_f1(&confusion), "f1", "");
    }
    add_score(out, calibration_error(job), "ece", "");
    return LAM_OK;
}

lam_status lam_evaluate(const lam_manifest *manifest, const lam_weights *weights, const lam_samples *dataset,
                        lam_pool *pool, bool thorough, lam_scores *out, lam_error *err)
{
    struct job job = {.manifest = manifest, .dataset = dataset, .thorough = thorough};
    lam_status status = run_all(&job, weights, pool, err);
    if (status == LAM_OK) {
        out->count = 0;
        if (manifest->task == LAM_TASK_SEGMENTATION)
            sum_segmentation(&job, out);
        else
            status = sum_classification(&job, out, err);
    }
    job_done(&job, lam_pool_threads(pool));
    return status;
}

/* ---- temperature ---- */

/* Mean negative log-likelihood at a temperature `ratio` times that of the kept probabilities. */
static double likelihood(const struct job *job, double ratio)
{
    double sum = 0, rows = 0;
    for (size_t i = 0; i < lam_samples_count(job->dataset); i++) {
        const struct result *result = &job->results[i];
        for (int64_t r = 0; r < result->rows; r++) {
            const float *p = result->probabilities + r * job->classes;
            int label = result->labels[r];
            double own = log(fmax(p[label], 1e-30)) / ratio, others = 0;
            for (int c = 0; c < job->classes; c++)
                others += c == label ? 0 : exp(log(fmax(p[c], 1e-30)) / ratio - own);
            sum += log1p(others);
        }
        rows += (double)result->rows;
    }
    return rows > 0 ? sum / rows : 0;
}

/* The likelihood is convex in 1 / temperature, so thirds can be cut off where it is higher. */
static double best_ratio(const struct job *job)
{
    double low = log(0.1), high = log(10);
    while (high - low > 1e-3) {
        double a = low + (high - low) / 3, b = high - (high - low) / 3;
        if (likelihood(job, exp(a)) < likelihood(job, exp(b)))
            high = b;
        else
            low = a;
    }
    return exp((low + high) / 2);
}

lam_status lam_evaluate_temperature(const lam_manifest *manifest, const lam_weights *weights,
                                    const lam_samples *dataset, lam_pool *pool, double *out, lam_error *err)
{
    struct job job = {.manifest = manifest, .dataset = dataset, .keep = true};
    lam_status status = run_all(&job, weights, pool, err);
    if (status == LAM_OK)
        *out = fmin(fmax(manifest->temperature * best_ratio(&job), 0.1), 10);
    job_done(&job, lam_pool_threads(pool));
    return status;
}
