#include "daemon/cli/rest.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buffer.h"

enum {
    MAX_ANSWER = 256 * 1024 * 1024,
    MAX_PROBLEM = 64 * 1024,
    MAX_TOKEN = 8 * 1024,
    CONNECT_TIMEOUT_S = 5,
    STALL_TIMEOUT_S = 60,
    HTTP_OK_FIRST = 200,
    HTTP_OK_LAST = 299
};

struct lam_rest {
    CURL *curl;
    char *root; /* without a slash at the end */
    struct curl_slist *headers;
    char reason[CURL_ERROR_SIZE];
};

static const struct {
    long http;
    lam_status status;
} meanings[] = {
    {400, LAM_E_INVALID},     {401, LAM_E_DENIED},   {403, LAM_E_DENIED},  {404, LAM_E_NOT_FOUND},
    {406, LAM_E_UNSUPPORTED}, {409, LAM_E_STATE},    {413, LAM_E_LIMIT},   {422, LAM_E_UNSUPPORTED},
    {503, LAM_E_BUSY},        {507, LAM_E_NO_SPACE}, {504, LAM_E_TIMEOUT},
};

/* ---- opening ---- */

static lam_status add_token(lam_rest *rest, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer line;
    lam_buffer_init(&line, MAX_TOKEN);
    const char *token = getenv("LAMINA_TOKEN");
    if (!token || !*token)
        return LAM_OK;
    if (lam_buffer_printf(&line, "Authorization: Bearer %s", token) != LAM_OK || strpbrk(token, "\r\n"))
        return lam_fail(err, LAM_E_INVALID, "LAMINA_TOKEN is not a token: too long, or more than one line");
    rest->headers = curl_slist_append(NULL, lam_buffer_text(&line));
    return rest->headers ? LAM_OK : lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
}

static void set_options(lam_rest *rest)
{
    curl_easy_setopt(rest->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(rest->curl, CURLOPT_ERRORBUFFER, rest->reason);
    curl_easy_setopt(rest->curl, CURLOPT_HTTPHEADER, rest->headers);
    curl_easy_setopt(rest->curl, CURLOPT_USERAGENT, "lamina/" LAMINA_VERSION);
    curl_easy_setopt(rest->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(rest->curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    curl_easy_setopt(rest->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(rest->curl, CURLOPT_LOW_SPEED_TIME, (long)STALL_TIMEOUT_S);
    /* A proxy for the outside world is not the way to this machine. */
    if (!getenv("no_proxy") && !getenv("NO_PROXY"))
        curl_easy_setopt(rest->curl, CURLOPT_NOPROXY, "localhost,127.0.0.1,::1");
}

/* Where and who; on failure the caller closes. */
static lam_status prepare(lam_rest *rest, const char *url, lam_error *err)
{
    rest->curl = curl_easy_init();
    rest->root = strdup(url);
    if (!rest->curl || !rest->root)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t length = strlen(rest->root); rest->root[length - 1] == '/'; length--)
        rest->root[length - 1] = '\0';
    lam_status status = add_token(rest, err);
    if (status == LAM_OK)
        set_options(rest);
    return status;
}

lam_status lam_rest_open(const char *url, lam_rest **out, lam_error *err)
{
    if (!url)
        url = getenv("LAMINA_URL");
    if (!url || !*url)
        url = "http://127.0.0.1:8080";
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return lam_fail(err, LAM_E_INVALID, "'%.200s' is not an http:// or https:// URL", url);
    lam_rest *rest = calloc(1, sizeof *rest);
    if (!rest || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(rest);
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    }
    lam_status status = prepare(rest, url, err);
    if (status == LAM_OK)
        *out = rest;
    else
        lam_rest_close(rest);
    return status;
}

void lam_rest_close(lam_rest *rest)
{
    if (!rest)
        return;
    curl_easy_cleanup(rest->curl);
    curl_slist_free_all(rest->headers);
    free(rest->root);
    free(rest);
}

/* ---- asking ---- */

/* Where the body goes: an error's into `text`, whatever was asked for. */
typedef struct sink {
    lam_rest *rest;
    lam_buffer text;
    FILE *file; /* NULL: a good body goes into `text`, too */
} sink;

static bool is_good(lam_rest *rest)
{
    long http = 0;
    curl_easy_getinfo(rest->curl, CURLINFO_RESPONSE_CODE, &http);
    return http >= HTTP_OK_FIRST && http <= HTTP_OK_LAST;
}

static size_t receive(char *bytes, size_t size, size_t count, void *context)
{
    sink *to = context;
    size_t length = size * count;
    if (to->file && is_good(to->rest))
        return fwrite(bytes, 1, length, to->file);
    return lam_buffer_append(&to->text, bytes, length) == LAM_OK ? length : 0;
}

static lam_status status_of_http(long http)
{
    for (size_t i = 0; i < LAM_COUNT(meanings); i++)
        if (meanings[i].http == http)
            return meanings[i].status;
    return LAM_E_PEER;
}

/* RFC 9457: "detail" is written for people. */
static lam_status explain_problem(lam_rest *rest, const char *path, const lam_buffer *body, lam_error *err)
{
    long http = 0;
    curl_easy_getinfo(rest->curl, CURLINFO_RESPONSE_CODE, &http);
    json_t *problem = json_loads(lam_buffer_text(body), 0, NULL);
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    const char *hint = http == 401 ? "; set LAMINA_TOKEN to a token of the server's token_file" : "";
    lam_status status = status_of_http(http);
    if (detail)
        lam_fail(err, status, "%s%s", detail, hint);
    else
        lam_fail(err, status, "%s%s answered with HTTP status %ld%s", rest->root, path, http, hint);
    json_decref(problem);
    return status;
}

static lam_status explain_transport(lam_rest *rest, CURLcode code, lam_error *err)
{
    const char *reason = rest->reason[0] ? rest->reason : curl_easy_strerror(code);
    if (code == CURLE_WRITE_ERROR)
        return lam_fail(err, LAM_E_LIMIT, "the answer of %s could not be kept: too large, or no space left",
                        rest->root);
    return lam_fail(
        err, LAM_E_PEER,
        "cannot talk to laminad at %s: %s; check that it runs, or name its address with --url or LAMINA_URL",
        rest->root, reason);
}

/* One request; `to->text` holds the problem when the status is not 2xx. */
static lam_status perform(lam_rest *rest, const char *path, sink *to, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer url;
    lam_buffer_init(&url, 8192);
    if (lam_buffer_printf(&url, "%s%s", rest->root, path) != LAM_OK)
        return lam_fail(err, LAM_E_LIMIT, "the URL is too long");
    rest->reason[0] = '\0';
    curl_easy_setopt(rest->curl, CURLOPT_URL, lam_buffer_text(&url));
    curl_easy_setopt(rest->curl, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(rest->curl, CURLOPT_WRITEDATA, to);
    CURLcode code = curl_easy_perform(rest->curl);
    if (code != CURLE_OK)
        return explain_transport(rest, code, err);
    return is_good(rest) ? LAM_OK : explain_problem(rest, path, &to->text, err);
}

static lam_status ask_for_json(lam_rest *rest, const char *path, json_t **out, lam_error *err)
{
    sink to = {.rest = rest};
    lam_buffer_init(&to.text, MAX_ANSWER);
    lam_status status = perform(rest, path, &to, err);
    if (status == LAM_OK) {
        json_t *value = json_loadb(lam_buffer_text(&to.text), to.text.length, 0, NULL);
        if (value)
            *out = value;
        else
            status = lam_fail(err, LAM_E_PEER, "%s%s did not answer with JSON; is that laminad?", rest->root,
                              path);
    }
    lam_buffer_done(&to.text);
    return status;
}

lam_status lam_rest_get(lam_rest *rest, const char *path, json_t **out, lam_error *err)
{
    curl_easy_setopt(rest->curl, CURLOPT_HTTPGET, 1L);
    return ask_for_json(rest, path, out, err);
}

lam_status lam_rest_post(lam_rest *rest, const char *path, json_t **out, lam_error *err)
{
    curl_easy_setopt(rest->curl, CURLOPT_POST, 1L);
    curl_easy_setopt(rest->curl, CURLOPT_POSTFIELDS, "");
    curl_easy_setopt(rest->curl, CURLOPT_POSTFIELDSIZE, 0L);
    return ask_for_json(rest, path, out, err);
}

/* ---- downloads ---- */

static lam_status load_file(lam_rest *rest, const char *path, const char *part, lam_error *err)
{
    sink to = {.rest = rest, .file = fopen(part, "wbe")};
    if (!to.file)
        return lam_fail_errno(err, errno, "cannot write %s", part);
    lam_buffer_init(&to.text, MAX_PROBLEM);
    curl_easy_setopt(rest->curl, CURLOPT_HTTPGET, 1L);
    lam_status status = perform(rest, path, &to, err);
    lam_buffer_done(&to.text);
    if (fclose(to.file) != 0 && status == LAM_OK)
        status = lam_fail_errno(err, errno, "cannot write %s", part);
    return status;
}

lam_status lam_rest_download(lam_rest *rest, const char *path, const char *name, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer part;
    lam_buffer_init(&part, 8192);
    if (lam_buffer_printf(&part, "%s.part", name) != LAM_OK)
        return lam_fail(err, LAM_E_LIMIT, "the name of the file is too long");
    lam_status status = load_file(rest, path, lam_buffer_text(&part), err);
    if (status == LAM_OK && rename(lam_buffer_text(&part), name) != 0)
        status = lam_fail_errno(err, errno, "cannot write %s", name);
    if (status != LAM_OK)
        remove(lam_buffer_text(&part));
    return status;
}
