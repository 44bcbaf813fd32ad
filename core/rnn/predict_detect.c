/* A detector's answer: the candidates of every pass (members of the ensemble, mirror images) are votes of
 * that many views of a slice. */
#include <stdlib.h>

#include "core/rnn/predict_passes.h"

lam_head lam_predict_head(const lam_manifest *manifest, const lam_shape *shape, int64_t width)
{
    return (lam_head){.rows = shape->dim[1],
                      .columns = shape->dim[2],
                      .classes = (int64_t)manifest->class_count,
                      .stride = (double)width / (double)shape->dim[2],
                      .typical_size = manifest->detection.typical_size,
                      .temperature = manifest->temperature};
}

/* What has been found so far. */
struct list {
    lam_detected *items;
    size_t count, room;
};

static lam_status add(struct list *list, const lam_detected *found, size_t count, lam_error *err)
{
    if (list->count + count > list->room) {
        size_t room = (list->count + count) * 2;
        lam_detected *items = realloc(list->items, room * sizeof *items);
        if (!items)
            return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for %zu detections", room);
        list->items = items;
        list->room = room;
    }
    for (size_t i = 0; i < count; i++)
        list->items[list->count++] = found[i];
    return LAM_OK;
}

/* The candidates of all passes; `*out` is the caller's. */
static lam_status gather(lam_predictor *predictor, const lam_frame *frame, lam_detected **out, size_t *count,
                         lam_error *err)
{
    lam_autofree lam_detected *candidates = NULL;
    size_t passes = lam_predictor_passes(predictor), used = 0;
    for (size_t p = 0; p < passes; p++) {
        lam_pass pass = lam_predictor_run(predictor, p);
        lam_head head = lam_predict_head(lam_predictor_manifest(predictor), pass.shape, frame->size[2]);
        size_t cells = (size_t)(head.rows * head.columns);
        if (!candidates && !(candidates = malloc(cells * passes * sizeof *candidates)))
            return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for %zu candidates", cells * passes);
        lam_detect_read(&head, pass.scores, pass.view.flip[2], candidates + used);
        used += cells;
    }
    *out = LAM_TAKE_PTR(candidates);
    *count = used;
    return LAM_OK;
}

static lam_status detect_slice(lam_predictor *predictor, const lam_volume *volume, int64_t z,
                               struct list *list, lam_error *err)
{
    const lam_model_detection *options = &lam_predictor_manifest(predictor)->detection;
    lam_volume slice = *volume;
    lam_autofree lam_detected *candidates = NULL;
    lam_frame frame;
    size_t count = 0;
    slice.size[0] = 1;
    slice.voxels += z * volume->size[1] * volume->size[2];
    lam_status status = lam_predictor_prepare(predictor, &slice, &frame, err);
    if (status || (status = gather(predictor, &frame, &candidates, &count, err)))
        return status;
    lam_selection selection = {options->minimum_score, options->overlap, options->vote, options->maximum};
    count = lam_detect_select(&selection, (int)lam_predictor_passes(predictor), candidates, count);
    for (size_t i = 0; i < count; i++) {
        lam_detected *d = &candidates[i];
        d->slice = z;
        d->box.x += (float)(frame.from[2] - frame.before[2]);
        d->box.y += (float)(frame.from[1] - frame.before[1]);
        d->box = lam_rect_clip(&d->box, (double)volume->size[2], (double)volume->size[1]);
    }
    return add(list, candidates, count, err);
}

lam_status lam_predict_boxes(lam_predictor *predictor, const lam_volume *volume, lam_detected **out,
                             size_t *count, lam_error *err)
{
    const lam_manifest *manifest = lam_predictor_manifest(predictor);
    struct list list = {0};
    lam_status status = LAM_OK;
    if (manifest->task != LAM_TASK_DETECTION)
        return lam_fail(err, LAM_E_UNSUPPORTED, "model %s does not detect", manifest->name);
    for (int64_t z = 0; z < volume->size[0] && status == LAM_OK; z++)
        status = detect_slice(predictor, volume, z, &list, err);
    if (status) {
        free(list.items);
        return status;
    }
    *out = list.items;
    *count = list.count;
    return LAM_OK;
}
