/* Generation: the likelihood of images under a network that sees, for each pixel, those before it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rnn/generation.h"
#include "core/rnn/logistic.h"
#include "core/rnn/network.h"
#include "core/rnn/predict_passes.h"
#include "core/rnn/train/task.h"

/* Images hold levels 0 … 255: eight-bit pixels, or values that preprocessing brings there. */
static int level_of(float value)
{
    return (int)fminf(fmaxf(roundf(value), 0), LAM_LOGISTIC_LEVELS - 1);
}

static int64_t image_channels(const lam_manifest *manifest, const lam_network *network)
{
    (void)manifest;
    (void)network;
    return 1;
}

/* `labels`, where the model has classes. */
static lam_status read_truth(const lam_sample_source *source, lam_sample *sample, lam_error *err)
{
    uint8_t label;
    if (source->manifest->class_count == 0)
        return LAM_OK;
    lam_status status = lam_samples_labels(source, 1, &label, err);
    if (status == LAM_OK)
        sample->truth.label = label;
    return status;
}

static void fill(const lam_manifest *manifest, const lam_frame *inner, const lam_truth *truth,
                 const float *image, float *input)
{
    int axes = (int)lam_jv_count(lam_jv_get(lam_jv_get(manifest->network, "input"), "axes"));
    lam_generation_fill(inner->size, axes, (int64_t)manifest->class_count, truth->label, image, input);
}

/* ---- training ---- */

struct criterion {
    int components;
    int64_t channels; /* of the input */
};

static lam_status criterion_create(const lam_manifest *manifest, const lam_network *network, void **out,
                                   lam_error *err)
{
    int components;
    lam_status status = lam_generation_check(network, (int64_t)manifest->class_count, &components, err);
    if (status)
        return status;
    if (lam_jv_get(manifest->training, "loss"))
        return lam_fail(err, LAM_E_INVALID,
                        "model.json: `training.loss` of a generator is fixed; leave it out");
    struct criterion *criterion = malloc(sizeof *criterion);
    if (!criterion)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    criterion->components = components;
    criterion->channels = lam_network_input_channels(network);
    *out = criterion;
    return LAM_OK;
}

/* Bits a pixel. The pixels are the input's first channel. */
static double criterion_run(const void *memory, const lam_loss_case *at)
{
    const struct criterion *criterion = memory;
    int64_t rows = at->frame->size[0] * at->frame->size[1] * at->frame->size[2],
            wide = 3 * criterion->components;
    double each = 1 / ((double)rows * log(2)), sum = 0;
    for (int64_t r = 0; r < rows; r++)
        sum += lam_logistic_nll(criterion->components, at->scores + r * wide,
                                level_of((at->input[r * criterion->channels] + 1) * 127.5f), at->scale * each,
                                at->gradient + r * wide);
    return sum * each;
}

/* ---- scoring ---- */

static lam_status score(const lam_scoring *scoring, lam_predictor *predictor, const lam_sample *sample,
                        void **result, lam_error *err)
{
    const lam_network *network = lam_predictor_network(predictor);
    const lam_manifest *manifest = scoring->manifest;
    lam_session *session = lam_predictor_session(predictor);
    int axes = lam_network_axes(network);
    lam_frame frame = lam_prepare_frame(&manifest->preprocessing, sample->size);
    lam_shape shape = lam_prepare_shape(&frame, axes, 1, lam_network_input_channels(network));
    lam_status status = lam_bundle_plan(manifest, session, &shape, err);
    if (status)
        return status;
    double *bits = malloc(sizeof *bits), sum = 0;
    if (!bits)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_generation_fill(frame.size, axes, (int64_t)manifest->class_count, sample->truth.label,
                        sample->prepared, lam_session_input(session));
    lam_session_run(session);
    int64_t wide = lam_network_output_channels(network);
    for (int64_t i = 0; i < frame.size[0] * frame.size[1] * frame.size[2]; i++)
        sum += lam_logistic_nll((int)wide / 3, lam_session_output(session) + i * wide,
                                level_of(sample->prepared[i]), 0, NULL);
    *bits = sum / log(2);
    *result = bits;
    return LAM_OK;
}

static lam_status summarise(const lam_scoring *scoring, const lam_scored *const *cases, size_t count,
                            lam_scores *out, lam_error *err)
{
    double bits = 0, pixels = 0;
    (void)scoring;
    (void)err;
    for (size_t i = 0; i < count; i++) {
        const int64_t *size = cases[i]->sample->size;
        bits += *(const double *)cases[i]->result;
        pixels += (double)(size[0] * size[1] * size[2]);
    }
    lam_scores_add(out, bits / pixels, "bits_per_pixel", "");
    return LAM_OK;
}

static double quality(const lam_scored *scored)
{
    const int64_t *size = scored->sample->size;
    return -*(const double *)scored->result / (double)(size[0] * size[1] * size[2]);
}

const lam_task_kind lam_task_generation = {
    .task = LAM_TASK_GENERATION,
    .metric = "bits_per_pixel",
    .lower_is_better = true,
    .image_channels = image_channels,
    .read = read_truth,
    .fill = fill,
    .criterion_create = criterion_create,
    .criterion_free = free,
    .criterion_run = criterion_run,
    .score = score,
    .release = free,
    .summarise = summarise,
    .quality = quality,
};
