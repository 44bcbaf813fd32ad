#include "dicom/groups.h"

lam_dataset *lam_groups_item(lam_dataset *object, lam_tag macro, size_t frame)
{
    lam_dataset *own = lam_dataset_item(object, LAM_TAG_FRAME_GROUPS, frame);
    lam_dataset *item = own ? lam_dataset_item(own, macro, 0) : NULL;
    if (item)
        return item;
    lam_dataset *shared = lam_dataset_item(object, LAM_TAG_SHARED_GROUPS, 0);
    return shared ? lam_dataset_item(shared, macro, 0) : NULL;
}
