/* Levels. A value has level l when what it is at a position depends on channel 0 of the input at earlier
 * positions only, the first coordinate in which those differ being one of axes 0 … l; level 0 of a volume z,
 * y, x knows the planes before, level 1 also the rows before in its plane, level 2 also what is left in its
 * row. With A axes the level A knows its own position, too: the input itself, and what is made of it.
 *
 * A layer of level l runs once for each position of axes 0 … l, on a block that extends over the axes after
 * them; those of level A run when a position has become known. */
#include "core/rnn/causal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/rnn/layer.h"

enum { MAX_AXES = LAM_MAX_RANK - 2, ALIGNMENT = 64, WHOLE = -1 /* the level of a block of everything */ };
#define MAX_BYTES ((size_t)8 << 30)

/* The past of a value along one axis, for a layer that delays it: a ring of blocks of the axis's level. */
struct history {
    int source; /* value number; -1: this layer has no history */
    int axis;
    int64_t delay, floats; /* of a block */
    float *blocks;         /* delay + 1 of them */
    float *zeros;
};

struct value {
    int level;
    int64_t channels;
    lam_shape shape; /* of a block */
    float *block;    /* at the current position; of a delayed value it points into a history */
};

struct place {
    float *views[LAM_MAX_INPUTS]; /* inputs that come in larger blocks: their part at the current position */
    lam_shape view_shapes[LAM_MAX_INPUTS];
    float *memory; /* carried along memory_axis */
    size_t memory_floats;
    int memory_axis;
    struct history history;
};

struct lam_causal {
    const lam_network *network;
    const lam_weights *weights;
    int axes;
    int64_t batch, size[MAX_AXES], at[MAX_AXES];
    bool started;
    float *input;
    struct value *values; /* 0: the input at the current position; then one a layer */
    struct place *places; /* by layer */
    void *scratch;
    size_t bytes;
    float *result; /* the output at the current position */
};

/* ---- blocks ---- */

static lam_shape block_shape(const lam_causal *c, int level, int64_t channels)
{
    lam_shape shape = {.rank = c->axes + 2};
    shape.dim[0] = c->batch;
    for (int a = 0; a < c->axes; a++)
        shape.dim[1 + a] = a <= level ? 1 : c->size[a];
    shape.dim[c->axes + 1] = channels;
    return shape;
}

/* Where the current block of level `inner` lies in a block of level `outer`, image by image. */
struct part {
    size_t floats, offset, stride;
};

static struct part part_of(const lam_causal *c, int outer, int inner, int64_t channels)
{
    int64_t floats = channels, offset = 0, stride = channels;
    for (int a = outer + 1; a < c->axes; a++) {
        offset = a <= inner ? offset * c->size[a] + c->at[a] : offset;
        floats *= a <= inner ? 1 : c->size[a];
        stride *= c->size[a];
    }
    return (struct part){(size_t)floats, (size_t)(offset * floats), (size_t)stride};
}

static void take_part(const lam_causal *c, int outer, int inner, int64_t channels, const float *from,
                      float *to)
{
    struct part p = part_of(c, outer, inner, channels);
    for (size_t b = 0; b < (size_t)c->batch; b++)
        memcpy(to + b * p.floats, from + b * p.stride + p.offset, p.floats * sizeof *to);
}

static void put_part(const lam_causal *c, int outer, int inner, int64_t channels, const float *from,
                     float *to)
{
    struct part p = part_of(c, outer, inner, channels);
    for (size_t b = 0; b < (size_t)c->batch; b++)
        memcpy(to + b * p.stride + p.offset, from + b * p.floats, p.floats * sizeof *to);
}

/* Floats from here on go without a check of their own: the size of all is bounded by MAX_BYTES. */
static lam_status take_memory(lam_causal *c, size_t floats, float **out, lam_error *err)
{
    size_t bytes = (floats * sizeof(float) + ALIGNMENT) / ALIGNMENT * ALIGNMENT;
    if (floats > MAX_BYTES / sizeof(float) || (c->bytes += bytes) > MAX_BYTES)
        return lam_fail(err, LAM_E_LIMIT, "running the network in steps needs more than %zu GiB",
                        MAX_BYTES >> 30);
    void *memory = aligned_alloc(ALIGNMENT, bytes);
    if (!memory)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    memset(memory, 0, bytes);
    *out = memory;
    return LAM_OK;
}

/* ---- levels ---- */

/* What of an input reaches beyond the block that the layer runs on. */
enum beyond { NOTHING, DELAY, STATE };

struct need {
    enum beyond beyond;
    int axis;
    int64_t delay;
    int level; /* of the result */
};

/* The channels of the input known beforehand are of the lowest level. */
static int input_level(const lam_causal *c, const lam_layer *layer, int k)
{
    bool beforehand = layer->from[k] == 0 && layer->kind->reach(layer, c->axes).first > 0;
    return beforehand ? 0 : c->values[layer->from[k]].level;
}

static lam_status look_along(const lam_causal *c, const lam_layer *layer, int level, int axis,
                             struct need *need, lam_error *err)
{
    lam_reach reach = layer->kind->reach(layer, axis);
    if (level < axis || (reach.first == 0 && reach.last == 0))
        return LAM_OK;
    if (reach.last > 0)
        return lam_fail(err, LAM_E_INVALID, "layer %s: looks ahead along axis %d at what is not known yet",
                        layer->name, axis + 1);
    bool delay = reach.first == reach.last;
    bool state = reach.last == 0 && layer->kind->memory && axis == (level < c->axes ? level : c->axes - 1);
    if ((!delay && !state) || need->beyond != NOTHING)
        return lam_fail(err, LAM_E_UNSUPPORTED, "layer %s: its reach along axis %d cannot be run in steps",
                        layer->name, axis + 1);
    need->beyond = delay ? DELAY : STATE;
    need->axis = axis;
    need->delay = -reach.last;
    need->level = delay ? axis : level;
    return LAM_OK;
}

static lam_status find_need(const lam_causal *c, const lam_layer *layer, struct need *out, lam_error *err)
{
    struct need need = {NOTHING, 0, 0, 0};
    if (!layer->kind->reach)
        return lam_fail(err, LAM_E_UNSUPPORTED, "layer %s: layers of kind '%s' cannot be run in steps",
                        layer->name, layer->kind->name);
    for (int k = 0; k < layer->inputs; k++) {
        int level = input_level(c, layer, k);
        struct need one = {NOTHING, 0, 0, level};
        for (int a = 0; a < c->axes; a++) {
            lam_status status = look_along(c, layer, level, a, &one, err);
            if (status)
                return status;
        }
        if (layer->inputs > 1 && one.beyond != NOTHING)
            return lam_fail(err, LAM_E_UNSUPPORTED, "layer %s: several inputs cannot be run in steps",
                            layer->name);
        one.level = one.level > need.level ? one.level : need.level;
        need = one;
    }
    *out = need;
    return LAM_OK;
}

/* ---- making ---- */

static lam_status make_history(lam_causal *c, const lam_layer *layer, const struct need *need, lam_error *err)
{
    struct history *h = &c->places[layer->index].history;
    int64_t channels = c->values[layer->from[0]].channels;
    lam_shape shape = block_shape(c, need->axis, channels);
    int64_t delay = need->delay < c->size[need->axis] ? need->delay : c->size[need->axis];
    lam_status status;
    *h = (struct history){-1, need->axis, delay, lam_shape_count(&shape), NULL, NULL};
    if ((status = take_memory(c, (size_t)((delay + 1) * h->floats), &h->blocks, err)) ||
        (status = take_memory(c, (size_t)h->floats, &h->zeros, err)))
        return status;
    h->source = layer->from[0];
    return LAM_OK;
}

/* The inputs as the layer will read them, in blocks of its own level. */
static lam_status make_views(lam_causal *c, const lam_layer *layer, int level, const lam_shape **in,
                             lam_error *err)
{
    struct place *place = &c->places[layer->index];
    for (int k = 0; k < layer->inputs; k++) {
        const struct value *value = &c->values[layer->from[k]];
        place->view_shapes[k] = block_shape(c, level, value->channels);
        in[k] = &place->view_shapes[k];
        if (value->level == level)
            continue;
        lam_status status = take_memory(c, (size_t)lam_shape_count(in[k]), &place->views[k], err);
        if (status)
            return status;
    }
    return LAM_OK;
}

static lam_status make_step(lam_causal *c, const lam_layer *layer, const struct need *need, size_t *scratch,
                            lam_error *err)
{
    struct place *place = &c->places[layer->index];
    struct value *value = &c->values[layer->index + 1];
    const lam_shape *in[LAM_MAX_INPUTS];
    lam_layer_needs needs = {0};
    lam_status status = make_views(c, layer, need->level, in, err);
    if (status)
        return status;
    lam_shape out = value->shape;
    if (layer->kind->shape && (status = layer->kind->shape(layer, in, &out, err)))
        return status;
    if (!lam_shape_equal(&out, &value->shape))
        return lam_fail(err, LAM_E_UNSUPPORTED, "layer %s: it changes the size", layer->name);
    if (layer->kind->measure)
        layer->kind->measure(layer, c->weights->packed[layer->index], in, &out, LAM_MODE_INFER, NULL, &needs);
    *scratch = needs.forward > *scratch ? needs.forward : *scratch;
    if (need->beyond == STATE) {
        place->memory_axis = need->axis;
        place->memory_floats = layer->kind->memory(layer, in[0], need->axis);
        if ((status = take_memory(c, place->memory_floats, &place->memory, err)))
            return status;
    }
    return take_memory(c, (size_t)lam_shape_count(&out), &value->block, err);
}

static lam_status make_layer(lam_causal *c, const lam_layer *layer, size_t *scratch, lam_error *err)
{
    struct value *value = &c->values[layer->index + 1];
    struct need need = {NOTHING, 0, 0, 0};
    lam_status status;
    c->places[layer->index].history.source = -1;
    if (layer->out.shape.rank != c->axes + 2)
        return lam_fail(err, LAM_E_UNSUPPORTED, "layer %s: it removes an axis", layer->name);
    if ((status = find_need(c, layer, &need, err)))
        return status;
    value->level = need.level;
    value->channels = lam_shape_channels(&layer->out.shape);
    value->shape = block_shape(c, need.level, value->channels);
    return need.beyond == DELAY ? make_history(c, layer, &need, err)
                                : make_step(c, layer, &need, scratch, err);
}

static lam_status make(lam_causal *c, const lam_shape *input, lam_error *err)
{
    size_t scratch = 0;
    float *memory;
    lam_status status;
    c->values = calloc((size_t)c->network->layer_count + 1, sizeof *c->values);
    c->places = calloc((size_t)c->network->layer_count, sizeof *c->places);
    if (!c->values || !c->places)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    struct value *first = &c->values[0], *last = &c->values[c->network->output];
    *first = (struct value){.level = c->axes, .channels = lam_shape_channels(input)};
    first->shape = block_shape(c, c->axes, first->channels);
    if ((status = take_memory(c, (size_t)lam_shape_count(input), &c->input, err)) ||
        (status = take_memory(c, (size_t)lam_shape_count(&first->shape), &first->block, err)))
        return status;
    for (int i = 0; i < c->network->layer_count; i++)
        if ((status = make_layer(c, &c->network->layers[i], &scratch, err)))
            return status;
    if (last->level == c->axes)
        return lam_fail(err, LAM_E_INVALID, "layer %s: the network's result depends on the position itself",
                        c->network->layers[c->network->output - 1].name);
    if ((status = take_memory(c, scratch / sizeof(float), &memory, err)))
        return status;
    c->scratch = memory;
    return take_memory(c, (size_t)(c->batch * last->channels), &c->result, err);
}

lam_status lam_causal_create(const lam_weights *weights, const lam_shape *input, lam_causal **out,
                             lam_error *err)
{
    LAM_AUTO_PTR(lam_causal) *c = calloc(1, sizeof *c);
    lam_status status = lam_shape_check(input, err);
    if (!c)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    if (status)
        return status;
    c->network = lam_weights_network(weights);
    c->weights = weights;
    c->axes = lam_network_axes(c->network);
    c->batch = input->dim[0];
    if (input->rank != c->axes + 2 || c->axes < 1 ||
        lam_shape_channels(input) != lam_network_input_channels(c->network))
        return lam_fail(err, LAM_E_INVALID, "the network takes %d axes and %lld channels", c->axes,
                        (long long)lam_network_input_channels(c->network));
    for (int a = 0; a < c->axes; a++)
        c->size[a] = input->dim[1 + a];
    if ((status = make(c, input, err)))
        return status;
    *out = LAM_TAKE_PTR(c);
    return LAM_OK;
}

void lam_causal_free(lam_causal *c)
{
    if (!c)
        return;
    for (int i = 0; c->places && c->values && i < c->network->layer_count; i++) {
        struct place *place = &c->places[i];
        if (!place->history.blocks)
            free(c->values[i + 1].block);
        for (int k = 0; k < LAM_MAX_INPUTS; k++)
            free(place->views[k]);
        free(place->memory);
        free(place->history.blocks);
        free(place->history.zeros);
    }
    if (c->values)
        free(c->values[0].block);
    free(c->values);
    free(c->places);
    free(c->input);
    free(c->scratch);
    free(c->result);
    free(c);
}

/* ---- running ---- */

float *lam_causal_input(lam_causal *c)
{
    return c->input;
}

void lam_causal_restart(lam_causal *c)
{
    c->started = false;
}

/* Into the histories of those who delay this value. */
static void remember(lam_causal *c, int number)
{
    const struct value *value = &c->values[number];
    for (int i = number; i < c->network->layer_count; i++) {
        const struct history *h = &c->places[i].history;
        if (h->source != number)
            continue;
        float *block = h->blocks + c->at[h->axis] % (h->delay + 1) * h->floats;
        put_part(c, h->axis, value->level, value->channels, value->block, block);
    }
}

static void recall(lam_causal *c, const struct history *h, struct value *value)
{
    int64_t then = c->at[h->axis] - h->delay;
    value->block = then < 0 ? h->zeros : h->blocks + then % (h->delay + 1) * h->floats;
}

static const float *see(const lam_causal *c, const lam_layer *layer, int k)
{
    const struct value *value = &c->values[layer->from[k]];
    float *view = c->places[layer->index].views[k];
    int level = c->values[layer->index + 1].level;
    if (!view)
        return value->block;
    /* What is read of the input at a lower level than its own is what is known of all of it. */
    bool beforehand = value->level > level;
    take_part(c, beforehand ? WHOLE : value->level, level, value->channels,
              beforehand ? c->input : value->block, view);
    return view;
}

static void run_layer(lam_causal *c, const lam_layer *layer)
{
    struct place *place = &c->places[layer->index];
    struct value *value = &c->values[layer->index + 1];
    lam_layer_run run = {.layer = layer,
                         .out_shape = &value->shape,
                         .out = value->block,
                         .packed = c->weights->packed[layer->index],
                         .scratch = c->scratch,
                         .memory = place->memory,
                         .memory_axis = place->memory_axis};
    for (int k = 0; k < layer->inputs; k++) {
        run.in_shape[k] = &place->view_shapes[k];
        run.in[k] = see(c, layer, k);
    }
    for (int p = 0; p < layer->parameter_count; p++)
        run.parameters[p] =
            c->weights->data + c->network->parameters[layer->first_parameter + (size_t)p].offset;
    if (place->memory && c->at[place->memory_axis] == 0)
        memset(place->memory, 0, place->memory_floats * sizeof(float));
    layer->kind->forward(&run);
}

static void run_level(lam_causal *c, int level)
{
    for (int i = 0; i < c->network->layer_count; i++) {
        const lam_layer *layer = &c->network->layers[i];
        if (c->values[i + 1].level != level)
            continue;
        if (c->places[i].history.source >= 0)
            recall(c, &c->places[i].history, &c->values[i + 1]);
        else
            run_layer(c, layer);
        remember(c, i + 1);
    }
}

/* The current position has become known. */
static void conclude(lam_causal *c)
{
    take_part(c, WHOLE, c->axes, c->values[0].channels, c->input, c->values[0].block);
    remember(c, 0);
    run_level(c, c->axes);
}

/* To the next position; returns the first axis along which it moved. */
static int advance(lam_causal *c)
{
    int axis = c->axes - 1;
    while (axis > 0 && c->at[axis] + 1 == c->size[axis])
        c->at[axis--] = 0;
    c->at[axis]++;
    assert(c->at[axis] < c->size[axis]);
    return axis;
}

const float *lam_causal_step(lam_causal *c)
{
    const struct value *output = &c->values[c->network->output];
    int first = 0;
    if (c->started) {
        conclude(c);
        first = advance(c);
    } else {
        memset(c->at, 0, sizeof c->at);
    }
    c->started = true;
    for (int level = first; level < c->axes; level++)
        run_level(c, level);
    take_part(c, output->level, c->axes - 1, output->channels, output->block, c->result);
    return c->result;
}
