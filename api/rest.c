/* The JSON REST API of DESIGN.md section 4: each handler asks the backend one question and wraps the answer.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/negotiate.h"
#include "api/reply.h"
#include "api/rest.h"
#include "api/stats.h"
#include "core/base/cleanup.h"

enum { DEFAULT_LIMIT = 100, MAX_LIMIT = 1000, MAX_METRICS = 4 * 1024 * 1024 };

void lam_rest_reply(lam_request *request, const lam_error *error, json_t *value)
{
    if (error->status == LAM_OK)
        lam_reply_json(request, request->route->success, value);
    else
        lam_reply_error(request, error);
}

static bool read_integer(lam_request *request, const char *name, int64_t minimum, int64_t maximum,
                         int64_t *value)
{
    const char *text = lam_request_query(request, name);
    if (!text)
        return true;
    char *end = NULL;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno || end == text || *end || number < minimum || number > maximum) {
        lam_reply_problem(request, MHD_HTTP_BAD_REQUEST,
                          "query parameter %s must be a whole number from %lld to %lld", name,
                          (long long)minimum, (long long)maximum);
        return false;
    }
    *value = number;
    return true;
}

bool lam_rest_read_page(lam_request *request, lam_list_query *query)
{
    *query = (lam_list_query){.state = lam_request_query(request, "state"), .limit = DEFAULT_LIMIT};
    return read_integer(request, "limit", 1, MAX_LIMIT, &query->limit) &&
           read_integer(request, "offset", 0, INT64_MAX / 2, &query->offset);
}

void lam_rest_reply_page(lam_request *request, const lam_error *error, const char *name, json_t *members,
                         const lam_list_query *query)
{
    lam_rest_reply(request, error,
                   members ? json_pack("{s:o, s:I, s:I}", name, members, "limit", (json_int_t)query->limit,
                                       "offset", (json_int_t)query->offset)
                           : NULL);
}

void lam_rest_reply_list(lam_request *request, const lam_error *error, const char *name, json_t *members)
{
    lam_rest_reply(request, error, members ? json_pack("{s:o}", name, members) : NULL);
}

/* ---- lists ---- */

typedef lam_status (*list_function)(void *context, const lam_list_query *query, json_t **out, lam_error *err);

static void reply_list(lam_request *request, const char *name, list_function list)
{
    lam_list_query query = {0};
    json_t *members = NULL;
    lam_error error = {0};
    if (!lam_rest_read_page(request, &query))
        return;
    error.status = list(request->backend->context, &query, &members, &error);
    lam_rest_reply_page(request, &error, name, members, &query);
}

void lam_rest_studies(lam_request *request)
{
    reply_list(request, "studies", request->backend->studies);
}

void lam_rest_jobs(lam_request *request)
{
    reply_list(request, "jobs", request->backend->jobs);
}

void lam_rest_models(lam_request *request)
{
    json_t *models = NULL;
    lam_error error = {0};
    error.status = request->backend->models(request->backend->context, &models, &error);
    lam_rest_reply_list(request, &error, "models", models);
}

/* ---- what a text in the path names ---- */

typedef lam_status (*object_function)(void *context, const char *key, json_t **out, lam_error *err);

static void reply_object(lam_request *request, object_function get)
{
    json_t *object = NULL;
    lam_error error = {0};
    error.status = get(request->backend->context, request->parameters[0], &object, &error);
    lam_rest_reply(request, &error, object);
}

void lam_rest_study(lam_request *request)
{
    reply_object(request, request->backend->study);
}

static void reply_fhir(lam_request *request)
{
    json_t *bundle = NULL;
    lam_error error = {0};
    error.status =
        request->backend->results_fhir(request->backend->context, request->parameters[0], &bundle, &error);
    if (error.status != LAM_OK) {
        lam_reply_error(request, &error);
        return;
    }
    char *text = json_dumps(bundle, JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_decref(bundle);
    if (text)
        lam_reply_text(request, MHD_HTTP_OK, "application/fhir+json", text, strlen(text));
    else
        lam_reply_problem(request, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory");
}

/* In the form that the query names, else in the one that the client prefers. */
void lam_rest_results(lam_request *request)
{
    static const lam_offer offers[] = {{.type = "application/json"}, {.type = "application/fhir+json"}};
    LAM_AUTO(lam_buffer_done) lam_buffer scratch = {0};
    const char *format = lam_request_query(request, "format");
    int chosen =
        format ? strcmp(format, "fhir") == 0
               : lam_negotiate(lam_request_header(request, "Accept", &scratch), offers, LAM_COUNT(offers));
    if (chosen < 0)
        lam_reply_problem(request, MHD_HTTP_NOT_ACCEPTABLE, "on offer here: %s", request->route->produces);
    else if (chosen == 1)
        reply_fhir(request);
    else
        reply_object(request, request->backend->results);
}

void lam_rest_model(lam_request *request)
{
    reply_object(request, request->backend->model);
}

/* ---- what a number in the path names ---- */

static int64_t number_of(const lam_request *request)
{
    return strtoll(request->parameters[0], NULL, 10); /* at most 18 digits: routes.c */
}

void lam_rest_reply_numbered(lam_request *request, lam_rest_ask ask)
{
    json_t *object = NULL;
    lam_error error = {0};
    error.status = ask(request->backend->context, number_of(request), &object, &error);
    lam_rest_reply(request, &error, object);
}

void lam_rest_job(lam_request *request)
{
    lam_rest_reply_numbered(request, request->backend->job);
}

void lam_rest_job_retry(lam_request *request)
{
    lam_rest_reply_numbered(request, request->backend->job_retry);
}

void lam_rest_job_cancel(lam_request *request)
{
    lam_rest_reply_numbered(request, request->backend->job_cancel);
}

void lam_rest_analyze(lam_request *request)
{
    const char *model = lam_request_query(request, "model");
    if (model && *model == '\0')
        model = NULL;
    const lam_parameter_kind *name = lam_parameter_kind_of("name", strlen("name"));
    if (model && !name->valid(model)) {
        lam_reply_problem(request, MHD_HTTP_BAD_REQUEST, "query parameter model is not the name of a model");
        return;
    }
    json_t *study = NULL;
    lam_error error = {0};
    error.status =
        request->backend->analyze(request->backend->context, request->parameters[0], model, &study, &error);
    lam_rest_reply(request, &error, study);
}

void lam_rest_picture(lam_request *request)
{
    int fd = -1;
    int64_t bytes = 0;
    const char *media_type = NULL;
    lam_error error = {0};
    lam_status status =
        request->backend->picture_open(request->backend->context, number_of(request), request->parameters[1],
                                       &fd, &bytes, &media_type, &error);
    if (status == LAM_OK)
        lam_reply_file(request, media_type, fd, bytes);
    else
        lam_reply_error(request, &error);
}

void lam_rest_status(lam_request *request)
{
    json_t *object = NULL;
    lam_error error = {0};
    error.status = request->backend->status(request->backend->context, &object, &error);
    lam_rest_reply(request, &error, object);
}

void lam_rest_healthz(lam_request *request)
{
    static const char ok[] = "ok\n";
    lam_reply_constant(request, "text/plain; charset=utf-8", ok, sizeof ok - 1);
}

void lam_rest_readyz(lam_request *request)
{
    lam_error error = {0};
    if (request->backend->ready(request->backend->context, &error) == LAM_OK)
        lam_rest_healthz(request);
    else
        lam_reply_problem(request, MHD_HTTP_SERVICE_UNAVAILABLE, "%s", error.message);
}

void lam_rest_metrics(lam_request *request)
{
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_buffer_init(&text, MAX_METRICS);
    lam_error error = {0};
    lam_status status = request->backend->metrics(request->backend->context, &text, &error);
    if (status != LAM_OK) {
        lam_reply_error(request, &error);
        return;
    }
    lam_stats_write(request->stats, &text);
    size_t length = text.length;
    lam_reply_text(request, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", lam_buffer_take(&text),
                   length);
}
