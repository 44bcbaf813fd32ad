/* The result of one job as JSON, for destinations that take messages. */
#ifndef LAMINA_DAEMON_RESULT_DOCUMENT_H
#define LAMINA_DAEMON_RESULT_DOCUMENT_H

#include <jansson.h>

#include "core/base/status.h"
#include "daemon/laminad/db.h"

/* "Result" of api/schemas.json for this job. LAM_E_NOT_FOUND. */
lam_status lam_result_document(lam_db *db, const char *study_uid, int64_t job, json_t **out, lam_error *err);

#endif
