/* From an ONNX graph to our network, the part that does not know operators: values and where their numbers
 * lie, layers and weights written so far.
 *
 * ONNX arrays have dimensions in any order, ours are [batch, axes…, channels]. A value therefore remembers of
 * which of our parts ("atoms": the batch, an axis, channels) each of its ONNX dimensions is made.
 * Transposing, squeezing and reshaping in ONNX then mostly move no numbers here; where an operator needs
 * another order in memory, a `transpose` or `merge` layer is written. Internal to core/rnn/import. */
#ifndef LAMINA_RNN_IMPORT_ONNX_GRAPH_H
#define LAMINA_RNN_IMPORT_ONNX_GRAPH_H

#include "core/base/json.h"
#include "core/rnn/import/onnx_model.h"
#include "core/rnn/layer.h"

enum { LAM_MAX_ATOMS = 12, LAM_ONNX_MAX_SIZE = 1 << 30 /* of an axis */ };

typedef struct lam_atom {
    int64_t size; /* a stand-in when not fixed */
    bool fixed;
    char axis[LAM_AXIS_NAME]; /* "" for the batch and for channels */
} lam_atom;

/* One ONNX dimension: the product of so many atoms, the first the slowest; of none: size 1. */
typedef struct lam_dimension {
    int count;
    int atom[LAM_MAX_ATOMS];
} lam_dimension;

/* The output of a layer of ours. Atoms stand in the order of memory: the batch, `axes` axes, channels (at
 * least one; several after a merge). Atoms in no dimension have size 1. */
typedef struct lam_placed {
    char layer[LAM_MAX_LAYER_NAME];
    int axes, atoms;
    lam_atom atom[LAM_MAX_ATOMS];
    int rank;
    lam_dimension dim[LAM_ONNX_MAX_RANK];
} lam_placed;

/* A named value of the graph: constant or placed. */
typedef struct lam_onnx_known {
    const char *name;
    const lam_onnx_tensor *constant; /* or NULL */
    lam_placed placed;
    int uses; /* nodes that read it, and the graph's output */
} lam_onnx_known;

typedef struct lam_import_weight {
    char name[LAM_MAX_NAME];
    float *values; /* owned by the model's memory */
    int64_t count;
} lam_import_weight;

typedef struct lam_onnx_graph {
    lam_onnx_model *model;
    const lam_onnx_node *node; /* being converted, for messages */
    lam_onnx_known *known;
    size_t known_count, known_capacity;
    lam_buffer *text; /* the network as JSON */
    lam_json_writer writer;
    lam_import_weight *weights;
    size_t weight_count, weight_capacity;
    int layers;
    bool *skipped; /* nodes that were fused into one before them */
    lam_error *err;
} lam_onnx_graph;

/* Sets the error, with the name of the node. */
void lam_graph_report(lam_onnx_graph *g, lam_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same as an expression of that status. */
#define lam_graph_fail(g, status, ...) (lam_graph_report((g), (status), __VA_ARGS__), (status))

/* ---- values ---- */

/* NULL when nothing of that name is known ("" never is). */
lam_onnx_known *lam_graph_find(lam_onnx_graph *g, const char *name);
/* The node's input `index`: NULL when not given. */
const lam_onnx_tensor *lam_graph_constant(lam_onnx_graph *g, size_t index);
/* The placed input `index`, copied, or an error. */
lam_status lam_graph_placed(lam_onnx_graph *g, size_t index, lam_placed *out);
lam_status lam_graph_set_placed(lam_onnx_graph *g, const char *name, const lam_placed *value);
lam_status lam_graph_set_constant(lam_onnx_graph *g, const char *name, const lam_onnx_tensor *value);

/* A new constant of that shape, zeroed; NULL when there is no memory. */
lam_onnx_tensor *lam_graph_new_constant(lam_onnx_graph *g, bool integer, int rank, const int64_t *dim);

/* ---- attributes, with ONNX's defaults ---- */

int64_t lam_graph_integer(const lam_onnx_graph *g, const char *name, int64_t otherwise);
double lam_graph_number(const lam_onnx_graph *g, const char *name, double otherwise);
const char *lam_graph_text(const lam_onnx_graph *g, const char *name, const char *otherwise);
/* A list: the attribute `name`, else the constant input `index` (as newer opsets have it); *count is 0 when
 * neither is given. LAM_E_UNSUPPORTED when the input is not constant. */
lam_status lam_graph_integers(lam_onnx_graph *g, const char *name, size_t index, const int64_t **out,
                              size_t *count);
/* `axis` of `rank` dimensions, counted from the end when negative. */
lam_status lam_graph_axis(lam_onnx_graph *g, int64_t axis, int rank, int *out);

/* ---- layers and weights ---- */

/* Opens a layer object "kind" with a new name that reads `from` (`count` layers); the caller adds options to
 * g->writer and closes it with lam_jw_end. `name` gets its name. */
void lam_graph_layer(lam_onnx_graph *g, const char *kind, const lam_placed *const *from, int count,
                     char name[LAM_MAX_LAYER_NAME]);
/* The same for one input, in place: afterwards `value` is this layer's. */
void lam_graph_layer_on(lam_onnx_graph *g, const char *kind, lam_placed *value);

/* Room for the parameter "layer.parameter". NULL when there is no memory. */
float *lam_graph_weight(lam_onnx_graph *g, const char *layer, const char *parameter, int64_t count);

/* ---- places ---- */

/* Gives an axis another size: LAM_E_INVALID for one that no array has. */
lam_status lam_graph_resize(lam_onnx_graph *g, lam_atom *atom, int64_t size);

/* Product of its atoms, INT64_MAX where that is more. */
int64_t lam_dimension_size(const lam_placed *value, int dimension);
/* Channels in memory, counted the same way; and whether an atom is of them. */
int64_t lam_placed_channels(const lam_placed *value);
bool lam_placed_is_channel(const lam_placed *value, int atom);

/* Removes atoms from all dimensions and from the value (those with drop[i]); the rest is renumbered. */
void lam_placed_drop(lam_placed *value, const bool drop[LAM_MAX_ATOMS]);
/* Puts one new channel atom of `size` in the place of all channel atoms; dimension `dimension` is it. */
void lam_placed_rechannel(lam_placed *value, int dimension, int64_t size);

/* The same value with as few channel atoms as it can have: those of size 1 go, neighbours in memory that are
 * neighbours in one dimension become one. */
void lam_placed_simplify(lam_placed *value);

/* Makes the axes stand in memory in the order `order` (atom numbers, all axes), writing a transpose layer
 * where they do not. */
lam_status lam_graph_order_axes(lam_onnx_graph *g, lam_placed *value, const int *order);
/* Makes these axes the last ones, in this order. */
lam_status lam_graph_axes_last(lam_onnx_graph *g, lam_placed *value, const int *axes, int count);
/* Makes `dimension` hold all channels and nothing else, merging axes into channels where it has some. */
lam_status lam_graph_channels(lam_onnx_graph *g, lam_placed *value, int dimension);
/* For a dimension of channels: order[i] is where its element i lies in memory. Free with free(). */
lam_status lam_graph_channel_order(lam_onnx_graph *g, const lam_placed *value, int dimension,
                                   int64_t **order);
/* The axis that makes up a whole dimension. */
lam_status lam_graph_axis_of(lam_onnx_graph *g, const lam_placed *value, int dimension, int *atom);

/* ---- operators (onnx_operators.c, onnx_recurrent.c, onnx_shapes.c) ---- */

typedef lam_status lam_onnx_convert(lam_onnx_graph *g);

typedef struct lam_onnx_operator {
    const char *name;
    lam_onnx_convert *convert;
    const char *detail; /* what `convert` may look at, such as the kind of our layer; or NULL */
} lam_onnx_operator;

/* NULL-terminated by name. */
extern const lam_onnx_operator lam_onnx_operators[];
extern const lam_onnx_operator lam_onnx_shape_operators[];
extern const lam_onnx_operator lam_onnx_recurrent_operators[];

/* `detail` of the operator being converted. */
const char *lam_onnx_detail(const lam_onnx_graph *g);

#endif
