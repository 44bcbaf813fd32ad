/* Labelled samples from safetensors sets. Two layouts are read (any mixture of files):
 *
 *   ID.image, ID.label     one array a sample; sizes may differ. label: a map of the image's size
 * (segmentation) or one number (classification) images, labels         all samples in one array, the first
 * dimension counts; labels [n]
 *
 * Images are F32 or any integer type up to 16 bits, [axes…] or [axes…, channels]; labels are U8. Immutable.
 */
#ifndef LAMINA_RNN_TRAIN_SAMPLES_H
#define LAMINA_RNN_TRAIN_SAMPLES_H

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

typedef struct lam_samples lam_samples;

/* Reads all files. Errors name file and sample: LAM_E_INVALID (shape, type, label out of range, no samples),
 * LAM_E_CORRUPT, LAM_E_IO, LAM_E_NO_MEMORY. */
lam_status lam_samples_load(const lam_manifest *manifest, const lam_network *network,
                            const char *const *paths, size_t path_count, lam_samples **out, lam_error *err);
void lam_samples_free(lam_samples *dataset);
LAM_DEFINE_AUTO(lam_samples, lam_samples_free)

size_t lam_samples_count(const lam_samples *dataset);
const lam_sample *lam_samples_at(const lam_samples *dataset, size_t index);
/* Millimetres along z, y, x from the files' `spacing_mm` metadata; 1 where there is none. */
const double *lam_samples_spacing(const lam_samples *dataset);
/* Samples number `fold` of `folds` by position (in contiguous blocks) or, with `others`, all but those, as a
 * new dataset that borrows from this one. */
lam_status lam_samples_fold(const lam_samples *dataset, int fold, int folds, bool others, lam_samples **out,
                            lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
