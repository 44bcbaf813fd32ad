#include "core/rnn/predict.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/rnn/components.h"
#include "core/rnn/kernels/vecmath.h"
#include "core/rnn/prepare.h"

struct lam_predictor {
    const lam_manifest *manifest;
    const lam_network *network;
    lam_session *session;
    float *scratch; /* two volumes: selection, and the normalised voxels */
    int64_t scratch_count;
};

lam_status lam_predictor_create_for(const lam_manifest *manifest, const lam_weights *weights, lam_pool *pool,
                                    lam_predictor **out, lam_error *err)
{
    LAM_AUTO_PTR(lam_predictor) *predictor = calloc(1, sizeof *predictor);
    if (!predictor)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    predictor->manifest = manifest;
    predictor->network = lam_weights_network(weights);
    lam_status status = lam_session_create(weights, LAM_MODE_INFER, pool, &predictor->session, err);
    if (status == LAM_OK)
        *out = LAM_TAKE_PTR(predictor);
    return status;
}

lam_status lam_predictor_create(const lam_bundle *bundle, lam_pool *pool, lam_predictor **out, lam_error *err)
{
    return lam_predictor_create_for(lam_bundle_manifest(bundle), lam_bundle_weights(bundle), pool, out, err);
}

void lam_predictor_free(lam_predictor *predictor)
{
    if (!predictor)
        return;
    lam_session_free(predictor->session);
    free(predictor->scratch);
    free(predictor);
}

void lam_segmentation_done(lam_segmentation *segmentation)
{
    free(segmentation->labels);
    free(segmentation->probabilities);
    *segmentation = (lam_segmentation){0};
}

static lam_status check_size(const lam_manifest *manifest, const lam_volume *volume, lam_error *err)
{
    const lam_model_preprocessing *pre = &manifest->preprocessing;
    for (int i = 0; i < 3; i++)
        if (volume->size[i] < pre->minimum_size[i] || volume->size[i] > pre->maximum_size[i])
            return lam_fail(err, LAM_E_LIMIT,
                            "the volume is %lld × %lld × %lld voxels (z, y, x); model %s takes %lld to "
                            "%lld along %c",
                            (long long)volume->size[0], (long long)volume->size[1],
                            (long long)volume->size[2], manifest->name, (long long)pre->minimum_size[i],
                            (long long)pre->maximum_size[i], "zyx"[i]);
    return LAM_OK;
}

static lam_status make_room(lam_predictor *predictor, int64_t count, lam_error *err)
{
    if (count <= predictor->scratch_count)
        return LAM_OK;
    free(predictor->scratch);
    predictor->scratch_count = 0;
    predictor->scratch = malloc((size_t)count * 2 * sizeof(float));
    if (!predictor->scratch)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    predictor->scratch_count = count;
    return LAM_OK;
}

/* Plans the session and fills its input. */
static lam_status prepare(lam_predictor *predictor, const lam_volume *volume, lam_padding *padding,
                          lam_error *err)
{
    const lam_model_preprocessing *pre = &predictor->manifest->preprocessing;
    int64_t channels = lam_network_input_channels(predictor->network);
    int axes = lam_network_axes(predictor->network);
    lam_status status = check_size(predictor->manifest, volume, err);
    if (status)
        return status;
    *padding = lam_prepare_padding(pre, volume->size);
    for (int i = 0; i < 3 - axes; i++)
        if (padding->size[i] != 1)
            return lam_fail(err, LAM_E_UNSUPPORTED, "model %s takes one slice at a time",
                            predictor->manifest->name);
    int64_t count = volume->size[0] * volume->size[1] * volume->size[2] * channels;
    lam_shape shape = lam_prepare_shape(padding, axes, 1, channels);
    if ((status = make_room(predictor, count, err)) ||
        (status = lam_bundle_plan(predictor->manifest, predictor->session, &shape, err)))
        return status;
    float *normalised = predictor->scratch + count;
    lam_prepare_intensities(pre, volume->voxels, count, predictor->scratch, normalised);
    lam_prepare_pad(padding, volume->size, channels, normalised, lam_session_input(predictor->session));
    return LAM_OK;
}

/* Scores to calibrated probabilities, in place: a softmax of the logits over the temperature. Of
 * probabilities the logarithms serve as logits. */
static void calibrate(const lam_predictor *predictor, size_t rows, size_t classes, float *scores)
{
    float scale = (float)(1 / predictor->manifest->temperature);
    bool probabilities = lam_network_gives_probabilities(predictor->network);
    if (probabilities && scale == 1)
        return;
    for (size_t i = 0; i < rows * classes; i++)
        scores[i] = scale * (probabilities ? logf(scores[i]) : scores[i]);
    lam_softmax_rows(rows, classes, (lam_matrix_in){scores, classes}, (lam_matrix){scores, classes});
}

/* Takes the volume out of the padded scores and decides. */
static void decide(const lam_predictor *predictor, const lam_padding *padding, lam_segmentation *out)
{
    const float *scores = lam_session_output(predictor->session);
    size_t classes = (size_t)out->classes, row = (size_t)out->size[2] * classes;
    int64_t lines = out->size[0] * out->size[1];
    for (int64_t line = 0; line < lines; line++) {
        int64_t z = line / out->size[1] + padding->before[0], y = line % out->size[1] + padding->before[1];
        float *to = out->probabilities + (size_t)line * row;
        memcpy(to,
               scores +
                   (size_t)((z * padding->size[1] + y) * padding->size[2] + padding->before[2]) * classes,
               row * sizeof *to);
        for (size_t x = 0; x < row; x += classes) {
            size_t best = 0;
            for (size_t c = 1; c < classes; c++)
                best = to[x + c] > to[x + best] ? c : best;
            out->labels[((size_t)line * row + x) / classes] = (uint8_t)best;
        }
        calibrate(predictor, (size_t)out->size[2], classes, to);
    }
}

static lam_status clean(const lam_manifest *manifest, double voxel_ml, lam_segmentation *out, lam_error *err)
{
    for (size_t i = 0; i < manifest->segment_count; i++) {
        const lam_model_segment *segment = &manifest->segments[i];
        if (!segment->keep_largest && segment->minimum_ml <= 0)
            continue;
        int64_t minimum = voxel_ml > 0 ? (int64_t)ceil(segment->minimum_ml / voxel_ml) : 0;
        lam_status status = lam_components_clean(out->labels, out->size, (uint8_t)segment->number,
                                                 segment->keep_largest, minimum, err);
        if (status)
            return status;
    }
    return LAM_OK;
}

static void measure(double voxel_ml, lam_segmentation *out)
{
    int64_t count = out->size[0] * out->size[1] * out->size[2];
    for (int64_t i = 0; i < count; i++)
        out->voxels[out->labels[i]]++;
    for (int c = 0; c < out->classes; c++)
        out->volume_ml[c] = (double)out->voxels[c] * voxel_ml;
}

static lam_status finish(const lam_predictor *predictor, const lam_volume *volume, const lam_padding *padding,
                         lam_segmentation *out, lam_error *err)
{
    const lam_manifest *manifest = predictor->manifest;
    size_t count = (size_t)(volume->size[0] * volume->size[1] * volume->size[2]);
    double voxel_ml = volume->spacing_mm[0] * volume->spacing_mm[1] * volume->spacing_mm[2] / 1000;
    memcpy(out->size, volume->size, sizeof out->size);
    out->classes = (int)manifest->segment_count + 1;
    out->labels = calloc(count, 1);
    out->probabilities = malloc(count * (size_t)out->classes * sizeof(float));
    if (!out->labels || !out->probabilities)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    decide(predictor, padding, out);
    lam_status status = clean(manifest, voxel_ml, out, err);
    if (status == LAM_OK)
        measure(voxel_ml, out);
    return status;
}

lam_status lam_predict_segment(lam_predictor *predictor, const lam_volume *volume, lam_segmentation *out,
                               lam_error *err)
{
    LAM_AUTO(lam_segmentation_done) lam_segmentation result = {0};
    lam_padding padding;
    lam_status status;
    if (predictor->manifest->task != LAM_TASK_SEGMENTATION)
        return lam_fail(err, LAM_E_UNSUPPORTED, "model %s does not segment", predictor->manifest->name);
    int64_t start = lam_clock_monotonic_us();
    if ((status = prepare(predictor, volume, &padding, err)))
        return status;
    int64_t prepared = lam_clock_monotonic_us();
    lam_session_run(predictor->session);
    int64_t ran = lam_clock_monotonic_us();
    if ((status = finish(predictor, volume, &padding, &result, err)))
        return status;
    result.timing = (lam_timing){prepared - start, ran - prepared, lam_clock_monotonic_us() - ran};
    *out = result;
    result = (lam_segmentation){0};
    return LAM_OK;
}

lam_status lam_predict_classes(lam_predictor *predictor, const lam_volume *volume, float *probabilities,
                               lam_error *err)
{
    lam_padding padding;
    size_t classes = predictor->manifest->class_count;
    if (predictor->manifest->task != LAM_TASK_CLASSIFICATION)
        return lam_fail(err, LAM_E_UNSUPPORTED, "model %s does not classify", predictor->manifest->name);
    lam_status status = prepare(predictor, volume, &padding, err);
    if (status)
        return status;
    lam_session_run(predictor->session);
    memcpy(probabilities, lam_session_output(predictor->session), classes * sizeof *probabilities);
    calibrate(predictor, 1, classes, probabilities);
    return LAM_OK;
}
