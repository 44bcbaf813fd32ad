#include "dicom/relevant.h"

#include "dicom/contour.h"

size_t lam_relevant_slices(const lam_result *result, bool *relevant)
{
    const lam_findings *f = &result->findings;
    size_t slices = (size_t)lam_series_grid(result->series)->size[0], count = 0, slice = 0;
    for (size_t z = 0; z < slices; z++)
        relevant[z] = false;
    for (size_t i = 0; i < f->segment_count; i++)
        if (lam_contour_largest(result, i, &slice, NULL))
            relevant[slice] = true;
    for (size_t i = 0; i < f->detection_count; i++)
        relevant[f->detections[i].boxes[f->detections[i].best].slice] = true;
    for (size_t z = 0; z < slices; z++)
        count += relevant[z];
    if (count > 0)
        return count;
    relevant[slices / 2] = true;
    return 1;
}
