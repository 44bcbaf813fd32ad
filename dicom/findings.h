/* What a model found in a series, in the terms of the series: voxels of its grid, pixels of its images. The
 * one form that the worker and `lamina predict` fill and that every writer of objects, pictures and JSON
 * reads.
 *
 * Everything is borrowed from who fills it. Text may be UTF-8; in objects what is not ASCII becomes '?'.
 * A model fills the parts that its task has; the others stay empty. */
#ifndef LAMINA_DICOM_FINDINGS_H
#define LAMINA_DICOM_FINDINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A coded concept (PS3.3 8.8), ASCII. `value` NULL: none. */
typedef struct lam_code {
    const char *value, *scheme, *meaning;
} lam_code;

/* One finding that has voxels. Its voxels are those of the label map that carry `number`, or those of `mask`
 * where segments may overlap. */
typedef struct lam_segment {
    int number; /* from 1, without gaps: the value in the label map and the Segment Number */
    const char *label, *description;
    lam_code category, type, type_modifier, anatomy, anatomy_modifier;
    uint8_t rgb[3];
    uint16_t lab[3];              /* Recommended Display CIELab Value */
    size_t phase;                 /* of the series: in whose images it was found */
    const uint8_t *mask;          /* [z, y, x]: not 0 inside; NULL: the label map */
    const uint8_t *probabilities; /* [z, y, x]: 0 … 255 for 0 … 1; NULL: not known */
    int64_t voxels;
    double volume_ml;
} lam_segment;

/* One answer of a classification. */
typedef struct lam_class_score {
    const char *name, *label; /* short, as in metrics; for people */
    lam_code code;
    double probability; /* calibrated; those of a classification sum to 1 */
    double deviation;   /* standard deviation of it over an ensemble or dropout; 0: not known */
} lam_class_score;

typedef struct lam_classification {
    const char *label; /* what was asked, for people: "Adrenal mass" */
    lam_code question; /* value NULL: "Finding" */
    lam_code site;     /* finding site; value NULL: none */
    const lam_class_score *classes;
    size_t class_count; /* 0: no classification */
    size_t chosen;      /* index of the answer */
} lam_classification;

/* A rectangle on one image. Edges in pixels from the top left corner of the image, so that the first pixel
 * reaches from 0 to 1: 0 <= left < right <= columns, 0 <= top < bottom <= rows. */
typedef struct lam_box {
    size_t slice; /* in lam_series_slices() */
    double left, top, right, bottom;
    double score; /* 0 … 1 */
} lam_box;

/* One detected finding: a box, or boxes on neighbouring slices that were joined. */
typedef struct lam_detection {
    int number;        /* from 1 */
    const char *name;  /* of the class, short */
    const char *label; /* for people */
    lam_code category, type, anatomy;
    uint8_t rgb[3];
    const lam_box *boxes; /* by slice, at least one */
    size_t box_count;
    size_t best;  /* index of the box with the highest score */
    double score; /* of the finding, 0 … 1 */
} lam_detection;

/* A number derived from the findings, such as an ejection fraction. */
typedef struct lam_measurement {
    const char *name, *label; /* short, for JSON; for people */
    lam_code quantity, unit;  /* unit: UCUM */
    double value;             /* finite */
    int segment;              /* number of the segment it belongs to; 0: to the whole */
} lam_measurement;

/* A value for each voxel, such as where the network looked. */
typedef struct lam_heat_map {
    const char *label;
    lam_code quantity, unit;
    const float *values; /* [z, y, x]; NULL: none */
} lam_heat_map;

typedef struct lam_findings {
    const uint8_t *labels; /* [z, y, x] in the series' grid, 0 or a segment's number; NULL: none */
    const lam_segment *segments;
    size_t segment_count;
    lam_classification classification;
    const lam_detection *detections;
    size_t detection_count;
    const lam_measurement *measurements;
    size_t measurement_count;
    lam_heat_map heat;
    const char *caution; /* why all of it is not to be relied on; NULL: nothing against it */
} lam_findings;

#ifdef __cplusplus
}
#endif
#endif
