#include "api/deed.h"

#include <stdlib.h>
#include <string.h>

#include "api/routes.h"
#include "core/base/cleanup.h"

enum { MAX_TARGET = 16 * 1024 };

/* As in a URL (RFC 3986): what would end a parameter, or is no character of a URL, in hexadecimal. */
static void append_encoded(lam_buffer *target, const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/:@!$'()*,;";
    while (*text) {
        size_t length = strspn(text, plain);
        lam_buffer_append(target, text, length);
        text += length;
        if (*text)
            lam_buffer_printf(target, "%%%02X", (unsigned char)*text++);
    }
}

typedef struct query {
    lam_buffer *target;
    const char *separator;
} query;

static enum MHD_Result add_parameter(void *context, enum MHD_ValueKind kind, const char *key,
                                     const char *value)
{
    (void)kind;
    query *q = context;
    lam_buffer_append_text(q->target, q->separator);
    q->separator = "&";
    append_encoded(q->target, key);
    if (value) {
        lam_buffer_append_text(q->target, "=");
        append_encoded(q->target, value);
    }
    return MHD_YES;
}

/* Path and query of the URL; of one that is too long the beginning, and "…", which no URL contains. */
static void write_target(const lam_request *request, lam_buffer *target)
{
    static const char cut[] = "\xE2\x80\xA6";
    query q = {target, "?"};
    target->maximum -= strlen(cut);
    append_encoded(target, request->path);
    MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, add_parameter, &q);
    if (target->status == LAM_OK)
        return;
    target->status = LAM_OK;
    target->maximum += strlen(cut);
    lam_buffer_append_text(target, cut);
}

/* The value of the path parameter `name`, or NULL where the route has none. */
static const char *parameter_of(const lam_request *request, const char *name)
{
    size_t index = 0, length = strlen(name);
    const char *at = request->route ? request->route->path : "";
    while ((at = strchr(at, '{')) != NULL) {
        if (strncmp(at + 1, name, length) == 0 && at[1 + length] == '}')
            return request->parameters[index];
        at++;
        index++;
    }
    return NULL;
}

void lam_request_note_deed(const lam_request *request, bool whole)
{
    lam_deed_kind kind = request->route ? request->route->deed : LAM_DEED_NONE;
    if (!request->backend->deed || (kind == LAM_DEED_NONE && !request->refused))
        return;
    LAM_AUTO(lam_buffer_done) lam_buffer target;
    lam_buffer_init(&target, MAX_TARGET);
    write_target(request, &target);
    const char *job = parameter_of(request, "job");
    const lam_deed deed = {.kind = kind,
                           .client = {request->client, request->user},
                           .place = {parameter_of(request, "study"), parameter_of(request, "series"),
                                     parameter_of(request, "instance")},
                           .job = job ? strtoll(job, NULL, 10) : 0,
                           .target = lam_buffer_text(&target),
                           .status = request->queued && whole ? request->status : 0,
                           .refused = request->refused,
                           .transfers = &request->transfers};
    request->backend->deed(request->backend->context, &deed);
}
