#include "daemon/worker/analyse.h"

#include <stdlib.h>

struct lam_analysis {
    lam_error failure;
};

bool lam_worker_is_permanent(lam_status status)
{
    return status == LAM_E_INVALID || status == LAM_E_UNSUPPORTED || status == LAM_E_CORRUPT ||
           status == LAM_E_LIMIT;
}

lam_status lam_analysis_create(lam_models *models, lam_ipc_message *begin, lam_analysis **out, lam_error *err)
{
    (void)models;
    (void)begin;
    lam_analysis *analysis = calloc(1, sizeof *analysis);
    if (!analysis)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_fail(&analysis->failure, LAM_E_UNSUPPORTED, "this worker indexes only");
    *out = analysis;
    return LAM_OK;
}

void lam_analysis_free(lam_analysis *analysis)
{
    free(analysis);
}

void lam_analysis_add(lam_analysis *analysis, lam_ipc_message *input)
{
    (void)analysis;
    (void)input;
}

lam_status lam_analysis_run(lam_analysis *analysis, int socket, lam_ipc_message *run, lam_buffer *result,
                            lam_error *err)
{
    (void)socket;
    (void)run;
    (void)result;
    *err = analysis->failure;
    return err->status;
}
