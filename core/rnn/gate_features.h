/* The description of an input that the gate judges by (gate.h). Internal to core/rnn. */
#ifndef LAMINA_RNN_GATE_FEATURES_H
#define LAMINA_RNN_GATE_FEATURES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LAM_GATE_BINS = 12, /* of the histogram */
    LAM_GATE_EDGES = LAM_GATE_BINS - 1,
    LAM_GATE_OF_AXIS = 9, /* numbers for each axis */
    LAM_GATE_BLOCKS = 8,  /* halves along three axes */
    LAM_GATE_SIDE = 4096, /* voxels along an axis, at most */
    LAM_GATE_FEATURES = LAM_GATE_BINS + 2 * LAM_GATE_BLOCKS + 3 * LAM_GATE_OF_AXIS, /* at most */
};

/* Numbers that describe an input of so many axes. */
size_t lam_gate_feature_count(int axes);

/* Of values [size], one a voxel; with two axes size[0] is 1. `edges` are ascending. No side is above
 * LAM_GATE_SIDE. */
void lam_gate_describe_input(const float *values, const int64_t size[3], int axes,
                             const float edges[LAM_GATE_EDGES], double *out);

#ifdef __cplusplus
}
#endif
#endif
