#include "daemon/worker/passage.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "dicom/resample.h"

void lam_passage_done(lam_passage *p)
{
    if (p->input != p->turned)
        free(p->input);
    free(p->turned);
    p->input = p->turned = NULL;
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
        return lam_fail(err, LAM_E_INVALID, "the series has %lld slice%s; model %s needs at least %d", slices,
                        slices == 1 ? "" : "s", manifest->name, selector->minimum_slices);
    if (selector->maximum_slices && slices > selector->maximum_slices)
        return lam_fail(err, LAM_E_LIMIT, "the series has %lld slices; model %s takes at most %d", slices,
                        manifest->name, selector->maximum_slices);
    return LAM_OK;
}

/* A model that asks for directions, or whose answer has to be put at a place, needs images that are at one.
 */
static lam_status check_place(const lam_series *series, const lam_manifest *manifest, lam_error *err)
{
    bool needs = manifest->preprocessing.orientation[0] || manifest->task == LAM_TASK_SEGMENTATION;
    if (!needs || lam_series_is_placed(series))
        return LAM_OK;
    return lam_fail(
        err, LAM_E_UNSUPPORTED,
        "the images have no ImagePositionPatient (0020,0032), so their place is unknown; model %s "
        "needs it",
        manifest->name);
}

static lam_status choose_spacing(lam_passage *p, const char *model, lam_error *err)
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

/* The sizes that a model takes; of an axis whose maximum is 0, any from the minimum on. */
static void describe_sizes(const int64_t least[3], const int64_t most[3], char *out, size_t size)
{
    char bounds[3][24];
    bool bounded = false;
    for (int i = 0; i < 3; i++) {
        snprintf(bounds[i], sizeof bounds[i], most[i] > 0 ? "%lld" : "any", (long long)most[i]);
        bounded |= most[i] > 0;
    }
    int length = snprintf(out, size, "%s%lld×%lld×%lld", bounded ? "" : "at least ", (long long)least[0],
                          (long long)least[1], (long long)least[2]);
    if (memcmp(least, most, 3 * sizeof *least) == 0)
        snprintf(out + length, size - (size_t)length, " only");
    else if (bounded)
        snprintf(out + length, size - (size_t)length, " to %s×%s×%s", bounds[0], bounds[1], bounds[2]);
}

static lam_status check_size(const lam_passage *p, const char *model, lam_error *err)
{
    const int64_t *n = p->size, *least = p->wanted->minimum_size, *most = p->wanted->maximum_size;
    char sizes[160];
    describe_sizes(least, most, sizes, sizeof sizes);
    for (int i = 0; i < 3; i++)
        if (n[i] < least[i] || (most[i] > 0 && n[i] > most[i]))
            return lam_fail(err, LAM_E_LIMIT,
                            "the volume has %lld×%lld×%lld voxels at the model's spacing; model %s takes %s "
                            "(z×y×x)",
                            (long long)n[0], (long long)n[1], (long long)n[2], model, sizes);
    if (n[0] * n[1] * n[2] > LAM_SERIES_MAX_VOXELS) /* each is at most LAM_RESAMPLE_MOST */
        return lam_fail(
            err, LAM_E_LIMIT,
            "the volume has %lld×%lld×%lld voxels (z×y×x) at the spacing of model %s; at most %lld "
            "are analysed",
            (long long)n[0], (long long)n[1], (long long)n[2], model, (long long)LAM_SERIES_MAX_VOXELS);
    return LAM_OK;
}

lam_status lam_passage_plan(const lam_series *series, const lam_manifest *manifest, lam_passage *p,
                            lam_error *err)
{
    p->grid = lam_series_grid(series);
    p->wanted = &manifest->preprocessing;
    lam_status status = check_slices(manifest, p->grid, err);
    if (status == LAM_OK)
        status = check_place(series, manifest, err);
    if (status == LAM_OK)
        status = lam_turn_to(p->grid, p->wanted->orientation, &p->turn, err);
    if (status != LAM_OK)
        return status;
    lam_turn_shape(&p->turn, p->grid, p->turned_size, p->turned_mm);
    status = choose_spacing(p, manifest->name, err);
    return status == LAM_OK ? check_size(p, manifest->name, err) : status;
}

lam_status lam_passage_prepare(lam_passage *p, const float *voxels, lam_error *err)
{
    lam_passage_done(p);
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

lam_status lam_passage_prepare_labels(const lam_passage *p, const uint8_t *labels, uint8_t *out,
                                      lam_error *err)
{
    size_t count = voxels_of(p->turned_size);
    lam_autofree float *numbers = calloc(count, sizeof *numbers);
    lam_autofree float *turned = calloc(count, sizeof *turned);
    lam_autofree uint8_t *whole = calloc(count, 1);
    if (!numbers || !turned || !whole)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a label map");
    for (size_t i = 0; i < count; i++)
        numbers[i] = labels[i];
    lam_turn_floats(&p->turn, p->grid->size, numbers, turned);
    for (size_t i = 0; i < count; i++)
        whole[i] = (uint8_t)turned[i];
    if (p->resampled)
        return lam_resample_labels(whole, p->turned_size, out, p->size, err);
    memcpy(out, whole, count);
    return LAM_OK;
}

lam_status lam_passage_map_back(const lam_passage *p, const uint8_t *labels, uint8_t *out, lam_error *err)
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

lam_status lam_passage_map_values_back(const lam_passage *p, const float *values, float *out, lam_error *err)
{
    lam_autofree float *turned = NULL;
    if (p->resampled) {
        turned = calloc(voxels_of(p->turned_size), sizeof *turned);
        if (!turned)
            return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a map");
        lam_status status = lam_resample_floats(values, p->size, turned, p->turned_size, err);
        if (status != LAM_OK)
            return status;
    }
    lam_turn_floats_back(&p->turn, p->grid->size, turned ? turned : values, out);
    return LAM_OK;
}

/* A stretch along axis `axis` of the network's volume, as one along the series' own axis. */
static void map_stretch_back(const lam_passage *p, int axis, double *low, double *high)
{
    double scale = (double)p->turned_size[axis] / (double)p->size[axis], n = (double)p->turned_size[axis];
    double from = *low * scale, to = *high * scale;
    *low = p->turn.flip[axis] ? n - to : from;
    *high = p->turn.flip[axis] ? n - from : to;
}

lam_status lam_passage_map_rect_back(const lam_passage *p, const lam_passage_rect *rect,
                                     lam_passage_rect *out, lam_error *err)
{
    if (p->turn.from[0] != 0)
        return lam_fail(err, LAM_E_UNSUPPORTED,
                        "the model looks at slices in another plane than the images of the series");
    double low[3] = {(double)rect->slice, rect->top, rect->left};
    double high[3] = {(double)rect->slice + 1, rect->bottom, rect->right}, own[2][3];
    for (int axis = 0; axis < 3; axis++) {
        map_stretch_back(p, axis, &low[axis], &high[axis]);
        own[0][p->turn.from[axis]] = low[axis];
        own[1][p->turn.from[axis]] = high[axis];
    }
    *out = (lam_passage_rect){(int64_t)((own[0][0] + own[1][0]) / 2), own[0][2], own[0][1], own[1][2],
                              own[1][1]};
    return LAM_OK;
}
