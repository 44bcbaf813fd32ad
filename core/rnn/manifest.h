/* A bundle's model.json as typed structs (docs/model.schema.json describes the file). Needs neither weights
 * nor a linear algebra library, so that the part that routes studies can read it: the network is kept as JSON
 * and is built by bundle.h.
 *
 * Every string and array is owned by the manifest, valid UTF-8, never NULL unless said. */
#ifndef LAMINA_RNN_MANIFEST_H
#define LAMINA_RNN_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/cleanup.h"
#include "core/base/json.h"
#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LAM_MANIFEST_MAX_BYTES = 1 << 20,
    LAM_MANIFEST_MAX_SEGMENTS = 255,
    LAM_MANIFEST_MAX_CLASSES = 1000,
    LAM_MANIFEST_MAX_MATCHES = 32,
    LAM_MANIFEST_MAX_MEMBERS = 16,
    LAM_MANIFEST_MAX_TURNS = 8,
    LAM_MANIFEST_MAX_WORDS = 16,
    LAM_MANIFEST_MAX_ROLES = 4,
};

typedef enum lam_task {
    LAM_TASK_CLASSIFICATION,
    LAM_TASK_DETECTION,
    LAM_TASK_SEGMENTATION,
    LAM_TASK_GENERATION,
    LAM_TASK_COUNT
} lam_task;

/* "segmentation" and so on; never NULL. */
const char *lam_task_name(lam_task task);

/* A coded concept (DICOM PS3.3 8.8). `value` is NULL when the manifest gives none. */
typedef struct lam_model_code {
    const char *scheme;  /* "SCT" */
    const char *value;   /* "5366008" */
    const char *meaning; /* "Hippocampus" */
} lam_model_code;

/* One condition on a series: the attribute with this DICOM keyword matches this POSIX extended regular
 * expression (checked to compile). */
typedef struct lam_model_match {
    const char *keyword; /* "SeriesDescription" */
    const char *pattern; /* "hippo" */
    bool ignore_case;
} lam_model_match;

/* One of several texts; count 0: any. */
typedef struct lam_model_words {
    const char *word[LAM_MANIFEST_MAX_WORDS];
    size_t count;
} lam_model_words;

/* Which series a model wants. All that is given must hold; what is not given holds for every series. */
typedef struct lam_model_selector {
    const char *modality;        /* "MR"; "": any */
    lam_model_words sop_classes; /* UIDs */
    lam_model_words body_parts;  /* Body Part Examined, without regard to case */
    lam_model_words planes; /* "axial", "coronal", "sagittal": the plane that the slices are nearest to */
    double pixel_mm[2];     /* smallest and largest distance of pixels, in both directions; 0 and 0: any */
    double slice_mm[2];     /* of neighbouring slices */
    const lam_model_match *matches;
    size_t match_count;
    int minimum_slices; /* at least 1 */
    int maximum_slices; /* 0: no limit */
} lam_model_selector;

/* One of the series that a model reads together, such as the stacks at the end of diastole and of systole. */
typedef struct lam_model_role {
    const char *name;            /* [a-z0-9_-]{1,32} */
    bool prior;                  /* in an earlier study of the same patient; else in the same study */
    lam_model_selector selector; /* beside the model's own, which holds for every role */
} lam_model_role;

typedef enum lam_intensity_mask {
    LAM_INTENSITY_ALL,     /* mean and deviation of every voxel */
    LAM_INTENSITY_POSITIVE /* of those above 0 */
} lam_intensity_mask;

/* How pixels become the network's input. Axis triples are in memory order: z (slices), y (rows), x (columns).
 */
typedef struct lam_model_preprocessing {
    char orientation[4]; /* patient direction that x, y, z grow to, as three letters of LRAPIS: "RAS". "" when
                            the pixels are taken as they are stored */
    double spacing_mm[3];     /* z, y, x the network was trained at; 0: any */
    double spacing_tolerance; /* relative difference that is still taken as equal, such as 0.05 */
    bool resample; /* whether the caller may resample to spacing_mm; if not, other spacings are refused */
    int64_t minimum_size[3]; /* z, y, x */
    int64_t maximum_size[3]; /* z, y, x; larger cases are refused with a reason */
    int64_t crop[3];         /* z, y, x: of larger volumes only the middle is looked at; 0: all of it */
    bool binary;             /* v > threshold counts 1, else 0; before what follows */
    double threshold;
    double clip_percentile; /* intensities above this percentile (0 … 100, linear interpolation) are cut to
                               it; 0: no cut */
    bool z_score;           /* (v - mean) / (deviation + 1e-6) */
    lam_intensity_mask z_score_mask;
    double scale; /* v × scale + offset, after the above; 1 and 0 by default */
    double offset;
    int64_t pad_multiple[3]; /* z, y, x: zero-padded to a multiple, half on each side (the odd one behind) */
} lam_model_preprocessing;

/* One class of a segmentation; number 0 is the background and is not listed. */
typedef struct lam_model_segment {
    int number;                      /* value in the label map, 1 … */
    const char *name;                /* short, for metrics and file names: "anterior" */
    const char *label;               /* for people: "Anterior hippocampus" */
    const char *description;         /* may be "" */
    lam_model_code category;         /* Segmented Property Category (PS3.3 C.8.20.2) */
    lam_model_code type;             /* Segmented Property Type */
    lam_model_code type_modifier;    /* value NULL: none */
    lam_model_code anatomy;          /* Anatomic Region; value NULL: none */
    lam_model_code anatomy_modifier; /* such as laterality; value NULL: none */
    uint8_t colour[3];               /* sRGB */
    bool keep_largest;               /* of the 26-connected components only the largest stays */
    double minimum_ml;               /* components smaller than this are removed; 0: none */
} lam_model_segment;

/* A number that is told of the phases of a heart beat. */
typedef struct lam_model_moment {
    const char *name;        /* for JSON: "end_diastolic_volume" */
    const char *phase;       /* for people: "end diastole"; "" where it is of no single phase */
    lam_model_code quantity; /* what is measured */
} lam_model_moment;

/* What becomes of images at several phases: the segments are drawn where one of them is largest and where it
 * is smallest, and the share of its largest volume that leaves is measured. */
typedef struct lam_model_cycle {
    int segment;                        /* number of the one that decides; 0: one phase only */
    lam_model_moment largest, smallest; /* its volumes */
    lam_model_moment fraction;          /* 1 - smallest / largest, in percent */
} lam_model_cycle;

/* One class of a classification or detection, or one category a generator draws. */
typedef struct lam_model_class {
    const char *name;
    const char *label;
    lam_model_code code; /* value NULL: none */
} lam_model_class;

/* How a detector's head is read and its candidates become objects (core/rnn/detect.h). */
typedef struct lam_model_detection {
    double typical_size;  /* pixels that a log ratio of 0 stands for */
    double minimum_score; /* of what is kept; low, so that precision can be weighed against recall */
    double report_score;  /* of a finding that is worth reporting; at least minimum_score */
    double overlap;       /* greater IoU with a better one: the same object */
    double vote;          /* IoU from which candidates have a say in an object's box; 1: none */
    int64_t maximum;      /* objects a slice */
} lam_model_detection;

/* Which inputs are unlike the training set (core/rnn/gate.h). */
typedef struct lam_model_gate {
    const char *sha256;  /* of gate.safetensors; "": the model has no gate */
    double threshold;    /* score above which an input is refused */
    double false_alarms; /* share of genuine inputs that it refuses, where it was learnt */
} lam_model_gate;

/* What a generator draws where nothing else is asked for, and how that is told as a DICOM series; modality,
 * orientation and spacing are the selector's and the preprocessing's. */
typedef struct lam_model_drawing {
    int64_t size[3];    /* z, y, x; 0: not stated */
    int64_t enlarge[3]; /* z, y, x: a series has so many voxels along each axis for one that is drawn */
    double temperature; /* of the pixels' distributions; 1 by default */
    const char *series_description, *body_part; /* SeriesDescription, BodyPartExamined; may be "" */
    double slope;                               /* stored pixel value of a level: level × slope */
} lam_model_drawing;

typedef struct lam_model_metric {
    const char *name;
    double value;
} lam_model_metric;

typedef struct lam_model_provenance {
    const char *data;    /* what it was trained on, with citation */
    const char *licence; /* of the weights */
    const char *split;
    const char *date;           /* ISO 8601 */
    const char *weights_sha256; /* 64 lower-case hexadecimal digits, or "" before training */
    const lam_model_metric *metrics;
    size_t metric_count;
} lam_model_provenance;

/* What people should know, for card.md; lists of sentences as JSON arrays of strings, NULL where absent. */
typedef struct lam_model_card {
    const char *population;
    const lam_jv *intended, *not_intended, *limits, *comparison;
} lam_model_card;

typedef struct lam_manifest {
    const char *name;    /* [a-z0-9_-]{1,64} */
    const char *version; /* [a-z0-9.+-]{1,16} */
    const char *title;   /* for people */
    const char *description;
    lam_task task;
    lam_model_selector selector;
    lam_model_role roles[LAM_MANIFEST_MAX_ROLES]; /* the first one's series is the one that a job is of */
    size_t role_count;                            /* 0: the model reads one series; else at least 2 */
    bool on_request;                              /* it reads nothing unless a [rule] or a request names it */
    bool alone; /* of several roles: a series that suits none of them is read by itself */
    lam_model_preprocessing preprocessing;
    bool average_flips[3]; /* z, y, x: probabilities are the mean over the image and its mirror images along
                              these axes */
    double average_turns[LAM_MANIFEST_MAX_TURNS]; /* degrees about z: and over the image turned by these */
    size_t average_turn_count;
    int members; /* weight sets in the weights file, whose probabilities are averaged; 1: no ensemble */
    double temperature; /* logits are divided by it before the softmax (calibration); 1 by default */
    lam_model_detection detection;     /* of task detection */
    lam_model_drawing drawing;         /* of task generation */
    const lam_model_segment *segments; /* segmentation */
    size_t segment_count;
    lam_model_cycle cycle; /* segmentation */
    const char *seg_form; /* in which segmentations are best written, where the reader leaves it open: binary,
                             occupancy, probability or labelmap; "" when the manifest does not say */
    const lam_model_class *classes; /* classification, detection, generation */
    size_t class_count;
    lam_model_gate gate;
    const char *unit; /* UCUM unit of the measured volume: "ml" */
    lam_model_card card;
    lam_model_provenance provenance;
    const lam_jv *network;  /* object */
    const lam_jv *training; /* object, or NULL when the bundle has no recipe */
    const lam_jv *root;     /* the whole document */
    const char *text;       /* the file as it was read */
    size_t text_length;
} lam_manifest;

/* Reads and checks everything but the network. An unknown member is an error that names it. Errors:
 * LAM_E_INVALID (which member and what is expected), LAM_E_LIMIT, LAM_E_NO_MEMORY. The result is immutable.
 */
lam_status lam_manifest_parse(const char *text, size_t length, lam_manifest **out, lam_error *err);
void lam_manifest_free(lam_manifest *manifest);
LAM_DEFINE_AUTO(lam_manifest, lam_manifest_free)

/* What training adds to a manifest. Values that are not finite are written as null and so refused on reading:
 * leave them out. */
typedef struct lam_manifest_update {
    const lam_model_metric *metrics;
    size_t metric_count;
    const char *date;
    const char *weights_sha256;
    double temperature;
    lam_model_gate gate; /* sha256 NULL: as it is in the document; "": none */
} lam_manifest_update;

/* The document as it was read, with these members replaced, laid out for people; appended to `out`. */
lam_status lam_manifest_rewrite(const lam_manifest *manifest, const lam_manifest_update *update,
                                lam_buffer *out, lam_error *err);

/* sRGB to DICOM's Recommended Display CIELab Value (PS3.3 C.10.7.1.1: L, a, b scaled to 16 bit, D50). */
void lam_manifest_cielab(const uint8_t rgb[3], uint16_t lab[3]);

#ifdef __cplusplus
}
#endif
#endif
