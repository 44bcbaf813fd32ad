/* Walking an axis step by step, for recurrent layers whose cell is not one of the kernels': their options,
 * and where the rows of a step lie. A step is one position of the swept axis: all rows (positions of the
 * other axes) there. One or both directions; their units stand side by side in the channels. Internal to
 * core/rnn. */
#ifndef LAMINA_RNN_LAYERS_STEPS_H
#define LAMINA_RNN_LAYERS_STEPS_H

#include "core/rnn/layer.h"

enum { LAM_STEPS_DIRECTIONS = 2 };

typedef struct lam_steps_options {
    int axis; /* swept; 0: the first after the batch */
    int directions;
    bool reverse[LAM_STEPS_DIRECTIONS];
    bool last; /* only the last state; the axis is gone from the result */
    int64_t inputs, units;
} lam_steps_options;

/* Reads `directions` (default: along the only axis), `units` and `return`, checks the signatures of initial
 * states (inputs 1 and 2: h and c) and sets the layer's output. */
lam_status lam_steps_read(lam_layer *layer, const lam_jv *json, lam_steps_options *out, lam_error *err);

/* The layer kind's `shape`. */
lam_status lam_steps_shape(const lam_layer *layer, const lam_steps_options *options,
                           const lam_shape *const *in, lam_shape *out, lam_error *err);

/* One direction on its way. */
typedef struct lam_steps {
    const lam_layer_run *run;
    const lam_steps_options *options;
    lam_shape frame; /* of a step: the input's without the swept axis */
    int64_t steps, inner, rows;
    int direction;
    int64_t t, before; /* positions of this step and of the one visited before, -1: none */
} lam_steps;

/* `run` NULL: only to measure. */
lam_steps lam_steps_begin(const lam_steps_options *options, const lam_shape *in, const lam_layer_run *run,
                          int direction);
/* Goes to the step visited as number `step`. */
void lam_steps_to(lam_steps *s, int64_t step);

/* The input row of a row of this step. */
int64_t lam_steps_row(const lam_steps *s, int64_t row);
/* Offset in floats of a row's units in an array of the states of all directions, and in the output. */
int64_t lam_steps_state(const lam_steps *s, int64_t row);
int64_t lam_steps_output(const lam_steps *s, int64_t row);
/* Whether the row's sequence has ended at this step (lam_session_set_lengths). */
bool lam_steps_ended(const lam_steps *s, int64_t row);

/* The initial state `input` (1: h, 2: c), zero when not given, into `state` [rows, units]; and its gradient
 * from there to where it is wanted. */
void lam_steps_load(const lam_steps *s, int input, float *state);
void lam_steps_give(const lam_steps *s, int input, const float *d_state);

/* Takes one axis away. */
void lam_signature_drop_axis(lam_signature *signature, int axis);

#endif
