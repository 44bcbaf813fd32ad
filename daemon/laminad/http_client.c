#include "daemon/laminad/http_client.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONNECT_TIMEOUT_MS = 10 * 1000 };

lam_status lam_http_read_secret(const char *path, char out[LAM_HTTP_SECRET], lam_error *err)
{
    struct stat info;
    lam_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) < 0)
        return lam_fail_errno(err, errno, "cannot read %s", path);
    if (info.st_mode & (S_IROTH | S_IWOTH))
        return lam_fail(err, LAM_E_DENIED, "%s is accessible to everyone: chmod o= it", path);
    ssize_t got = read(fd, out, LAM_HTTP_SECRET - 1);
    if (got < 0)
        return lam_fail_errno(err, errno, "cannot read %s", path);
    out[got] = '\0';
    size_t length = strcspn(out, "\r\n");
    if (length == LAM_HTTP_SECRET - 1)
        return lam_fail(err, LAM_E_LIMIT, "the first line of %s is longer than %d characters", path,
                        LAM_HTTP_SECRET - 2);
    out[length] = '\0';
    return length ? LAM_OK : lam_fail(err, LAM_E_INVALID, "the first line of %s is empty", path);
}

static int on_progress(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a, (void)b, (void)c, (void)d;
    const lam_carriage *carriage = user;
    return lam_flag_is_set(carriage->abandon);
}

static size_t on_body(char *bytes, size_t size, size_t count, void *user)
{
    lam_buffer_append(user, bytes, size * count); /* past its maximum the rest is not of interest */
    return size * count;
}

static lam_status add_token(const lam_carriage *c, struct curl_slist **headers, lam_error *err)
{
    char token[LAM_HTTP_SECRET], line[LAM_HTTP_SECRET + 32];
    if (!c->peer->token_file[0])
        return LAM_OK;
    lam_status status = lam_http_read_secret(c->peer->token_file, token, err);
    if (status != LAM_OK)
        return status;
    snprintf(line, sizeof line, "Authorization: Bearer %s", token);
    struct curl_slist *longer = curl_slist_append(*headers, line);
    if (!longer)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    *headers = longer;
    return LAM_OK;
}

void lam_http_set_tls(const lam_config_peer *peer, CURL *curl)
{
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (peer->tls_ca[0])
        curl_easy_setopt(curl, CURLOPT_CAINFO, peer->tls_ca);
    if (peer->tls_certificate[0]) {
        curl_easy_setopt(curl, CURLOPT_SSLCERT, peer->tls_certificate);
        curl_easy_setopt(curl, CURLOPT_SSLKEY, peer->tls_key);
    }
}

CURL *lam_http_prepare(const lam_carriage *c, const char *url, struct curl_slist **headers, lam_error *err)
{
    if (add_token(c, headers, err) != LAM_OK)
        return NULL;
    CURL *curl = curl_easy_init();
    if (!curl) {
        lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
        return NULL;
    }
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, *headers);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "Lamina/" LAMINA_VERSION);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    /* Silence, not length, is the limit: an object may be large and the line slow. */
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)(c->peer->timeout_ms + 999) / 1000);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, c);
    lam_http_set_tls(c->peer, curl);
    return curl;
}

lam_status lam_http_perform(const lam_carriage *c, CURL *curl, lam_buffer *answer, int *status,
                            lam_error *err)
{
    char why[CURL_ERROR_SIZE] = "";
    long code = 0;
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
    CURLcode result = curl_easy_perform(curl);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
    if (lam_flag_is_set(c->abandon))
        return lam_fail(err, LAM_E_CANCELLED, "the daemon is stopping");
    if (result != CURLE_OK)
        return lam_fail(err, result == CURLE_OPERATION_TIMEDOUT ? LAM_E_TIMEOUT : LAM_E_PEER,
                        "no answer of %s: %s", c->peer->url, *why ? why : curl_easy_strerror(result));
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
    *status = (int)code;
    return LAM_OK;
}

lam_verdict lam_http_verdict(int status)
{
    /* Of the client errors these are about the moment or the configuration of either side, not about what was
     * sent. */
    static const int not_final[] = {401, 403, 404, 405, 407, 408, 421, 423, 425, 429};
    if (status >= 200 && status < 300)
        return LAM_VERDICT_TAKEN;
    for (size_t i = 0; i < LAM_COUNT(not_final); i++)
        if (status == not_final[i])
            return LAM_VERDICT_LATER;
    return status >= 400 && status < 500 ? LAM_VERDICT_REFUSED : LAM_VERDICT_LATER;
}
