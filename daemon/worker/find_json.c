/* Findings as the members of RESULT (DESIGN.md section 4). */
#include "daemon/worker/find.h"
#include "dicom/tag.h"

static void write_code(const lam_code *code, lam_json_writer *w)
{
    if (!code->value) {
        lam_jw_null(w, "code");
        return;
    }
    lam_jw_object(w, "code");
    lam_jw_text(w, "scheme", code->scheme);
    lam_jw_text(w, "value", code->value);
    lam_jw_text(w, "meaning", code->meaning);
    lam_jw_end(w);
}

static void write_segments(const lam_findings *findings, lam_json_writer *w)
{
    lam_jw_array(w, "segments");
    for (size_t i = 0; i < findings->segment_count; i++) {
        const lam_segment *segment = &findings->segments[i];
        lam_jw_object(w, NULL);
        lam_jw_integer(w, "number", segment->number);
        lam_jw_text(w, "label", segment->label);
        write_code(&segment->type, w);
        lam_jw_integer(w, "voxels", segment->voxels);
        lam_jw_number(w, "volume_ml", segment->volume_ml);
        lam_jw_end(w);
    }
    lam_jw_end(w);
}

static void write_classification(const lam_classification *classification, lam_json_writer *w)
{
    lam_jw_object(w, "classification");
    lam_jw_array(w, "classes");
    for (size_t i = 0; i < classification->class_count; i++) {
        const lam_class_score *score = &classification->classes[i];
        lam_jw_object(w, NULL);
        lam_jw_text(w, "label", score->label);
        write_code(&score->code, w);
        lam_jw_number(w, "probability", score->probability);
        if (score->deviation > 0)
            lam_jw_number(w, "deviation", score->deviation);
        lam_jw_end(w);
    }
    lam_jw_end(w);
    lam_jw_end(w);
}

/* The centre of a box in patient coordinates. */
static void write_centre(const lam_series *series, const lam_box *box, lam_json_writer *w)
{
    /* pixel i reaches from i to i + 1, and its position is that of its centre */
    const double index[3] = {(double)box->slice, (box->top + box->bottom) / 2 - 0.5,
                             (box->left + box->right) / 2 - 0.5};
    double mm[3];
    lam_grid_to_patient(lam_series_grid(series), index, mm);
    lam_jw_array(w, "centre_mm");
    for (int i = 0; i < 3; i++)
        lam_jw_number(w, NULL, mm[i]);
    lam_jw_end(w);
}

static void write_detections(const lam_findings *findings, const lam_series *series, lam_json_writer *w)
{
    lam_jw_array(w, "detections");
    for (size_t i = 0; i < findings->detection_count; i++) {
        const lam_detection *detection = &findings->detections[i];
        const lam_box *box = &detection->boxes[detection->best];
        const lam_slice *slice = &lam_series_slices(series)[box->slice];
        lam_jw_object(w, NULL);
        lam_jw_text(w, "label", detection->label);
        write_code(&detection->type, w);
        lam_jw_number(w, "score", detection->score);
        lam_jw_text(w, "frame_sop_uid", lam_dataset_text(slice->object, LAM_TAG_SOP_INSTANCE, ""));
        if (slice->multi_frame)
            lam_jw_integer(w, "frame", slice->frame + 1);
        lam_jw_object(w, "box");
        lam_jw_number(w, "x", box->left);
        lam_jw_number(w, "y", box->top);
        lam_jw_number(w, "width", box->right - box->left);
        lam_jw_number(w, "height", box->bottom - box->top);
        lam_jw_end(w);
        if (lam_series_is_placed(series))
            write_centre(series, box, w);
        lam_jw_integer(w, "slices", (int64_t)detection->box_count);
        lam_jw_end(w);
    }
    lam_jw_end(w);
}

static void write_measurements(const lam_findings *findings, lam_json_writer *w)
{
    lam_jw_array(w, "measurements");
    for (size_t i = 0; i < findings->measurement_count; i++) {
        const lam_measurement *measurement = &findings->measurements[i];
        lam_jw_object(w, NULL);
        lam_jw_text(w, "name", measurement->name);
        lam_jw_text(w, "label", measurement->label);
        write_code(&measurement->quantity, w);
        lam_jw_number(w, "value", measurement->value);
        lam_jw_text(w, "unit", measurement->unit.value);
        lam_jw_end(w);
    }
    lam_jw_end(w);
}

void lam_findings_write(const lam_findings *findings, const lam_series *series, lam_json_writer *w)
{
    if (findings->segments)
        write_segments(findings, w);
    if (findings->classification.class_count)
        write_classification(&findings->classification, w);
    if (findings->detections)
        write_detections(findings, series, w);
    if (findings->measurements)
        write_measurements(findings, w);
}
