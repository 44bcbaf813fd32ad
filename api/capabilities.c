/* The Capabilities Description of the DICOMweb service (PS3.18 section 8.9 and annex H): which resources
 * there are and what can be done with them, as WADL, made from the table of routes. */
#include <stdio.h>
#include <string.h>

#include "api/handlers.h"
#include "api/reply.h"
#include "api/routes.h"
#include "api/urls.h"
#include "core/base/cleanup.h"

#define ROOT "/dicom-web/"

enum { MAX_DOCUMENT = 256 * 1024 };

static void write_parameters(lam_buffer *out, const lam_route *route)
{
    for (const char *open = strchr(route->path, '{'); open; open = strchr(open + 1, '{')) {
        int length = (int)strcspn(open + 1, "}");
        lam_buffer_printf(out,
                          "<param name=\"%.*s\" style=\"template\" type=\"xs:string\" required=\"true\"/>",
                          length, open + 1);
    }
}

/* Media types separated by commas; quotes as in an attribute. */
static void write_types(lam_buffer *out, const char *list)
{
    for (const char *at = list; *at;) {
        size_t length = strcspn(at, ",");
        lam_buffer_append_text(out, "<representation mediaType=\"");
        for (size_t i = 0; i < length; i++)
            if (at[i] == '"')
                lam_buffer_append_text(out, "&quot;");
            else
                lam_buffer_append(out, at + i, 1);
        lam_buffer_append_text(out, "\"/>");
        at += length + strspn(at + length, ", ");
    }
}

static void write_method(lam_buffer *out, const lam_route *route)
{
    static const char stored[] = "multipart/related; type=\"application/dicom\", application/dicom";
    static const char answered[] = "application/dicom+json, application/dicom+xml";
    const char *otherwise = route->body ? answered : stored;
    lam_buffer_printf(out, "<method name=\"%s\">", route->method);
    if (route->body) {
        lam_buffer_append_text(out, "<request>");
        write_types(out, route->body->takes);
        lam_buffer_append_text(out, "</request>");
    }
    lam_buffer_printf(out, "<response status=\"%u\">", route->success);
    write_types(out, route->produces ? route->produces : otherwise);
    lam_buffer_append_text(out, "</response></method>");
}

static bool is_first_of_its_path(size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (strcmp(lam_routes[i].path, lam_routes[index].path) == 0)
            return false;
    return true;
}

static void write_resource(lam_buffer *out, size_t index)
{
    lam_buffer_printf(out, "<resource path=\"%s\">", lam_routes[index].path + strlen(ROOT));
    write_parameters(out, &lam_routes[index]);
    for (size_t i = index; i < lam_route_count; i++)
        if (strcmp(lam_routes[i].path, lam_routes[index].path) == 0)
            write_method(out, &lam_routes[i]);
    lam_buffer_append_text(out, "</resource>");
}

void lam_capabilities(lam_request *request)
{
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_buffer_init(&text, MAX_DOCUMENT);
    char root[LAM_URL_TEXT];
    lam_url_root(request->options, root);
    lam_buffer_printf(
        &text,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<application xmlns=\"http://wadl.dev.java.net/2009/02\" "
        "xmlns:xs=\"http://www.w3.org/2001/XMLSchema\"><doc title=\"Lamina %s\"/><resources base=\"%s\">",
        LAMINA_VERSION, root);
    for (size_t i = 0; i < lam_route_count; i++)
        if (strncmp(lam_routes[i].path, ROOT, strlen(ROOT)) == 0 && is_first_of_its_path(i))
            write_resource(&text, i);
    lam_buffer_append_text(&text, "</resources></application>\n");
    size_t length = text.length;
    lam_reply_text(request, MHD_HTTP_OK, request->route->produces, lam_buffer_take(&text), length);
    lam_reply_header(request, MHD_HTTP_HEADER_ALLOW, "OPTIONS");
}
