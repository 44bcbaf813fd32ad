/* Classification: an image has one class of several; the network gives [batch, classes]. */
#include <math.h>
#include <stdlib.h>

#include "core/rnn/train/loss.h"
#include "core/rnn/train/metrics.h"

enum { MAX_CLASSES = 256 };

struct result {
    float probabilities[MAX_CLASSES];
    uint8_t label;
    int classes;
};

static lam_status read_truth(const lam_sample_source *source, lam_sample *sample, lam_error *err)
{
    uint8_t label;
    lam_status status = lam_samples_labels(source, 1, &label, err);
    if (status == LAM_OK)
        sample->truth.label = label;
    return status;
}

static lam_status score(const lam_scoring *scoring, lam_predictor *predictor, const lam_sample *sample,
                        void **result, lam_error *err)
{
    if (scoring->manifest->class_count > MAX_CLASSES)
        return lam_fail(err, LAM_E_LIMIT, "models of more than %d classes cannot be scored", MAX_CLASSES);
    lam_autofree struct result *r = calloc(1, sizeof *r);
    if (!r)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_volume volume = lam_sample_volume(sample, scoring->spacing_mm);
    lam_status status = lam_predict_classes(predictor, &volume, r->probabilities, err);
    if (status)
        return status;
    r->label = (uint8_t)sample->truth.label;
    r->classes = (int)scoring->manifest->class_count;
    *result = LAM_TAKE_PTR(r);
    return LAM_OK;
}

static int best_of(const struct result *result)
{
    int best = 0;
    for (int c = 1; c < result->classes; c++)
        best = result->probabilities[c] > result->probabilities[best] ? c : best;
    return best;
}

/* Mean over classes of one against the rest; of two classes one says it all. */
static lam_status add_auc(const lam_scored *const *cases, size_t count, int classes, lam_scores *out,
                          lam_error *err)
{
    lam_autofree double *scores = malloc((count + 1) * sizeof *scores);
    lam_autofree uint8_t *positive = malloc(count + 1);
    double sum = 0;
    int first = classes == 2 ? 1 : 0;
    if (!scores || !positive)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (int c = first; c < classes; c++) {
        double auc;
        for (size_t i = 0; i < count; i++) {
            const struct result *r = cases[i]->result;
            scores[i] = r->probabilities[c];
            positive[i] = r->label == c;
        }
        lam_status status = lam_metric_auc(scores, positive, (int64_t)count, &auc, err);
        if (status)
            return status;
        sum += auc / (classes - first);
    }
    lam_scores_add(out, sum, "auc", "");
    return LAM_OK;
}

static lam_status summarise(const lam_scoring *scoring, const lam_scored *const *cases, size_t count,
                            lam_scores *out, lam_error *err)
{
    int classes = (int)scoring->manifest->class_count;
    lam_confusion confusion = {0};
    lam_calibration calibration = {0};
    double right = 0;
    for (size_t i = 0; i < count; i++) {
        const struct result *r = cases[i]->result;
        int best = best_of(r), truth = r->label;
        right += best == truth;
        confusion.true_positive += best == 1 && truth == 1;
        confusion.false_positive += best == 1 && truth != 1;
        confusion.true_negative += best != 1 && truth != 1;
        confusion.false_negative += best != 1 && truth == 1;
        lam_calibration_add(&calibration, r->probabilities[best], best == truth);
    }
    lam_scores_add(out, right / (double)count, "accuracy", "");
    lam_status status = add_auc(cases, count, classes, out, err);
    if (status)
        return status;
    if (classes == 2) {
        lam_scores_add(out, lam_metric_sensitivity(&confusion), "sensitivity", "");
        lam_scores_add(out, lam_metric_specificity(&confusion), "specificity", "");
        lam_scores_add(out, lam_metric_f1(&confusion), "f1", "");
    }
    lam_scores_add(out, lam_calibration_error(&calibration), "ece", "");
    return LAM_OK;
}

static double quality(const lam_scored *scored)
{
    const struct result *r = scored->result;
    return r->probabilities[r->label];
}

static void calibration(const lam_scored *scored, lam_calibration_rows *out)
{
    const struct result *r = scored->result;
    *out = (lam_calibration_rows){r->probabilities, &r->label, 1, r->classes};
}

const lam_task_kind lam_task_classification = {
    .task = LAM_TASK_CLASSIFICATION,
    .metric = "auc",
    .read = read_truth,
    .criterion_create = lam_loss_create,
    .criterion_free = lam_loss_free,
    .criterion_run = lam_loss_run,
    .score = score,
    .release = free,
    .summarise = summarise,
    .quality = quality,
    .calibration = calibration,
};
