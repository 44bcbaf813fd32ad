/* The carrier of kind = mllp: each result as an HL7 v2.5 ORU^R01 message over MLLP (HL7 Minimal Lower Layer
 * Protocol, release 1), one connection for a batch, each message answered before the next. libcurl makes the
 * connection, with TLS where it is wanted; the protocol is too small to need more. */
#include <poll.h>
#include <string.h>

#include "core/base/clock.h"
#include "daemon/laminad/documents.h"
#include "daemon/laminad/hl7.h"
#include "daemon/laminad/http_client.h"
#include "daemon/laminad/result_document.h"

enum {
    START = 0x0b,
    END = 0x1c,
    MAX_MESSAGE = 4 * 1024 * 1024,
    MAX_ANSWER = 64 * 1024,
    CONNECT_TIMEOUT_MS = 10 * 1000,
    SLICE_MS = 200,
};

typedef struct line {
    lam_carriage *carriage;
    CURL *curl;
    curl_socket_t socket;
    int64_t deadline_ms;
} line;

static lam_status open_line(line *l, lam_carriage *c, lam_error *err)
{
    char url[LAM_CONFIG_HOST + 32], why[CURL_ERROR_SIZE] = "";
    const lam_config_address *to = &c->peer->address;
    bool bracket = strchr(to->host, ':') != NULL;
    snprintf(url, sizeof url, "%s://%s%s%s:%d", c->peer->tls ? "https" : "http", bracket ? "[" : "", to->host,
             bracket ? "]" : "", to->port);
    *l = (line){.carriage = c, .curl = curl_easy_init()};
    if (!l->curl)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    curl_easy_setopt(l->curl, CURLOPT_URL, url);
    curl_easy_setopt(l->curl, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(l->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(l->curl, CURLOPT_PROXY, "");
    curl_easy_setopt(l->curl, CURLOPT_SSL_ENABLE_ALPN, 0L);
    curl_easy_setopt(l->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(l->curl, CURLOPT_ERRORBUFFER, why);
    lam_http_set_tls(c->peer, l->curl);
    CURLcode result = curl_easy_perform(l->curl);
    curl_easy_setopt(l->curl, CURLOPT_ERRORBUFFER, NULL);
    if (result == CURLE_OK)
        result = curl_easy_getinfo(l->curl, CURLINFO_ACTIVESOCKET, &l->socket);
    return result == CURLE_OK ? LAM_OK
                              : lam_fail(err, LAM_E_PEER, "cannot connect to %s:%d: %s", to->host, to->port,
                                         *why ? why : curl_easy_strerror(result));
}

/* Until the socket is ready for `events` or the peer was silent for too long. */
static lam_status wait_for(line *l, short events, lam_error *err)
{
    for (;;) {
        struct pollfd poller = {.fd = l->socket, .events = events};
        if (lam_flag_is_set(l->carriage->abandon))
            return lam_fail(err, LAM_E_CANCELLED, "the daemon is stopping");
        if (lam_clock_monotonic_ms() > l->deadline_ms)
            return lam_fail(err, LAM_E_TIMEOUT, "the peer was silent for too long");
        if (poll(&poller, 1, SLICE_MS) > 0)
            return LAM_OK;
    }
}

static lam_status send_all(line *l, const char *bytes, size_t length, lam_error *err)
{
    while (length) {
        size_t sent = 0;
        CURLcode result = curl_easy_send(l->curl, bytes, length, &sent);
        bytes += sent;
        length -= sent;
        if (result != CURLE_OK && result != CURLE_AGAIN)
            return lam_fail(err, LAM_E_PEER, "the connection broke: %s", curl_easy_strerror(result));
        lam_status status = result == CURLE_AGAIN ? wait_for(l, POLLOUT, err) : LAM_OK;
        if (status != LAM_OK)
            return status;
    }
    return LAM_OK;
}

/* The next framed message, without its frame. */
static lam_status receive(line *l, lam_buffer *out, lam_error *err)
{
    for (;;) {
        char bytes[4096];
        size_t got = 0;
        const char *end = out->length ? memchr(out->data, END, out->length) : NULL;
        if (end) {
            const char *start = memchr(out->data, START, (size_t)(end - out->data));
            out->data[end - out->data] = '\0';
            out->length = (size_t)(end - out->data);
            lam_buffer_consume(out, start ? (size_t)(start - out->data) + 1 : 0);
            return LAM_OK;
        }
        CURLcode result = curl_easy_recv(l->curl, bytes, sizeof bytes, &got);
        lam_status status = LAM_OK;
        if (result == CURLE_AGAIN)
            status = wait_for(l, POLLIN, err);
        else if (result != CURLE_OK || got == 0)
            status = lam_fail(err, LAM_E_PEER, "the peer closed the connection instead of answering");
        else if (lam_buffer_append(out, bytes, got) != LAM_OK)
            status = lam_fail(err, LAM_E_LIMIT, "the peer's answer is longer than %d bytes", MAX_ANSWER);
        if (status != LAM_OK)
            return status;
    }
}

/* ---- one message ---- */

static lam_status compose(lam_carriage *c, const lam_parcel *parcel, const char *control_id, lam_buffer *out,
                          lam_error *err)
{
    json_t *study = NULL, *result = NULL;
    const lam_hl7_envelope envelope = {.application = "LAMINA",
                                       .facility = c->config->ae_title,
                                       .their_application = c->peer->name,
                                       .their_facility = "",
                                       .control_id = control_id,
                                       .now_ms = lam_clock_wall_ms()};
    lam_status status = lam_document_study(c->db, parcel->study_uid, &study, err);
    if (status == LAM_OK)
        status = lam_result_document(c->db, parcel->study_uid, parcel->job, &result, err);
    if (status == LAM_OK) {
        lam_buffer_append(out, (const char[]){START}, 1);
        status = lam_hl7_oru_write(study, result, &envelope, out, err);
        lam_buffer_append(out, (const char[]){END, '\r'}, 2);
    }
    json_decref(study);
    json_decref(result);
    if (status == LAM_OK && out->status != LAM_OK)
        status = lam_fail(err, out->status, "the result does not fit a message");
    return status;
}

/* MSA-1 and MSA-2 of an acknowledgement (HL7 v2.5 2.14.8). AE is about the message; AR is about the moment or
 * the peer's configuration. */
static lam_verdict read_answer(const char *answer, const char *control_id, char text[LAM_OUTBOX_NOTE])
{
    const char *msa = strstr(answer, "\rMSA|");
    char code[3] = "";
    if (!msa || strlen(msa) < 8) {
        snprintf(text, LAM_OUTBOX_NOTE, "the peer answered without an MSA segment");
        return LAM_VERDICT_LATER;
    }
    memcpy(code, msa + 5, 2);
    size_t length = strlen(control_id);
    bool other = strncmp(msa + 8, control_id, length) != 0 || strcspn(msa + 8, "|\r\n") != length;
    if (msa[7] == '|' && other) {
        snprintf(text, LAM_OUTBOX_NOTE, "the peer acknowledged another message");
        return LAM_VERDICT_LATER;
    }
    if (strcmp(code, "AA") == 0 || strcmp(code, "CA") == 0)
        return LAM_VERDICT_TAKEN;
    bool refused = strcmp(code, "AE") == 0 || strcmp(code, "CE") == 0;
    snprintf(text, LAM_OUTBOX_NOTE, "the peer answered %s",
             refused                                              ? code
             : strcmp(code, "AR") == 0 || strcmp(code, "CR") == 0 ? code
                                                                  : "what is no acknowledgement");
    return refused ? LAM_VERDICT_REFUSED : LAM_VERDICT_LATER;
}

static lam_status deliver_one(line *l, lam_parcel *parcel, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer message, answer;
    char control_id[21], text[LAM_OUTBOX_NOTE] = "";
    lam_buffer_init(&message, MAX_MESSAGE);
    lam_buffer_init(&answer, MAX_ANSWER);
    snprintf(control_id, sizeof control_id, "LAMINA%lld", (long long)parcel->delivery);
    lam_status status = compose(l->carriage, parcel, control_id, &message, err);
    if (status == LAM_E_NOT_FOUND || status == LAM_E_LIMIT)
        return lam_deliver_settle(l->carriage, parcel, LAM_VERDICT_REFUSED, -1, err->message, err);
    l->deadline_ms = lam_clock_monotonic_ms() + l->carriage->peer->timeout_ms;
    if (status == LAM_OK)
        status = send_all(l, message.data, message.length, err);
    if (status == LAM_OK)
        status = receive(l, &answer, err);
    if (status != LAM_OK)
        return status;
    lam_verdict verdict = read_answer(lam_buffer_text(&answer), control_id, text);
    return lam_deliver_settle(l->carriage, parcel, verdict, -1, text, err);
}

lam_status lam_deliver_mllp(lam_carriage *c, lam_parcel *parcels, size_t count, lam_error *err)
{
    line l;
    lam_status status = open_line(&l, c, err);
    for (size_t i = 0; status == LAM_OK && i < count; i++)
        status = deliver_one(&l, &parcels[i], err);
    curl_easy_cleanup(l.curl);
    return status;
}
