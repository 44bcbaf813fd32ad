/* The part of api/backend.h that is about workitems. */
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "daemon/laminad/backend.h"
#include "daemon/laminad/worklist.h"

/* Who did what, for the log; and the scheduler is told: a workitem may be due, or its jobs are to be stopped.
 */
static lam_status note(lam_daemon *daemon, const lam_workitem_request *request, const char *action,
                       const char *uid, lam_status status)
{
    char mark[LAM_MARK_TEXT];
    lam_backend_mark(uid, mark);
    lam_log(LAM_LOG_INFO, "workitem", "client=%s action=%s workitem=%s status=%s", request->who, action, mark,
            lam_status_name(status));
    if (status == LAM_OK)
        lam_scheduler_notice_jobs(daemon->scheduler);
    return status;
}

static lam_status create(void *context, const lam_workitem_request *request, char uid[LAM_UID_TEXT],
                         lam_error *err)
{
    lam_daemon *daemon = context;
    char created[LAM_UID_TEXT] = "";
    LAM_WITH_DB(daemon, db);
    lam_status status = lam_worklist_create(db, request->uid, request->data_set, lam_daemon_config(daemon),
                                            lam_clock_steady_ms(), created, err);
    if (status == LAM_OK)
        lam_text_copy(uid, LAM_UID_TEXT, created);
    return note(daemon, request, "create", created, status);
}

static lam_status get(void *context, const char *uid, lam_buffer *out, lam_error *err)
{
    const lam_daemon *daemon = context;
    LAM_WITH_DB(daemon, db);
    return lam_worklist_get(db, uid, out, err);
}

static lam_status update(void *context, const lam_workitem_request *request, const char **warning,
                         lam_error *err)
{
    lam_daemon *daemon = context;
    LAM_WITH_DB(daemon, db);
    return note(daemon, request, "update", request->uid,
                lam_worklist_update(db, request->uid, request->transaction_uid, request->data_set,
                                    lam_daemon_config(daemon), lam_clock_steady_ms(), warning, err));
}

static lam_status change_state(void *context, const lam_workitem_request *request, const char **warning,
                               lam_error *err)
{
    lam_daemon *daemon = context;
    LAM_WITH_DB(daemon, db);
    return note(
        daemon, request, "state", request->uid,
        lam_worklist_change_state(db, request->uid, request->data_set, lam_clock_steady_ms(), warning, err));
}

static lam_status request_cancel(void *context, const lam_workitem_request *request, const char **warning,
                                 lam_error *err)
{
    lam_daemon *daemon = context;
    LAM_WITH_DB(daemon, db);
    return note(daemon, request, "cancel", request->uid,
                lam_worklist_request_cancel(db, request->uid, request->data_set, lam_clock_steady_ms(),
                                            warning, err));
}

void lam_backend_add_worklist(lam_backend *backend)
{
    backend->workitem_create = create;
    backend->workitem = get;
    backend->workitem_update = update;
    backend->workitem_change_state = change_state;
    backend->workitem_request_cancel = request_cancel;
}
