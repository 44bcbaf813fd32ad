/* Labelled samples from safetensors sets. Two layouts are read (any mixture of files):
 *
 *   ID.image, ID.label     one array a sample; sizes may differ. label: a map of the image's size
 * (segmentation) or one number (classification) images, labels         all samples in one array, the first
 * dimension counts; labels [n]
 *
 * Images are F32 or any integer type up to 16 bits, [axes…] or [axes…, channels]; labels are U8. Immutable.
 */
#ifndef LAMINA_RNN_TRAIN_DATASET_H
#define LAMINA_RNN_TRAIN_DATASET_H

#include "core/base/cleanup.h"
#include "core/rnn/manifest.h"
#include "core/rnn/network.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lam_sample {
    char *id;
    int64_t size[3];    /* z, y, x; 1 for axes the network does not have */
    float *raw;         /* [size…, channels] as stored */
    float *prepared;    /* the same after the manifest's intensity normalisation */
    const uint8_t *map; /* segmentation: [size…]; else NULL */
    int label;          /* classification; else -1 */
} lam_sample;

typedef struct lam_dataset lam_dataset;

/* Reads all files. Errors name file and sample: LAM_E_INVALID (shape, type, label out of range, no samples),
 * LAM_E_CORRUPT, LAM_E_IO, LAM_E_NO_MEMORY. */
lam_status lam_dataset_load(const lam_manifest *manifest, const lam_network *network,
                            const char *const *paths, size_t path_count, lam_dataset **out, lam_error *err);
void lam_dataset_free(lam_dataset *dataset);
LAM_DEFINE_AUTO(lam_dataset, lam_dataset_free)

size_t lam_dataset_count(const lam_dataset *dataset);
const lam_sample *lam_dataset_at(const lam_dataset *dataset, size_t index);
/* Millimetres along z, y, x from the files' `spacing_mm` metadata; 1 where there is none. */
const double *lam_dataset_spacing(const lam_dataset *dataset);
/* Samples number `fold` of `folds` by position (in contiguous blocks) or, with `others`, all but those, as a
 * new dataset that borrows from this one. */
lam_status lam_dataset_fold(const lam_dataset *dataset, int fold, int folds, bool others, lam_dataset **out,
                            lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
