#include "daemon/worker/segment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "dicom/resample.h"

/* A series on its way to the network and back. */
typedef struct passage {
    const lam_grid *grid;
    const lam_model_preprocessing *wanted;
    lam_turn turn;
    int64_t turned_size[3]; /* along the network's axes, at the series' spacing */
    double turned_mm[3];
    int64_t size[3]; /* as the network sees it */
    double spacing_mm[3];
    bool resampled;
    float *turned;
    float *input; /* == turned where nothing is resampled */
} passage;

static void passage_done(passage *p)
{
    if (p->input != p->turned)
        free(p->input);
    free(p->turned);
}

static size_t voxels_of(const int64_t size[3])
{
    return (size_t)(size[0] * size[1] * size[2]);
}

static lam_status check_slices(const lam_manifest *manifest, const lam_grid *grid, lam_error *err)
{
    const lam_model_selector *selector = &manifest->selector;
    long long slices = grid->size[0];
    if (slices < selector->minimum_slices)
        return lam_fail(err, LAM_E_INVALID, "the series has %lld slices; model %s needs at least %d", slices,
                        manifest->name, selector->minimum_slices);
    if (selector->maximum_slices && slices > selector->maximum_slices)
        return lam_fail(err, LAM_E_LIMIT, "the series has %lld slices; model %s takes at most %d", slices,
                        manifest->name, selector->maximum_slices);
    return LAM_OK;
}

static lam_status choose_spacing(passage *p, const char *model, lam_error *err)
{
    for (int i = 0; i < 3; i++) {
        double want = p->wanted->spacing_mm[i];
        bool fits = !(want > 0) || fabs(p->turned_mm[i] - want) <= p->wanted->spacing_tolerance * want;
        p->spacing_mm[i] = fits ? p->turned_mm[i] : want;
        p->resampled |= !fits;
    }
    if (p->resampled && !p->wanted->resample)
        return lam_fail(err, LAM_E_UNSUPPORTED,
                        "the voxels are %.3f×%.3f×%.3f mm; model %s takes %g×%g×%g mm only (z×y×x)",
                        p->turned_mm[0], p->turned_mm[1], p->turned_mm[2], model, p->wanted->spacing_mm[0],
                        p->wanted->spacing_mm[1], p->wanted->spacing_mm[2]);
    lam_resample_shape(p->turned_size, p->turned_mm, p->spacing_mm, p->size);
    if (!p->resampled)
        memcpy(p->size, p->turned_size, sizeof p->size);
    return LAM_OK;
}

static lam_status check_size(const passage *p, const char *model, lam_error *err)
{
    const int64_t *n = p->size, *least = p->wanted->minimum_size, *most = p->wanted->maximum_size;
    for (int i = 0; i < 3; i++)
        if (n[i] < least[i] || (most[i] > 0 && n[i] > most[i]))
            return lam_fail(err, LAM_E_LIMIT,
                            "the volume has %lld×%lld×%lld voxels at the model's spacing; model %s takes "
                            "%lld×%lld×%lld to %lld×%lld×%lld (z×y×x)",
                            (long long)n[0], (long long)n[1], (long long)n[2], model, (long long)least[0],
                            (long long)least[1], (long long)least[2], (long long)most[0], (long long)most[1],
                            (long long)most[2]);
    return LAM_OK;
}

static lam_status plan(const lam_series *series, const lam_manifest *manifest, passage *p, lam_error *err)
{
    p->grid = lam_series_grid(series);
    p->wanted = &manifest->preprocessing;
    lam_status status = check_slices(manifest, p->grid, err);
    if (status == LAM_OK)
        status = lam_turn_to(p->grid, p->wanted->orientation, &p->turn, err);
    if (status != LAM_OK)
        return status;
    lam_turn_shape(&p->turn, p->grid, p->turned_size, p->turned_mm);
    status = choose_spacing(p, manifest->name, err);
    return status == LAM_OK ? check_size(p, manifest->name, err) : status;
}

static lam_status prepare(passage *p, const float *voxels, lam_error *err)
{
    p->turned = p->input = calloc(voxels_of(p->turned_size), sizeof *p->turned);
    if (!p->turned)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a volume");
    lam_turn_floats(&p->turn, p->grid->size, voxels, p->turned);
    if (!p->resampled)
        return LAM_OK;
    p->input = calloc(voxels_of(p->size), sizeof *p->input);
    if (!p->input)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a volume");
    return lam_resample_floats(p->turned, p->turned_size, p->input, p->size, err);
}

/* The network's labels in the grid of the series. */
static lam_status map_back(const passage *p, const uint8_t *labels, uint8_t *out, lam_error *err)
{
    lam_autofree uint8_t *turned = NULL;
    if (p->resampled) {
        turned = calloc(voxels_of(p->turned_size), 1);
        if (!turned)
            return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a label map");
        lam_status status = lam_resample_labels(labels, p->size, turned, p->turned_size, err);
        if (status != LAM_OK)
            return status;
    }
    lam_turn_labels_back(&p->turn, p->grid->size, turned ? turned : labels, out);
    return LAM_OK;
}

static lam_status run_network(passage *p, lam_predictor *predictor, lam_progress *progress, uint8_t *labels,
                              lam_error *err)
{
    lam_volume volume = {.voxels = p->input};
    memcpy(volume.size, p->size, sizeof volume.size);
    memcpy(volume.spacing_mm, p->spacing_mm, sizeof volume.spacing_mm);
    lam_segmentation segmentation;
    lam_progress_enter(progress, LAM_STAGE_NETWORK);
    lam_status status = lam_predict_segment(predictor, &volume, &segmentation, err);
    if (status != LAM_OK)
        return status;
    lam_progress_enter(progress, LAM_STAGE_MEASURE);
    status = map_back(p, segmentation.labels, labels, err);
    lam_segmentation_done(&segmentation);
    return status;
}

static lam_code code_of(lam_model_code code)
{
    return (lam_code){code.value, code.scheme, code.meaning};
}

/* Voxels are counted where they will be written: in the series' own grid. */
static lam_status measure(const lam_manifest *manifest, const lam_grid *grid, lam_segmented *s,
                          lam_error *err)
{
    int64_t counts[256] = {0};
    size_t voxels = voxels_of(grid->size);
    for (size_t i = 0; i < voxels; i++)
        counts[s->labels[i]]++;
    s->segments = calloc(manifest->segment_count, sizeof *s->segments);
    if (!s->segments)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    s->segment_count = manifest->segment_count;
    for (size_t i = 0; i < s->segment_count; i++) {
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

static void tick(void *context, size_t done, size_t total)
{
    lam_progress_step(context, done, total);
}

lam_status lam_segment_series(lam_series *series, const lam_bundle *bundle, lam_predictor *predictor,
                              lam_progress *progress, lam_segmented *out, lam_error *err)
{
    const lam_manifest *manifest = lam_bundle_manifest(bundle);
    LAM_AUTO(passage_done) passage p = {.turned = NULL};
    LAM_AUTO(lam_segmented_done) lam_segmented s = {.voxels = NULL};
    lam_progress_enter(progress, LAM_STAGE_READ);
    lam_status status = plan(series, manifest, &p, err);
    if (status != LAM_OK)
        return status;
    size_t voxels = voxels_of(p.grid->size);
    s.voxels = calloc(voxels, sizeof *s.voxels);
    s.labels = calloc(voxels, 1);
    if (!s.voxels || !s.labels)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a volume of %zu voxels", voxels);
    status = lam_series_voxels(series, s.voxels, tick, progress, err);
    if (status != LAM_OK)
        return status;
    lam_progress_enter(progress, LAM_STAGE_PREPARE);
    status = prepare(&p, s.voxels, err);
    if (status == LAM_OK)
        status = run_network(&p, predictor, progress, s.labels, err);
    if (status == LAM_OK)
        status = measure(manifest, p.grid, &s, err);
    if (status != LAM_OK)
        return status;
    *out = s;
    s = (lam_segmented){.voxels = NULL};
    return LAM_OK;
}

void lam_segmented_done(lam_segmented *segmented)
{
    free(segmented->voxels);
    free(segmented->labels);
    free(segmented->segments);
    *segmented = (lam_segmented){.voxels = NULL};
}
