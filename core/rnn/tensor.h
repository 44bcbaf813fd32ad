/* Shapes of N-dimensional float32 arrays, channels last. A shape is a value; the numbers live elsewhere (a
 * session's arena, a weight buffer, a mapped file).
 *
 * Memory is row-major: the last dimension is contiguous. Inside a network dimension 0 is the batch, the last
 * one the channels, and those between are the axes the manifest names (a volume is [1, z, y, x, C], a batch
 * of sequences [B, t, F]). */
#ifndef LAMINA_RNN_TENSOR_H
#define LAMINA_RNN_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LAM_MAX_RANK = 6,
    LAM_SHAPE_TEXT = 96,
};

/* No array of the engine has more elements than this, so that products of sizes cannot overflow. */
#define LAM_MAX_ELEMENTS ((int64_t)1 << 33)

typedef struct lam_shape {
    int rank; /* 0 (a scalar) to LAM_MAX_RANK */
    int64_t dim[LAM_MAX_RANK];
} lam_shape;

/* Elements in all; 1 for rank 0. */
int64_t lam_shape_count(const lam_shape *shape);

/* LAM_E_LIMIT when a dimension is below 1 or there are more than LAM_MAX_ELEMENTS elements. */
lam_status lam_shape_check(const lam_shape *shape, lam_error *err);

bool lam_shape_equal(const lam_shape *a, const lam_shape *b);

/* "[1, 40, 48, 34]" into `text`; returns text. */
char *lam_shape_text(const lam_shape *shape, char text[LAM_SHAPE_TEXT]);

#ifdef __cplusplus
}
#endif
#endif
