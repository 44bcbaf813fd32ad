/* Detection: boxes with a class on an image of two axes; the network gives the head that detect.h describes.
 */
#include <math.h>
#include <stdlib.h>

#include "core/rnn/elements.h"
#include "core/rnn/network.h"
#include "core/rnn/options.h"
#include "core/rnn/train/detection_loss.h"
#include "core/rnn/train/detection_metrics.h"
#include "core/rnn/train/task.h"

enum { MAX_BOXES = 64, ANY_CLASS = -1 };

/* ---- reading ---- */

/* `boxes`: centre x, centre y, width, height as fractions of the image's sides; `labels`: the class of each.
 */
static lam_status read_truth(const lam_sample_source *source, lam_sample *sample, lam_error *err)
{
    lam_tensor boxes;
    uint8_t labels[MAX_BOXES];
    float sides[2] = {(float)sample->size[2], (float)sample->size[1]};
    size_t count = 0, rest = 1;
    if (lam_samples_field(source, "boxes", "boxes", &boxes)) {
        count = boxes.bytes / lam_dtype_size(boxes.dtype) / 4;
        rest = boxes.bytes / lam_dtype_size(boxes.dtype) % 4;
    }
    if (rest != 0 || count > MAX_BOXES)
        return lam_fail(err, LAM_E_INVALID, "needs a tensor %sboxes, four numbers each box, at most %d boxes",
                        source->row < 0 ? "ID." : "", MAX_BOXES);
    lam_status status = lam_samples_labels(source, (int64_t)count, labels, err);
    if (status)
        return status;
    sample->boxes = malloc((count + 1) * sizeof *sample->boxes);
    if (!sample->boxes)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++) {
        float b[4];
        lam_elements_read(&boxes, (int64_t)i * 4, 4, b);
        if (!(b[0] >= 0 && b[0] <= 1 && b[1] >= 0 && b[1] <= 1 && b[2] > 0 && b[2] <= 1 && b[3] > 0 &&
              b[3] <= 1))
            return lam_fail(err, LAM_E_INVALID, "box %zu is not within the image", i);
        sample->boxes[i] =
            (lam_sample_box){b[0] * sides[0], b[1] * sides[1], b[2] * sides[0], b[3] * sides[1], labels[i]};
    }
    sample->truth.boxes = sample->boxes;
    sample->truth.box_count = count;
    return LAM_OK;
}

static lam_true_box true_box(const lam_sample_box *box)
{
    return (lam_true_box){{box->x - box->width / 2, box->y - box->height / 2, box->width, box->height},
                          box->label};
}

/* ---- training ---- */

struct criterion {
    const lam_manifest *manifest;
    lam_detection_loss terms;
};

static lam_status criterion_create(const lam_manifest *manifest, const lam_network *network, void **out,
                                   lam_error *err)
{
    lam_autofree struct criterion *criterion = calloc(1, sizeof *criterion);
    (void)network;
    if (!criterion)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    if (lam_jv_get(manifest->training, "loss"))
        return lam_fail(err, LAM_E_INVALID,
                        "model.json: `training.loss` of a detector is fixed; leave it out");
    criterion->manifest = manifest;
    criterion->terms = (lam_detection_loss){
        .object = 1, .overlap = 2, .smooth = 0.5, .quality = 1, .classes = 1, .label_smoothing = 0.05};
    *out = LAM_TAKE_PTR(criterion);
    return LAM_OK;
}

static double criterion_run(const void *memory, const lam_loss_case *at)
{
    const struct criterion *criterion = memory;
    lam_head head = lam_predict_head(criterion->manifest, at->shape, at->frame->size[2]);
    lam_true_box boxes[MAX_BOXES];
    for (size_t i = 0; i < at->truth->box_count; i++) {
        boxes[i] = true_box(&at->truth->boxes[i]);
        boxes[i].box.width = fmaxf(boxes[i].box.width, 2);
        boxes[i].box.height = fmaxf(boxes[i].box.height, 2);
    }
    return lam_detection_loss_evaluate(&criterion->terms, &head, at->scores, boxes, at->truth->box_count,
                                       at->scale, at->gradient);
}

/* ---- scoring ---- */

struct result {
    lam_detected *found; /* best first */
    size_t count;
};

static void release(void *memory)
{
    struct result *r = memory;
    if (r)
        free(r->found);
    free(r);
}

static lam_status score(const lam_scoring *scoring, lam_predictor *predictor, const lam_sample *sample,
                        void **result, lam_error *err)
{
    lam_autofree struct result *r = calloc(1, sizeof *r);
    lam_volume volume = lam_sample_volume(sample, scoring->spacing_mm);
    if (!r)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_status status = lam_predict_boxes(predictor, &volume, &r->found, &r->count, err);
    if (status == LAM_OK)
        *result = LAM_TAKE_PTR(r);
    return status;
}

/* All boxes of all images for one class (or any). Each detection counts for every class, with its score times
 * the probability of that class. */
struct lists {
    lam_marked_box *found, *truth;
    size_t found_count, truth_count;
};

static void collect(const lam_scored *const *cases, size_t count, int label, struct lists *lists)
{
    lists->found_count = lists->truth_count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct result *r = cases[i]->result;
        const lam_truth *truth = &cases[i]->sample->truth;
        for (size_t k = 0; k < r->count; k++) {
            double share = label == ANY_CLASS ? 1 : (double)r->found[k].classes[label];
            lists->found[lists->found_count++] =
                (lam_marked_box){i, r->found[k].box, r->found[k].score * share};
        }
        for (size_t k = 0; k < truth->box_count; k++)
            if (label == ANY_CLASS || truth->boxes[k].label == label)
                lists->truth[lists->truth_count++] = (lam_marked_box){i, true_box(&truth->boxes[k]).box, 0};
    }
}

static lam_status precision(const struct lists *lists, double iou, double *out, lam_error *err)
{
    return lam_metric_average_precision(lists->found, lists->found_count, lists->truth, lists->truth_count,
                                        iou, out, err);
}

/* Means over the classes that are there. */
static lam_status add_by_class(const lam_manifest *manifest, const lam_scored *const *cases, size_t count,
                               struct lists *lists, lam_scores *out, lam_error *err)
{
    double at50[LAM_MAX_DETECTED_CLASSES], at30, mean50 = 0, mean30 = 0, present = 0;
    for (size_t c = 0; c < manifest->class_count; c++) {
        lam_status status;
        collect(cases, count, (int)c, lists);
        if ((status = precision(lists, 0.5, &at50[c], err)) || (status = precision(lists, 0.3, &at30, err)))
            return status;
        if (lists->truth_count == 0)
            continue;
        mean50 += at50[c];
        mean30 += at30;
        present++;
    }
    lam_scores_add(out, mean50 / present, "ap50", "");
    lam_scores_add(out, mean30 / present, "ap30", "");
    for (size_t c = 0; c < manifest->class_count; c++)
        lam_scores_add(out, at50[c], "ap50", manifest->classes[c].name);
    return LAM_OK;
}

static lam_status add_any_class(const lam_scored *const *cases, size_t count, struct lists *lists,
                                lam_scores *out, lam_error *err)
{
    static const double rates[] = {0.125, 0.25, 0.5, 1, 2, 4, 8};
    static const char *const names[] = {"0.125", "0.25", "0.5", "1", "2", "4", "8"};
    double sensitivity[LAM_COUNT(rates)], ap;
    collect(cases, count, ANY_CLASS, lists);
    lam_status status = precision(lists, 0.5, &ap, err);
    if (status == LAM_OK)
        status = lam_metric_froc(lists->found, lists->found_count, lists->truth, lists->truth_count, count,
                                 0.5, rates, LAM_COUNT(rates), sensitivity, err);
    if (status)
        return status;
    lam_scores_add(out, ap, "ap50_any_class", "");
    for (size_t r = 0; r < LAM_COUNT(rates); r++)
        lam_scores_add(out, sensitivity[r], "froc", names[r]);
    return LAM_OK;
}

/* IoU of an image's best-scored box with the true box that it overlaps most; -1 without either. */
static double first_overlap(const lam_scored *scored, int *label)
{
    const struct result *r = scored->result;
    const lam_truth *truth = &scored->sample->truth;
    double most = -1;
    for (size_t k = 0; k < truth->box_count && r->count; k++) {
        lam_true_box box = true_box(&truth->boxes[k]);
        double iou = lam_rect_iou(&r->found[0].box, &box.box);
        if (iou > most) {
            most = iou;
            *label = box.label;
        }
    }
    return most;
}

static void add_first_boxes(const lam_scored *const *cases, size_t count, lam_scores *out)
{
    double overlap = 0, right = 0, images = 0;
    for (size_t i = 0; i < count; i++) {
        const struct result *r = cases[i]->result;
        int label = -1;
        double iou = first_overlap(cases[i], &label);
        images += cases[i]->sample->truth.box_count > 0;
        overlap += fmax(iou, 0);
        right += iou >= 0 && r->found[0].label == label;
    }
    lam_scores_add(out, overlap / images, "mean_iou", "");
    lam_scores_add(out, right / images, "class_accuracy", "");
}

static lam_status summarise(const lam_scoring *scoring, const lam_scored *const *cases, size_t count,
                            lam_scores *out, lam_error *err)
{
    size_t found = 0, truth = 0;
    for (size_t i = 0; i < count; i++) {
        found += ((const struct result *)cases[i]->result)->count;
        truth += cases[i]->sample->truth.box_count;
    }
    lam_autofree lam_marked_box *all = calloc(found + truth + 1, sizeof *all);
    if (!all)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for %zu boxes", found + truth);
    struct lists lists = {.found = all, .truth = all + found};
    lam_status status = add_by_class(scoring->manifest, cases, count, &lists, out, err);
    if (status == LAM_OK)
        status = add_any_class(cases, count, &lists, out, err);
    if (status == LAM_OK)
        add_first_boxes(cases, count, out);
    return status;
}

static double quality(const lam_scored *scored)
{
    int label;
    return first_overlap(scored, &label);
}

const lam_task_kind lam_task_detection = {
    .task = LAM_TASK_DETECTION,
    .metric = "ap50",
    .read = read_truth,
    .criterion_create = criterion_create,
    .criterion_free = free,
    .criterion_run = criterion_run,
    .score = score,
    .release = release,
    .summarise = summarise,
    .quality = quality,
};
