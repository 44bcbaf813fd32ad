/* The layer kinds, each defined in the file named beside it. */
#ifndef LAMINA_RNN_LAYERS_KINDS_H
#define LAMINA_RNN_LAYERS_KINDS_H

#include "core/rnn/layer.h"

extern const lam_layer_kind lam_layer_dense;          /* dense.c */
extern const lam_layer_kind lam_layer_conv;           /* conv.c */
extern const lam_layer_kind lam_layer_conv_transpose; /* conv.c */
extern const lam_layer_kind lam_layer_depthwise;      /* depthwise.c */
extern const lam_layer_kind lam_layer_layer_norm;     /* norm.c */
extern const lam_layer_kind lam_layer_batch_norm;     /* moments.c */
extern const lam_layer_kind lam_layer_instance_norm;  /* moments.c */
extern const lam_layer_kind lam_layer_sweep;          /* sweep.c */
extern const lam_layer_kind lam_layer_conv_lstm;      /* conv_lstm.c */
extern const lam_layer_kind lam_layer_norm_lstm;      /* norm_lstm.c */
extern const lam_layer_kind lam_layer_pool;           /* pooling.c */
extern const lam_layer_kind lam_layer_global_pool;    /* pooling.c */
extern const lam_layer_kind lam_layer_attention_pool; /* attention.c */
extern const lam_layer_kind lam_layer_dropout;        /* dropout.c */
extern const lam_layer_kind lam_layer_activation;     /* elementwise.c */
extern const lam_layer_kind lam_layer_softmax;        /* elementwise.c */
extern const lam_layer_kind lam_layer_add;            /* elementwise.c */
extern const lam_layer_kind lam_layer_concat;         /* elementwise.c */
extern const lam_layer_kind lam_layer_depth_to_space; /* rearrange.c */
extern const lam_layer_kind lam_layer_space_to_depth; /* rearrange.c */
extern const lam_layer_kind lam_layer_slice;          /* slice.c */
extern const lam_layer_kind lam_layer_shift;          /* shift.c */
extern const lam_layer_kind lam_layer_upsample;       /* upsample.c */
extern const lam_layer_kind lam_layer_transpose;      /* axes.c */
extern const lam_layer_kind lam_layer_merge;          /* axes.c */

#endif
