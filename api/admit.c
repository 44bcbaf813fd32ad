#include "api/admit.h"

#include <string.h>
#include <strings.h>

#include "api/negotiate.h"
#include "api/reply.h"
#include "api/routes.h"
#include "core/base/cleanup.h"

enum { IGNORED_BODY = 64 * 1024 }; /* on a route that takes none */

int64_t lam_request_body_limit(const lam_request *request)
{
    return request->route && request->route->body ? request->options->max_body_bytes : IGNORED_BODY;
}

typedef struct header_count {
    size_t bytes;
    int hosts;
    int lengths; /* headers that say where the body ends */
    bool spaced; /* a name with a blank before its colon */
} header_count;

static enum MHD_Result count_header(void *context, enum MHD_ValueKind kind, const char *key,
                                    const char *value)
{
    (void)kind;
    header_count *count = context;
    size_t length = strlen(key);
    count->bytes += length + (value ? strlen(value) : 0) + 4;
    count->spaced |= length && strchr(" \t", key[length - 1]) != NULL;
    count->hosts += strcasecmp(key, MHD_HTTP_HEADER_HOST) == 0;
    count->lengths += strcasecmp(key, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0 ||
                      strcasecmp(key, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0;
    return MHD_YES;
}

typedef struct wrong_query {
    const lam_request *request;
    const char *name;
    const char *values; /* of a known one */
    bool twice;
} wrong_query;

static bool is_word_of(const char *words, const char *value)
{
    size_t length = strlen(value);
    for (const char *at = words; *at; at += strspn(at, " ")) {
        size_t word = strcspn(at, " ");
        if (word == length && memcmp(at, value, word) == 0)
            return true;
        at += word;
    }
    return false;
}

static enum MHD_Result find_wrong(void *context, enum MHD_ValueKind kind, const char *key, const char *value)
{
    (void)kind;
    wrong_query *search = context;
    if (!*key && !value)
        return MHD_YES; /* nothing between two "&", or after the last */
    const lam_query_parameter *known = search->request->route->query;
    while (known && known->name && strcmp(known->name, key) != 0)
        known++;
    bool is_known = known && known->name;
    search->twice = is_known && value && lam_request_query(search->request, key) != value;
    if (is_known && !search->twice && (!known->values || is_word_of(known->values, value ? value : "")))
        return MHD_YES;
    search->name = key;
    search->values = is_known ? known->values : NULL;
    return MHD_NO;
}

/* What a proxy and we could read in two ways ends the connection. */
static bool refuse_framing(lam_request *request, unsigned status, const char *reason)
{
    lam_reply_problem(request, status, "%s", reason);
    lam_reply_header(request, MHD_HTTP_HEADER_CONNECTION, "close");
    return false;
}

static bool check_framing(lam_request *request, const header_count *count)
{
    const char *coding =
        MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_TRANSFER_ENCODING);
    if (count->spaced)
        return refuse_framing(request, MHD_HTTP_BAD_REQUEST,
                              "a blank stands before the colon of a header (RFC 9112 section 5.1)");
    if (count->hosts > 1 || (count->hosts == 0 && strcmp(request->version, MHD_HTTP_VERSION_1_0) != 0))
        return refuse_framing(request, MHD_HTTP_BAD_REQUEST,
                              "a request has one Host header (RFC 9112 section 3.2)");
    if (count->lengths > 1) /* a proxy may have believed the other (RFC 9112 section 6.3) */
        return refuse_framing(request, MHD_HTTP_BAD_REQUEST, "the length of the body is said more than once");
    if (coding && strcasecmp(coding, "chunked") != 0)
        return refuse_framing(request, MHD_HTTP_NOT_IMPLEMENTED,
                              "the only Transfer-Encoding known here is chunked");
    return true;
}

static bool check_headers(lam_request *request)
{
    header_count count = {.bytes = strlen(request->path)};
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, count_header, &count);
    if (!check_framing(request, &count))
        return false;
    if (strlen(request->path) > request->options->max_header_bytes) {
        lam_reply_problem(request, MHD_HTTP_URI_TOO_LONG, "the path has %zu bytes; at most %zu are taken",
                          strlen(request->path), request->options->max_header_bytes);
        return false;
    }
    if (count.bytes <= request->options->max_header_bytes)
        return true;
    lam_reply_problem(request, MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE,
                      "the headers have %zu bytes; at most %zu are taken", count.bytes,
                      request->options->max_header_bytes);
    return false;
}

static bool check_query(lam_request *request)
{
    if (request->route->flags & LAM_ROUTE_FREE_QUERY)
        return true;
    wrong_query search = {.request = request};
    MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, find_wrong, &search);
    if (!search.name)
        return true;
    if (search.twice)
        lam_reply_problem(request, MHD_HTTP_BAD_REQUEST, "query parameter %.60s is given twice", search.name);
    else if (search.values)
        lam_reply_problem(request, MHD_HTTP_BAD_REQUEST, "query parameter %.60s must be one of: %s",
                          search.name, search.values);
    else
        lam_reply_problem(request, MHD_HTTP_BAD_REQUEST, "query parameter %.60s is not known here",
                          search.name);
    return false;
}

/* The types of a comma list as offers. */
static size_t read_offers(const char *list, lam_media_type *types, lam_offer *offers, size_t most)
{
    size_t count = 0;
    for (const char *at = list; *at && count < most;)
        if (lam_media_type_parse(at, &types[count], &at)) {
            offers[count] = (lam_offer){.type = types[count].type,
                                        .part_type = lam_media_type_get(&types[count], "type")};
            count++;
        }
    return count;
}

static bool check_accept(lam_request *request)
{
    enum { MAX_OFFERS = 4 };
    const char *list = request->route->produces;
    if (!list || (request->route->flags & LAM_ROUTE_NEGOTIATES))
        return true;
    LAM_AUTO(lam_buffer_done) lam_buffer scratch = {0};
    lam_media_type types[MAX_OFFERS];
    lam_offer offers[MAX_OFFERS];
    size_t count = read_offers(list, types, offers, MAX_OFFERS);
    if (lam_negotiate(lam_request_header(request, "Accept", &scratch), offers, count) >= 0)
        return true;
    lam_reply_problem(request, MHD_HTTP_NOT_ACCEPTABLE, "on offer here: %s", list);
    return false;
}

static bool check_body_size(lam_request *request)
{
    int64_t length;
    int64_t limit = lam_request_body_limit(request);
    if (!lam_request_has_body(request, &length) || length <= limit)
        return true;
    lam_reply_problem(request, MHD_HTTP_CONTENT_TOO_LARGE,
                      "the body has %lld bytes; at most %lld are taken here", (long long)length,
                      (long long)limit);
    return false;
}

/* Bodies are kept as they come: one that is coded would be stored coded (RFC 9110 section 8.4). */
static bool check_body_coding(lam_request *request)
{
    LAM_AUTO(lam_buffer_done) lam_buffer scratch = {0};
    const char *coding = lam_request_header(request, MHD_HTTP_HEADER_CONTENT_ENCODING, &scratch);
    if (!request->route->body || !coding || strcasecmp(coding, "identity") == 0)
        return true;
    lam_reply_problem(request, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
                      "bodies with a Content-Encoding are not taken; send it as it is");
    lam_reply_header(request, MHD_HTTP_HEADER_ACCEPT_ENCODING, "identity");
    return false;
}

/* Finds the route; otherwise answers 404, 405, 400, or OPTIONS (RFC 9110 section 9.3.7). */
static bool find_route(lam_request *request)
{
    LAM_AUTO(lam_buffer_done) lam_buffer allow;
    lam_buffer_init(&allow, 256);
    lam_error error;
    if (strcmp(request->path, "*") == 0 &&
        strcmp(request->method, "OPTIONS") == 0) { /* of the whole server */
        lam_reply_empty(request, MHD_HTTP_NO_CONTENT);
        lam_reply_header(request, MHD_HTTP_HEADER_ALLOW, "GET, HEAD, POST, PUT, DELETE, OPTIONS");
        return false;
    }
    lam_status status =
        lam_route_find(request->method, request->path, &request->route, request->parameters, &allow, &error);
    if (status == LAM_OK)
        return true;
    if (status == LAM_E_STATE && strcmp(request->method, "OPTIONS") == 0)
        lam_reply_empty(request, MHD_HTTP_NO_CONTENT);
    else if (status == LAM_E_STATE)
        lam_reply_problem(request, MHD_HTTP_METHOD_NOT_ALLOWED, "%s", error.message);
    else
        lam_reply_problem(request, status == LAM_E_INVALID ? MHD_HTTP_BAD_REQUEST : MHD_HTTP_NOT_FOUND, "%s",
                          error.message);
    if (status == LAM_E_STATE)
        lam_reply_header(request, MHD_HTTP_HEADER_ALLOW, lam_buffer_text(&allow));
    return false;
}

void lam_request_admit(lam_request *request, const lam_access *access)
{
    if (!check_headers(request) ||
        !find_route(request)) /* an answer about the URL tells nothing about data */
        return;
    bool open = request->route->flags & LAM_ROUTE_OPEN;
    if (!lam_access_check(access, request, open) || !check_query(request) || !check_accept(request) ||
        !check_body_size(request) || !check_body_coding(request))
        return;
    if (request->route->body)
        request->route->body->begin(request);
}
