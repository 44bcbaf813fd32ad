#include "core/rnn/train/detection_metrics.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "core/base/cleanup.h"

/* A box in the order it is looked at, and where it came from. */
struct ranked {
    const lam_marked_box *box;
    size_t number;
};

static int by_score(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->box->score != y->box->score)
        return x->box->score < y->box->score ? 1 : -1;
    return (x->number > y->number) - (x->number < y->number);
}

static int by_image(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->box->image != y->box->image)
        return x->box->image < y->box->image ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

static lam_status rank(const lam_marked_box *boxes, size_t count, int (*order)(const void *, const void *),
                       struct ranked **out, lam_error *err)
{
    struct ranked *ranked = malloc((count + 1) * sizeof *ranked);
    if (!ranked)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for %zu boxes", count);
    for (size_t i = 0; i < count; i++)
        ranked[i] = (struct ranked){&boxes[i], i};
    qsort(ranked, count, sizeof *ranked, order);
    *out = ranked;
    return LAM_OK;
}

/* The first of the boxes, ordered by image, that lies in this image or a later one. */
static size_t first_in(const struct ranked *truth, size_t count, size_t image)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (truth[middle].box->image < image)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool take_best(const struct ranked *truth, size_t count, const lam_marked_box *found, double iou,
                      unsigned char *taken)
{
    size_t best = count;
    double most = iou;
    for (size_t i = first_in(truth, count, found->image); i < count && truth[i].box->image == found->image;
         i++) {
        double overlap = lam_rect_iou(&found->box, &truth[i].box->box);
        if (!taken[i] && overlap >= most) {
            most = overlap;
            best = i;
        }
    }
    if (best == count)
        return false;
    taken[best] = 1;
    return true;
}

/* As lam_metric_match, and leaves the order in which they were looked at. */
static lam_status match(const lam_marked_box *found, size_t found_count, const lam_marked_box *truth,
                        size_t truth_count, double iou, unsigned char *hit, struct ranked **order,
                        lam_error *err)
{
    lam_autofree struct ranked *places = NULL;
    lam_autofree unsigned char *taken = calloc(truth_count + 1, 1);
    lam_status status;
    if (!taken)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for %zu boxes", truth_count);
    for (size_t i = 0; i < found_count; i++)
        if (isnan(found[i].score))
            return lam_fail(err, LAM_E_INVALID, "the score of detection %zu is not a number", i);
    if ((status = rank(truth, truth_count, by_image, &places, err)) ||
        (status = rank(found, found_count, by_score, order, err)))
        return status;
    for (size_t i = 0; i < found_count; i++)
        hit[(*order)[i].number] = take_best(places, truth_count, (*order)[i].box, iou, taken);
    return LAM_OK;
}

lam_status lam_metric_match(const lam_marked_box *found, size_t found_count, const lam_marked_box *truth,
                            size_t truth_count, double iou, unsigned char *hit, lam_error *err)
{
    lam_autofree struct ranked *order = NULL;
    return match(found, found_count, truth, truth_count, iou, hit, &order, err);
}

lam_status lam_metric_average_precision(const lam_marked_box *found, size_t found_count,
                                        const lam_marked_box *truth, size_t truth_count, double iou,
                                        double *out, lam_error *err)
{
    lam_autofree struct ranked *order = NULL;
    lam_autofree unsigned char *hit = calloc(found_count + 1, 1);
    double precision = 0, area = 0;
    size_t right = 0;
    if (!hit)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for %zu boxes", found_count);
    lam_status status = match(found, found_count, truth, truth_count, iou, hit, &order, err);
    if (status)
        return status;
    for (size_t i = 0; i < found_count; i++)
        right += hit[i];
    /* From the end: the precision at a recall is the best at this or any greater one. */
    for (size_t i = found_count; i-- > 0;) {
        precision = fmax(precision, (double)right / (double)(i + 1));
        if (hit[order[i].number]) {
            area += precision;
            right--;
        }
    }
    *out = truth_count ? area / (double)truth_count : NAN;
    return LAM_OK;
}

lam_status lam_metric_froc(const lam_marked_box *found, size_t found_count, const lam_marked_box *truth,
                           size_t truth_count, size_t images, double iou, const double *rates,
                           size_t rate_count, double *sensitivity, lam_error *err)
{
    lam_autofree struct ranked *order = NULL;
    lam_autofree unsigned char *hit = calloc(found_count + 1, 1);
    if (!hit)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for %zu boxes", found_count);
    lam_status status = match(found, found_count, truth, truth_count, iou, hit, &order, err);
    if (status)
        return status;
    for (size_t r = 0; r < rate_count; r++) {
        size_t right = 0, wrong = 0;
        for (size_t i = 0; i < found_count; i++) {
            bool good = hit[order[i].number];
            if (!good && (double)(wrong + 1) > rates[r] * (double)images)
                break;
            right += good;
            wrong += !good;
        }
        sensitivity[r] = truth_count ? (double)right / (double)truth_count : NAN;
    }
    return LAM_OK;
}
