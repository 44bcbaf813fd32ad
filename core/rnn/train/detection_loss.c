/* All lengths here are in cells of the head's grid; a cell's index is also its left edge. */
#include "core/rnn/train/detection_loss.h"

#include <math.h>
#include <string.h>

#define SMOOTH_BETA      0.3
#define LEAST_DEVIATION  0.6 /* of the Gaussian about a centre, in cells */
#define CENTRES_PER_SIDE 6.0 /* its deviation is the box's side over this */

/* One object on the grid. */
struct object {
    lam_rect box;
    double x, y;         /* its centre */
    int64_t column, row; /* the cell that holds it */
    int label;
};

struct image {
    const lam_detection_loss *loss;
    const lam_head *head;
    const float *scores;
    float *gradient;
    int64_t channels;
    double scale;
};

static int64_t held(int64_t value, int64_t count)
{
    return value < 0 ? 0 : value >= count ? count - 1 : value;
}

static struct object place(const struct image *image, const lam_true_box *truth)
{
    float stride = (float)image->head->stride;
    struct object o = {.label = truth->label < image->head->classes ? truth->label : 0};
    o.box = (lam_rect){truth->box.x / stride, truth->box.y / stride, truth->box.width / stride,
                       truth->box.height / stride};
    o.x = o.box.x + o.box.width / 2.0;
    o.y = o.box.y + o.box.height / 2.0;
    o.column = held((int64_t)floor(o.x), image->head->columns);
    o.row = held((int64_t)floor(o.y), image->head->rows);
    return o;
}

/* log(1 + exp(x)) without overflow. */
static double softplus(double x)
{
    return fmax(x, 0) + log1p(exp(-fabs(x)));
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* ---- the map of centres ---- */

/* How much of an object's bump lies on a cell, 0 … 1. */
static double bump(const struct object *o, int64_t row, int64_t column)
{
    double sx = fmax(o->box.width / CENTRES_PER_SIDE, LEAST_DEVIATION);
    double sy = fmax(o->box.height / CENTRES_PER_SIDE, LEAST_DEVIATION);
    double dx = (double)(column - o->column) / sx, dy = (double)(row - o->row) / sy;
    return exp(-0.5 * (dx * dx + dy * dy));
}

/* Focal loss of one cell and its derivative by the logit. */
static double focal(double logit, double target, double *slope)
{
    double p = sigmoid(logit);
    if (target >= 1) {
        *slope = (1 - p) * (1 - p) * (-2 * p * softplus(-logit) - (1 - p));
        return (1 - p) * (1 - p) * softplus(-logit);
    }
    double weight = pow(1 - target, 4);
    *slope = weight * p * p * (p + 2 * (1 - p) * softplus(logit));
    return weight * p * p * softplus(logit);
}

static double centres_loss(const struct image *image, const lam_true_box *boxes, size_t count)
{
    double sum = 0, weight = image->loss->object / (double)(count ? count : 1);
    for (int64_t row = 0; row < image->head->rows; row++)
        for (int64_t column = 0; column < image->head->columns; column++) {
            int64_t at = (row * image->head->columns + column) * image->channels + LAM_HEAD_OBJECT;
            double target = 0, slope;
            for (size_t b = 0; b < count; b++) {
                struct object o = place(image, &boxes[b]);
                target = fmax(target, bump(&o, row, column));
            }
            sum += focal(image->scores[at], target, &slope);
            image->gradient[at] = (float)(image->scale * weight * slope);
        }
    return weight * sum;
}

/* ---- boxes ---- */

double lam_smooth_l1(double x, double beta, double *slope)
{
    if (fabs(x) < beta) {
        *slope = x / beta;
        return x * x / (2 * beta);
    }
    *slope = x > 0 ? 1 : -1;
    return fabs(x) - beta / 2;
}

static double add_smooth(const struct image *image, const float *s, const double target[4], double weight,
                         float *gradient)
{
    double sum = 0, slope;
    for (int i = 0; i < 4; i++) {
        sum += weight * lam_smooth_l1(s[LAM_HEAD_X + i] - target[i], SMOOTH_BETA, &slope);
        gradient[LAM_HEAD_X + i] += (float)(image->scale * weight * slope);
    }
    return sum;
}

/* 1 - GIoU of the predicted box; `iou` gets its overlap with the object. */
static double add_overlap(const struct image *image, const float *s, const struct object *o, int64_t row,
                          int64_t column, double weight, float *gradient, double *iou)
{
    double typical = image->head->typical_size / image->head->stride, sides[4], size[2], free_side[2];
    for (int i = 0; i < 2; i++) {
        double log_ratio = s[LAM_HEAD_WIDTH + i], limit = (double)LAM_HEAD_SIDE_LIMIT;
        free_side[i] = fabs(log_ratio) < limit ? 1 : 0;
        size[i] = typical * exp(fmin(fmax(log_ratio, -limit), limit));
    }
    lam_rect box = {.width = (float)size[0], .height = (float)size[1]};
    box.x = (float)((double)column + 0.5 + s[LAM_HEAD_X] - size[0] / 2);
    box.y = (float)((double)row + 0.5 + s[LAM_HEAD_Y] - size[1] / 2);
    double giou = lam_rect_giou(&box, &o->box, sides), step = -image->scale * weight;
    for (int i = 0; i < 2; i++) {
        gradient[LAM_HEAD_X + i] += (float)(step * (sides[i] + sides[i + 2]));
        gradient[LAM_HEAD_WIDTH + i] +=
            (float)(step * free_side[i] * (sides[i + 2] - sides[i]) * size[i] / 2);
    }
    *iou = lam_rect_iou(&box, &o->box);
    return weight * (1 - giou);
}

static double add_quality(const struct image *image, const float *s, double iou, double weight,
                          float *gradient)
{
    double logit = s[LAM_HEAD_QUALITY];
    gradient[LAM_HEAD_QUALITY] += (float)(image->scale * weight * (sigmoid(logit) - iou));
    return weight * (softplus(logit) - iou * logit);
}

static double add_classes(const struct image *image, const float *s, int label, double weight,
                          float *gradient)
{
    int64_t classes = image->head->classes;
    const float *logits = s + LAM_HEAD_CLASSES;
    double smoothing = image->loss->label_smoothing, highest = logits[0], total = 0, sum = 0;
    for (int64_t c = 1; c < classes; c++)
        highest = fmax(highest, logits[c]);
    for (int64_t c = 0; c < classes; c++)
        total += exp(logits[c] - highest);
    for (int64_t c = 0; c < classes; c++) {
        double log_p = logits[c] - highest - log(total);
        double target = smoothing / (double)classes + (c == label ? 1 - smoothing : 0);
        sum -= weight * target * log_p;
        gradient[LAM_HEAD_CLASSES + c] += (float)(image->scale * weight * (exp(log_p) - target));
    }
    return sum;
}

/* What the cells about an object's centre say of it. */
static double object_loss(const struct image *image, const struct object *o, double share)
{
    const lam_head *head = image->head;
    const lam_detection_loss *loss = image->loss;
    double typical = head->typical_size / head->stride, sum = 0, iou;
    int64_t top = held(o->row - 1, head->rows), bottom = held(o->row + 1, head->rows);
    int64_t left = held(o->column - 1, head->columns), right = held(o->column + 1, head->columns);
    double each = share / (double)((bottom - top + 1) * (right - left + 1));
    for (int64_t row = top; row <= bottom; row++)
        for (int64_t column = left; column <= right; column++) {
            int64_t at = (row * head->columns + column) * image->channels;
            const float *s = image->scores + at;
            float *gradient = image->gradient + at;
            double target[4] = {o->x - (double)column - 0.5, o->y - (double)row - 0.5,
                                log(o->box.width / typical), log(o->box.height / typical)};
            sum += add_smooth(image, s, target, each * loss->smooth, gradient);
            sum += add_overlap(image, s, o, row, column, each * loss->overlap, gradient, &iou);
            sum += add_quality(image, s, iou, each * loss->quality, gradient);
            sum += add_classes(image, s, o->label, each * loss->classes, gradient);
        }
    return sum;
}

double lam_detection_loss_evaluate(const lam_detection_loss *loss, const lam_head *head, const float *scores,
                                   const lam_true_box *boxes, size_t box_count, double scale, float *gradient)
{
    struct image image = {.loss = loss,
                          .head = head,
                          .scores = scores,
                          .gradient = gradient,
                          .channels = LAM_HEAD_CLASSES + head->classes,
                          .scale = scale};
    memset(gradient, 0, (size_t)(head->rows * head->columns * image.channels) * sizeof *gradient);
    double sum = centres_loss(&image, boxes, box_count);
    for (size_t b = 0; b < box_count; b++) {
        struct object o = place(&image, &boxes[b]);
        sum += object_loss(&image, &o, 1.0 / (double)box_count);
    }
    return sum;
}
