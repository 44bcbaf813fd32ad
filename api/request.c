#include "api/request.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_HEADER = 64 * 1024 };

void lam_request_set_target(lam_request *request, const char *url)
{
    bool whole = strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0;
    request->path = url;
    request->host = MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
    if (!whole)
        return;
    request->host = strstr(url, "://") + 3;
    request->path = strchr(request->host, '/') ? strchr(request->host, '/') : "/";
}

typedef struct header_search {
    const char *name;
    const char *first;
    lam_buffer *joined;
} header_search;

static enum MHD_Result join_header(void *context, enum MHD_ValueKind kind, const char *key, const char *value)
{
    (void)kind;
    header_search *search = context;
    if (strcasecmp(key, search->name) != 0 || !value)
        return MHD_YES;
    if (!search->first) {
        search->first = value;
        return MHD_YES;
    }
    if (search->joined->length == 0)
        lam_buffer_append_text(search->joined, search->first);
    lam_buffer_printf(search->joined, ", %s", value);
    return MHD_YES;
}

const char *lam_request_header(const lam_request *request, const char *name, lam_buffer *scratch)
{
    header_search search = {.name = name, .joined = scratch};
    scratch->maximum = MAX_HEADER;
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, join_header, &search);
    return scratch->length ? lam_buffer_text(scratch) : search.first;
}

typedef struct query_search {
    const char *name;
    const char *value;
} query_search;

static enum MHD_Result find_query(void *context, enum MHD_ValueKind kind, const char *key, const char *value)
{
    (void)kind;
    query_search *search = context;
    if (strcmp(key, search->name) != 0)
        return MHD_YES;
    search->value = value ? value : "";
    return MHD_NO;
}

const char *lam_request_query(const lam_request *request, const char *name)
{
    query_search search = {.name = name};
    MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, find_query, &search);
    return search.value;
}

const char *lam_request_accept(const lam_request *request, lam_buffer *scratch)
{
    const char *parameter = lam_request_query(request, "accept");
    return parameter && *parameter ? parameter : lam_request_header(request, "Accept", scratch);
}

bool lam_request_has_body(const lam_request *request, int64_t *length)
{
    const char *chunked =
        MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_TRANSFER_ENCODING);
    const char *text =
        MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    *length = -1;
    if (chunked)
        return true;
    if (!text)
        return false;
    *length = strtoll(text, NULL, 10); /* the library has checked it */
    return true;
}

void lam_request_note_stored(lam_request *request, const lam_store_result *result)
{
    lam_transfers_add(&request->transfers, result->study_uid, result->sop_class_uid,
                      result->status == LAM_OK ? NULL : result->reason);
}

void lam_request_wait_begin(lam_request *request)
{
    MHD_set_connection_option(request->connection, MHD_CONNECTION_OPTION_TIMEOUT, 0U);
}

void lam_request_wait_end(lam_request *request)
{
    MHD_set_connection_option(request->connection, MHD_CONNECTION_OPTION_TIMEOUT,
                              request->options->idle_timeout_s);
}
