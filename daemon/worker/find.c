#include "daemon/worker/find.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "daemon/worker/find_parts.h"

static void search_done(lam_search *s)
{
    lam_passage_done(&s->passage);
    lam_found_done(&s->found);
}

static void tick(void *context, size_t done, size_t total)
{
    lam_progress_step(context, done, total);
}

static lam_volume volume_of(const lam_search *s)
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

void lam_search_count(const lam_search *s, const uint8_t *labels, int64_t counts[256])
{
    const int64_t *size = s->passage.grid->size;
    size_t voxels = (size_t)(size[0] * size[1] * size[2]);
    memset(counts, 0, 256 * sizeof *counts);
    for (size_t i = 0; i < voxels; i++)
        counts[labels[i]]++;
}

lam_segment lam_search_describe(const lam_search *s, const lam_model_segment *from, int64_t voxels)
{
    lam_segment segment = {.number = from->number,
                           .label = from->label,
                           .description = from->description,
                           .category = code_of(from->category),
                           .type = code_of(from->type),
                           .type_modifier = code_of(from->type_modifier),
                           .anatomy = code_of(from->anatomy),
                           .anatomy_modifier = code_of(from->anatomy_modifier),
                           .voxels = voxels,
                           .volume_ml = (double)voxels * lam_grid_voxel_ml(s->passage.grid)};
    memcpy(segment.rgb, from->colour, sizeof segment.rgb);
    lam_manifest_cielab(from->colour, segment.lab);
    return segment;
}

/* One segment's probabilities in the series' own grid, in 255ths. */
static lam_status soften(const lam_search *s, const lam_segmentation *from, int number, float *plane,
                         float *own, uint8_t *out, lam_error *err)
{
    const int64_t *size = s->passage.grid->size;
    size_t seen = (size_t)(from->size[0] * from->size[1] * from->size[2]);
    size_t count = (size_t)(size[0] * size[1] * size[2]);
    for (size_t i = 0; i < seen; i++)
        plane[i] = from->probabilities[i * (size_t)from->classes + (size_t)number];
    lam_status status = lam_passage_map_values_back(&s->passage, plane, own, err);
    for (size_t i = 0; i < count && status == LAM_OK; i++)
        out[i] = (uint8_t)(255 * fminf(fmaxf(own[i], 0), 1) + 0.5F);
    return status;
}

static lam_status soften_all(const lam_search *s, const lam_segmentation *from, uint8_t **out, lam_error *err)
{
    const int64_t *size = s->passage.grid->size;
    size_t count = (size_t)(size[0] * size[1] * size[2]), segments = s->manifest->segment_count;
    lam_autofree float *plane =
        calloc((size_t)(from->size[0] * from->size[1] * from->size[2]), sizeof *plane);
    lam_autofree float *own = calloc(count, sizeof *own);
    lam_autofree uint8_t *soft = calloc(segments, count);
    if (!plane || !own || !soft)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for probabilities");
    lam_status status = LAM_OK;
    for (size_t i = 0; i < segments && status == LAM_OK; i++)
        status = soften(s, from, s->manifest->segments[i].number, plane, own, soft + i * count, err);
    if (status == LAM_OK)
        *out = LAM_TAKE_PTR(soft);
    return status;
}

lam_status lam_search_label(lam_search *s, uint8_t **out, uint8_t **soft, lam_error *err)
{
    lam_volume volume = volume_of(s);
    lam_segmentation segmentation;
    const int64_t *size = s->passage.grid->size;
    lam_autofree uint8_t *labels = calloc((size_t)(size[0] * size[1] * size[2]), 1);
    if (!labels)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a label map");
    lam_progress_enter(s->progress, LAM_STAGE_NETWORK);
    lam_status status = lam_predict_segment(s->predictor, &volume, &segmentation, err);
    if (status != LAM_OK)
        return status;
    lam_progress_enter(s->progress, LAM_STAGE_MEASURE);
    status = lam_passage_map_back(&s->passage, segmentation.labels, labels, err);
    if (status == LAM_OK && soft)
        status = soften_all(s, &segmentation, soft, err);
    lam_segmentation_done(&segmentation);
    if (status == LAM_OK)
        *out = LAM_TAKE_PTR(labels);
    return status;
}

/* Voxels are counted where they will be written: in the series' own grid. */
static lam_status find_segments(lam_search *s, lam_error *err)
{
    int64_t counts[256];
    size_t count = s->manifest->segment_count;
    s->found.segments = calloc(count, sizeof *s->found.segments);
    if (!s->found.segments)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_status status =
        lam_search_label(s, &s->found.labels, s->options->probabilities ? &s->found.soft : NULL, err);
    if (status != LAM_OK)
        return status;
    const int64_t *size = s->passage.grid->size;
    size_t voxels = (size_t)(size[0] * size[1] * size[2]);
    lam_search_count(s, s->found.labels, counts);
    for (size_t i = 0; i < count; i++) {
        const lam_model_segment *segment = &s->manifest->segments[i];
        s->found.segments[i] = lam_search_describe(s, segment, counts[segment->number]);
        if (s->found.soft)
            s->found.segments[i].probabilities = s->found.soft + i * voxels;
    }
    s->found.findings.labels = s->found.labels;
    s->found.findings.segments = s->found.segments;
    s->found.findings.segment_count = count;
    return LAM_OK;
}

/* ---- classification ---- */

static lam_status find_class(lam_search *s, lam_error *err)
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
static lam_status add_spread(lam_search *s, lam_error *err)
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
    return status == LAM_E_UNSUPPORTED ? LAM_OK : status; /* nothing of the model varies */
}

/* ---- where the network looked ---- */

static lam_status add_heat(lam_search *s, lam_error *err)
{
    static const lam_code nothing = {NULL, NULL, NULL}, none = {"1", "UCUM", "no units"};
    lam_volume volume = volume_of(s);
    LAM_AUTO(lam_explanation_done) lam_explanation explanation = {.map = NULL};
    const int64_t *size = s->passage.grid->size;
    const lam_explain_options options = {
        .method = s->options->method, .target = -1, .tick = tick, .context = s->progress};
    lam_status status = lam_explain(s->bundle, NULL, &volume, &options, &explanation, err);
    if (status != LAM_OK)
        return status;
    s->found.heat = calloc((size_t)(size[0] * size[1] * size[2]), sizeof *s->found.heat);
    if (!s->found.heat)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a map");
    status = lam_passage_map_values_back(&s->passage, explanation.map, s->found.heat, err);
    if (status == LAM_OK)
        s->found.findings.heat = (lam_heat_map){"Where the network looked", nothing, none, s->found.heat};
    return status;
}

/* What an answer can do without: its absence is said, and fails nothing. */
static void add_extras(lam_search *s)
{
    lam_error err = {0};
    if (s->options->explain || s->options->samples > 0)
        lam_progress_enter(s->progress, LAM_STAGE_EXPLAIN);
    if (s->options->explain && add_heat(s, &err) != LAM_OK)
        s->found.unexplained = err;
    if (s->options->samples > 0 && s->found.classes && add_spread(s, &err) != LAM_OK)
        s->found.unexplained = err;
}

/* ---- detection ---- */

/* Boxes on neighbouring slices are one finding from this overlap on, and across one slice without a box. */
#define JOIN_OVERLAP 0.3
enum { JOIN_GAP = 1 };

static const uint8_t box_colours[][3] = {{220, 90, 70}, {70, 140, 220}, {90, 190, 100}, {220, 170, 60}};

static lam_status place_box(const lam_search *s, const lam_detected *from, lam_box *to, lam_error *err)
{
    const lam_passage_rect seen = {from->slice, from->box.x, from->box.y, from->box.x + from->box.width,
                                   from->box.y + from->box.height};
    const int64_t *size = s->passage.grid->size;
    lam_passage_rect own;
    lam_status status = lam_passage_map_rect_back(&s->passage, &seen, &own, err);
    if (status == LAM_OK)
        *to = (lam_box){.slice = (size_t)own.slice,
                        .left = fmax(own.left, 0),
                        .top = fmax(own.top, 0),
                        .right = fmin(own.right, (double)size[2]),
                        .bottom = fmin(own.bottom, (double)size[1]),
                        .score = (double)from->score};
    return status;
}

static int by_slice(const void *a, const void *b)
{
    const lam_box *left = a, *right = b;
    return (left->slice > right->slice) - (left->slice < right->slice);
}

/* The boxes of finding `number`, behind those of the findings before it. */
static lam_status gather_boxes(lam_search *s, const lam_detected *list, size_t count, const size_t *owner,
                               size_t number, lam_box *boxes, lam_detection *out, lam_error *err)
{
    size_t taken = 0;
    lam_status status = LAM_OK;
    for (size_t i = 0; i < count && status == LAM_OK; i++)
        if (owner[i] == number)
            status = place_box(s, &list[i], &boxes[taken++], err);
    qsort(boxes, taken, sizeof *boxes, by_slice);
    out->boxes = boxes;
    out->box_count = taken;
    for (size_t i = 0; i < taken; i++)
        if (boxes[i].score > boxes[out->best].score)
            out->best = i;
    return status;
}

static lam_status describe_findings(lam_search *s, const lam_detected *list, size_t count,
                                    const size_t *owner, const lam_joined *joined, size_t found,
                                    lam_error *err)
{
    static const lam_code abnormal = {"49755003", "SCT", "Morphologically Abnormal Structure"};
    size_t placed = 0;
    lam_status status = LAM_OK;
    size_t reported = 0; /* findings come by score */
    while (reported < found && joined[reported].score >= s->manifest->detection.report_score)
        reported++;
    for (size_t i = 0; i < reported && status == LAM_OK; i++) {
        const lam_model_class *class = &s->manifest->classes[joined[i].label];
        const uint8_t *colour = box_colours[(size_t)joined[i].label % LAM_COUNT(box_colours)];
        lam_detection *detection = &s->found.detections[i];
        *detection = (lam_detection){.number = (int)i + 1,
                                     .name = class->name,
                                     .label = class->label,
                                     .category = abnormal,
                                     .type = code_of(class->code),
                                     .rgb = {colour[0], colour[1], colour[2]},
                                     .score = joined[i].score};
        status = gather_boxes(s, list, count, owner, i, s->found.boxes + placed, detection, err);
        placed += detection->box_count;
    }
    s->found.findings.detections = s->found.detections;
    s->found.findings.detection_count = reported;
    return status;
}

static lam_status find_boxes(lam_search *s, lam_error *err)
{
    lam_volume volume = volume_of(s);
    lam_autofree lam_detected *list = NULL;
    size_t count = 0, found = 0;
    lam_status status = lam_predict_boxes(s->predictor, &volume, &list, &count, err);
    if (status != LAM_OK)
        return status;
    lam_progress_enter(s->progress, LAM_STAGE_MEASURE);
    lam_autofree size_t *owner = calloc(count + 1, sizeof *owner);
    lam_autofree lam_joined *joined = calloc(count + 1, sizeof *joined);
    s->found.detections = calloc(count + 1, sizeof *s->found.detections);
    s->found.boxes = calloc(count + 1, sizeof *s->found.boxes);
    if (!owner || !joined || !s->found.detections || !s->found.boxes)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for %zu boxes", count);
    if (count)
        status = lam_detect_join(list, count, JOIN_OVERLAP, JOIN_GAP, owner, joined, &found, err);
    return status == LAM_OK ? describe_findings(s, list, count, owner, joined, found, err) : status;
}

/* ---- the whole ---- */

static lam_status (*const finders[LAM_TASK_COUNT])(lam_search *s, lam_error *err) = {
    [LAM_TASK_SEGMENTATION] = find_segments,
    [LAM_TASK_CLASSIFICATION] = find_class,
    [LAM_TASK_DETECTION] = find_boxes,
};

lam_status lam_search_read(lam_search *s, float *voxels, lam_error *err)
{
    lam_progress_enter(s->progress, LAM_STAGE_READ);
    lam_status status = lam_series_voxels(s->series, voxels, tick, s->progress, err);
    if (status != LAM_OK)
        return status;
    lam_progress_enter(s->progress, LAM_STAGE_PREPARE);
    status = lam_passage_prepare(&s->passage, voxels, err);
    return status == LAM_OK ? lam_search_check(s, err) : status;
}

static lam_status find_in_one(lam_search *s, lam_error *err)
{
    const int64_t *size = s->passage.grid->size;
    s->found.voxels = calloc((size_t)(size[0] * size[1] * size[2]), sizeof *s->found.voxels);
    if (!s->found.voxels)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a volume of %lld voxels",
                        (long long)(size[0] * size[1] * size[2]));
    lam_status status = lam_search_read(s, s->found.voxels, err);
    if (status != LAM_OK)
        return status;
    lam_progress_enter(s->progress, LAM_STAGE_NETWORK);
    return finders[s->manifest->task](s, err);
}

lam_status lam_find_arrange(lam_series *series, const lam_manifest *manifest, lam_error *err)
{
    return manifest->cycle.segment ? lam_series_arrange_phases(series, err) : lam_series_arrange(series, err);
}

lam_status lam_find(lam_series *series, const lam_bundle *bundle, lam_predictor *predictor,
                    const lam_find_options *options, lam_progress *progress, lam_found *out, lam_error *err)
{
    LAM_AUTO(search_done)
    lam_search s = {.series = series,
                    .bundle = bundle,
                    .manifest = lam_bundle_manifest(bundle),
                    .predictor = predictor,
                    .options = options,
                    .progress = progress};
    if (!finders[s.manifest->task])
        return lam_fail(err, LAM_E_UNSUPPORTED, "models for %s find nothing in a series",
                        lam_task_name(s.manifest->task));
    lam_status status = lam_passage_plan(series, s.manifest, &s.passage, err);
    if (status == LAM_OK)
        status = lam_series_phases(series) > 1 ? lam_find_cycle(&s, err) : find_in_one(&s, err);
    if (status != LAM_OK)
        return status;
    add_extras(&s);
    *out = s.found;
    if (*lam_gate_describe(&s.found.gate, out->caution))
        out->findings.caution = out->caution;
    s.found = (lam_found){.voxels = NULL};
    return LAM_OK;
}

void lam_found_done(lam_found *found)
{
    free(found->voxels);
    free(found->labels);
    free(found->soft);
    free(found->segments);
    free(found->segment_labels);
    free(found->masks);
    free(found->measurements);
    free(found->classes);
    free(found->detections);
    free(found->boxes);
    free(found->heat);
    *found = (lam_found){.voxels = NULL};
}
