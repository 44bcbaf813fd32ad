#include "daemon/laminad/release.h"

lam_status lam_release_expect(lam_db *db, int64_t series, int64_t association, lam_error *err)
{
    return lam_db_run(db, err,
                      "INSERT OR IGNORE INTO series_association"
                      " SELECT id, ?2 FROM series WHERE id = ?1 AND state = 'receiving'",
                      "ii", series, association);
}

static lam_status take_one(lam_db *db, const lam_release *release, int64_t stable_after_ms, lam_error *err)
{
    lam_status status = lam_db_run(
        db, err,
        "UPDATE series SET quiet_ms = min(coalesce(quiet_ms, ?3), ?2)"
        " WHERE id IN (SELECT series_id FROM series_association WHERE association = ?1) AND NOT EXISTS"
        " (SELECT 1 FROM series_association o WHERE o.series_id = series.id AND o.association <> ?1)",
        "iii", release->association, release->quiet_ms, stable_after_ms);
    return status == LAM_OK ? lam_db_run(db, err, "DELETE FROM series_association WHERE association = ?", "i",
                                         release->association)
                            : status;
}

lam_status lam_release_take(lam_db *db, const lam_release *releases, size_t count, int64_t stable_after_ms,
                            lam_error *err)
{
    lam_status status = lam_db_begin(db, err);
    if (status != LAM_OK)
        return status;
    for (size_t i = 0; status == LAM_OK && i < count; i++)
        status = take_one(db, &releases[i], stable_after_ms, err);
    return lam_db_end(db, status, err);
}

lam_status lam_release_forget(lam_db *db, int64_t series, lam_error *err)
{
    return lam_db_run(db, err, "DELETE FROM series_association WHERE series_id = ?", "i", series);
}

lam_status lam_release_lose(lam_db *db, lam_error *err)
{
    /* Two of one series become one. */
    return lam_db_run(db, err, "UPDATE OR REPLACE series_association SET association = ?", "i",
                      (int64_t)LAM_NO_ASSOCIATION);
}
