/* The JSON documents of the REST interface (DESIGN section 4), made from the index. All give new references.
 */
#ifndef LAMINA_DAEMON_DOCUMENTS_H
#define LAMINA_DAEMON_DOCUMENTS_H

#include <jansson.h>

#include "core/base/status.h"
#include "daemon/laminad/db.h"
#include "daemon/laminad/models.h"

/* {"study_uid","state","series":[…],"jobs":[…],…}. LAM_E_NOT_FOUND when it is not there. */
lam_status lam_document_study(lam_db *db, const char *study_uid, json_t **out, lam_error *err);

/* Studies, newest first; state NULL for all. */
lam_status lam_document_studies(lam_db *db, const char *state, int64_t limit, int64_t offset, json_t **out,
                                lam_error *err);

/* A job with its attempts. LAM_E_NOT_FOUND when it is not there. */
lam_status lam_document_job(lam_db *db, int64_t job, json_t **out, lam_error *err);
lam_status lam_document_jobs(lam_db *db, const char *state, int64_t limit, int64_t offset, json_t **out,
                             lam_error *err);

/* {"study_uid","state","results":[RESULT…]}, oldest first. Those over an input set that is no longer the
 * series' own come last, and their state is "superseded". */
lam_status lam_document_results(lam_db *db, const char *study_uid, json_t **out, lam_error *err);

/* {"name","version","task",…}; with `whole` also "manifest" and "card". */
json_t *lam_document_model(const lam_model *model, bool whole);

/* {state: count} of a table of states: the SQL gives rows of state and count. */
lam_status lam_document_counts(lam_db *db, const char *sql, json_t **out, lam_error *err);

#endif
