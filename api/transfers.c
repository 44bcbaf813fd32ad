#include "api/transfers.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/text.h"

void lam_transfers_done(lam_transfers *transfers)
{
    free(transfers->items);
    *transfers = (lam_transfers){0};
}

void lam_transfer_count(lam_transfer *transfer, const char *sop_class_uid, int64_t instances)
{
    size_t i = 0;
    while (i < transfer->class_count && strcmp(transfer->classes[i].uid, sop_class_uid) != 0)
        i++;
    if (i == transfer->class_count && i < LAM_TRANSFER_CLASSES) {
        bool last = i == LAM_TRANSFER_CLASSES - 1; /* stands for all others */
        lam_text_copy(transfer->classes[i].uid, LAM_UID_TEXT, last ? "" : sop_class_uid);
        transfer->classes[i].instances = 0;
        transfer->class_count++;
    }
    transfer->classes[i < LAM_TRANSFER_CLASSES ? i : LAM_TRANSFER_CLASSES - 1].instances += instances;
}

static lam_transfer *find(const lam_transfers *transfers, const char *study_uid, bool refused)
{
    for (size_t i = transfers->count; i-- > 0;) { /* the last is the likeliest */
        lam_transfer *item = &transfers->items[i];
        if (item->refused == refused && strcmp(item->study_uid, study_uid) == 0)
            return item;
    }
    return NULL;
}

static lam_transfer *append(lam_transfers *transfers, const char *study_uid, bool refused)
{
    size_t count = transfers->count;
    if ((count & (count - 1)) == 0) { /* full at 0, 1, 2, 4, 8 … */
        lam_transfer *grown = realloc(transfers->items, (count ? 2 * count : 1) * sizeof *grown);
        if (!grown)
            return NULL;
        transfers->items = grown;
    }
    lam_transfer *item = &transfers->items[transfers->count++];
    *item = (lam_transfer){.refused = refused};
    lam_text_copy(item->study_uid, LAM_UID_TEXT, study_uid);
    return item;
}

void lam_transfers_add(lam_transfers *transfers, const char *study_uid, const char *sop_class_uid,
                       const char *reason)
{
    bool refused = reason != NULL;
    lam_transfer *item = find(transfers, study_uid, refused);
    if (!item && transfers->count >= LAM_TRANSFER_STUDIES) {
        study_uid = "";
        item = find(transfers, study_uid, refused);
    }
    if (!item)
        item = append(transfers, study_uid, refused);
    if (!item) {
        transfers->lost++;
        return;
    }
    if (refused && !item->reason[0])
        lam_text_copy(item->reason, sizeof item->reason, reason);
    lam_transfer_count(item, sop_class_uid, 1);
}
