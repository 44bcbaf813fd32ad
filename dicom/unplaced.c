#include "dicom/unplaced.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "dicom/tag.h"

bool lam_unplaced_are(const lam_series *series)
{
    for (size_t i = 0; i < lam_series_objects(series); i++) {
        lam_dataset *object = lam_series_object(series, i);
        if (lam_dataset_has(object, LAM_TAG_POSITION) ||
            lam_dataset_items(object, LAM_TAG_SHARED_GROUPS) > 0 ||
            lam_dataset_items(object, LAM_TAG_FRAME_GROUPS) > 0)
            return false;
    }
    return true;
}

void lam_unplaced_spacing(lam_dataset *object, double spacing_mm[2])
{
    static const lam_tag spacings[] = {
        LAM_TAG_PIXEL_SPACING, LAM_TAG(0x0018, 0x1164), /* ImagerPixelSpacing */
        LAM_TAG(0x0018, 0x2010),                        /* NominalScannedPixelSpacing */
    };
    for (size_t i = 0; i < LAM_COUNT(spacings); i++)
        if (lam_dataset_numbers(object, spacings[i], spacing_mm, 2) && spacing_mm[0] > 0 && spacing_mm[1] > 0)
            return;
    spacing_mm[0] = spacing_mm[1] = 1;
}

static int by_number(const void *a, const void *b)
{
    const lam_slice *one = a, *other = b;
    int64_t numbers[2] = {0, 0};
    lam_dataset_integer(one->object, LAM_TAG_INSTANCE_NUMBER, 0, &numbers[0]);
    lam_dataset_integer(other->object, LAM_TAG_INSTANCE_NUMBER, 0, &numbers[1]);
    if (numbers[0] != numbers[1])
        return numbers[0] < numbers[1] ? -1 : 1;
    return strcmp(lam_dataset_text(one->object, LAM_TAG_SOP_INSTANCE, ""),
                  lam_dataset_text(other->object, LAM_TAG_SOP_INSTANCE, ""));
}

static lam_status check_alike(const lam_plane *a, const lam_plane *b, lam_error *err)
{
    if (a->rows != b->rows || a->columns != b->columns)
        return lam_fail(err, LAM_E_INVALID,
                        "the images have different sizes: %lld×%lld and %lld×%lld (rows×columns)",
                        (long long)a->rows, (long long)a->columns, (long long)b->rows, (long long)b->columns);
    for (int i = 0; i < 2; i++)
        if (!(fabs(a->spacing_mm[i] - b->spacing_mm[i]) <= 1e-3 * a->spacing_mm[i]))
            return lam_fail(err, LAM_E_INVALID, "the images have different pixel spacings: %g and %g mm",
                            a->spacing_mm[i], b->spacing_mm[i]);
    return LAM_OK;
}

lam_status lam_unplaced_sort(lam_slice *slices, size_t count, lam_grid *out, lam_error *err)
{
    const lam_plane *first = &slices[0].plane;
    for (size_t i = 1; i < count; i++) {
        lam_status status = check_alike(first, &slices[i].plane, err);
        if (status != LAM_OK)
            return status;
    }
    *out = (lam_grid){.size = {(int64_t)count, first->rows, first->columns},
                      .spacing_mm = {1, first->spacing_mm[0], first->spacing_mm[1]},
                      .axis = {{0, 0, 1}, {0, 1, 0}, {1, 0, 0}}};
    qsort(slices, count, sizeof *slices, by_number);
    return LAM_OK;
}
