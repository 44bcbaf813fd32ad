/* The contract between the graph and its layers: one table of layer kinds, each with its options, its
 * parameters, its shapes, its memory, forward and backward. Internal to core/rnn.
 *
 * To add a layer: write its functions in layers/, declare its kind in layers/kinds.h, list it in layer.c,
 * describe it in README.md and docs/model.schema.json, add its rows to the gradient check. */
#ifndef LAMINA_RNN_LAYER_H
#define LAMINA_RNN_LAYER_H

#include "core/base/json.h"
#include "core/rnn/network.h"

enum {
    LAM_MAX_LAYER_PARAMETERS = 8,
    LAM_MAX_CHANNELS = 1 << 20,
    LAM_AXIS_NAME = 8,
    LAM_MAX_LAYER_NAME = LAM_MAX_NAME - 24, /* leaves room for ".weight_ih" and the like */
};

/* What is known about a value before its size is: [batch, axes…, channels] with 0 for sizes that vary from
 * case to case, and the names of the axes (axis i is dimension i + 1). */
typedef struct lam_signature {
    lam_shape shape;
    char axis[LAM_MAX_RANK][LAM_AXIS_NAME];
} lam_signature;

/* How a fresh parameter is drawn. */
typedef enum lam_init {
    LAM_INIT_ZERO,
    LAM_INIT_ONE,
    LAM_INIT_UNIFORM,    /* -scale … scale */
    LAM_INIT_NORMAL,     /* deviation scale */
    LAM_INIT_ORTHOGONAL, /* each block of as many rows as there are columns is an orthogonal matrix × scale */
    LAM_INIT_FORGET      /* LSTM bias: 1 for the forget gate, the second quarter of each row, else 0 */
} lam_init;

typedef struct lam_parameter_spec {
    const char *name; /* "weight"; static */
    lam_shape shape;
    lam_init init;
    double scale;
    bool statistic; /* not trained */
} lam_parameter_spec;

typedef struct lam_layer_kind lam_layer_kind;

typedef struct lam_layer {
    const lam_layer_kind *kind;
    char name[LAM_MAX_LAYER_NAME];
    int index;
    int inputs;
    int from[LAM_MAX_INPUTS]; /* value numbers: 0 is the network's input, i + 1 the output of layer i */
    lam_signature in[LAM_MAX_INPUTS];
    lam_signature out;
    lam_parameter_spec parameters[LAM_MAX_LAYER_PARAMETERS];
    int parameter_count;
    size_t first_parameter; /* in the network's list */
    bool trainable;         /* false: frozen */
    bool probabilities;     /* the result is a softmax's */
    void *options;          /* kind->options_size bytes, zeroed before setup */
} lam_layer;

/* Memory in bytes beyond inputs and outputs. */
typedef struct lam_layer_needs {
    size_t saved;    /* written by forward in training, read by backward */
    size_t forward;  /* scratch during forward */
    size_t backward; /* scratch during backward */
} lam_layer_needs;

/* One call of forward or backward. */
typedef struct lam_layer_run {
    const lam_layer *layer;
    const lam_shape *in_shape[LAM_MAX_INPUTS];
    const lam_shape *out_shape;
    const float *in[LAM_MAX_INPUTS];
    float *out;
    const float *parameters[LAM_MAX_LAYER_PARAMETERS];
    const void *packed;
    void *saved; /* NULL when not training */
    void *scratch;
    lam_pool *pool;
    const uint32_t *lengths; /* valid steps of each sequence of the batch, or NULL; for inputs of one axis */
    bool training;           /* what backward reads is kept */
    bool dropout;            /* what is random in training is */
    bool batch_statistics;   /* batch norm normalises by the batch, not by its running statistics */
    uint64_t key;            /* of this layer in this pass, for random numbers */
    float *memory;           /* what is carried along memory_axis (kind->memory), or NULL */
    int memory_axis;

    /* backward only */
    float *d_out;                /* may be overwritten */
    float *d_in[LAM_MAX_INPUTS]; /* NULL: not wanted */
    bool add[LAM_MAX_INPUTS];    /* add to d_in instead of writing it; only for kinds with `adds` */
    float *d_parameters[LAM_MAX_LAYER_PARAMETERS]; /* added to */
} lam_layer_run;

/* Which positions along an axis a result at one position reads: those at distances first … last. */
typedef struct lam_reach {
    int64_t first, last;
} lam_reach;
#define LAM_REACH_END INT64_MAX /* as far as there are any; before: the negative of it */

struct lam_layer_kind {
    const char *name;
    const char *const *members; /* its options in model.json, NULL-terminated; NULL: none */
    int minimum_inputs, maximum_inputs;
    size_t options_size;
    bool adds; /* backward honours `add` */

    /* Reads the options, sets `out` (from `in`) and declares the parameters. */
    lam_status (*setup)(lam_layer *layer, const lam_jv *json, lam_error *err);
    /* Output shape for these inputs; NULL: that of input 0 with the channels of `out`. */
    lam_status (*shape)(const lam_layer *layer, const lam_shape *const *in, lam_shape *out, lam_error *err);
    /* NULL: needs nothing. */
    void (*measure)(const lam_layer *layer, const void *packed, const lam_shape *const *in,
                    const lam_shape *out, lam_mode mode, const lam_pool *pool, lam_layer_needs *needs);
    /* What is derived from the parameters: made once, refreshed in place when they change. NULL: nothing. */
    lam_status (*pack)(const lam_layer *layer, const float *const *parameters, void **packed, lam_error *err);
    void (*repack)(const lam_layer *layer, const float *const *parameters, void *packed);
    void (*discard)(void *packed);

    void (*forward)(const lam_layer_run *run);
    void (*backward)(const lam_layer_run *run);

    /* For running in steps (causal.h). The reach of the layer along an axis (0: the first after the batch)
     * or, for the number of axes, along the channels; NULL: it cannot be run in steps. */
    lam_reach (*reach)(const lam_layer *layer, int axis);
    /* Floats that forward carries from one position of `axis` to the next, for inputs `in` of one position
     * there: it reads them from lam_layer_run.memory, where 0 stands before the first, and leaves them there.
     * NULL: none. */
    size_t (*memory)(const lam_layer *layer, const lam_shape *in, int axis);
};

/* NULL when there is no kind of this name. */
const lam_layer_kind *lam_layer_find_kind(const char *name);
/* All kinds by number; NULL past the end. */
const lam_layer_kind *lam_layer_kind_at(size_t index);

/* For setup: adds a parameter and returns its index; the shape is `rank` dimensions. */
int lam_layer_declare(lam_layer *layer, const char *name, lam_init init, double scale, int rank, ...);

/* The reach of layers that work on each position by itself. */
lam_reach lam_layer_reach_here(const lam_layer *layer, int axis);

/* Rows (positions) of an array: everything but the channels; and its channels. */
int64_t lam_shape_rows(const lam_shape *shape);
int64_t lam_shape_channels(const lam_shape *shape);

/* The number of the axis with this name (0 is the first after the batch), or -1. */
int lam_signature_axis(const lam_signature *signature, const char *name, size_t length);

/* The option `over`: names of the last axes, which the layer removes; all when absent. `*kept` is the number
 * of axes that stay. */
lam_status lam_layer_read_over(const lam_layer *layer, const lam_jv *json, int *kept, lam_error *err);

/* [batch, axes…, channels] as [batch, depth, height, width, channels] with 1 for axes that are not there, for
 * layers of one to three axes. */
typedef struct lam_grid {
    int64_t batch, size[3], channels;
} lam_grid;
lam_grid lam_grid_of(const lam_shape *shape);

/* The parts of the network that weights and sessions read. */
struct lam_network {
    lam_signature input;
    lam_layer *layers;
    int layer_count;
    int output; /* value number */
    lam_parameter *parameters;
    size_t parameter_count;
    int64_t floats;
};

struct lam_weights {
    const lam_network *network;
    float *data;
    void **packed; /* by layer */
};

#endif
