#include "daemon/cli/predict_case.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"

/* ---- maps ---- */

void lam_case_maps_done(lam_case_maps *maps)
{
    for (size_t i = 0; i < maps->count; i++) {
        free((char *)(uintptr_t)maps->items[i].name);
        free((void *)(uintptr_t)maps->items[i].data);
    }
    free(maps->items);
}

lam_status lam_case_maps_add(lam_case_maps *maps, const char *id, const lam_shape *shape,
                             const uint8_t *labels, lam_error *err)
{
    size_t voxels = (size_t)lam_shape_count(shape);
    lam_tensor *grown = realloc(maps->items, (maps->count + 1) * sizeof *grown);
    char *name = malloc(strlen(id) + sizeof ".label");
    uint8_t *data = malloc(voxels);
    if (grown)
        maps->items = grown;
    if (!grown || !name || !data) {
        free(name);
        free(data);
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    }
    strcpy(stpcpy(name, id), ".label");
    memcpy(data, labels, voxels);
    maps->items[maps->count++] = (lam_tensor){name, LAM_DTYPE_U8, *shape, data, voxels};
    return LAM_OK;
}

/* ---- tasks ---- */

static lam_status segment(const lam_prediction_job *job, const lam_volume *volume, uint8_t *labels,
                          json_t *out, lam_error *err)
{
    const lam_manifest *manifest = lam_bundle_manifest(job->bundle);
    lam_segmentation found;
    lam_status status = lam_predict_segment(job->predictor, volume, &found, err);
    if (status)
        return status;
    json_t *segments = json_array();
    for (size_t i = 0; i < manifest->segment_count; i++) {
        const lam_model_segment *segment = &manifest->segments[i];
        json_array_append_new(segments,
                              json_pack("{s:i,s:s,s:I,s:f}", "number", segment->number, "label",
                                        segment->label, "voxels", (json_int_t)found.voxels[segment->number],
                                        "volume_ml", found.volume_ml[segment->number]));
    }
    json_object_set_new(out, "segments", segments);
    if (labels)
        memcpy(labels, found.labels, (size_t)(found.size[0] * found.size[1] * found.size[2]));
    lam_segmentation_done(&found);
    return LAM_OK;
}

static lam_status classify(const lam_prediction_job *job, const lam_volume *volume, uint8_t *labels,
                           json_t *out, lam_error *err)
{
    (void)labels;
    const lam_manifest *manifest = lam_bundle_manifest(job->bundle);
    lam_autofree float *probabilities = calloc(manifest->class_count, sizeof *probabilities);
    if (!probabilities)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_status status = lam_predict_classes(job->predictor, volume, probabilities, err);
    if (status)
        return status;
    json_t *classes = json_array();
    for (size_t i = 0; i < manifest->class_count; i++)
        json_array_append_new(classes,
                              json_pack("{s:s,s:s,s:f}", "name", manifest->classes[i].name, "label",
                                        manifest->classes[i].label, "probability", (double)probabilities[i]));
    json_object_set_new(out, "classification", json_pack("{s:o}", "classes", classes));
    return LAM_OK;
}

/* All of them with their scores, so that precision can be weighed against recall. */
static lam_status detect(const lam_prediction_job *job, const lam_volume *volume, uint8_t *labels,
                         json_t *out, lam_error *err)
{
    (void)labels;
    const lam_manifest *manifest = lam_bundle_manifest(job->bundle);
    lam_autofree lam_detected *found = NULL;
    size_t count = 0;
    lam_status status = lam_predict_boxes(job->predictor, volume, &found, &count, err);
    if (status)
        return status;
    json_t *detections = json_array();
    for (size_t i = 0; i < count; i++) {
        const lam_model_class *class = &manifest->classes[found[i].label];
        const lam_rect *box = &found[i].box;
        json_array_append_new(
            detections, json_pack("{s:s,s:s,s:f,s:I,s:{s:f,s:f,s:f,s:f}}", "name", class->name, "label",
                                  class->label, "score", (double)found[i].score, "slice",
                                  (json_int_t)found[i].slice, "box", "x", (double)box->x, "y", (double)box->y,
                                  "width", (double)box->width, "height", (double)box->height));
    }
    json_object_set_new(out, "detections", detections);
    return LAM_OK;
}

static lam_status (*const tasks[LAM_TASK_COUNT])(const lam_prediction_job *job, const lam_volume *volume,
                                                 uint8_t *labels, json_t *out, lam_error *err) = {
    [LAM_TASK_SEGMENTATION] = segment,
    [LAM_TASK_CLASSIFICATION] = classify,
    [LAM_TASK_DETECTION] = detect,
};

/* What the model's gate says of the case. */
static lam_status check_gate(const lam_prediction_job *job, const lam_volume *volume, json_t *result,
                             lam_error *err)
{
    const lam_gate *gate = lam_bundle_gate(job->bundle);
    const lam_network *network = lam_bundle_network(job->bundle);
    lam_gate_verdict verdict;
    char text[LAM_GATE_TEXT];
    if (!gate || job->find.gate == LAM_GATE_IGNORE)
        return LAM_OK;
    lam_status status =
        lam_gate_check(gate, lam_bundle_manifest(job->bundle), lam_network_axes(network),
                       lam_network_input_channels(network), volume->voxels, volume->size, &verdict, err);
    if (status)
        return status;
    json_t *said = json_pack("{s:b,s:f,s:f}", "accepted", (int)verdict.accepted, "score", verdict.score,
                             "threshold", verdict.threshold);
    if (!verdict.accepted)
        json_object_set_new(said, "reason", json_string(LAM_GATE_REASON));
    json_object_set_new(result, "gate", said);
    if (verdict.accepted || job->find.gate != LAM_GATE_REFUSE)
        return LAM_OK;
    return lam_fail(err, LAM_E_UNSUPPORTED, LAM_GATE_REASON ": %s", lam_gate_describe(&verdict, text));
}

lam_status lam_case_predict(const lam_prediction_job *job, const char *id, const lam_volume *volume,
                            uint8_t *labels, bool *mapped, json_t *results, lam_error *err)
{
    lam_task task = lam_bundle_manifest(job->bundle)->task;
    lam_error why = {0};
    json_t *result = json_pack("{s:s,s:s}", "id", id, "task", lam_task_name(task));
    if (!result)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_status status = tasks[task] ? check_gate(job, volume, result, &why)
                                    : lam_fail(&why, LAM_E_UNSUPPORTED, "models for %s are not run on sets",
                                               lam_task_name(task));
    if (status == LAM_OK)
        status = tasks[task](job, volume, labels, result, &why);
    json_object_set_new(result, "state", json_string(status ? "failed" : "done"));
    if (status)
        json_object_set_new(result, "reason", json_string(why.message));
    json_array_append_new(results, result);
    *mapped = status == LAM_OK && task == LAM_TASK_SEGMENTATION;
    return LAM_OK;
}
