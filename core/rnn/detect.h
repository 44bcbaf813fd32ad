/* From the scores of a detector's head to boxes, and from the boxes of neighbouring slices to findings.
 *
 * The head is a grid over the image, each cell `stride` pixels wide, with these channels (anchor-free, as in
 * CenterNet, Zhou 2019):
 *
 *   0          logit: the centre of an object lies in this cell
 *   1 … 4      the object's box: centre x, y in cells from this cell's centre; log of width and height over
 *              the typical side (manifest: `typical_size` in pixels), held to ±3
 *   5          logit: how well the box fits (its IoU; Jiang 2018)
 *   6 …        logits of the classes
 *
 * Pure functions, safe from any thread. No network and no manifest here: detection runs in predict.h. */
#ifndef LAMINA_RNN_DETECT_H
#define LAMINA_RNN_DETECT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"
#include "core/rnn/rect.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LAM_HEAD_OBJECT,
    LAM_HEAD_X,
    LAM_HEAD_Y,
    LAM_HEAD_WIDTH,
    LAM_HEAD_HEIGHT,
    LAM_HEAD_QUALITY,
    LAM_HEAD_CLASSES,
    LAM_MAX_DETECTED_CLASSES = 16,
};

/* |log of a side over the typical one| is held to this. */
#define LAM_HEAD_SIDE_LIMIT 3.0f

typedef struct lam_detected {
    lam_rect box;                            /* pixels of the input image */
    float score;                             /* 0 … 1: that something is there and the box fits */
    float classes[LAM_MAX_DETECTED_CLASSES]; /* probabilities, summing to 1 */
    int label;                               /* the most probable class */
    int64_t slice;
} lam_detected;

/* How a head is read. */
typedef struct lam_head {
    int64_t rows, columns, classes; /* of the grid; 1 … LAM_MAX_DETECTED_CLASSES */
    double stride;                  /* pixels a cell */
    double typical_size;            /* pixels */
    double temperature;             /* class logits are divided by it */
} lam_head;

/* Every cell as a candidate, scores [rows, columns, 6 + classes] -> out [rows·columns]. score = √(p(object) ·
 * p(fit)). With `mirrored` the scores are of the image flipped left to right, whose width is columns·stride;
 * boxes are turned back. Slices are 0. */
void lam_detect_read(const lam_head *head, const float *scores, bool mirrored, lam_detected *out);

typedef struct lam_selection {
    double minimum_score;
    double overlap;  /* candidates of greater IoU with a better one are the same object (greedy NMS) */
    double vote;     /* those of at least this IoU with the best one have a say in its box and its classes,
                        weighted by score × IoU (box voting; Gidaris and Komodakis, ICCV 2015); 1: none */
    int64_t maximum; /* objects kept */
} lam_selection;

/* Of `count` candidates (reordered) the objects, best first, to the front of `candidates`; returns how many.
 * Candidates pooled from several views of one image count as votes of that many views: with `views` 2 the
 * score of an object is the mean over both, 0 where a view has no vote. NaN scores are dropped. */
size_t lam_detect_select(const lam_selection *selection, int views, lam_detected *candidates, size_t count);

/* A finding: one object seen in one or several slices. */
typedef struct lam_joined {
    int64_t first_slice, last_slice;
    size_t best;                             /* the detection with the highest score, as number in the list */
    size_t slices;                           /* detections that it joins */
    lam_rect box;                            /* around all its boxes */
    double score;                            /* the highest */
    int label;                               /* of the probabilities weighted by score */
    float classes[LAM_MAX_DETECTED_CLASSES]; /* that mean */
} lam_joined;

/* Joins detections of neighbouring slices: a chain continues with the detection that overlaps its last box
 * most, by at least `overlap` IoU, at most `gap` slices without one in between; detections are taken best
 * first within a slice and each belongs to one finding. `owner` [count] gets each detection's finding number,
 * `out` room for `count`. Detections in any order; findings come in order of their scores, highest first.
 * LAM_E_NO_MEMORY. */
lam_status lam_detect_join(const lam_detected *detections, size_t count, double overlap, int64_t gap,
                           size_t *owner, lam_joined *out, size_t *found, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
