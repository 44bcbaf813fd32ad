/* A heart beat: every phase is segmented, and those where the named segment is largest and smallest, end
 * diastole and end systole, are told of. Not one series after the other: phases are of one grid. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "daemon/worker/find_parts.h"

/* A phase that is kept. */
struct moment {
    uint8_t *labels;
    float *voxels;
    size_t phase;
    int64_t counts[256];
};

struct beat {
    struct moment largest, smallest, here; /* here: the phase that is looked at */
    int segment;
};

static void moment_done(struct moment *moment)
{
    free(moment->labels);
    free(moment->voxels);
}

static void beat_done(struct beat *beat)
{
    moment_done(&beat->largest);
    moment_done(&beat->smallest);
    moment_done(&beat->here);
}

static size_t grid_voxels(const lam_search *s)
{
    const int64_t *size = s->passage.grid->size;
    return (size_t)(size[0] * size[1] * size[2]);
}

static lam_status look(lam_search *s, size_t phase, struct moment *out, lam_error *err)
{
    lam_series_look_at(s->series, phase);
    out->phase = phase;
    out->voxels = calloc(grid_voxels(s), sizeof *out->voxels);
    if (!out->voxels)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a volume of %zu voxels", grid_voxels(s));
    lam_status status = lam_search_read(s, out->voxels, err);
    if (status == LAM_OK)
        status = lam_search_label(s, &out->labels, NULL, err);
    if (status == LAM_OK)
        lam_search_count(s, out->labels, out->counts);
    return status;
}

static void take(struct moment *to, struct moment *from)
{
    moment_done(to);
    *to = *from;
    *from = (struct moment){.labels = NULL};
}

static struct moment copy_of(const struct moment *from, size_t voxels)
{
    struct moment copy = *from;
    copy.voxels = NULL;
    copy.labels = malloc(voxels);
    if (copy.labels)
        memcpy(copy.labels, from->labels, voxels);
    return copy;
}

/* The first phase is both, until there is a larger or a smaller one. */
static lam_status weigh(struct beat *beat, size_t voxels, lam_error *err)
{
    int64_t here = beat->here.counts[beat->segment];
    if (!beat->largest.labels) {
        beat->smallest = copy_of(&beat->here, voxels);
        if (!beat->smallest.labels)
            return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a label map");
    }
    if (!beat->largest.labels || here > beat->largest.counts[beat->segment])
        take(&beat->largest, &beat->here);
    else if (here < beat->smallest.counts[beat->segment])
        take(&beat->smallest, &beat->here);
    moment_done(&beat->here);
    beat->here = (struct moment){.labels = NULL};
    return LAM_OK;
}

static lam_status watch(lam_search *s, struct beat *beat, lam_error *err)
{
    size_t phases = lam_series_phases(s->series);
    for (size_t phase = 0; phase < phases; phase++) {
        lam_status status = look(s, phase, &beat->here, err);
        if (status == LAM_OK)
            status = weigh(beat, grid_voxels(s), err);
        if (status != LAM_OK) {
            lam_error_prefix(err, "phase %zu of %zu", phase + 1, phases);
            return status;
        }
        lam_progress_step(s->progress, phase + 1, phases);
    }
    return beat->largest.labels && beat->smallest.labels
               ? LAM_OK
               : lam_fail(err, LAM_E_STATE, "the series was not arranged in phases");
}

/* ---- what is told ---- */

/* Segment `from` as number `number`, of one of the two phases. */
static void describe(const lam_search *s, const lam_model_segment *from, const struct moment *moment,
                     const char *phase, int number, lam_segment_label *label, lam_segment *out)
{
    *out = lam_search_describe(s, from, moment->counts[from->number]);
    out->number = number;
    out->phase = moment->phase;
    for (int i = 0; i < 3 && number != from->number; i++)
        out->rgb[i] = (uint8_t)(out->rgb[i] * 3 / 5); /* darker, to be told from the other phase's */
    lam_manifest_cielab(out->rgb, out->lab);
    snprintf(label->text, sizeof label->text, "%s, %s", from->label, phase);
    out->label = label->text;
}

/* Those of the smallest phase have masks, since they overlap with those of the largest. */
static lam_status add_segments(lam_search *s, const struct beat *beat, lam_error *err)
{
    const lam_manifest *m = s->manifest;
    size_t count = m->segment_count, voxels = grid_voxels(s);
    lam_found *found = &s->found;
    found->segments = calloc(2 * count, sizeof *found->segments);
    found->segment_labels = calloc(2 * count, sizeof *found->segment_labels);
    found->masks = calloc(count, voxels);
    if (!found->segments || !found->segment_labels || !found->masks)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for label maps");
    for (size_t i = 0; i < count; i++) {
        const lam_model_segment *from = &m->segments[i];
        uint8_t *mask = found->masks + i * voxels;
        for (size_t v = 0; v < voxels; v++)
            mask[v] = beat->smallest.labels[v] == from->number;
        describe(s, from, &beat->largest, m->cycle.largest.phase, from->number, &found->segment_labels[i],
                 &found->segments[i]);
        describe(s, from, &beat->smallest, m->cycle.smallest.phase, (int)count + from->number,
                 &found->segment_labels[count + i], &found->segments[count + i]);
        found->segments[count + i].mask = mask;
    }
    found->findings.segments = found->segments;
    found->findings.segment_count = 2 * count;
    found->findings.labels = found->labels;
    return LAM_OK;
}

static lam_measurement measurement(const lam_model_moment *moment, double value, lam_code unit)
{
    return (lam_measurement){
        .name = moment->name,
        .label = moment->quantity.meaning,
        .quantity = {moment->quantity.value, moment->quantity.scheme, moment->quantity.meaning},
        .unit = unit,
        .value = value};
}

/* Nothing where there is no segment to measure. */
static lam_status add_measurements(lam_search *s, const struct beat *beat, lam_error *err)
{
    static const lam_code millilitre = {"ml", "UCUM", "milliliter"}, percent = {"%", "UCUM", "percent"};
    const lam_model_cycle *cycle = &s->manifest->cycle;
    double voxel_ml = lam_grid_voxel_ml(s->passage.grid);
    double most = (double)beat->largest.counts[beat->segment] * voxel_ml;
    double least = (double)beat->smallest.counts[beat->segment] * voxel_ml;
    if (!(most > 0))
        return LAM_OK;
    const lam_measurement told[] = {measurement(&cycle->largest, most, millilitre),
                                    measurement(&cycle->smallest, least, millilitre),
                                    measurement(&cycle->fraction, 100 * (1 - least / most), percent)};
    s->found.measurements = malloc(sizeof told);
    if (!s->found.measurements)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    memcpy(s->found.measurements, told, sizeof told);
    s->found.findings.measurements = s->found.measurements;
    s->found.findings.measurement_count = LAM_COUNT(told);
    return LAM_OK;
}

lam_status lam_find_cycle(lam_search *s, lam_error *err)
{
    LAM_AUTO(beat_done) struct beat beat = {.segment = s->manifest->cycle.segment};
    lam_status status = watch(s, &beat, err);
    if (status != LAM_OK)
        return status;
    lam_progress_enter(s->progress, LAM_STAGE_MEASURE);
    lam_series_look_at(s->series, beat.largest.phase);
    free(s->found.voxels);
    s->found.voxels = beat.largest.voxels;
    s->found.labels = beat.largest.labels;
    beat.largest.voxels = NULL;
    beat.largest.labels = NULL;
    if ((status = add_segments(s, &beat, err)) || (status = add_measurements(s, &beat, err)))
        return status;
    return lam_passage_prepare(&s->passage, s->found.voxels, err); /* for what looks at the input again */
}
