/* DELETE of a study, a series or an instance. DICOMweb does not define it, but clients know it in this form.
 * Off unless the configuration allows it, and then for who has the role. */
#include "api/handlers.h"
#include "api/reply.h"

static const char *uid_or_null(const lam_request *request, size_t parameter)
{
    return request->parameters[parameter][0] ? request->parameters[parameter] : NULL;
}

void lam_remove_handle(lam_request *request)
{
    if (!request->options->allow_delete) {
        lam_reply_problem(request, MHD_HTTP_FORBIDDEN,
                          "nothing is deleted here; [http] allow_delete = yes would change that");
        return;
    }
    if (!request->may_delete) {
        request->refused = true;
        lam_reply_problem(request, MHD_HTTP_FORBIDDEN,
                          "this token has not the role delete; in token_file it stands after the token");
        return;
    }
    const lam_place place = {uid_or_null(request, 0), uid_or_null(request, 1), uid_or_null(request, 2)};
    const lam_client client = {request->client, request->user};
    lam_error error = {0};
    if (request->backend->remove(request->backend->context, &place, &client, &error) == LAM_OK)
        lam_reply_empty(request, MHD_HTTP_NO_CONTENT);
    else
        lam_reply_error(request, &error);
}
