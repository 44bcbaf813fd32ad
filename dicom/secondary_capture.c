#include "dicom/secondary_capture.h"

#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "dicom/canvas.h"
#include "dicom/picture.h"
#include "dicom/tag.h"

static lam_status set_pixels(const lam_canvas *canvas, lam_dataset *out, lam_error *err)
{
    const struct {
        lam_tag tag;
        double number;
    } numbers[] = {
        {LAM_TAG_SAMPLES, 3},           {LAM_TAG_PLANAR, 0},
        {LAM_TAG_ROWS, canvas->height}, {LAM_TAG_COLUMNS, canvas->width},
        {LAM_TAG_BITS_ALLOCATED, 8},    {LAM_TAG_BITS_STORED, 8},
        {LAM_TAG_HIGH_BIT, 7},          {LAM_TAG_PIXEL_SIGN, 0},
    };
    for (size_t i = 0; i < LAM_COUNT(numbers); i++)
        lam_dataset_set_number(out, numbers[i].tag, numbers[i].number);
    lam_dataset_set_text(out, LAM_TAG_PHOTOMETRIC, "RGB");
    size_t bytes = (size_t)canvas->width * (size_t)canvas->height * 3;
    uint8_t *pixels = lam_dataset_make_bytes(out, LAM_TAG_PIXELS, bytes + bytes % 2);
    if (!pixels)
        return lam_dataset_status(out, err);
    memcpy(pixels, canvas->rgb, bytes);
    return LAM_OK;
}

lam_status lam_secondary_capture_create(const lam_result *result, lam_dataset **out, lam_error *err)
{
    char description[65];
    LAM_AUTO_PTR(lam_dataset) *object = NULL;
    LAM_AUTO(lam_canvas_done) lam_canvas canvas = {0, 0, NULL};
    if (!result->voxels)
        return lam_fail(err, LAM_E_STATE, "there are no images to show in a secondary capture");
    lam_status status = lam_dataset_create(&object, err);
    if (status == LAM_OK)
        status = lam_picture_draw(result, result->voxels, &canvas, err);
    if (status != LAM_OK)
        return status;
    snprintf(description, sizeof description, "%s picture", result->algorithm.title);
    const lam_result_kind kind = {"SC", LAM_SC_SOP_CLASS, 3, description, "OT"};
    lam_result_begin(result, &kind, object);
    lam_dataset_set_text(object, LAM_TAG_CONVERSION_TYPE, "SYN");
    lam_dataset_set_text(object, LAM_TAG_IMAGE_TYPE, "DERIVED\\SECONDARY");
    lam_dataset_set_text(object, LAM_TAG_IMAGE_COMMENTS, lam_result_notice(result));
    lam_dataset_set_text(object, LAM_TAG_BURNED_IN,
                         "NO"); /* its text names a model and numbers, no patient */
    lam_dataset_set_empty(object, LAM_TAG_PATIENT_ORIENTATION);
    lam_dataset_set_empty(object, LAM_TAG_LATERALITY);
    status = set_pixels(&canvas, object, err);
    if (status == LAM_OK)
        status = lam_dataset_status(object, err);
    if (status == LAM_OK)
        *out = LAM_TAKE_PTR(object);
    return status;
}
