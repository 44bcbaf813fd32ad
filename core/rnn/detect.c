#include "core/rnn/detect.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"

/* ---- reading the head ---- */

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static float side(const lam_head *head, float log_ratio)
{
    float held = fminf(fmaxf(log_ratio, -LAM_HEAD_SIDE_LIMIT), LAM_HEAD_SIDE_LIMIT);
    return (float)head->typical_size * expf(held);
}

static void read_classes(const lam_head *head, const float *logits, lam_detected *out)
{
    float highest = logits[0], sum = 0;
    for (int64_t c = 1; c < head->classes; c++)
        highest = fmaxf(highest, logits[c]);
    for (int64_t c = 0; c < head->classes; c++)
        sum += out->classes[c] = expf((logits[c] - highest) / (float)head->temperature);
    for (int64_t c = 0; c < head->classes; c++) {
        out->classes[c] /= sum;
        out->label = out->classes[c] > out->classes[out->label] ? (int)c : out->label;
    }
}

void lam_detect_read(const lam_head *head, const float *scores, bool mirrored, lam_detected *out)
{
    int64_t channels = LAM_HEAD_CLASSES + head->classes;
    float stride = (float)head->stride;
    for (int64_t i = 0; i < head->rows * head->columns; i++) {
        const float *s = scores + i * channels;
        lam_detected *d = &out[i];
        int64_t row = i / head->columns;
        *d = (lam_detected){0};
        d->score = (float)sqrt(sigmoid(s[LAM_HEAD_OBJECT]) * sigmoid(s[LAM_HEAD_QUALITY]));
        d->box.width = side(head, s[LAM_HEAD_WIDTH]);
        d->box.height = side(head, s[LAM_HEAD_HEIGHT]);
        float x = ((float)(i % head->columns) + 0.5f + s[LAM_HEAD_X]) * stride;
        float y = ((float)row + 0.5f + s[LAM_HEAD_Y]) * stride;
        x = mirrored ? (float)head->columns * stride - x : x;
        d->box.x = x - d->box.width / 2;
        d->box.y = y - d->box.height / 2;
        read_classes(head, s + LAM_HEAD_CLASSES, d);
    }
}

/* ---- choosing ---- */

static int by_score(const void *a, const void *b)
{
    float x = ((const lam_detected *)a)->score, y = ((const lam_detected *)b)->score;
    return (x < y) - (x > y);
}

/* Weighted sums of what the candidates for one object say. */
struct votes {
    double weight, left, top, right, bottom, classes[LAM_MAX_DETECTED_CLASSES];
};

static void add_vote(struct votes *votes, const lam_detected *d, double weight)
{
    votes->weight += weight;
    votes->left += weight * d->box.x;
    votes->top += weight * d->box.y;
    votes->right += weight * (d->box.x + (double)d->box.width);
    votes->bottom += weight * (d->box.y + (double)d->box.height);
    for (int c = 0; c < LAM_MAX_DETECTED_CLASSES; c++)
        votes->classes[c] += weight * (double)d->classes[c];
}

static void decide(const struct votes *votes, lam_detected *d)
{
    double w = votes->weight;
    d->box = (lam_rect){(float)(votes->left / w), (float)(votes->top / w),
                        (float)((votes->right - votes->left) / w), (float)((votes->bottom - votes->top) / w)};
    d->label = 0;
    for (int c = 0; c < LAM_MAX_DETECTED_CLASSES; c++) {
        d->classes[c] = (float)(votes->classes[c] / w);
        d->label = d->classes[c] > d->classes[d->label] ? c : d->label;
    }
}

/* Takes the best candidate, first of the list, and all that show the same object out of the list. The rest
 * closes ranks; returns its length. */
static size_t take_object(const lam_selection *selection, int views, lam_detected *list, size_t count,
                          lam_detected *out)
{
    struct votes votes = {0};
    lam_detected best = list[0];
    size_t rest = 0;
    double score = 0;
    int voices = 0;
    for (size_t i = 0; i < count; i++) {
        double iou = i == 0 ? 1 : lam_rect_iou(&best.box, &list[i].box);
        if (i == 0 || iou >= selection->vote)
            add_vote(&votes, &list[i], list[i].score * iou);
        if (voices < views && (i == 0 || iou >= selection->vote)) {
            score += list[i].score;
            voices++;
        }
        if (i > 0 && iou <= selection->overlap)
            list[rest++] = list[i];
    }
    decide(&votes, &best);
    best.score = (float)(score / views);
    *out = best;
    return rest;
}

size_t lam_detect_select(const lam_selection *selection, int views, lam_detected *candidates, size_t count)
{
    size_t usable = 0, found = 0;
    for (size_t i = 0; i < count; i++)
        if (candidates[i].score > 0 && candidates[i].score >= selection->minimum_score)
            candidates[usable++] = candidates[i];
    qsort(candidates, usable, sizeof *candidates, by_score);
    /* What is found goes to the front: every object takes at least itself out of the list behind. */
    while (usable > 0 && (int64_t)found < selection->maximum) {
        lam_detected object, *list = candidates + found;
        size_t rest = take_object(selection, views, list, usable, &object);
        memmove(list + 1, list, rest * sizeof *list);
        list[0] = object;
        found++;
        usable = rest;
    }
    qsort(candidates, found, sizeof *candidates, by_score);
    return found;
}

/* ---- joining slices ---- */

/* Order of work: by slice, in a slice the best first; equal ones as they came. */
struct place {
    const lam_detected *detection;
    size_t number;
};

static int by_slice(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    int64_t p = x->detection->slice, q = y->detection->slice;
    if (p != q)
        return (p > q) - (p < q);
    if (x->detection->score != y->detection->score)
        return x->detection->score < y->detection->score ? 1 : -1;
    return (x->number > y->number) - (x->number < y->number);
}

struct chain {
    lam_joined finding;
    lam_rect last;
    double weight;
    size_t number;
};

/* The chain that a detection continues, or `count`. */
static size_t find_chain(const struct chain *chains, size_t count, const lam_detected *d, double overlap,
                         int64_t gap)
{
    size_t best = count;
    double most = overlap;
    for (size_t i = 0; i < count; i++) {
        int64_t step = d->slice - chains[i].finding.last_slice;
        double iou = lam_rect_iou(&chains[i].last, &d->box);
        if (step >= 1 && step <= gap + 1 && iou >= most) {
            most = iou;
            best = i;
        }
    }
    return best;
}

static lam_rect around(const lam_rect *a, const lam_rect *b)
{
    float x = fminf(a->x, b->x), y = fminf(a->y, b->y);
    float right = fmaxf(a->x + a->width, b->x + b->width), bottom = fmaxf(a->y + a->height, b->y + b->height);
    return (lam_rect){x, y, right - x, bottom - y};
}

static void extend(struct chain *chain, const lam_detected *d, size_t number)
{
    lam_joined *f = &chain->finding;
    if (f->slices == 0) {
        f->first_slice = d->slice;
        f->box = d->box;
    }
    if (f->slices == 0 || d->score > f->score) {
        f->best = number;
        f->score = d->score;
    }
    f->slices++;
    f->last_slice = d->slice;
    f->box = around(&f->box, &d->box);
    chain->last = d->box;
    chain->weight += d->score;
    for (int c = 0; c < LAM_MAX_DETECTED_CLASSES; c++)
        f->classes[c] += d->score * d->classes[c];
}

static void settle(struct chain *chain)
{
    lam_joined *f = &chain->finding;
    for (int c = 0; c < LAM_MAX_DETECTED_CLASSES; c++) {
        f->classes[c] = chain->weight > 0 ? f->classes[c] / (float)chain->weight : 0;
        f->label = f->classes[c] > f->classes[f->label] ? c : f->label;
    }
}

static int by_finding_score(const void *a, const void *b)
{
    const struct chain *x = a, *y = b;
    if (x->finding.score != y->finding.score)
        return x->finding.score < y->finding.score ? 1 : -1;
    return (x->number > y->number) - (x->number < y->number);
}

lam_status lam_detect_join(const lam_detected *detections, size_t count, double overlap, int64_t gap,
                           size_t *owner, lam_joined *out, size_t *found, lam_error *err)
{
    lam_autofree struct place *order = calloc(count + 1, sizeof *order);
    lam_autofree struct chain *chains = calloc(count + 1, sizeof *chains);
    lam_autofree size_t *rank = calloc(count + 1, sizeof *rank);
    size_t chain_count = 0;
    if (!order || !chains || !rank)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for %zu detections", count);
    for (size_t i = 0; i < count; i++)
        order[i] = (struct place){&detections[i], i};
    qsort(order, count, sizeof *order, by_slice);
    for (size_t i = 0; i < count; i++) {
        const lam_detected *d = order[i].detection;
        size_t chain = find_chain(chains, chain_count, d, overlap, gap);
        if (chain == chain_count)
            chains[chain_count++].number = chain;
        extend(&chains[chain], d, order[i].number);
        owner[order[i].number] = chain;
    }
    for (size_t i = 0; i < chain_count; i++)
        settle(&chains[i]);
    qsort(chains, chain_count, sizeof *chains, by_finding_score);
    for (size_t i = 0; i < chain_count; i++) {
        out[i] = chains[i].finding;
        rank[chains[i].number] = i;
    }
    for (size_t i = 0; i < count; i++)
        owner[i] = rank[owner[i]];
    *found = chain_count;
    return LAM_OK;
}
