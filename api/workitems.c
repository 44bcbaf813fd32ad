/* The worklist, UPS-RS (PS3.18 section 11), but for its search, which is qido.c: reads the body, asks the
 * backend, and says what the clauses say about status and Warning header. Subscriptions (sections 11.10 to
 * 11.12) are not here; /api/v1/events tells who wants to know. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/data_sets.h"
#include "api/handlers.h"
#include "api/negotiate.h"
#include "api/reply.h"
#include "api/urls.h"
#include "core/base/cleanup.h"

enum { MAX_WORKITEM = 1024 * 1024, URL = LAM_URL_TEXT + LAM_UID_TEXT + 16 };

/* ---- the body ---- */

static bool is_json(lam_request *request)
{
    const char *text =
        MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE);
    lam_media_type media;
    return text && lam_media_type_parse(text, &media, NULL) &&
           (strcmp(media.type, "application/dicom+json") == 0 || strcmp(media.type, "application/json") == 0);
}

static void begin(lam_request *request, bool needed)
{
    int64_t length;
    bool there = lam_request_has_body(request, &length) && length != 0;
    if (!there && !needed)
        return;
    if (!there) {
        lam_reply_problem(request, MHD_HTTP_BAD_REQUEST, "send a data set as application/dicom+json");
        return;
    }
    if (!is_json(request)) {
        lam_reply_problem(request, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
                          "workitems are taken as application/dicom+json only");
        lam_reply_header(request, "Accept-Post", "application/dicom+json");
        return;
    }
    lam_buffer *body = calloc(1, sizeof *body);
    if (!body) {
        lam_reply_problem(request, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
        return;
    }
    lam_buffer_init(body, MAX_WORKITEM);
    request->body = body;
}

static void begin_workitem(lam_request *request)
{
    begin(request, true);
}

static void begin_cancel(lam_request *request)
{
    begin(request, false);
}

static void take(lam_request *request, const char *bytes, size_t length)
{
    if (request->body && lam_buffer_append(request->body, bytes, length) == LAM_E_LIMIT)
        lam_reply_problem(request, MHD_HTTP_CONTENT_TOO_LARGE, "a workitem has at most %d bytes",
                          MAX_WORKITEM);
}

static void discard(lam_request *request)
{
    lam_buffer *body = LAM_TAKE_PTR(request->body);
    if (body)
        lam_buffer_done(body);
    free(body);
}

const lam_body_functions lam_workitem_body = {begin_workitem, take, discard, "application/dicom+json", false};
const lam_body_functions lam_cancel_body = {begin_cancel, take, discard, "application/dicom+json", false};

/* The data set of the body, alone or in an array of one (PS3.18 section F.2.1); the caller's. NULL: there was
 * no body, or it is none, which has been answered. */
static json_t *read_body(lam_request *request)
{
    json_error_t where;
    const lam_buffer *body = request->body;
    if (!body)
        return NULL;
    json_t *root = json_loadb(lam_buffer_text(body), body->length, JSON_REJECT_DUPLICATES, &where);
    json_t *data_set = json_is_array(root) && json_array_size(root) == 1 ? json_array_get(root, 0) : root;
    if (!json_is_object(data_set)) {
        if (root)
            lam_reply_problem(request, MHD_HTTP_BAD_REQUEST, "the body is not one data set (PS3.18 F.2.1)");
        else
            lam_reply_problem(request, MHD_HTTP_BAD_REQUEST, "the body is no JSON: line %d, column %d: %s",
                              where.line, where.column, where.text);
        json_decref(root);
        return NULL;
    }
    json_incref(data_set);
    json_decref(root);
    return data_set;
}

/* ---- UIDs of the URL ---- */

typedef struct uid_search {
    const char *const *names; /* NULL ends the list */
    const char *uid;
} uid_search;

/* By one of the names, or alone: sections 11.4.1 and 11.6.1 have a parameter without a name. */
static enum MHD_Result find_uid(void *context, enum MHD_ValueKind kind, const char *key, const char *value)
{
    (void)kind;
    uid_search *search = context;
    for (const char *const *name = search->names; *name; name++)
        if (strcmp(*name, key) == 0 && value)
            search->uid = value;
    if ((!value || !*value) && lam_uid_is_valid(key))
        search->uid = key;
    return MHD_YES;
}

static const char *uid_of_query(lam_request *request, const char *const *names)
{
    uid_search search = {.names = names};
    MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, find_uid, &search);
    return search.uid;
}

/* ---- answers ---- */

static void add_location(lam_request *request, const char *name, const char *uid)
{
    char root[LAM_URL_TEXT], url[URL];
    lam_url_root(request->options, root);
    snprintf(url, sizeof url, "%s/workitems/%s", root, uid);
    lam_reply_header(request, name, url);
}

static void add_warning(lam_request *request, const char *warning)
{
    char text[160];
    if (!warning)
        return;
    snprintf(text, sizeof text, "299 lamina \"%s\"", warning);
    lam_reply_header(request, "Warning", text);
}

static lam_workitem_request describe(lam_request *request, json_t *data_set)
{
    return (lam_workitem_request){.uid = request->parameters[0][0] ? request->parameters[0] : NULL,
                                  .data_set = data_set,
                                  .who = request->client};
}

typedef lam_status (*change)(void *context, const lam_workitem_request *request, const char **warning,
                             lam_error *err);

static void answer_change(lam_request *request, change act, const lam_workitem_request *wanted)
{
    lam_error error = {0};
    const char *warning = NULL;
    if (act(request->backend->context, wanted, &warning, &error) == LAM_OK) {
        lam_reply_empty(request, request->route->success);
        add_location(request, MHD_HTTP_HEADER_CONTENT_LOCATION, wanted->uid);
    } else {
        lam_reply_error(request, &error);
    }
    add_warning(request, warning);
}

/* ---- requests ---- */

void lam_workitem_create(lam_request *request)
{
    static const char *const names[] = {"workitem", "AffectedSOPInstanceUID", NULL};
    json_t *data_set = read_body(request);
    if (!data_set)
        return;
    char uid[LAM_UID_TEXT];
    lam_error error = {0};
    lam_workitem_request wanted = describe(request, data_set);
    wanted.uid = uid_of_query(request, names);
    if (request->backend->workitem_create(request->backend->context, &wanted, uid, &error) == LAM_OK) {
        lam_reply_empty(request, MHD_HTTP_CREATED);
        add_location(request, MHD_HTTP_HEADER_LOCATION, uid);
        add_location(request, MHD_HTTP_HEADER_CONTENT_LOCATION, uid);
    } else {
        lam_reply_error(request, &error);
    }
    json_decref(data_set);
}

void lam_workitem_retrieve(lam_request *request)
{
    LAM_AUTO(lam_buffer_done) lam_buffer array;
    lam_buffer_init(&array, (size_t)4 * MAX_WORKITEM);
    lam_error error = {0};
    int chosen = lam_data_sets_choose(request);
    if (chosen < 0)
        return;
    if (request->backend->workitem(request->backend->context, request->parameters[0], &array, &error) ==
        LAM_OK)
        lam_data_sets_reply(request, chosen, &array);
    else
        lam_reply_error(request, &error);
}

void lam_workitem_update(lam_request *request)
{
    static const char *const names[] = {"transaction-uid", "transaction", NULL};
    json_t *data_set = read_body(request);
    if (!data_set)
        return;
    lam_workitem_request wanted = describe(request, data_set);
    wanted.transaction_uid = uid_of_query(request, names);
    answer_change(request, request->backend->workitem_update, &wanted);
    json_decref(data_set);
}

void lam_workitem_change_state(lam_request *request)
{
    json_t *data_set = read_body(request);
    if (!data_set)
        return;
    const lam_workitem_request wanted = describe(request, data_set);
    answer_change(request, request->backend->workitem_change_state, &wanted);
    json_decref(data_set);
}

void lam_workitem_request_cancel(lam_request *request)
{
    json_t *data_set = read_body(request);
    if (request->body && !data_set)
        return;
    const lam_workitem_request wanted = describe(request, data_set);
    answer_change(request, request->backend->workitem_request_cancel, &wanted);
    json_decref(data_set);
}
