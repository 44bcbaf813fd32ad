#include "daemon/worker/find.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "daemon/worker/passage.h"

/* One series being looked at. */
typedef struct search {
    const lam_bundle *bundle;
    const lam_manifest *manifest;
    lam_predictor *predictor;
    const lam_find_options *options;
    lam_progress *progress;
    lam_passage passage;
    lam_found found;
} search;

static void search_done(search *s)
{
    lam_passage_done(&s->passage);
    lam_found_done(&s->found);
}

static lam_volume volume_of(const search *s)
{
    lam_volume volume = {.voxels = s->passage.input};
    memcpy(volume.size, s->passage.size, sizeof volume.size);
    memcpy(volume.spacing_mm, s->passage.spacing_mm, sizeof volume.spacing_mm);
    return volume;
}

/* ---- segmentation ---- */

static lam_code code_of(lam_model_code code)
{
    return (lam_code){code.value, code.scheme, code.meaning};
}

/* Voxels are counted where they will be written: in the series' own grid. */
static lam_status measure(const lam_manifest *manifest, const lam_grid *grid, lam_found *s, lam_error *err)
{
    int64_t counts[256] = {0};
    size_t voxels = (size_t)(grid->size[0] * grid->size[1] * grid->size[2]);
    for (size_t i = 0; i < voxels; i++)
        counts[s->labels[i]]++;
    s->segments = calloc(manifest->segment_count, sizeof *s->segments);
    if (!s->segments)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    s->findings.segment_count = manifest->segment_count;
    for (size_t i = 0; i < manifest->segment_count; i++) {
        const lam_model_segment *from = &manifest->segments[i];
        lam_segment *to = &s->segments[i];
        *to = (lam_segment){.number = from->number,
                            .label = from->label,
                            .description = from->description,
                            .category = code_of(from->category),
                            .type = code_of(from->type),
                            .type_modifier = code_of(from->type_modifier),
                            .anatomy = code_of(from->anatomy),
                            .anatomy_modifier = code_of(from->anatomy_modifier),
                            .voxels = counts[from->number],
                            .volume_ml = (double)counts[from->number] * lam_grid_voxel_ml(grid)};
        memcpy(to->rgb, from->colour, sizeof to->rgb);
        lam_manifest_cielab(from->colour, to->lab);
    }
    return LAM_OK;
}

static lam_status find_segments(search *s, lam_error *err)
{
    lam_volume volume = volume_of(s);
    lam_segmentation segmentation;
    const lam_grid *grid = s->passage.grid;
    s->found.labels = calloc((size_t)(grid->size[0] * grid->size[1] * grid->size[2]), 1);
    if (!s->found.labels)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a label map");
    lam_status status = lam_predict_segment(s->predictor, &volume, &segmentation, err);
    if (status != LAM_OK)
        return status;
    lam_progress_enter(s->progress, LAM_STAGE_MEASURE);
    status = lam_passage_map_back(&s->passage, segmentation.labels, s->found.labels, err);
    lam_segmentation_done(&segmentation);
    if (status == LAM_OK)
        status = measure(s->manifest, grid, &s->found, err);
    s->found.findings.labels = s->found.labels;
    s->found.findings.segments = s->found.segments;
    return status;
}

/* ---- classification ---- */

static lam_status find_class(search *s, lam_error *err)
{
    lam_volume volume = volume_of(s);
    size_t count = s->manifest->class_count;
    lam_autofree float *probabilities = calloc(count, sizeof *probabilities);
    s->found.classes = calloc(count, sizeof *s->found.classes);
    if (!probabilities || !s->found.classes)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_status status = lam_predict_classes(s->predictor, &volume, probabilities, err);
    if (status != LAM_OK)
        return status;
    lam_classification *answer = &s->found.findings.classification;
    *answer =
        (lam_classification){.label = s->manifest->title, .classes = s->found.classes, .class_count = count};
    for (size_t i = 0; i < count; i++) {
        const lam_model_class *from = &s->manifest->classes[i];
        s->found.classes[i] = (lam_class_score){.name = from->name,
                                                .label = from->label,
                                                .code = code_of(from->code),
                                                .probability = (double)probabilities[i]};
        if (probabilities[i] > probabilities[answer->chosen])
            answer->chosen = i;
    }
    return LAM_OK;
}

/* How much the probabilities vary. */
static lam_status add_spread(search *s, lam_error *err)
{
    lam_volume volume = volume_of(s);
    size_t count = s->manifest->class_count;
    lam_autofree double *numbers = calloc(2 * count, sizeof *numbers);
    if (!numbers)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_status status =
        lam_explain_spread(s->bundle, NULL, &volume, s->options->samples, 1, numbers, numbers + count, err);
    for (size_t i = 0; i < count && status == LAM_OK; i++)
        s->found.classes[i].deviation = numbers[count + i];
    return status;
}

/* ---- where the network looked ---- */

enum { STEPS = 32 }; /* of the integral */

static lam_status add_heat(search *s, lam_error *err)
{
    static const lam_code nothing = {NULL, NULL, NULL}, none = {"1", "UCUM", "no units"};
    lam_volume volume = volume_of(s);
    LAM_AUTO(lam_explanation_done) lam_explanation explanation = {.map = NULL};
    const int64_t *size = s->passage.grid->size;
    lam_status status =
        lam_explain(s->bundle, NULL, &volume, s->options->method, -1, STEPS, &explanation, err);
    if (status != LAM_OK)
        return status;
    s->found.heat = calloc((size_t)(size[0] * size[1] * size[2]), sizeof *s->found.heat);
    if (!s->found.heat)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a map");
    s->found.findings.heat = (lam_heat_map){"Where the network looked", nothing, none, s->found.heat};
    return lam_passage_map_values_back(&s->passage, explanation.map, s->found.heat, err);
}

/* What an answer can do without: its absence is said, and fails nothing. */
static void add_extras(search *s)
{
    lam_error err = {0};
    if (s->options->explain && add_heat(s, &err) != LAM_OK)
        s->found.unexplained = err;
    if (s->options->samples > 0 && s->found.classes && add_spread(s, &err) != LAM_OK)
        s->found.unexplained = err;
}

/* ---- the whole ---- */

static lam_status (*const finders[LAM_TASK_COUNT])(search *s, lam_error *err) = {
    [LAM_TASK_SEGMENTATION] = find_segments,
    [LAM_TASK_CLASSIFICATION] = find_class,
};

static void tick(void *context, size_t done, size_t total)
{
    lam_progress_step(context, done, total);
}

lam_status lam_find(lam_series *series, const lam_bundle *bundle, lam_predictor *predictor,
                    const lam_find_options *options, lam_progress *progress, lam_found *out, lam_error *err)
{
    LAM_AUTO(search_done)
    search s = {.bundle = bundle,
                .manifest = lam_bundle_manifest(bundle),
                .predictor = predictor,
                .options = options,
                .progress = progress};
    if (!finders[s.manifest->task])
        return lam_fail(err, LAM_E_UNSUPPORTED, "models for %s find nothing in a series",
                        lam_task_name(s.manifest->task));
    lam_progress_enter(progress, LAM_STAGE_READ);
    lam_status status = lam_passage_plan(series, s.manifest, &s.passage, err);
    if (status != LAM_OK)
        return status;
    const int64_t *size = s.passage.grid->size;
    s.found.voxels = calloc((size_t)(size[0] * size[1] * size[2]), sizeof *s.found.voxels);
    if (!s.found.voxels)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a volume of %lld voxels",
                        (long long)(size[0] * size[1] * size[2]));
    status = lam_series_voxels(series, s.found.voxels, tick, progress, err);
    if (status != LAM_OK)
        return status;
    lam_progress_enter(progress, LAM_STAGE_PREPARE);
    status = lam_passage_prepare(&s.passage, s.found.voxels, err);
    if (status != LAM_OK)
        return status;
    lam_progress_enter(progress, LAM_STAGE_NETWORK);
    status = finders[s.manifest->task](&s, err);
    if (status != LAM_OK)
        return status;
    add_extras(&s);
    *out = s.found;
    s.found = (lam_found){.voxels = NULL};
    return LAM_OK;
}

void lam_found_done(lam_found *found)
{
    free(found->voxels);
    free(found->labels);
    free(found->segments);
    free(found->classes);
    free(found->heat);
    *found = (lam_found){.voxels = NULL};
}
