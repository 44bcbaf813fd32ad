/* An ONNX file as structs: nodes, attributes, constant tensors, the graph's input and output. Fields are
 * those of onnx.proto3 (https://github.com/onnx/onnx, IR.md); what a node means is onnx_operators.c's
 * business. Internal to core/rnn/import. */
#ifndef LAMINA_RNN_IMPORT_ONNX_MODEL_H
#define LAMINA_RNN_IMPORT_ONNX_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/cleanup.h"
#include "core/base/status.h"

enum {
    LAM_ONNX_MAX_NODES = 8192,
    LAM_ONNX_MAX_LINKS = 64, /* inputs or outputs of a node */
    LAM_ONNX_MAX_RANK = 8,
};

/* A constant. Numbers of any type in the file are either floats or integers here; exactly one of the two is
 * not NULL, unless count is 0. */
typedef struct lam_onnx_tensor {
    const char *name;
    int rank;
    int64_t dim[LAM_ONNX_MAX_RANK];
    int64_t count;
    float *floats;
    int64_t *integers;
} lam_onnx_tensor;

typedef struct lam_onnx_attribute {
    const char *name;
    double f;
    int64_t i;
    const char *s; /* NULL: not given */
    const lam_onnx_tensor *t;
    const float *floats;
    const int64_t *ints;
    const char *const *strings;
    size_t float_count, int_count, string_count;
} lam_onnx_attribute;

typedef struct lam_onnx_node {
    const char *operation;                  /* "Conv" */
    const char *name;                       /* "" when it has none */
    const char *domain;                     /* "" for ONNX's own */
    const char *inputs[LAM_ONNX_MAX_LINKS]; /* "" for an optional one that is not given */
    const char *outputs[LAM_ONNX_MAX_LINKS];
    size_t input_count, output_count;
    const lam_onnx_attribute *attributes;
    size_t attribute_count;
} lam_onnx_node;

/* An input or output of the graph. */
typedef struct lam_onnx_value {
    const char *name;
    int rank;                       /* -1: the file does not say */
    int64_t dim[LAM_ONNX_MAX_RANK]; /* 0: varies */
} lam_onnx_value;

typedef struct lam_onnx_model {
    const char *producer; /* "pytorch 1.13.0" */
    int64_t opset;
    lam_onnx_node *nodes;
    lam_onnx_tensor *constants;
    lam_onnx_value *inputs, *outputs;
    size_t node_count, constant_count, input_count, output_count;
    void *blocks; /* all memory */
} lam_onnx_model;

/* Everything is copied out of `bytes`. Errors: LAM_E_CORRUPT, LAM_E_LIMIT, LAM_E_UNSUPPORTED (weights in
 * another file, element types that no weight has), LAM_E_NO_MEMORY. */
lam_status lam_onnx_read(const void *bytes, size_t length, lam_onnx_model **out, lam_error *err);
void lam_onnx_free(lam_onnx_model *model);
LAM_DEFINE_AUTO(lam_onnx_model, lam_onnx_free)

/* NULL when there is none. */
const lam_onnx_attribute *lam_onnx_find(const lam_onnx_node *node, const char *name);

/* Zeroed memory that lives as long as the model; NULL when there is none left. */
void *lam_onnx_allocate(lam_onnx_model *model, size_t count, size_t size);

#endif
