/* WADO-RS bulk data (PS3.18 section 10.4.1.1.5): one value of an instance by its path, as the metadata's
 * BulkDataURI names it, in the byte order of the stored object; Pixel Data as frames are given (section
 * 8.7.3.3), since octets of a compressed object say nothing to who has not read the rest of it. */
#include <strings.h>

#include "api/handlers.h"
#include "api/negotiate.h"
#include "api/parts.h"
#include "api/reply.h"
#include "core/base/cleanup.h"

#define OCTETS "application/octet-stream"

void lam_wado_bulkdata(lam_request *request)
{
    static const lam_offer offers[] = {{OCTETS, NULL, NULL, false},
                                       {"multipart/related", OCTETS, NULL, false}};
    const lam_backend *backend = request->backend;
    if (strcasecmp(request->parameters[3], "7FE00010") == 0 && lam_wado_pixel_data(request))
        return;
    LAM_AUTO(lam_buffer_done) lam_buffer scratch = {0};
    int chosen = lam_negotiate(lam_request_accept(request, &scratch), offers, LAM_COUNT(offers));
    if (chosen < 0) {
        lam_reply_problem(request, MHD_HTTP_NOT_ACCEPTABLE,
                          "on offer here: " OCTETS ", multipart/related; type=\"" OCTETS "\"");
        return;
    }
    const lam_pixel_request wanted = {.study_uid = request->parameters[0],
                                      .series_uid = request->parameters[1],
                                      .sop_uid = request->parameters[2],
                                      .form = LAM_PIXELS_VALUE,
                                      .path = request->parameters[3]};
    lam_pixels pixels = {.fd = -1};
    lam_error error = {0};
    lam_request_wait_begin(request);
    lam_status status = backend->pixels(backend->context, &wanted, &pixels, &error);
    lam_request_wait_end(request);
    if (status != LAM_OK)
        lam_reply_pixels_error(request, &error);
    else if (chosen == 0)
        lam_reply_pixels(request, OCTETS, &pixels, true);
    else
        lam_reply_pixels_multipart(request, OCTETS, OCTETS, NULL, NULL, &pixels);
}
