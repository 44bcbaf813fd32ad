/* Labelled samples from safetensors sets. Two layouts are read (any mixture of files):
 *
 *   ID.image, ID.label     one array a sample; sizes may differ
 *   images, labels         all samples in one array, the first dimension counts
 *
 * and the same for other fields that a task has (ID.boxes or boxes). ID.patient or patients, U8, are bytes
 * that name whose a sample is: samples with the same ones are of one patient. Numbers are of any type
 * of the format; images are [axes…] or [axes…, channels]. What is true of a sample is read by its task
 * (task.h): a map of the image's size, a number, boxes.
 *
 * With `stacks` in the manifest's `training`, images of one axis less than the network has are slices, named
 * by a pattern, and a sample is a stack of them (stacks.c). Immutable. */
#ifndef LAMINA_RNN_TRAIN_SAMPLES_H
#define LAMINA_RNN_TRAIN_SAMPLES_H

#include "core/base/cleanup.h"
#include "core/rnn/manifest.h"
#include "core/rnn/network.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A rectangle in an image, in pixels: pixel i covers i to i + 1. */
typedef struct lam_sample_box {
    float x, y; /* centre */
    float width, height;
    int label; /* class */
} lam_sample_box;

/* What is true of a sample; which of these depends on the task. Borrowed from the sample. */
typedef struct lam_truth {
    const uint8_t *map; /* segmentation: [size…]; else NULL */
    int label;          /* classification, generation: the class; else -1 */
    const lam_sample_box *boxes;
    size_t box_count;
} lam_truth;

typedef struct lam_sample {
    char *id;
    int group;           /* whose it is: samples of one patient share a number */
    const char *patient; /* the bytes that name the patient, borrowed; NULL: not said */
    size_t patient_bytes;
    int phase;       /* of the heart, from 0; -1: not known */
    int64_t size[3]; /* z, y, x; 1 for axes the network does not have */
    float *raw;      /* [size…, channels] as stored */
    float *prepared; /* the same after the manifest's intensity normalisation */
    lam_truth truth;
    uint8_t *map;          /* what truth.map is; malloc'd */
    lam_sample_box *boxes; /* truth.boxes; malloc'd by the task */
} lam_sample;

typedef struct lam_samples lam_samples;

/* Reads all files. Errors name file and sample: LAM_E_INVALID (shape, type, label out of range, no samples),
 * LAM_E_CORRUPT, LAM_E_IO, LAM_E_NO_MEMORY, LAM_E_UNSUPPORTED (the task). */
lam_status lam_samples_load(const lam_manifest *manifest, const lam_network *network,
                            const char *const *paths, size_t path_count, lam_samples **out, lam_error *err);
void lam_samples_free(lam_samples *dataset);
LAM_DEFINE_AUTO(lam_samples, lam_samples_free)

size_t lam_samples_count(const lam_samples *dataset);
const lam_sample *lam_samples_at(const lam_samples *dataset, size_t index);
/* Groups; their numbers are 0 … count-1, in the order of their first samples. Parts keep the numbers, and the
 * count, of the whole. */
size_t lam_samples_groups(const lam_samples *dataset);
/* Millimetres along z, y, x from the files' `spacing_mm` metadata; 1 where there is none. */
const double *lam_samples_spacing(const lam_samples *dataset);
/* Part number `fold` of `folds` or, with `others`, all but that, as a new dataset that borrows from this one.
 * Samples of one patient stay together: of named patients every folds-th from the first `fold` on, else
 * contiguous blocks, since neighbours in a file are often of one patient. */
lam_status lam_samples_fold(const lam_samples *dataset, int fold, int folds, bool others, lam_samples **out,
                            lam_error *err);

/* Whether a sample is in the list `names`, by its id or that of its patient (PATIENT/PHASE). */
bool lam_samples_is_named(const char *id, const lam_jv *names);

/* All but the patients (or samples) that the list `names`, as a new dataset that borrows from this one.
 * LAM_E_NOT_FOUND when it leaves nothing. */
lam_status lam_samples_without(const lam_samples *dataset, const lam_jv *names, lam_samples **out,
                               lam_error *err);

/* ---- for tasks ---- */

/* Where the fields of one sample are read from. */
typedef struct lam_sample_source {
    const lam_manifest *manifest;
    int classes; /* background included where there is one */
    const lam_safetensors *file;
    const char *id;
    int64_t row; /* of the arrays; -1: tensors of its own */
} lam_sample_source;

/* The field of this sample: the tensor ID.NAME, or its row of the tensor PLURAL with the first dimension
 * taken off. False when there is none. Data is borrowed. */
bool lam_samples_field(const lam_sample_source *source, const char *name, const char *plural,
                       lam_tensor *out);

/* The field `label`: `count` whole numbers below the number of classes. LAM_E_INVALID. */
lam_status lam_samples_labels(const lam_sample_source *source, int64_t count, uint8_t *out, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
