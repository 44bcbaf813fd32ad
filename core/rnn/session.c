/* Running a network: a plan of shapes and memory for one input shape, then forward and backward through the
 * layers.
 *
 * Time, for the plan of memory, counts layers: layer i runs forward at step i; in training the pass back
 * visits it at step 2n-1-i. A value lives from the step that makes it to the last that reads it. In training
 * all values live until their maker has run backward, since layers read their inputs and outputs there. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/rnn/arena.h"
#include "core/rnn/kernels/vecmath.h"
#include "core/rnn/layer.h"
#include "core/rnn/random.h"

#define MAX_ARENA_BYTES ((size_t)24 << 30)

/* Arena items of a layer, beside its values. */
enum item { ITEM_SAVED, ITEM_FORWARD, ITEM_BACKWARD, ITEM_PARTIAL, ITEMS_PER_LAYER };

struct value {
    lam_shape shape;
    float *data;
    float *gradient;
    int last_use; /* the last layer that reads it */
    bool written; /* its gradient holds something, during the pass back */
};

struct place {
    void *saved, *forward, *backward;
    float *partial; /* gradient of an input, for kinds that cannot add */
};

struct lam_session {
    const lam_network *network;
    const lam_weights *weights;
    lam_mode mode;
    lam_pool *pool;
    struct value *values;  /* layer_count + 1 */
    struct place *places;  /* by layer */
    lam_arena_item *items; /* values, gradients, then ITEMS_PER_LAYER a layer */
    char *arena;
    size_t arena_bytes;
    bool planned;
    const uint32_t *lengths;
    uint64_t key;
    lam_behaviour behaviour;
};

static size_t item_count(const lam_network *network)
{
    return (size_t)(network->layer_count + 1) * 2 + (size_t)network->layer_count * ITEMS_PER_LAYER;
}

static lam_arena_item *value_item(lam_session *session, int value)
{
    return &session->items[value];
}

static lam_arena_item *gradient_item(lam_session *session, int value)
{
    return &session->items[session->network->layer_count + 1 + value];
}

static lam_arena_item *layer_item(lam_session *session, int layer, enum item item)
{
    return &session->items[(session->network->layer_count + 1) * 2 + layer * ITEMS_PER_LAYER + (int)item];
}

lam_status lam_session_create(const lam_weights *weights, lam_mode mode, lam_pool *pool, lam_session **out,
                              lam_error *err)
{
    LAM_AUTO_PTR(lam_session) *session = calloc(1, sizeof *session);
    if (!session)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    const lam_network *network = weights->network;
    session->network = network;
    session->weights = weights;
    session->mode = mode;
    session->pool = pool;
    session->values = calloc((size_t)network->layer_count + 1, sizeof session->values[0]);
    session->places = calloc((size_t)network->layer_count, sizeof session->places[0]);
    session->items = calloc(item_count(network), sizeof session->items[0]);
    if (!session->values || !session->places || !session->items)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    *out = LAM_TAKE_PTR(session);
    return LAM_OK;
}

void lam_session_free(lam_session *session)
{
    if (!session)
        return;
    free(session->arena);
    free(session->items);
    free(session->places);
    free(session->values);
    free(session);
}

void lam_session_use(lam_session *session, const lam_weights *weights)
{
    assert(weights->network == session->network);
    session->weights = weights;
}

size_t lam_session_bytes(const lam_session *session)
{
    return session->arena_bytes;
}

/* ---- planning ---- */

static lam_status check_input(const lam_session *session, const lam_shape *input, lam_error *err)
{
    const lam_shape *want = &session->network->input.shape;
    char text[LAM_SHAPE_TEXT], wanted[LAM_SHAPE_TEXT];
    bool fits = input->rank == want->rank;
    for (int i = 1; fits && i < want->rank; i++)
        fits = want->dim[i] == 0 || want->dim[i] == input->dim[i];
    if (!fits)
        return lam_fail(err, LAM_E_INVALID, "the network takes %s (0: any size), not %s",
                        lam_shape_text(want, wanted), lam_shape_text(input, text));
    return lam_shape_check(input, err);
}

static void inputs_of(const lam_session *session, const lam_layer *layer, const lam_shape *in[LAM_MAX_INPUTS])
{
    for (int i = 0; i < layer->inputs; i++)
        in[i] = &session->values[layer->from[i]].shape;
}

static lam_status infer_shapes(lam_session *session, const lam_shape *input, lam_error *err)
{
    session->values[0].shape = *input;
    for (int i = 0; i < session->network->layer_count; i++) {
        const lam_layer *layer = &session->network->layers[i];
        const lam_shape *in[LAM_MAX_INPUTS];
        inputs_of(session, layer, in);
        lam_shape out = session->values[layer->from[0]].shape;
        out.dim[out.rank - 1] = lam_shape_channels(&layer->out.shape);
        lam_status status = layer->kind->shape ? layer->kind->shape(layer, in, &out, err) : LAM_OK;
        if (status == LAM_OK)
            status = lam_shape_check(&out, err);
        if (status) {
            lam_error_prefix(err, "layer %s", layer->name);
            return status;
        }
        session->values[i + 1].shape = out;
    }
    return LAM_OK;
}

/* When each value is read for the last time. */
static void trace_uses(lam_session *session)
{
    const lam_network *network = session->network;
    int n = network->layer_count;
    for (int v = 0; v <= n; v++)
        session->values[v].last_use = v - 1;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < network->layers[i].inputs; k++)
            session->values[network->layers[i].from[k]].last_use = i;
    session->values[network->output].last_use = n;
}

static size_t bytes_of(const lam_shape *shape)
{
    return (size_t)lam_shape_count(shape) * sizeof(float);
}

static void plan_values(lam_session *session)
{
    int n = session->network->layer_count;
    bool training = session->mode == LAM_MODE_TRAIN;
    for (int v = 0; v <= n; v++) {
        const struct value *value = &session->values[v];
        size_t bytes = bytes_of(&value->shape);
        int made = v == 0 ? -1 : v - 1;
        int undone = 2 * n - 1 - made; /* the step at which its maker runs backward */
        /* A layer's scratch lives during its step; so do its output and what it reads. */
        /* The caller may look at the output after the pass back. */
        int last = !training ? value->last_use : v == session->network->output ? 2 * n : undone;
        *value_item(session, v) = (lam_arena_item){bytes, made, last, 0};
        *gradient_item(session, v) = (lam_arena_item){0};
        if (training) {
            /* The output's gradient is written between the passes. */
            int first = v == session->network->output ? n - 1 : 2 * n - 1 - value->last_use;
            *gradient_item(session, v) = (lam_arena_item){bytes, first, undone, 0};
        }
    }
}

static void plan_layers(lam_session *session)
{
    int n = session->network->layer_count;
    for (int i = 0; i < n; i++) {
        const lam_layer *layer = &session->network->layers[i];
        const lam_shape *in[LAM_MAX_INPUTS];
        lam_layer_needs needs = {0};
        size_t partial = 0;
        int back = 2 * n - 1 - i;
        inputs_of(session, layer, in);
        if (layer->kind->measure)
            layer->kind->measure(layer, session->weights->packed[i], in, &session->values[i + 1].shape,
                                 session->mode, session->pool, &needs);
        for (int k = 0; k < layer->inputs && !layer->kind->adds; k++)
            if (bytes_of(in[k]) > partial)
                partial = bytes_of(in[k]);
        bool training = session->mode == LAM_MODE_TRAIN;
        *layer_item(session, i, ITEM_SAVED) = (lam_arena_item){training ? needs.saved : 0, i, back, 0};
        *layer_item(session, i, ITEM_FORWARD) = (lam_arena_item){needs.forward, i, i, 0};
        *layer_item(session, i, ITEM_BACKWARD) =
            (lam_arena_item){training ? needs.backward : 0, back, back, 0};
        *layer_item(session, i, ITEM_PARTIAL) = (lam_arena_item){training ? partial : 0, back, back, 0};
    }
}

static void *at(const lam_session *session, const lam_arena_item *item)
{
    return item->size ? session->arena + item->offset : NULL;
}

static void bind(lam_session *session)
{
    for (int v = 0; v <= session->network->layer_count; v++) {
        session->values[v].data = at(session, value_item(session, v));
        session->values[v].gradient = at(session, gradient_item(session, v));
    }
    for (int i = 0; i < session->network->layer_count; i++)
        session->places[i] = (struct place){
            .saved = at(session, layer_item(session, i, ITEM_SAVED)),
            .forward = at(session, layer_item(session, i, ITEM_FORWARD)),
            .backward = at(session, layer_item(session, i, ITEM_BACKWARD)),
            .partial = at(session, layer_item(session, i, ITEM_PARTIAL)),
        };
}

static lam_status grow(lam_session *session, size_t bytes, lam_error *err)
{
    if (bytes <= session->arena_bytes)
        return LAM_OK;
    free(session->arena);
    session->arena_bytes = 0;
    session->arena = lam_arena_allocate(bytes);
    if (!session->arena)
        return lam_fail(err, LAM_E_NO_MEMORY, "no memory for the network's %zu MiB of workspace",
                        bytes >> 20);
    session->arena_bytes = bytes;
    return LAM_OK;
}

lam_status lam_session_plan(lam_session *session, const lam_shape *input, lam_error *err)
{
    size_t bytes = 0;
    lam_status status;
    if (session->planned && lam_shape_equal(input, &session->values[0].shape))
        return LAM_OK;
    session->planned = false;
    session->lengths = NULL;
    if ((status = check_input(session, input, err)) || (status = infer_shapes(session, input, err)))
        return status;
    trace_uses(session);
    plan_values(session);
    plan_layers(session);
    if ((status =
             lam_arena_place(session->items, item_count(session->network), MAX_ARENA_BYTES, &bytes, err)) ||
        (status = grow(session, bytes, err)))
        return status;
    bind(session);
    session->planned = true;
    return LAM_OK;
}

/* ---- running ---- */

float *lam_session_input(lam_session *session)
{
    assert(session->planned);
    return session->values[0].data;
}

const float *lam_session_output(const lam_session *session)
{
    assert(session->planned);
    return session->values[session->network->output].data;
}

const lam_shape *lam_session_output_shape(const lam_session *session)
{
    assert(session->planned);
    return &session->values[session->network->output].shape;
}

static lam_layer_run describe(const lam_session *session, int index)
{
    const lam_network *network = session->network;
    const lam_layer *layer = &network->layers[index];
    lam_layer_run run = {
        .layer = layer,
        .out_shape = &session->values[index + 1].shape,
        .out = session->values[index + 1].data,
        .packed = session->weights->packed[index],
        .saved = session->places[index].saved,
        .pool = session->pool,
        .lengths = session->lengths,
        .training = session->mode == LAM_MODE_TRAIN,
        .dropout = session->mode == LAM_MODE_TRAIN && session->behaviour != LAM_BEHAVE_INFERENCE,
        .batch_statistics = session->mode == LAM_MODE_TRAIN && session->behaviour == LAM_BEHAVE_TRAINING,
        .key = lam_random_mix(session->key, (uint64_t)index),
    };
    for (int k = 0; k < layer->inputs; k++) {
        run.in_shape[k] = &session->values[layer->from[k]].shape;
        run.in[k] = session->values[layer->from[k]].data;
    }
    for (int p = 0; p < layer->parameter_count; p++)
        run.parameters[p] =
            session->weights->data + network->parameters[layer->first_parameter + (size_t)p].offset;
    return run;
}

void lam_session_set_lengths(lam_session *session, const uint32_t *lengths)
{
    session->lengths = lengths;
}

static void run_forward(lam_session *session)
{
    assert(session->planned);
    for (int i = 0; i < session->network->layer_count; i++) {
        lam_layer_run run = describe(session, i);
        run.scratch = session->places[i].forward;
        run.layer->kind->forward(&run);
    }
}

void lam_session_run(lam_session *session)
{
    run_forward(session);
}

void lam_session_forward(lam_session *session, uint64_t key)
{
    assert(session->mode == LAM_MODE_TRAIN);
    session->key = key;
    run_forward(session);
}

void lam_session_behave(lam_session *session, lam_behaviour behaviour)
{
    assert(session->mode == LAM_MODE_TRAIN);
    session->behaviour = behaviour;
}

const float *lam_session_attention(const lam_session *session, const char *name, lam_shape *shape)
{
    const lam_network *network = session->network;
    assert(session->planned && session->mode == LAM_MODE_TRAIN);
    for (int i = 0; i < network->layer_count; i++) {
        const lam_layer *layer = &network->layers[i];
        if (strcmp(layer->name, name) != 0 || layer->kind != lam_layer_find_kind("attention_pool"))
            continue;
        *shape = session->values[layer->from[0]].shape;
        shape->rank--;
        return session->places[i].saved; /* the weights come first */
    }
    return NULL;
}

float *lam_session_output_gradient(lam_session *session)
{
    assert(session->planned && session->mode == LAM_MODE_TRAIN);
    return session->values[session->network->output].gradient;
}

const float *lam_session_input_gradient(const lam_session *session)
{
    return session->values[0].gradient;
}

/* Where this layer puts the gradients of its inputs. A kind that cannot add writes beside, and the sum is
 * taken afterwards; a kind with several inputs always can. */
static void aim_input_gradients(lam_session *session, lam_layer_run *run, bool want_input)
{
    for (int k = 0; k < run->layer->inputs; k++) {
        struct value *value = &session->values[run->layer->from[k]];
        if (run->layer->from[k] == 0 && !want_input)
            continue;
        run->add[k] = value->written && run->layer->kind->adds;
        run->d_in[k] = value->written && !run->layer->kind->adds ? session->places[run->layer->index].partial
                                                                 : value->gradient;
        if (run->layer->kind->adds)
            value->written = true;
    }
}

static void sum_input_gradients(lam_session *session, const lam_layer_run *run)
{
    if (run->layer->kind->adds || !run->d_in[0])
        return;
    struct value *value = &session->values[run->layer->from[0]];
    if (run->d_in[0] != value->gradient)
        lam_vec_axpy((size_t)lam_shape_count(&value->shape), 1.0f, run->d_in[0], value->gradient);
    value->written = true;
}

void lam_session_backward(lam_session *session, float *gradient, bool want_input)
{
    const lam_network *network = session->network;
    assert(session->planned && session->mode == LAM_MODE_TRAIN);
    for (int v = 0; v <= network->layer_count; v++)
        session->values[v].written = v == network->output;
    for (int i = network->layer_count - 1; i >= 0; i--) {
        if (!session->values[i + 1].written)
            continue; /* nothing that leads to the output reads this layer */
        lam_layer_run run = describe(session, i);
        run.scratch = session->places[i].backward;
        run.d_out = session->values[i + 1].gradient;
        for (int p = 0; p < run.layer->parameter_count; p++)
            run.d_parameters[p] =
                gradient + network->parameters[run.layer->first_parameter + (size_t)p].offset;
        aim_input_gradients(session, &run, want_input);
        run.layer->kind->backward(&run);
        sum_input_gradients(session, &run);
    }
}
