#include "core/rnn/train/task.h"

#include <string.h>

static const lam_task_kind *const kinds[] = {
    &lam_task_classification,
    &lam_task_detection,
    &lam_task_generation,
    &lam_task_segmentation,
};

lam_volume lam_sample_volume(const lam_sample *sample, const double spacing_mm[3])
{
    lam_volume volume = {.voxels = sample->raw};
    memcpy(volume.size, sample->size, sizeof volume.size);
    memcpy(volume.spacing_mm, spacing_mm, sizeof volume.spacing_mm);
    return volume;
}

lam_status lam_task_kind_of(const lam_manifest *manifest, const lam_task_kind **out, lam_error *err)
{
    for (size_t i = 0; i < LAM_COUNT(kinds); i++)
        if (kinds[i]->task == manifest->task) {
            *out = kinds[i];
            return LAM_OK;
        }
    return lam_fail(err, LAM_E_UNSUPPORTED, "models for %s can be neither trained nor scored",
                    lam_task_name(manifest->task));
}
