#include "daemon/laminad/webhook.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "daemon/laminad/http_client.h"
#include "daemon/laminad/result_document.h"

enum { BLOCK = 64, LEAST_SECRET = 16 };

/* ---- the signature ---- */

static void begin_keyed(lam_sha256 *hash, const uint8_t key[BLOCK], uint8_t pad)
{
    uint8_t padded[BLOCK];
    for (size_t i = 0; i < BLOCK; i++)
        padded[i] = key[i] ^ pad;
    lam_sha256_init(hash);
    lam_sha256_update(hash, padded, BLOCK);
}

void lam_webhook_sign(const char *secret, int64_t timestamp_s, const char *body, size_t length,
                      char out[LAM_SHA256_TEXT])
{
    uint8_t key[BLOCK] = {0}, digest[LAM_SHA256_BYTES];
    char stamp[32];
    lam_sha256 hash;
    if (strlen(secret) > BLOCK) { /* RFC 2104: longer keys are hashed first */
        lam_sha256_init(&hash);
        lam_sha256_update(&hash, secret, strlen(secret));
        lam_sha256_final(&hash, key);
    } else {
        memcpy(key, secret, strlen(secret));
    }
    int stamp_length = snprintf(stamp, sizeof stamp, "%lld.", (long long)timestamp_s);
    begin_keyed(&hash, key, 0x36);
    lam_sha256_update(&hash, stamp, (size_t)stamp_length);
    lam_sha256_update(&hash, body, length);
    lam_sha256_final(&hash, digest);
    begin_keyed(&hash, key, 0x5c);
    lam_sha256_update(&hash, digest, sizeof digest);
    lam_sha256_final_text(&hash, out);
}

/* ---- the carrier of kind = webhook ---- */

static lam_status post(lam_carriage *c, const char *secret, const lam_parcel *parcel, const char *body,
                       int *status, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer answer;
    lam_buffer_init(&answer, LAM_HTTP_MAX_ANSWER);
    char signature[LAM_SHA256_TEXT], line[128];
    int64_t now_s = lam_clock_wall_ms() / 1000;
    lam_webhook_sign(secret, now_s, body, strlen(body), signature);
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    snprintf(line, sizeof line, "X-Lamina-Timestamp: %lld", (long long)now_s);
    headers = curl_slist_append(headers, line);
    snprintf(line, sizeof line, "X-Lamina-Signature: sha256=%s", signature);
    headers = curl_slist_append(headers, line);
    snprintf(line, sizeof line, "X-Lamina-Delivery: %lld", (long long)parcel->delivery);
    headers = curl_slist_append(headers, line);
    lam_status done = LAM_E_INTERNAL;
    CURL *curl = lam_http_prepare(c, c->peer->url, &headers, err);
    if (curl) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
        done = lam_http_perform(c, curl, &answer, status, err);
        curl_easy_cleanup(curl);
    } else {
        done = err->status;
    }
    curl_slist_free_all(headers);
    return done;
}

/* {"event":"result","delivery","study_uid","result":RESULT} */
static lam_status compose(lam_carriage *c, const lam_parcel *parcel, char **out, lam_error *err)
{
    json_t *result = NULL;
    lam_status status = lam_result_document(c->db, parcel->study_uid, parcel->job, &result, err);
    if (status != LAM_OK)
        return status;
    json_t *document =
        json_pack("{s:s,s:I,s:s,s:o}", "event", "result", "delivery", (json_int_t)parcel->delivery,
                  "study_uid", parcel->study_uid, "result", result);
    *out = json_dumps(document, JSON_COMPACT | JSON_REAL_PRECISION(15)); /* as REST gives it */
    json_decref(document);
    return *out ? LAM_OK : lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
}

static lam_status deliver_one(lam_carriage *c, const char *secret, lam_parcel *parcel, lam_error *err)
{
    lam_autofree char *body = NULL;
    char text[LAM_OUTBOX_NOTE] = "";
    int code = 0;
    lam_status status = compose(c, parcel, &body, err);
    if (status == LAM_E_NOT_FOUND)
        return lam_deliver_settle(c, parcel, LAM_VERDICT_REFUSED, -1, err->message, err);
    if (status == LAM_OK)
        status = post(c, secret, parcel, body, &code, err);
    if (status != LAM_OK)
        return status;
    lam_verdict verdict = lam_http_verdict(code);
    if (verdict != LAM_VERDICT_TAKEN)
        snprintf(text, sizeof text, "the peer answered HTTP %d", code);
    return lam_deliver_settle(c, parcel, verdict, code, text, err);
}

lam_status lam_deliver_webhook(lam_carriage *c, lam_parcel *parcels, size_t count, lam_error *err)
{
    char secret[LAM_HTTP_SECRET];
    lam_status status = lam_http_read_secret(c->peer->secret_file, secret, err);
    if (status == LAM_OK && strlen(secret) < LEAST_SECRET)
        status = lam_fail(err, LAM_E_INVALID, "the secret in %s is shorter than %d characters",
                          c->peer->secret_file, LEAST_SECRET);
    for (size_t i = 0; status == LAM_OK && i < count; i++)
        status = deliver_one(c, secret, &parcels[i], err);
    return status;
}
