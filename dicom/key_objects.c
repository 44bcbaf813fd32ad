#include "dicom/key_objects.h"

#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "dicom/relevant.h"
#include "dicom/sr_tree.h"
#include "dicom/tag.h"

static void add_document(const lam_result *result, lam_dataset *object)
{
    static const lam_code title = {"113000", "DCM", "Of Interest"};
    static const lam_code description = {"113012", "DCM", "Key Object Description"};
    char text[200];
    lam_sr_root(object, title, "2010");
    snprintf(text, sizeof text, "Images on which %.80s %.32s has its findings. Not for clinical use.",
             result->algorithm.name, result->algorithm.version);
    lam_sr_text(object, LAM_SR_CONTAINS, description, text);
}

/* The images, in the content and in the evidence (PS3.3 C.17.6.2.1). */
static void add_images(const lam_result *result, const bool *relevant, lam_dataset *object)
{
    static const lam_code unnamed = {NULL, NULL, NULL};
    const lam_slice *slices = lam_series_slices(result->series);
    lam_dataset *study = lam_dataset_add(object, LAM_TAG_EVIDENCE);
    lam_dataset_copy(study, slices[0].object, LAM_TAG_STUDY);
    lam_dataset *series = lam_dataset_add(study, LAM_TAG_REFERENCED_SERIES);
    lam_dataset_copy(series, slices[0].object, LAM_TAG_SERIES);
    const lam_dataset *named = NULL; /* frames of one object: it is evidence once */
    for (size_t z = 0; z < (size_t)lam_series_grid(result->series)->size[0]; z++) {
        if (!relevant[z])
            continue;
        const char *sop_class = lam_dataset_text(slices[z].object, LAM_TAG_SOP_CLASS, "");
        const char *sop = lam_dataset_text(slices[z].object, LAM_TAG_SOP_INSTANCE, "");
        lam_sr_image_frame(object, LAM_SR_CONTAINS, unnamed, sop_class, sop,
                           slices[z].multi_frame ? slices[z].frame + 1 : 0);
        if (slices[z].object != named)
            lam_result_reference(lam_dataset_add(series, LAM_TAG_REFERENCED_SOPS), sop_class, sop);
        named = slices[z].object;
    }
}

lam_status lam_key_objects_create(const lam_result *result, lam_dataset **out, lam_error *err)
{
    char description[65];
    LAM_AUTO_PTR(lam_dataset) *object = NULL;
    lam_autofree bool *relevant = calloc((size_t)lam_series_grid(result->series)->size[0], sizeof *relevant);
    if (!relevant)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_status status = lam_dataset_create(&object, err);
    if (status != LAM_OK)
        return status;
    lam_relevant_slices(result, relevant);
    snprintf(description, sizeof description, "%s key images", result->algorithm.title);
    const lam_result_kind kind = {"KO", LAM_KO_SOP_CLASS, 5, description, NULL};
    lam_result_begin(result, &kind, object);
    lam_dataset_set_empty(object, LAM_TAG_PERFORMED_STEP_REFS);
    add_document(result, object);
    add_images(result, relevant, object);
    status = lam_dataset_status(object, err);
    if (status == LAM_OK)
        *out = LAM_TAKE_PTR(object);
    return status;
}
