/* Drawing images and volumes from a generative network (generation.h), pixel after pixel in memory order. */
#ifndef LAMINA_RNN_GENERATE_H
#define LAMINA_RNN_GENERATE_H

#include "core/rnn/bundle.h"
#include "core/rnn/kernels/pool.h"

#ifdef __cplusplus
extern "C" {
#endif

/* So many images are drawn side by side; how many is part of what they are, to the bit. */
enum { LAM_GENERATE_LANES = 8 };

typedef struct lam_drawing {
    int64_t size[3]; /* z, y, x; 1 for axes the network does not have */
    int label;       /* class of all images; -1: image i is of class i modulo the number of classes */
    uint64_t seed;
    double temperature; /* of the pixels' distributions: 1 as learnt, less is smoother */
} lam_drawing;

/* The class of image `number`; 0 where the model has none. */
int lam_generate_label(const lam_manifest *manifest, const lam_drawing *drawing, int64_t number);

/* Draws images first … first + count - 1 into `levels` [count, size…]. An image is a function of bundle,
 * drawing and its number alone: every pixel has random numbers of its own (seed, image, pixel), so neither
 * count nor threads change a bit. `first` must be a multiple of LAM_GENERATE_LANES. Errors:
 * LAM_E_UNSUPPORTED (the task, or a network that cannot be run in steps), LAM_E_INVALID (not a causal
 * network, or the class), LAM_E_LIMIT (a side outside the manifest's minimum or maximum size),
 * LAM_E_NO_MEMORY. */
lam_status lam_generate(const lam_bundle *bundle, const lam_drawing *drawing, int64_t first, int64_t count,
                        lam_pool *pool, uint8_t *levels, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
