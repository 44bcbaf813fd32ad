/* Objects that come by HTTP: the upload functions of lam_backend. Each upload belongs to one HTTP thread,
 * which writes it to the spool and waits until the intake has decided. */
#ifndef LAMINA_DAEMON_UPLOAD_H
#define LAMINA_DAEMON_UPLOAD_H

#include "api/backend.h"
#include "core/base/status.h"
#include "daemon/laminad/intake.h"

/* LAM_E_NO_SPACE when the reserve is reached. */
lam_status lam_upload_open(lam_intake *intake, const char *sender, lam_upload **out, lam_error *err);
lam_status lam_upload_write(lam_upload *upload, const void *bytes, size_t length, lam_error *err);
/* Instead of lam_upload_write: its file, for a process that fills it, and then the check of what that wrote.
 */
int lam_upload_file(const lam_upload *upload);
lam_status lam_upload_filled(lam_upload *upload, lam_error *err);
void lam_upload_end(lam_upload *upload);
void lam_upload_submit(lam_upload *upload, const char *study_uid);
void lam_upload_wait(lam_upload *upload, lam_store_result *out);
/* At any time before lam_upload_wait, also after lam_upload_submit. NULL-safe. */
void lam_upload_discard(lam_upload *upload);

/* For the intake's thread: what became of it. `upload` may be gone afterwards. */
void lam_upload_answer(lam_upload *upload, const lam_store_result *result);

#endif
