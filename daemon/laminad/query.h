/* Searches (QIDO-RS, PS3.18 section 10.6) and metadata, answered from the index. What is returned is composed
 * of the DICOM JSON that the intake stored, as text; nothing is parsed again. */
#ifndef LAMINA_DAEMON_QUERY_H
#define LAMINA_DAEMON_QUERY_H

#include "api/backend.h"
#include "daemon/laminad/db.h"

/* As lam_backend.search, metadata and metadata_version. */
lam_status lam_query_search(lam_db *db, const lam_search *search, lam_search_answer *answer, lam_error *err);
lam_status lam_query_metadata(lam_db *db, const lam_place *place, const char *root,
                              lam_metadata_cursor *cursor, size_t enough, lam_buffer *out, lam_error *err);
lam_status lam_query_metadata_version(lam_db *db, const lam_place *place, char text[64], lam_error *err);

#endif
