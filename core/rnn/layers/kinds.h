/* The layer kinds, each defined in the file named beside it. */
#ifndef LAMINA_RNN_LAYERS_KINDS_H
#define LAMINA_RNN_LAYERS_KINDS_H

#include "core/rnn/layer.h"

extern const lam_layer_kind lam_layer_dense;          /* dense.c */
extern const lam_layer_kind lam_layer_conv;           /* conv.c */
extern const lam_layer_kind lam_layer_depthwise;      /* depthwise.c */
extern const lam_layer_kind lam_layer_layer_norm;     /* norm.c */
extern const lam_layer_kind lam_layer_sweep;          /* sweep.c */
extern const lam_layer_kind lam_layer_activation;     /* elementwise.c */
extern const lam_layer_kind lam_layer_softmax;        /* elementwise.c */
extern const lam_layer_kind lam_layer_add;            /* elementwise.c */
extern const lam_layer_kind lam_layer_concat;         /* elementwise.c */
extern const lam_layer_kind lam_layer_depth_to_space; /* rearrange.c */
extern const lam_layer_kind lam_layer_space_to_depth; /* rearrange.c */

#endif
