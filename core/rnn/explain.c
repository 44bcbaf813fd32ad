#include "core/rnn/explain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rnn/explain_case.h"
#include "core/rnn/layer.h"

enum { MAX_STEPS = 1000, MOST_STEPS = 32, LEAST_STEPS = 8 };
/* Voxels, of all members, that MOST_STEPS are spent on. */
#define ALL_STEPS_VOXELS ((int64_t)2 << 20)

/* One map on its way: of a volume, or of a slice of it. */
struct explaining {
    lam_explain_case of;
    const lam_explain_options *options;
    size_t done, total; /* steps */
    double score, baseline;
    int target;
    float *sum; /* [inputs] */
};

static void explaining_done(struct explaining *e)
{
    lam_explain_case_done(&e->of);
    free(e->sum);
    e->sum = NULL;
}

static const char *const method_names[LAM_EXPLAIN_COUNT] = {"gradient", "integrated", "attention"};

bool lam_explain_method_find(const char *name, lam_explain_method *out)
{
    for (int i = 0; i < LAM_EXPLAIN_COUNT; i++)
        if (strcmp(method_names[i], name) == 0) {
            *out = (lam_explain_method)i;
            return true;
        }
    return false;
}

int lam_explain_steps(const lam_bundle *bundle, const int64_t size[3])
{
    size_t members;
    lam_frame frame = lam_prepare_frame(&lam_bundle_manifest(bundle)->preprocessing, size);
    lam_bundle_members(bundle, &members);
    int64_t voxels = frame.size[0] * frame.size[1] * frame.size[2] * (int64_t)members;
    int64_t steps = MOST_STEPS * ALL_STEPS_VOXELS / (voxels > ALL_STEPS_VOXELS ? voxels : ALL_STEPS_VOXELS);
    return steps < LEAST_STEPS ? LEAST_STEPS : (int)steps;
}

static void tick(struct explaining *e)
{
    e->done++;
    if (e->options->tick)
        e->options->tick(e->options->context, e->done, e->total);
}

/* ---- gradients ---- */

/* Adds a share of dF/dx (or of its size) at `share` of the input. */
static void add_gradient(struct explaining *e, const lam_explain_rows *rows, float share, float weight,
                         bool size)
{
    lam_explain_case *c = &e->of;
    lam_explain_case_run(c, c->input, share, 0);
    lam_explain_case_score(c, rows);
    lam_session_backward(c->session, c->gradient, true);
    const float *d = lam_session_input_gradient(c->session);
    for (int64_t i = 0; i < c->inputs; i++)
        e->sum[i] += weight * (size ? fabsf(d[i]) : d[i] * c->input[i]);
    tick(e);
}

static lam_status add_gradients(struct explaining *e, int steps, double part, lam_error *err)
{
    LAM_AUTO(lam_explain_rows_done) lam_explain_rows rows = {.channel = NULL};
    lam_explain_case *c = &e->of;
    lam_explain_case_run(c, c->input, 1, 0);
    lam_status status = lam_explain_case_choose(c, e->target, &rows, err);
    if (status)
        return status;
    e->target = rows.target;
    if (rows.count == 0) {
        e->done += (size_t)steps; /* nothing to explain here */
        return LAM_OK;
    }
    e->score += part * lam_explain_case_score(c, &rows);
    if (e->options->method == LAM_EXPLAIN_GRADIENT) {
        add_gradient(e, &rows, 1, (float)part, true);
        return LAM_OK;
    }
    for (int i = 0; i < steps; i++) /* the midpoint rule */
        add_gradient(e, &rows, ((float)i + 0.5f) / (float)steps, (float)(part / steps), false);
    lam_explain_case_run(c, c->input, 0, 0);
    e->baseline += part * lam_explain_case_score(c, &rows);
    return LAM_OK;
}

/* ---- attention ---- */

/* Where position `at` (z, y, x) of the input lies in a layer whose input has `shape`. */
static int64_t position_in(const lam_explain_case *c, const lam_signature *in, const lam_shape *shape,
                           const int64_t at[3])
{
    int axes = lam_network_axes(c->network);
    int64_t row = 0;
    for (int i = 0; i < shape->rank - 1; i++) {
        int axis = lam_signature_axis(&c->network->input, in->axis[i], strlen(in->axis[i]));
        int number = 3 - axes + axis;
        row =
            row * shape->dim[1 + i] + (axis < 0 ? 0 : at[number] * shape->dim[1 + i] / c->frame.size[number]);
    }
    return row;
}

static void add_layer_attention(struct explaining *e, const lam_layer *layer, const float *weights,
                                const lam_shape *shape, float part)
{
    const lam_explain_case *c = &e->of;
    int64_t voxel = 0, at[3];
    for (at[0] = 0; at[0] < c->frame.size[0]; at[0]++)
        for (at[1] = 0; at[1] < c->frame.size[1]; at[1]++)
            for (at[2] = 0; at[2] < c->frame.size[2]; at[2]++, voxel++)
                e->sum[voxel * c->channels] += part * weights[position_in(c, &layer->in[0], shape, at)];
}

static lam_status add_attention(struct explaining *e, double part, lam_error *err)
{
    lam_explain_case *c = &e->of;
    int layers = 0;
    lam_explain_case_run(c, c->input, 1, 0);
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < c->network->layer_count; i++) {
            lam_shape shape;
            const lam_layer *layer = &c->network->layers[i];
            const float *weights = lam_session_attention(c->session, layer->name, &shape);
            if (!weights)
                continue;
            if (pass)
                add_layer_attention(e, layer, weights, &shape, (float)part / (float)layers);
            else
                layers++;
        }
    tick(e);
    return layers ? LAM_OK
                  : lam_fail(err, LAM_E_UNSUPPORTED, "model %s has no attention to show", c->manifest->name);
}

/* ---- the whole ---- */

/* Sums over channels, from the network's input back into the volume. */
static void unpad(const struct explaining *e, float *map)
{
    const lam_explain_case *c = &e->of;
    const lam_frame *f = &c->frame;
    for (int64_t z = 0; z < f->taken[0]; z++)
        for (int64_t y = 0; y < f->taken[1]; y++)
            for (int64_t x = 0; x < f->taken[2]; x++) {
                int64_t in =
                    ((z + f->before[0]) * f->size[1] + y + f->before[1]) * f->size[2] + x + f->before[2];
                int64_t to = ((z + f->from[0]) * c->size[1] + y + f->from[1]) * c->size[2] + x + f->from[2];
                for (int64_t k = 0; k < c->channels; k++)
                    map[to] += e->sum[in * c->channels + k];
            }
}

/* A volume that the network takes at once. */
static lam_status explain_part(struct explaining *e, const lam_bundle *bundle, lam_pool *pool,
                               const lam_volume *part, int steps, float *map, lam_error *err)
{
    size_t members;
    const lam_weights *const *weights = lam_bundle_members(bundle, &members);
    lam_status status = lam_explain_case_begin(&e->of, bundle, pool, part, err);
    if (status)
        return status;
    e->sum = calloc((size_t)e->of.inputs, sizeof(float));
    if (!e->sum)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_session_behave(e->of.session, LAM_BEHAVE_INFERENCE);
    for (size_t m = 0; m < members && status == LAM_OK; m++) {
        lam_session_use(e->of.session, weights[m]);
        status = e->options->method == LAM_EXPLAIN_ATTENTION
                     ? add_attention(e, 1 / (double)members, err)
                     : add_gradients(e, steps, 1 / (double)members, err);
    }
    if (status == LAM_OK)
        unpad(e, map);
    return status;
}

lam_status lam_explain(const lam_bundle *bundle, lam_pool *pool, const lam_volume *volume,
                       const lam_explain_options *options, lam_explanation *out, lam_error *err)
{
    struct explaining e = {.options = options, .target = options->target};
    int64_t plane = volume->size[1] * volume->size[2];
    bool sliced = lam_bundle_manifest(bundle)->task == LAM_TASK_DETECTION; /* as lam_predict_boxes does it */
    int64_t parts = sliced ? volume->size[0] : 1;
    size_t members;
    lam_bundle_members(bundle, &members);
    if (options->steps < 0 || options->steps > MAX_STEPS)
        return lam_fail(err, LAM_E_INVALID, "the integral takes 1 to %d steps, not %d", MAX_STEPS,
                        options->steps);
    int steps = options->steps ? options->steps : lam_explain_steps(bundle, volume->size);
    if (options->method != LAM_EXPLAIN_INTEGRATED)
        steps = 1;
    e.total = (size_t)parts * members * (size_t)steps;
    lam_autofree float *map = calloc((size_t)(volume->size[0] * plane), sizeof *map);
    lam_status status = map ? LAM_OK : lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (int64_t i = 0; i < parts && status == LAM_OK; i++) {
        lam_volume part = *volume;
        if (sliced) {
            part.size[0] = 1;
            part.voxels += i * plane;
        }
        status = explain_part(&e, bundle, pool, &part, steps, map + (sliced ? i * plane : 0), err);
        explaining_done(&e);
    }
    if (status)
        return status;
    *out = (lam_explanation){
        .map = LAM_TAKE_PTR(map), .target = e.target, .score = e.score, .baseline = e.baseline};
    memcpy(out->size, volume->size, sizeof out->size);
    return LAM_OK;
}

void lam_explanation_done(lam_explanation *explanation)
{
    free(explanation->map);
    explanation->map = NULL;
}
