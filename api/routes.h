/* The table of routes: what the server answers, and at once what the OpenAPI document says. To add a route,
 * add a line to routes.c. Internal to api/. */
#ifndef LAMINA_API_ROUTES_H
#define LAMINA_API_ROUTES_H

#include <stdbool.h>
#include <stddef.h>

#include "api/request.h"
#include "core/base/buffer.h"
#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How a route takes a request body. Routes without it ignore a small body and refuse a large one. */
typedef struct lam_body_functions {
    void (*begin)(
        lam_request *request); /* headers are here, the body is not; may reply, then no data follows */
    void (*data)(lam_request *request, const char *bytes,
                 size_t length);           /* may reply; it is sent after the body */
    void (*discard)(lam_request *request); /* always called in the end; frees request->body */
    const char *takes;                     /* media types by commas, for those that describe the route */
    bool several; /* the answer tells what became of each of several things: 202 and 409 do, too */
} lam_body_functions;

typedef struct lam_query_parameter {
    const char *name; /* NULL ends the list */
    const char *type; /* "string", "integer" */
    const char *summary;
    const char *values; /* the only ones, by blanks; NULL: whatever the handler takes */
} lam_query_parameter;

typedef enum lam_route_flags {
    LAM_ROUTE_OPEN = 1,       /* no authentication: carries no data of patients */
    LAM_ROUTE_QUIET = 2,      /* asked every few seconds: logged at debug level */
    LAM_ROUTE_FREE_QUERY = 4, /* query parameters that are not listed are ignored (PS3.18 section 8.3) */
    LAM_ROUTE_NEGOTIATES = 8, /* the handler chooses by Accept, among what `produces` says */
} lam_route_flags;

typedef struct lam_route {
    const char *method; /* GET answers HEAD, too */
    const char *path;   /* a {name} segment is a parameter; parameter kinds are in routes.c */
    void (*handle)(lam_request *request); /* the whole request is here; must reply */
    const char *summary;
    const char *produces; /* media types by commas, checked against Accept; NULL: the handler negotiates */
    const char *schema;   /* of the 2xx answer, in components/schemas; NULL: not JSON */
    unsigned success;     /* status of the usual answer */
    const lam_query_parameter *query; /* NULL: none */
    const lam_body_functions *body;   /* NULL: none */
    unsigned flags;                   /* of lam_route_flags */
    lam_deed_kind deed;               /* what it is for the audit trail */
} lam_route;

extern const lam_route lam_routes[];
extern const size_t lam_route_count;

/* A kind of path parameter, by its name in templates. */
typedef struct lam_parameter_kind {
    const char *name;
    const char *summary;
    const char *type;    /* JSON Schema */
    const char *pattern; /* JSON Schema, NULL: none */
    bool (*valid)(const char *value);
} lam_parameter_kind;

const lam_parameter_kind *lam_parameter_kind_of(const char *name, size_t length);

/* Finds the route of `method` and `path` and fills `parameters`. LAM_E_NOT_FOUND when no template fits;
 * LAM_E_STATE when one does with another method, and then `allow` has the methods that would do;
 * LAM_E_INVALID, naming it, for a parameter that is not of its kind. */
lam_status lam_route_find(const char *method, const char *path, const lam_route **route,
                          char parameters[LAM_PATH_PARAMETERS][LAM_PARAMETER_TEXT], lam_buffer *allow,
                          lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
