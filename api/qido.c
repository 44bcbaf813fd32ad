/* QIDO-RS (PS3.18 section 10.6), and the search for workitems (section 11.9): reads the query of the URL,
 * asks the backend, and says what the clause says about an empty, cut or too broad answer. Which attributes
 * there are is the backend's knowledge. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/data_sets.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "api/urls.h"
#include "core/base/cleanup.h"

enum { MAX_TERMS = 64, MAX_INCLUDE = 256, MAX_RESULTS = 10000, MAX_ANSWER = 64 * 1024 * 1024 };

typedef struct qido {
    lam_search search;
    lam_search_term terms[MAX_TERMS];
    const char *include[MAX_INCLUDE];
    size_t include_count;
    char *lists[MAX_INCLUDE]; /* the values of includefield, cut at their commas */
    size_t list_count;
    bool empty_value, multiple_value;
    unsigned given; /* a bit for each of the parameters that are no attributes */
    lam_error error;
} qido;

static void free_query(qido *q)
{
    for (size_t i = 0; i < q->list_count; i++)
        free(q->lists[i]);
}

/* ---- the parameters ---- */

static void read_number(qido *q, const char *name, const char *value, int64_t minimum, int64_t *out)
{
    char *end = NULL;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    if (errno || end == value || *end || value[0] == '+' || value[0] == ' ' || number < minimum)
        lam_fail(&q->error, LAM_E_INVALID, "query parameter %s must be a whole number from %lld", name,
                 (long long)minimum);
    else
        *out = number;
}

static void read_limit(qido *q, const char *value)
{
    int64_t limit = 0;
    read_number(q, "limit", value, 0, &limit);
    q->search.limit = limit < MAX_RESULTS ? limit : MAX_RESULTS;
}

static void read_offset(qido *q, const char *value)
{
    read_number(q, "offset", value, 0, &q->search.offset);
}

static bool read_switch(qido *q, const char *name, const char *value)
{
    bool yes = strcasecmp(value, "true") == 0;
    if (!yes && strcasecmp(value, "false") != 0)
        lam_fail(&q->error, LAM_E_INVALID, "query parameter %s must be true or false", name);
    return yes;
}

static void read_fuzzy(qido *q, const char *value)
{
    q->search.fuzzy = read_switch(q, "fuzzymatching", value);
}

static void read_empty_value(qido *q, const char *value)
{
    q->empty_value = read_switch(q, "emptyvaluematching", value);
}

static void read_multiple_value(qido *q, const char *value)
{
    q->multiple_value = read_switch(q, "multiplevaluematching", value);
}

static void read_include(qido *q, const char *value)
{
    char *list = q->list_count < MAX_INCLUDE ? strdup(value) : NULL;
    if (!list) {
        lam_fail(&q->error, LAM_E_INVALID, "query parameter includefield is given too often");
        return;
    }
    q->lists[q->list_count++] = list;
    char *rest = NULL;
    for (const char *name = strtok_r(list, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
        if (strcmp(name, "all") == 0)
            q->search.include_all = true;
        else if (q->include_count == MAX_INCLUDE)
            lam_fail(&q->error, LAM_E_INVALID, "query parameter includefield names too many attributes");
        else
            q->include[q->include_count++] = name;
    }
}

static void ignore(qido *q, const char *value)
{
    (void)q;
    (void)value;
}

static const struct {
    const char *name;
    void (*read)(qido *q, const char *value);
    bool often;
} parameters[] = {
    {"limit", read_limit, false},
    {"offset", read_offset, false},
    {"fuzzymatching", read_fuzzy, false},
    {"emptyvaluematching", read_empty_value, false},
    {"multiplevaluematching", read_multiple_value, false},
    {"includefield", read_include, true},
    {"accept", ignore, false},
};

static void read_parameter(qido *q, size_t which, const char *value)
{
    if ((q->given & 1u << which) && !parameters[which].often)
        lam_fail(&q->error, LAM_E_INVALID, "query parameter %s is given twice", parameters[which].name);
    else
        parameters[which].read(q, value);
    q->given |= 1u << which;
}

static enum MHD_Result take_parameter(void *context, enum MHD_ValueKind kind, const char *name,
                                      const char *value)
{
    (void)kind;
    qido *q = context;
    if (!*name && !value)
        return MHD_YES; /* nothing between two "&", or after the last */
    for (size_t i = 0; i < LAM_COUNT(parameters); i++)
        if (strcmp(parameters[i].name, name) == 0) {
            read_parameter(q, i, value ? value : "");
            return q->error.status == LAM_OK ? MHD_YES : MHD_NO;
        }
    if (q->search.term_count == MAX_TERMS) {
        lam_fail(&q->error, LAM_E_INVALID, "more than %d query parameters", MAX_TERMS);
        return MHD_NO;
    }
    q->terms[q->search.term_count++] = (lam_search_term){name, value ? value : ""};
    return MHD_YES;
}

static void read_query(const lam_request *request, lam_level level, qido *q)
{
    q->search.level = level;
    q->search.limit = MAX_RESULTS;
    MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, take_parameter, q);
    q->search.terms = q->terms;
    q->search.include = q->include;
    q->search.include_count = q->include_count;
    q->search.within.study_uid = request->parameters[0][0] ? request->parameters[0] : NULL;
    q->search.within.series_uid = request->parameters[1][0] ? request->parameters[1] : NULL;
}

/* ---- the answer ---- */

/* PS3.18 section 8.3.4.4.1; table 10.6.3-2 */
static void add_warnings(lam_request *request, const qido *q, const lam_search_answer *found)
{
    char text[128], number[24] = "";
    if (found->remaining > 0)
        snprintf(number, sizeof number, "%lld ", (long long)found->remaining);
    snprintf(text, sizeof text, "299 lamina \"There are %sadditional results that can be requested\"",
             number);
    if (found->more)
        lam_reply_header(request, "Warning", text);
    if (q->empty_value)
        lam_reply_header(request, "Warning",
                         "299 lamina \"The emptyvaluematching parameter is not supported\"");
    if (q->multiple_value)
        lam_reply_header(
            request, "Warning",
            "299 lamina \"The multiplevaluematching parameter is honoured for UIDs and codes only\"");
}

static void answer(lam_request *request, qido *q, int chosen)
{
    LAM_AUTO(lam_buffer_done) lam_buffer array;
    lam_buffer_init(&array, MAX_ANSWER);
    lam_search_answer found = {.out = &array};
    const lam_backend *backend = request->backend;
    lam_status status = backend->search(backend->context, &q->search, &found, &q->error);
    if (status != LAM_OK) {
        lam_reply_error(request, &q->error);
    } else if (found.count == 0) {
        lam_reply_empty(request, MHD_HTTP_NO_CONTENT);
        add_warnings(request, q, &found);
    } else {
        lam_data_sets_reply(request, chosen, &array);
        add_warnings(request, q, &found);
    }
}

static void search(lam_request *request, lam_level level)
{
    qido q = {.error = {.status = LAM_OK}};
    char root[LAM_URL_TEXT];
    lam_url_root(request->options, root);
    q.search.root = root;
    read_query(request, level, &q);
    int chosen = -1;
    if (q.error.status != LAM_OK)
        lam_reply_error(request, &q.error);
    else
        chosen = lam_data_sets_choose(request);
    if (chosen >= 0)
        answer(request, &q, chosen);
    free_query(&q);
}

void lam_qido_studies(lam_request *request)
{
    search(request, LAM_LEVEL_STUDY);
}

void lam_qido_workitems(lam_request *request)
{
    search(request, LAM_LEVEL_WORKITEM);
}

void lam_qido_series(lam_request *request)
{
    search(request, LAM_LEVEL_SERIES);
}

void lam_qido_instances(lam_request *request)
{
    search(request, LAM_LEVEL_INSTANCE);
}
