#include "daemon/laminad/recovery.h"

#include "core/base/clock.h"
#include "daemon/laminad/catalog.h"

static void remove_file(void *context, int64_t file)
{
    lam_store_remove(context, file);
}

lam_status lam_recovery_run(lam_database *database, lam_store *store, size_t *removed, lam_error *err)
{
    lam_error local = {0};
    lam_error *why = err ? err : &local;
    LAM_AUTO_DB *db = lam_db_get(database, why);
    if (!db)
        return why->status;
    int64_t last = -1;
    lam_status status = lam_catalog_last_file(db, &last, err);
    if (status == LAM_OK)
        status = lam_store_recover(store, last, removed, err);
    if (status == LAM_OK)
        status = lam_catalog_sweep(db, remove_file, store, err);
    /* Senders that our end cut off come back: their series get a whole quiet time from now. */
    if (status == LAM_OK)
        status = lam_db_run(db, err, "UPDATE series SET received_ms = ? WHERE state = 'receiving'", "i",
                            lam_clock_steady_ms());
    return status;
}
