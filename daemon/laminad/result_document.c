#include "daemon/laminad/result_document.h"

#include "daemon/laminad/documents.h"

lam_status lam_result_document(lam_db *db, const char *study_uid, int64_t job, json_t **out, lam_error *err)
{
    json_t *study = NULL, *found = NULL;
    lam_status status = lam_document_results(db, study_uid, &study, err);
    if (status != LAM_OK)
        return status;
    const json_t *results = json_object_get(study, "results");
    for (size_t i = 0; i < json_array_size(results) && !found; i++)
        if (json_integer_value(json_object_get(json_array_get(results, i), "job")) == job)
            found = json_incref(json_array_get(results, i));
    json_decref(study);
    if (!found)
        return lam_fail(err, LAM_E_NOT_FOUND, "job %lld has no result any more", (long long)job);
    *out = found;
    return LAM_OK;
}
