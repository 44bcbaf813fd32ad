#include "api/data_sets.h"

#include <jansson.h>
#include <stdio.h>

#include "api/dicom_xml.h"
#include "api/negotiate.h"
#include "api/parts.h"
#include "api/reply.h"
#include "core/base/cleanup.h"

enum { MAX_XML = 512 * 1024 * 1024 };

static const char *const json_types[] = {"application/dicom+json", "application/json"};

int lam_data_sets_choose(lam_request *request)
{
    LAM_AUTO(lam_buffer_done) lam_buffer scratch = {0};
    static const lam_offer offers[] = {
        {.type = "application/dicom+json"},
        {.type = "application/json"},
        {.type = "multipart/related", .part_type = "application/dicom+xml"},
    };
    int chosen = lam_negotiate(lam_request_accept(request, &scratch), offers, LAM_COUNT(offers));
    if (chosen < 0)
        lam_reply_problem(request, MHD_HTTP_NOT_ACCEPTABLE, "on offer here: %s", LAM_DATA_SETS_TYPES);
    return chosen;
}

static void reply_xml(lam_request *request, const lam_buffer *array)
{
    LAM_AUTO(lam_buffer_done) lam_buffer xml;
    char boundary[LAM_BOUNDARY + 1], type[128];
    lam_buffer_init(&xml, MAX_XML);
    if (!lam_parts_boundary(boundary)) {
        lam_reply_problem(request, MHD_HTTP_SERVICE_UNAVAILABLE, "no random numbers from the system");
        return;
    }
    json_t *list = json_loadb(lam_buffer_text(array), array->length, 0, NULL);
    for (size_t i = 0; i < json_array_size(list); i++) {
        lam_buffer_printf(&xml, "--%s\r\nContent-Type: application/dicom+xml\r\n\r\n", boundary);
        lam_dicom_xml_write(json_array_get(list, i), &xml);
        lam_buffer_append_text(&xml, "\r\n");
    }
    lam_buffer_printf(&xml, "--%s--\r\n", boundary);
    bool whole = list && xml.status == LAM_OK;
    json_decref(list);
    if (!whole) {
        lam_reply_problem(request, MHD_HTTP_CONTENT_TOO_LARGE,
                          "too large for XML; ask for a part, or for JSON");
        return;
    }
    size_t length = xml.length;
    snprintf(type, sizeof type, "multipart/related; type=\"application/dicom+xml\"; boundary=%s", boundary);
    lam_reply_text(request, MHD_HTTP_OK, type, lam_buffer_take(&xml), length);
}

void lam_data_sets_reply(lam_request *request, int chosen, lam_buffer *array)
{
    if (chosen == 2) {
        reply_xml(request, array);
        return;
    }
    size_t length = array->length;
    lam_reply_text(request, MHD_HTTP_OK, json_types[chosen], lam_buffer_take(array), length);
}
