/* What one sender brought, study by study, for the audit trail: counts, never the objects. Used by one thread
 * at a time. */
#ifndef LAMINA_API_TRANSFERS_H
#define LAMINA_API_TRANSFERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/uid.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LAM_TRANSFER_CLASSES = 8, LAM_TRANSFER_REASON = 160, LAM_TRANSFER_STUDIES = 256 };

typedef struct lam_transfer_class {
    char uid[LAM_UID_TEXT]; /* "": not known, or one of many */
    int64_t instances;
} lam_transfer_class;

/* The objects of one study that were stored, or those that were refused. */
typedef struct lam_transfer {
    char study_uid[LAM_UID_TEXT]; /* "": not known, or one of many */
    bool refused;
    char reason[LAM_TRANSFER_REASON]; /* why the first was refused; else "" */
    lam_transfer_class classes[LAM_TRANSFER_CLASSES];
    size_t class_count;
} lam_transfer;

/* Begins as {0}. */
typedef struct lam_transfers {
    lam_transfer *items; /* owned */
    size_t count;
    uint64_t lost; /* objects of studies for which there was no memory */
} lam_transfers;

void lam_transfers_done(lam_transfers *transfers);

/* Counts one object. `reason` NULL: it was stored. The studies after the first LAM_TRANSFER_STUDIES, and the
 * SOP classes of a study after the first LAM_TRANSFER_CLASSES - 1, are counted together without a UID. */
void lam_transfers_add(lam_transfers *transfers, const char *study_uid, const char *sop_class_uid,
                       const char *reason);

/* Counts one more instance of this class. */
void lam_transfer_count(lam_transfer *transfer, const char *sop_class_uid, int64_t instances);

#ifdef __cplusplus
}
#endif
#endif
