/* The predictor's inside (predict_passes.h), and the answers that are probabilities of classes. */
#include "core/rnn/predict.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/rnn/components.h"
#include "core/rnn/kernels/vecmath.h"
#include "core/rnn/predict_passes.h"

struct lam_predictor {
    const lam_manifest *manifest;
    const lam_network *network;
    const lam_weights *members[LAM_MANIFEST_MAX_MEMBERS];
    size_t member_count;
    lam_session *session;
    float *scratch; /* two volumes: selection, and the normalised voxels */
    int64_t scratch_count;
    lam_frame frame; /* of the prepared case */
    int64_t size[3];
};

lam_status lam_predictor_create_for(const lam_manifest *manifest, const lam_weights *const *members,
                                    size_t member_count, lam_pool *pool, lam_predictor **out, lam_error *err)
{
    if (member_count < 1 || member_count > LAM_MANIFEST_MAX_MEMBERS)
        return lam_fail(err, LAM_E_LIMIT, "an ensemble has 1 to %d members", LAM_MANIFEST_MAX_MEMBERS);
    LAM_AUTO_PTR(lam_predictor) *predictor = calloc(1, sizeof *predictor);
    if (!predictor)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    predictor->manifest = manifest;
    predictor->network = lam_weights_network(members[0]);
    predictor->member_count = member_count;
    memcpy(predictor->members, members, member_count * sizeof(const lam_weights *));
    lam_status status = lam_session_create(members[0], LAM_MODE_INFER, pool, &predictor->session, err);
    if (status == LAM_OK)
        *out = LAM_TAKE_PTR(predictor);
    return status;
}

lam_status lam_predictor_create(const lam_bundle *bundle, lam_pool *pool, lam_predictor **out, lam_error *err)
{
    size_t count;
    const lam_weights *const *members = lam_bundle_members(bundle, &count);
    return lam_predictor_create_for(lam_bundle_manifest(bundle), members, count, pool, out, err);
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

lam_status lam_predictor_check_size(const lam_manifest *manifest, const lam_volume *volume, lam_error *err)
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

const lam_manifest *lam_predictor_manifest(const lam_predictor *predictor)
{
    return predictor->manifest;
}

const lam_network *lam_predictor_network(const lam_predictor *predictor)
{
    return predictor->network;
}

lam_session *lam_predictor_session(lam_predictor *predictor)
{
    return predictor->session;
}

lam_status lam_predictor_prepare(lam_predictor *predictor, const lam_volume *volume, lam_frame *frame,
                                 lam_error *err)
{
    const lam_model_preprocessing *pre = &predictor->manifest->preprocessing;
    int64_t channels = lam_network_input_channels(predictor->network);
    int axes = lam_network_axes(predictor->network);
    lam_status status = lam_predictor_check_size(predictor->manifest, volume, err);
    if (status)
        return status;
    predictor->frame = lam_prepare_frame(pre, volume->size);
    memcpy(predictor->size, volume->size, sizeof predictor->size);
    for (int i = 0; i < 3 - axes; i++)
        if (predictor->frame.size[i] != 1)
            return lam_fail(err, LAM_E_UNSUPPORTED, "model %s takes one slice at a time",
                            predictor->manifest->name);
    int64_t count = volume->size[0] * volume->size[1] * volume->size[2] * channels;
    lam_shape shape = lam_prepare_shape(&predictor->frame, axes, 1, channels);
    if ((status = make_room(predictor, count, err)) ||
        (status = lam_bundle_plan(predictor->manifest, predictor->session, &shape, err)))
        return status;
    lam_prepare_intensities(pre, volume->size, channels, volume->voxels, predictor->scratch,
                            predictor->scratch + count);
    *frame = predictor->frame;
    return LAM_OK;
}

/* ---- passes ---- */

size_t lam_predictor_passes(const lam_predictor *predictor)
{
    return predictor->member_count * lam_view_count(predictor->manifest);
}

lam_pass lam_predictor_run(lam_predictor *predictor, size_t pass)
{
    size_t views = lam_view_count(predictor->manifest);
    int64_t channels = lam_network_input_channels(predictor->network);
    const int64_t *size = predictor->size;
    lam_pass out = {.view = lam_view_at(predictor->manifest, pass % views)};
    lam_session_use(predictor->session, predictor->members[pass / views]);
    lam_view_fill(&out.view, &predictor->frame, size, channels,
                  predictor->scratch + size[0] * size[1] * size[2] * channels,
                  lam_session_input(predictor->session));
    lam_session_run(predictor->session);
    out.scores = lam_session_output(predictor->session);
    out.shape = lam_session_output_shape(predictor->session);
    return out;
}

/* ---- probabilities ---- */

/* Adds a share of one pass's probabilities. Of a single pass the scores themselves are kept, so that
 * calibration needs no detour. */
static void add_probabilities(const lam_predictor *predictor, size_t rows, size_t classes, float *scores,
                              float *sum)
{
    size_t passes = lam_predictor_passes(predictor);
    if (passes == 1) {
        memcpy(sum, scores, rows * classes * sizeof *sum);
        return;
    }
    if (!lam_network_gives_probabilities(predictor->network))
        lam_softmax_rows(rows, classes, (lam_matrix_in){scores, classes}, (lam_matrix){scores, classes});
    lam_vec_axpy(rows * classes, 1.0f / (float)passes, scores, sum);
}

/* Scores or mean probabilities to calibrated probabilities, in place: a softmax of the logits over the
 * temperature. Of probabilities the logarithms serve as logits. */
static void calibrate(const lam_predictor *predictor, size_t rows, size_t classes, float *scores)
{
    float scale = (float)(1 / predictor->manifest->temperature);
    bool probabilities =
        lam_network_gives_probabilities(predictor->network) || lam_predictor_passes(predictor) > 1;
    if (probabilities && scale == 1)
        return;
    for (size_t i = 0; i < rows * classes; i++)
        scores[i] = scale * (probabilities ? logf(fmaxf(scores[i], 1e-30f)) : scores[i]);
    lam_softmax_rows(rows, classes, (lam_matrix_in){scores, classes}, (lam_matrix){scores, classes});
}

/* The place of a line of the part that was taken, in the volume. */
static size_t line_in_volume(const lam_frame *frame, const int64_t size[3], int64_t line)
{
    int64_t z = line / frame->taken[1] + frame->from[0], y = line % frame->taken[1] + frame->from[1];
    return (size_t)((z * size[1] + y) * size[2] + frame->from[2]);
}

/* Sums start at 0; what lies outside the part that is taken is background for certain. */
static void start_sums(const lam_frame *frame, lam_segmentation *out)
{
    size_t classes = (size_t)out->classes;
    size_t count = (size_t)(out->size[0] * out->size[1] * out->size[2]);
    memset(out->probabilities, 0, count * classes * sizeof(float));
    for (size_t i = 0; i < count; i++)
        out->probabilities[i * classes] = 1;
    for (int64_t line = 0; line < frame->taken[0] * frame->taken[1]; line++) {
        float *p = out->probabilities + line_in_volume(frame, out->size, line) * classes;
        for (int64_t x = 0; x < frame->taken[2]; x++)
            p[(size_t)x * classes] = 0;
    }
}

/* Adds one pass to the part of the volume that the frame takes. `row` has room for a line. */
static void add_pass(const lam_predictor *predictor, const lam_pass *pass, const lam_frame *frame,
                     lam_segmentation *out, float *row)
{
    size_t classes = (size_t)out->classes, width = (size_t)frame->taken[2];
    for (int64_t line = 0; line < frame->taken[0] * frame->taken[1]; line++) {
        lam_view_read(&pass->view, frame, out->classes, pass->scores, line / frame->taken[1],
                      line % frame->taken[1], row);
        add_probabilities(predictor, width, classes, row,
                          out->probabilities + line_in_volume(frame, out->size, line) * classes);
    }
}

/* Calibrates and decides. */
static void decide(const lam_predictor *predictor, const lam_frame *frame, lam_segmentation *out)
{
    size_t classes = (size_t)out->classes, width = (size_t)frame->taken[2];
    for (int64_t line = 0; line < frame->taken[0] * frame->taken[1]; line++) {
        size_t at = line_in_volume(frame, out->size, line);
        float *p = out->probabilities + at * classes;
        calibrate(predictor, width, classes, p);
        for (size_t x = 0; x < width; x++, p += classes) {
            size_t best = 0;
            for (size_t c = 1; c < classes; c++)
                best = p[c] > p[best] ? c : best;
            out->labels[at + x] = (uint8_t)best;
        }
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

static lam_status make_result(const lam_predictor *predictor, const lam_volume *volume, lam_segmentation *out,
                              lam_error *err)
{
    size_t count = (size_t)(volume->size[0] * volume->size[1] * volume->size[2]);
    memcpy(out->size, volume->size, sizeof out->size);
    out->classes = (int)predictor->manifest->segment_count + 1;
    out->labels = calloc(count, 1);
    out->probabilities = malloc(count * (size_t)out->classes * sizeof(float));
    return out->labels && out->probabilities ? LAM_OK : lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
}

static lam_status run_passes(lam_predictor *predictor, const lam_frame *frame, lam_segmentation *out,
                             lam_error *err)
{
    lam_autofree float *row = malloc((size_t)(frame->taken[2] * out->classes) * sizeof *row);
    if (!row)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    start_sums(frame, out);
    for (size_t i = 0; i < lam_predictor_passes(predictor); i++) {
        int64_t start = lam_clock_monotonic_us();
        lam_pass pass = lam_predictor_run(predictor, i);
        out->timing.network_us += lam_clock_monotonic_us() - start;
        add_pass(predictor, &pass, frame, out, row);
    }
    return LAM_OK;
}

lam_status lam_predict_segment(lam_predictor *predictor, const lam_volume *volume, lam_segmentation *out,
                               lam_error *err)
{
    LAM_AUTO(lam_segmentation_done) lam_segmentation result = {0};
    const lam_manifest *manifest = predictor->manifest;
    double voxel_ml = volume->spacing_mm[0] * volume->spacing_mm[1] * volume->spacing_mm[2] / 1000;
    lam_frame frame;
    lam_status status;
    if (manifest->task != LAM_TASK_SEGMENTATION)
        return lam_fail(err, LAM_E_UNSUPPORTED, "model %s does not segment", manifest->name);
    int64_t start = lam_clock_monotonic_us();
    if ((status = lam_predictor_prepare(predictor, volume, &frame, err)) ||
        (status = make_result(predictor, volume, &result, err)))
        return status;
    result.timing.prepare_us = lam_clock_monotonic_us() - start;
    if ((status = run_passes(predictor, &frame, &result, err)))
        return status;
    decide(predictor, &frame, &result);
    if ((status = clean(manifest, voxel_ml, &result, err)))
        return status;
    measure(voxel_ml, &result);
    result.timing.finish_us =
        lam_clock_monotonic_us() - start - result.timing.prepare_us - result.timing.network_us;
    *out = result;
    result = (lam_segmentation){0};
    return LAM_OK;
}

lam_status lam_predict_classes(lam_predictor *predictor, const lam_volume *volume, float *probabilities,
                               lam_error *err)
{
    lam_frame frame;
    size_t classes = predictor->manifest->class_count;
    if (predictor->manifest->task != LAM_TASK_CLASSIFICATION)
        return lam_fail(err, LAM_E_UNSUPPORTED, "model %s does not classify", predictor->manifest->name);
    lam_autofree float *row = calloc(2 * classes, sizeof *row);
    if (!row)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_status status = lam_predictor_prepare(predictor, volume, &frame, err);
    if (status)
        return status;
    for (size_t i = 0; i < lam_predictor_passes(predictor); i++) {
        memcpy(row + classes, lam_predictor_run(predictor, i).scores, classes * sizeof *row);
        add_probabilities(predictor, 1, classes, row + classes, row);
    }
    calibrate(predictor, 1, classes, row);
    memcpy(probabilities, row, classes * sizeof *probabilities);
    return LAM_OK;
}
