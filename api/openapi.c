/* The OpenAPI 3.1 document, made from the table of routes, so that it cannot say anything else than the table
 * does. The schemas of the objects are kept as a file. */
#include <stdio.h>
#include <string.h>

#include "api/embed.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "api/routes.h"
#include "core/base/text.h"

LAM_EMBED(lam_schemas_json, "api/schemas.json");

static json_t *reference(const char *kind, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "#/components/%s/%s", kind, name);
    return json_pack("{s:s}", "$ref", path);
}

static json_t *path_parameters(const char *template)
{
    json_t *parameters = json_array();
    for (const char *open = strchr(template, '{'); open; open = strchr(open + 1, '{')) {
        size_t length = strcspn(open + 1, "}");
        const lam_parameter_kind *kind = lam_parameter_kind_of(open + 1, length);
        json_t *schema = json_pack("{s:s}", "type", kind->type);
        if (kind->pattern)
            json_object_set_new(schema, "pattern", json_string(kind->pattern));
        json_array_append_new(parameters,
                              json_pack("{s:s, s:s, s:b, s:s, s:o}", "name", kind->name, "in", "path",
                                        "required", 1, "description", kind->summary, "schema", schema));
    }
    return parameters;
}

static json_t *words_of(const char *text)
{
    json_t *words = json_array();
    for (const char *at = text; *at; at += strspn(at, " ")) {
        size_t length = strcspn(at, " ");
        json_array_append_new(words, json_stringn(at, length));
        at += length;
    }
    return words;
}

static json_t *all_parameters(const lam_route *route)
{
    json_t *parameters = path_parameters(route->path);
    for (const lam_query_parameter *query = route->query; query && query->name; query++) {
        json_t *schema = json_pack("{s:s}", "type", query->type);
        if (query->values)
            json_object_set_new(schema, "enum", words_of(query->values));
        json_array_append_new(parameters,
                              json_pack("{s:s, s:s, s:s, s:o}", "name", query->name, "in", "query",
                                        "description", query->summary, "schema", schema));
    }
    return parameters;
}

/* Takes one of the media types that are separated by commas; gives the rest. */
static const char *next_type(const char *list, char *type, size_t size)
{
    size_t length = strcspn(list, ",");
    snprintf(type, size, "%.*s", (int)length, list);
    return list + length + strspn(list + length, ", ");
}

static json_t *success_content(const lam_route *route)
{
    const char *store = "application/dicom+json";
    const char *retrieve = "multipart/related; type=\"application/dicom\"";
    json_t *content = json_object();
    const char *type = route->produces ? route->produces : route->schema ? store : retrieve;
    if (strcmp(route->path, "/ui/{name}") == 0)
        type = "*/*";
    for (const char *at = type; *at;) {
        char one[128];
        at = next_type(at, one, sizeof one);
        bool json = strcmp(one, "application/json") == 0 || strcmp(one, store) == 0;
        json_object_set_new(content, one,
                            route->schema && json
                                ? json_pack("{s:o}", "schema", reference("schemas", route->schema))
                                : json_object());
    }
    return content;
}

/* What it finds comes in pages. */
static bool is_search(const lam_route *route)
{
    for (const lam_query_parameter *query = route->query; query && query->name; query++)
        if (strcmp(query->name, "limit") == 0)
            return true;
    return false;
}

static json_t *responses(const lam_route *route)
{
    char status[8];
    snprintf(status, sizeof status, "%u", route->success);
    json_t *all = json_pack("{s:{s:s, s:o}, s:o}", status, "description", route->summary, "content",
                            success_content(route), "default", reference("responses", "Problem"));
    if (route->success == 204)
        json_object_del(json_object_get(all, status), "content");
    if (route->schema && strcmp(route->schema, "DataSets") == 0 && is_search(route))
        json_object_set_new(all, "204", json_pack("{s:s}", "description", "nothing matches"));
    if (route->body && route->body->several) { /* the answer tells what became of each instance */
        json_object_set_new(all, "202",
                            json_pack("{s:s, s:o}", "description", "some failed or have a warning", "content",
                                      success_content(route)));
        json_object_set_new(
            all, "409",
            json_pack("{s:s, s:o}", "description", "none was stored", "content", success_content(route)));
    }
    return all;
}

static json_t *body_content(const lam_route *route)
{
    json_t *content = json_object();
    for (const char *at = route->body->takes; *at;) {
        char one[128];
        at = next_type(at, one, sizeof one);
        json_object_set_new(content, one, json_object());
    }
    return content;
}

static json_t *operation(const lam_route *route)
{
    json_t *object = json_pack("{s:s, s:o, s:o}", "summary", route->summary, "parameters",
                               all_parameters(route), "responses", responses(route));
    if (route->body)
        json_object_set_new(object, "requestBody",
                            json_pack("{s:b, s:o}", "required", 1, "content", body_content(route)));
    if (route->flags & LAM_ROUTE_OPEN)
        json_object_set_new(object, "security", json_array());
    return object;
}

static json_t *all_paths(void)
{
    json_t *paths = json_object();
    for (size_t i = 0; i < lam_route_count; i++) {
        const lam_route *route = &lam_routes[i];
        json_t *path = json_object_get(paths, route->path);
        if (!path) {
            path = json_object();
            json_object_set_new(paths, route->path, path);
        }
        char method[16];
        size_t length = lam_text_copy(method, sizeof method, route->method);
        for (size_t c = 0; c < length; c++)
            method[c] = (char)(method[c] | 0x20);
        json_object_set_new(path, method, operation(route));
    }
    return paths;
}

void lam_rest_openapi(lam_request *request)
{
    json_t *components = json_loadb(lam_schemas_json, LAM_EMBED_LENGTH(lam_schemas_json), 0, NULL);
    const char *url = request->options->public_url ? request->options->public_url : "/";
    bool token = request->options->auth == LAM_HTTP_AUTH_TOKEN;
    json_t *document = json_pack("{s:s, s:{s:s, s:s, s:s}, s:[{s:s}], s:o, s:o}", "openapi", "3.1.0", "info",
                                 "title", "Lamina", "version", LAMINA_VERSION, "description",
                                 "DICOMweb and JSON REST of Lamina. Research software, not a medical device.",
                                 "servers", "url", url, "paths", all_paths(), "components", components);
    if (document && token)
        json_object_set_new(document, "security", json_pack("[{s:[]}]", "token"));
    lam_reply_json(request, MHD_HTTP_OK, document);
}
