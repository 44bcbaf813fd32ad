#include "core/rnn/explain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rnn/layer.h"
#include "core/rnn/predict_passes.h"

enum { MAX_STEPS = 1000 };

/* One case in a session that can go back. */
struct study {
    const lam_manifest *manifest;
    const lam_network *network;
    lam_session *session;
    lam_frame frame;
    int64_t size[3], channels;
    int64_t inputs;  /* floats of the network's input */
    float *input;    /* that input */
    float *gradient; /* of the parameters: not wanted, but computed */
    float *sum;      /* [inputs] */
};

static void study_done(struct study *s)
{
    lam_session_free(s->session);
    free(s->input);
    free(s->gradient);
    free(s->sum);
}

const char *lam_explain_method_name(lam_explain_method method)
{
    static const char *const names[] = {"gradient", "integrated", "attention"};
    return names[method < LAM_EXPLAIN_COUNT ? method : 0];
}

/* Normalises and pads as prediction does. */
static lam_status prepare(struct study *s, const lam_volume *volume, lam_error *err)
{
    const lam_model_preprocessing *pre = &s->manifest->preprocessing;
    int64_t count = s->size[0] * s->size[1] * s->size[2] * s->channels;
    lam_autofree float *scratch = malloc((size_t)count * 2 * sizeof *scratch);
    if (!scratch || !s->input)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_prepare_intensities(pre, s->size, s->channels, volume->voxels, scratch, scratch + count);
    lam_prepare_pad(&s->frame, s->size, s->channels, scratch + count, s->input);
    return LAM_OK;
}

static lam_status begin(struct study *s, const lam_bundle *bundle, lam_pool *pool, const lam_volume *volume,
                        lam_error *err)
{
    s->manifest = lam_bundle_manifest(bundle);
    s->network = lam_bundle_network(bundle);
    s->channels = lam_network_input_channels(s->network);
    memcpy(s->size, volume->size, sizeof s->size);
    if (s->manifest->task != LAM_TASK_CLASSIFICATION && s->manifest->task != LAM_TASK_SEGMENTATION)
        return lam_fail(err, LAM_E_UNSUPPORTED, "answers of models for %s are not explained",
                        lam_task_name(s->manifest->task));
    lam_status status = lam_predictor_check_size(s->manifest, volume, err);
    if (status)
        return status;
    s->frame = lam_prepare_frame(&s->manifest->preprocessing, s->size);
    lam_shape shape = lam_prepare_shape(&s->frame, lam_network_axes(s->network), 1, s->channels);
    s->inputs = lam_shape_count(&shape);
    if ((status = lam_session_create(lam_bundle_weights(bundle), LAM_MODE_TRAIN, pool, &s->session, err)) ||
        (status = lam_bundle_plan(s->manifest, s->session, &shape, err)))
        return status;
    s->input = malloc((size_t)s->inputs * sizeof(float));
    s->sum = calloc((size_t)s->inputs, sizeof(float));
    s->gradient = calloc((size_t)lam_network_parameter_floats(s->network) + 1, sizeof(float));
    if (!s->input || !s->sum || !s->gradient)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    return prepare(s, volume, err);
}

/* Runs on `share` of the input. */
static void run(struct study *s, float share, uint64_t key)
{
    float *input = lam_session_input(s->session);
    for (int64_t i = 0; i < s->inputs; i++)
        input[i] = share * s->input[i];
    lam_session_forward(s->session, key);
}

/* ---- what is explained ---- */

static int64_t best_of(const float *row, int64_t channels)
{
    int64_t best = 0;
    for (int64_t c = 1; c < channels; c++)
        if (row[c] > row[best])
            best = c;
    return best;
}

/* Which channel of each row of the result counts, -1 for none: decided once, on the input itself. */
static lam_status choose_rows(const struct study *s, int *target, int16_t **out, lam_error *err)
{
    const lam_shape *shape = lam_session_output_shape(s->session);
    int64_t channels = lam_shape_channels(shape), rows = lam_shape_rows(shape);
    const float *scores = lam_session_output(s->session);
    if (*target >= channels)
        return lam_fail(err, LAM_E_INVALID, "there is no class %d: the model has %lld", *target,
                        (long long)channels);
    bool map = s->manifest->task == LAM_TASK_SEGMENTATION;
    if (!map && *target < 0)
        *target = (int)best_of(scores, channels);
    int16_t *chosen = calloc((size_t)rows + 1, sizeof *chosen);
    if (!chosen)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (int64_t r = 0; r < rows; r++) {
        int16_t best = (int16_t)best_of(scores + r * channels, channels);
        bool counts = *target < 0 ? best > 0 : best == *target;
        chosen[r] = !map ? (int16_t)*target : counts ? best : -1;
    }
    *out = chosen;
    return LAM_OK;
}

/* F of the last pass, and its gradient with respect to the result. */
static double score_rows(const struct study *s, const int16_t *chosen)
{
    const lam_shape *shape = lam_session_output_shape(s->session);
    int64_t channels = lam_shape_channels(shape), rows = lam_shape_rows(shape);
    bool probabilities = lam_network_gives_probabilities(s->network);
    const float *scores = lam_session_output(s->session);
    float *d = lam_session_output_gradient(s->session);
    double sum = 0;
    memset(d, 0, (size_t)(rows * channels) * sizeof *d);
    for (int64_t r = 0; r < rows; r++) {
        int64_t at = r * channels + chosen[r];
        if (chosen[r] < 0)
            continue;
        float value = probabilities ? fmaxf(scores[at], 1e-30f) : scores[at];
        sum += probabilities ? log((double)value) : (double)value;
        d[at] = probabilities ? 1 / value : 1;
    }
    return sum;
}

/* ---- gradients ---- */

/* Adds a share of dF/dx (or of its size) at `share` of the input. */
static void add_gradient(struct study *s, const int16_t *chosen, float share, float weight, bool size)
{
    run(s, share, 0);
    score_rows(s, chosen);
    lam_session_backward(s->session, s->gradient, true);
    const float *d = lam_session_input_gradient(s->session);
    for (int64_t i = 0; i < s->inputs; i++)
        s->sum[i] += weight * (size ? fabsf(d[i]) : d[i] * s->input[i]);
}

static lam_status add_gradients(struct study *s, lam_explain_method method, int steps, double part,
                                lam_explanation *out, lam_error *err)
{
    lam_autofree int16_t *chosen = NULL;
    run(s, 1, 0);
    lam_status status = choose_rows(s, &out->target, &chosen, err);
    if (status)
        return status;
    out->score += part * score_rows(s, chosen);
    if (method == LAM_EXPLAIN_GRADIENT) {
        add_gradient(s, chosen, 1, (float)part, true);
        return LAM_OK;
    }
    for (int i = 0; i < steps; i++) /* the midpoint rule */
        add_gradient(s, chosen, ((float)i + 0.5f) / (float)steps, (float)(part / steps), false);
    run(s, 0, 0);
    out->baseline += part * score_rows(s, chosen);
    return LAM_OK;
}

/* ---- attention ---- */

/* Where position `at` (z, y, x) of the input lies in a layer whose input has `shape`. */
static int64_t position_in(const struct study *s, const lam_signature *in, const lam_shape *shape,
                           const int64_t at[3])
{
    int axes = lam_network_axes(s->network);
    int64_t row = 0;
    for (int i = 0; i < shape->rank - 1; i++) {
        int axis = lam_signature_axis(&s->network->input, in->axis[i], strlen(in->axis[i]));
        int number = 3 - axes + axis;
        row =
            row * shape->dim[1 + i] + (axis < 0 ? 0 : at[number] * shape->dim[1 + i] / s->frame.size[number]);
    }
    return row;
}

static void add_layer_attention(struct study *s, const lam_layer *layer, const float *weights,
                                const lam_shape *shape, float part)
{
    int64_t voxel = 0, at[3];
    for (at[0] = 0; at[0] < s->frame.size[0]; at[0]++)
        for (at[1] = 0; at[1] < s->frame.size[1]; at[1]++)
            for (at[2] = 0; at[2] < s->frame.size[2]; at[2]++, voxel++)
                s->sum[voxel * s->channels] += part * weights[position_in(s, &layer->in[0], shape, at)];
}

static lam_status add_attention(struct study *s, double part, lam_error *err)
{
    int layers = 0;
    run(s, 1, 0);
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < s->network->layer_count; i++) {
            lam_shape shape;
            const lam_layer *layer = &s->network->layers[i];
            const float *weights = lam_session_attention(s->session, layer->name, &shape);
            if (!weights)
                continue;
            if (pass)
                add_layer_attention(s, layer, weights, &shape, (float)part / (float)layers);
            else
                layers++;
        }
    return layers ? LAM_OK
                  : lam_fail(err, LAM_E_UNSUPPORTED, "model %s has no attention to show", s->manifest->name);
}

/* ---- the whole ---- */

/* Sums over channels, from the network's input back into the volume. */
static void unpad(const struct study *s, float *map)
{
    const lam_frame *f = &s->frame;
    for (int64_t z = 0; z < f->taken[0]; z++)
        for (int64_t y = 0; y < f->taken[1]; y++)
            for (int64_t x = 0; x < f->taken[2]; x++) {
                int64_t in =
                    ((z + f->before[0]) * f->size[1] + y + f->before[1]) * f->size[2] + x + f->before[2];
                int64_t to = ((z + f->from[0]) * s->size[1] + y + f->from[1]) * s->size[2] + x + f->from[2];
                for (int64_t c = 0; c < s->channels; c++)
                    map[to] += s->sum[in * s->channels + c];
            }
}

lam_status lam_explain(const lam_bundle *bundle, lam_pool *pool, const lam_volume *volume,
                       lam_explain_method method, int target, int steps, lam_explanation *out, lam_error *err)
{
    LAM_AUTO(study_done) struct study s = {.session = NULL};
    LAM_AUTO(lam_explanation_done) lam_explanation result = {.target = target};
    size_t members;
    const lam_weights *const *weights = lam_bundle_members(bundle, &members);
    if (steps < 1 || steps > MAX_STEPS)
        return lam_fail(err, LAM_E_INVALID, "the integral takes 1 to %d steps, not %d", MAX_STEPS, steps);
    lam_status status = begin(&s, bundle, pool, volume, err);
    if (status)
        return status;
    lam_session_behave(s.session, LAM_BEHAVE_INFERENCE);
    for (size_t m = 0; m < members && status == LAM_OK; m++) {
        lam_session_use(s.session, weights[m]);
        status = method == LAM_EXPLAIN_ATTENTION
                     ? add_attention(&s, 1 / (double)members, err)
                     : add_gradients(&s, method, steps, 1 / (double)members, &result, err);
    }
    if (status)
        return status;
    result.map = calloc((size_t)(s.size[0] * s.size[1] * s.size[2]), sizeof(float));
    if (!result.map)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    unpad(&s, result.map);
    memcpy(result.size, s.size, sizeof result.size);
    *out = result;
    result.map = NULL;
    return LAM_OK;
}

void lam_explanation_done(lam_explanation *explanation)
{
    free(explanation->map);
    explanation->map = NULL;
}

/* ---- spread ---- */

static bool has_dropout(const lam_network *network)
{
    const lam_layer_kind *dropout = lam_layer_find_kind("dropout");
    for (int i = 0; i < network->layer_count; i++)
        if (network->layers[i].kind == dropout)
            return true;
    return false;
}

/* Adds the probabilities of one pass, and their squares. */
static void add_answer(const struct study *s, double *sum, double *squares)
{
    size_t classes = s->manifest->class_count;
    const float *scores = lam_session_output(s->session);
    bool probabilities = lam_network_gives_probabilities(s->network);
    double total = 0, largest = -INFINITY;
    for (size_t c = 0; c < classes; c++)
        largest = fmax(largest, scores[c] / s->manifest->temperature);
    for (size_t c = 0; c < classes; c++)
        total += probabilities ? scores[c] : exp(scores[c] / s->manifest->temperature - largest);
    for (size_t c = 0; c < classes; c++) {
        double p = (probabilities ? scores[c] : exp(scores[c] / s->manifest->temperature - largest)) / total;
        sum[c] += p;
        squares[c] += p * p;
    }
}

lam_status lam_explain_spread(const lam_bundle *bundle, lam_pool *pool, const lam_volume *volume, int samples,
                              uint64_t seed, double *mean, double *deviation, lam_error *err)
{
    LAM_AUTO(study_done) struct study s = {.session = NULL};
    size_t members;
    const lam_weights *const *weights = lam_bundle_members(bundle, &members);
    lam_status status = begin(&s, bundle, pool, volume, err);
    if (status)
        return status;
    bool dropout = has_dropout(s.network);
    if (s.manifest->task != LAM_TASK_CLASSIFICATION || (members < 2 && !dropout) || samples < 1)
        return lam_fail(err, LAM_E_UNSUPPORTED,
                        "model %s has nothing that varies: neither several members nor dropout",
                        s.manifest->name);
    size_t classes = s.manifest->class_count;
    lam_autofree double *sums = calloc(2 * classes, sizeof *sums);
    if (!sums)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    int passes = dropout ? samples : 1;
    lam_session_behave(s.session, LAM_BEHAVE_DROPOUT);
    for (size_t m = 0; m < members; m++) {
        lam_session_use(s.session, weights[m]);
        for (int i = 0; i < passes; i++) {
            run(&s, 1, seed + m * (uint64_t)passes + (uint64_t)i);
            add_answer(&s, sums, sums + classes);
        }
    }
    double count = (double)members * passes;
    for (size_t c = 0; c < classes; c++) {
        mean[c] = sums[c] / count;
        deviation[c] = sqrt(fmax(sums[classes + c] / count - mean[c] * mean[c], 0));
    }
    return LAM_OK;
}
