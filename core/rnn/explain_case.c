#include "core/rnn/explain_case.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rnn/layer.h"
#include "core/rnn/predict_passes.h"

void lam_explain_case_done(lam_explain_case *c)
{
    lam_session_free(c->session);
    free(c->input);
    free(c->gradient);
    *c = (lam_explain_case){.session = NULL};
}

static lam_status prepare(lam_explain_case *c, const lam_volume *volume, lam_error *err)
{
    const lam_model_preprocessing *pre = &c->manifest->preprocessing;
    int64_t count = c->size[0] * c->size[1] * c->size[2] * c->channels;
    lam_autofree float *scratch = malloc((size_t)count * 2 * sizeof *scratch);
    if (!scratch)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_prepare_intensities(pre, c->size, c->channels, volume->voxels, scratch, scratch + count);
    lam_prepare_pad(&c->frame, c->size, c->channels, scratch + count, c->input);
    return LAM_OK;
}

lam_status lam_explain_case_begin(lam_explain_case *c, const lam_bundle *bundle, lam_pool *pool,
                                  const lam_volume *volume, lam_error *err)
{
    c->manifest = lam_bundle_manifest(bundle);
    c->network = lam_bundle_network(bundle);
    c->channels = lam_network_input_channels(c->network);
    memcpy(c->size, volume->size, sizeof c->size);
    if (c->manifest->task == LAM_TASK_GENERATION)
        return lam_fail(err, LAM_E_UNSUPPORTED, "answers of models for %s are not explained",
                        lam_task_name(c->manifest->task));
    lam_status status = lam_predictor_check_size(c->manifest, volume, err);
    if (status)
        return status;
    c->frame = lam_prepare_frame(&c->manifest->preprocessing, c->size);
    lam_shape shape = lam_prepare_shape(&c->frame, lam_network_axes(c->network), 1, c->channels);
    c->inputs = lam_shape_count(&shape);
    if ((status = lam_session_create(lam_bundle_weights(bundle), LAM_MODE_TRAIN, pool, &c->session, err)) ||
        (status = lam_bundle_plan(c->manifest, c->session, &shape, err)))
        return status;
    c->input = malloc((size_t)c->inputs * sizeof(float));
    c->gradient = calloc((size_t)lam_network_parameter_floats(c->network) + 1, sizeof(float));
    if (!c->input || !c->gradient)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    return prepare(c, volume, err);
}

void lam_explain_case_run(lam_explain_case *c, const float *input, float share, uint64_t key)
{
    float *to = lam_session_input(c->session);
    for (int64_t i = 0; i < c->inputs; i++)
        to[i] = share * input[i];
    lam_session_forward(c->session, key);
}

/* ---- what is asked about ---- */

static int64_t best_of(const float *row, int64_t channels)
{
    int64_t best = 0;
    for (int64_t c = 1; c < channels; c++)
        if (row[c] > row[best])
            best = c;
    return best;
}

static double logistic(double x)
{
    return 1 / (1 + exp(-x));
}

/* The channel of a row that counts. */
static int16_t channel_of(const lam_explain_case *c, const float *row, int64_t channels, int target)
{
    switch (c->manifest->task) {
    case LAM_TASK_DETECTION:
        return logistic((double)row[LAM_HEAD_OBJECT]) >= c->manifest->detection.report_score ? LAM_HEAD_OBJECT
                                                                                             : -1;
    case LAM_TASK_SEGMENTATION: {
        int64_t best = best_of(row, channels);
        bool counts = target < 0 ? best > 0 : best == target;
        return counts ? (int16_t)best : -1;
    }
    default:
        return (int16_t)target;
    }
}

lam_status lam_explain_case_choose(const lam_explain_case *c, int target, lam_explain_rows *out,
                                   lam_error *err)
{
    const lam_shape *shape = lam_session_output_shape(c->session);
    int64_t channels = lam_shape_channels(shape), rows = lam_shape_rows(shape);
    const float *scores = lam_session_output(c->session);
    if (target >= channels)
        return lam_fail(err, LAM_E_INVALID, "there is no class %d: the model has %lld", target,
                        (long long)channels);
    if (c->manifest->task == LAM_TASK_CLASSIFICATION && target < 0)
        target = (int)best_of(scores, channels);
    lam_explain_rows chosen = {.channel = calloc((size_t)rows + 1, sizeof *chosen.channel), .target = target};
    if (!chosen.channel)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (int64_t r = 0; r < rows; r++) {
        chosen.channel[r] = channel_of(c, scores + r * channels, channels, target);
        chosen.count += chosen.channel[r] >= 0;
    }
    *out = chosen;
    return LAM_OK;
}

void lam_explain_rows_done(lam_explain_rows *rows)
{
    free(rows->channel);
    rows->channel = NULL;
}

double lam_explain_case_score(const lam_explain_case *c, const lam_explain_rows *chosen)
{
    const lam_shape *shape = lam_session_output_shape(c->session);
    int64_t channels = lam_shape_channels(shape), rows = lam_shape_rows(shape);
    bool probabilities = lam_network_gives_probabilities(c->network);
    const float *scores = lam_session_output(c->session);
    float *d = lam_session_output_gradient(c->session);
    double sum = 0;
    memset(d, 0, (size_t)(rows * channels) * sizeof *d);
    for (int64_t r = 0; r < rows; r++) {
        int64_t at = r * channels + chosen->channel[r];
        if (chosen->channel[r] < 0)
            continue;
        float value = probabilities ? fmaxf(scores[at], 1e-30f) : scores[at];
        sum += probabilities ? log((double)value) : (double)value;
        d[at] = probabilities ? 1 / value : 1;
    }
    return sum;
}

static double probability_in(const lam_explain_case *c, const float *row, int64_t channels, int channel)
{
    if (c->manifest->task == LAM_TASK_DETECTION)
        return logistic((double)row[channel]);
    if (lam_network_gives_probabilities(c->network))
        return (double)row[channel];
    double total = 0;
    for (int64_t k = 0; k < channels; k++)
        total += exp((double)(row[k] - row[channel]) / c->manifest->temperature);
    return 1 / total;
}

double lam_explain_case_probability(const lam_explain_case *c, const lam_explain_rows *chosen)
{
    const lam_shape *shape = lam_session_output_shape(c->session);
    int64_t channels = lam_shape_channels(shape), rows = lam_shape_rows(shape);
    const float *scores = lam_session_output(c->session);
    double sum = 0;
    for (int64_t r = 0; r < rows; r++)
        if (chosen->channel[r] >= 0)
            sum += probability_in(c, scores + r * channels, channels, chosen->channel[r]);
    return chosen->count ? sum / (double)chosen->count : 0;
}
