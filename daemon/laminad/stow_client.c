/* The carrier of kind = dicomweb: one STOW-RS request (PS3.18 section 10.5) for a batch, streamed from the
 * store, and the answer read instance by instance. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/text.h"
#include "daemon/laminad/http_client.h"

#define HEAD_FORMAT "--%s\r\nContent-Type: application/dicom\r\n\r\n"

/* The body as a sequence of pieces: memory or a whole file. */
typedef struct piece {
    const char *text;
    int fd; /* -1: text */
    int64_t length;
} piece;

typedef struct request {
    lam_carriage *carriage;
    lam_parcel *sent[LAM_OUTBOX_BATCH];
    size_t sent_count;
    char boundary[40], head[128], tail[64];
    piece pieces[3 * LAM_OUTBOX_BATCH + 1];
    size_t piece_count, current;
    int64_t offset, total; /* in the current piece; of all */
} request;

static void add_piece(request *r, const char *text, int fd, int64_t length)
{
    r->pieces[r->piece_count++] = (piece){text, fd, length};
    r->total += length;
}

static lam_status add_object(request *r, lam_parcel *parcel, lam_error *err)
{
    int fd = -1;
    int64_t bytes = 0;
    lam_error why = {0};
    if (lam_store_open_file(r->carriage->store, parcel->file, &fd, &bytes, &why) != LAM_OK)
        return lam_deliver_settle(r->carriage, parcel, LAM_VERDICT_LATER, -1, why.message, err);
    add_piece(r, r->head, -1, (int64_t)strlen(r->head));
    add_piece(r, NULL, fd, bytes);
    add_piece(r, "\r\n", -1, 2);
    r->sent[r->sent_count++] = parcel;
    return LAM_OK;
}

static lam_status begin(request *r, lam_carriage *c, lam_error *err)
{
    *r = (request){.carriage = c};
    if (!lam_text_random(r->boundary))
        return lam_fail(err, LAM_E_IO, "no random numbers");
    snprintf(r->head, sizeof r->head, HEAD_FORMAT, r->boundary);
    snprintf(r->tail, sizeof r->tail, "--%s--\r\n", r->boundary);
    return LAM_OK;
}

static size_t read_piece(const piece *from, int64_t offset, char *to, size_t room)
{
    size_t left = (size_t)(from->length - offset);
    size_t wanted = left < room ? left : room;
    if (from->fd < 0) {
        memcpy(to, from->text + offset, wanted);
        return wanted;
    }
    ssize_t got;
    while ((got = pread(from->fd, to, wanted, offset)) < 0 && errno == EINTR)
        ;
    return got > 0 ? (size_t)got : CURL_READFUNC_ABORT; /* a file that is shorter than it was */
}

static size_t on_read(char *to, size_t size, size_t count, void *user)
{
    request *r = user;
    while (r->current < r->piece_count && r->offset == r->pieces[r->current].length) {
        r->current++;
        r->offset = 0;
    }
    if (r->current == r->piece_count)
        return 0;
    size_t got = read_piece(&r->pieces[r->current], r->offset, to, size * count);
    if (got != CURL_READFUNC_ABORT)
        r->offset += (int64_t)got;
    return got;
}

static int on_seek(void *user, curl_off_t offset, int origin)
{
    request *r = user;
    if (offset != 0 || origin != SEEK_SET)
        return CURL_SEEKFUNC_CANTSEEK;
    r->current = 0;
    r->offset = 0;
    return CURL_SEEKFUNC_OK;
}

/* ---- the answer ---- */

static const json_t *value_of(const json_t *data_set, const char *tag)
{
    return json_array_get(json_object_get(json_object_get(data_set, tag), "Value"), 0);
}

/* The item of a sequence of the answer that is about this instance, or NULL. */
static const json_t *find_item(const json_t *answer, const char *sequence, const char *sop_uid)
{
    const json_t *items = json_object_get(json_object_get(answer, sequence), "Value");
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        const char *uid = json_string_value(value_of(item, "00081155"));
        if (uid && strcmp(uid, sop_uid) == 0)
            return item;
    }
    return NULL;
}

/* PS3.18 table 10.5.3-2: A7xx and 0110H are about the moment, others about the object. */
static lam_status settle_failed(request *r, lam_parcel *parcel, const json_t *item, int status,
                                lam_error *err)
{
    char text[LAM_OUTBOX_NOTE];
    json_int_t reason = json_integer_value(value_of(item, "00081197"));
    bool later = (reason & 0xff00) == 0xa700 || reason == 0x0110;
    snprintf(text, sizeof text, "the peer did not store it: failure reason %04llXH",
             (unsigned long long)reason);
    return lam_deliver_settle(r->carriage, parcel, later ? LAM_VERDICT_LATER : LAM_VERDICT_REFUSED, status,
                              text, err);
}

static lam_status settle_one(request *r, lam_parcel *parcel, const json_t *answer, int status, lam_error *err)
{
    char text[LAM_OUTBOX_NOTE] = "";
    const json_t *failed = find_item(answer, "00081198", parcel->sop_uid);
    const json_t *stored = find_item(answer, "00081199", parcel->sop_uid);
    const json_t *warning = value_of(stored, "00081196");
    if (failed)
        return settle_failed(r, parcel, failed, status, err);
    if (warning)
        snprintf(text, sizeof text, "warning reason %04llXH",
                 (unsigned long long)json_integer_value(warning));
    if (stored)
        return lam_deliver_settle(r->carriage, parcel, warning ? LAM_VERDICT_WARNED : LAM_VERDICT_TAKEN,
                                  status, text, err);
    if (status == 200) /* all instances were stored, says the standard, and some servers no more */
        return lam_deliver_settle(r->carriage, parcel, LAM_VERDICT_TAKEN, status, "", err);
    lam_verdict verdict = lam_http_verdict(status);
    if (verdict == LAM_VERDICT_TAKEN || status == 409) /* 202: some were not, and it does not say which */
        verdict = LAM_VERDICT_LATER;
    snprintf(text, sizeof text, "the peer answered HTTP %d and does not say that it stored this object",
             status);
    return lam_deliver_settle(r->carriage, parcel, verdict, status, text, err);
}

static lam_status settle_all(request *r, const lam_buffer *body, int status, lam_error *err)
{
    json_t *answer = json_loadb(lam_buffer_text(body), body->length, 0, NULL);
    lam_status done = LAM_OK;
    for (size_t i = 0; done == LAM_OK && i < r->sent_count; i++)
        done = settle_one(r, r->sent[i], answer, status, err);
    json_decref(answer);
    if (done == LAM_OK && status >= 500) /* not about the objects: the peer needs a pause */
        done = lam_fail(err, LAM_E_PEER, "%s answered HTTP %d", r->carriage->peer->url, status);
    return done;
}

static lam_status send_request(request *r, lam_error *err)
{
    char url[LAM_CONFIG_URL + 16], type[160];
    LAM_AUTO(lam_buffer_done) lam_buffer body;
    lam_buffer_init(&body, LAM_HTTP_MAX_ANSWER);
    snprintf(url, sizeof url, "%s/studies", r->carriage->peer->url);
    snprintf(type, sizeof type, "Content-Type: multipart/related; type=\"application/dicom\"; boundary=%s",
             r->boundary);
    struct curl_slist *headers = curl_slist_append(NULL, type);
    headers = curl_slist_append(headers, "Accept: application/dicom+json");
    headers = curl_slist_append(headers, "Expect:");
    int status = 0;
    lam_status done = LAM_E_INTERNAL;
    CURL *curl = lam_http_prepare(r->carriage, url, &headers, err);
    if (curl) {
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_read);
        curl_easy_setopt(curl, CURLOPT_READDATA, r);
        curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(curl, CURLOPT_SEEKDATA, r);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->total);
        done = lam_http_perform(r->carriage, curl, &body, &status, err);
        curl_easy_cleanup(curl);
    } else {
        done = err->status;
    }
    curl_slist_free_all(headers);
    return done == LAM_OK ? settle_all(r, &body, status, err) : done;
}

lam_status lam_deliver_stow(lam_carriage *c, lam_parcel *parcels, size_t count, lam_error *err)
{
    request r;
    lam_status status = begin(&r, c, err);
    for (size_t i = 0; status == LAM_OK && i < count; i++)
        status = add_object(&r, &parcels[i], err);
    if (status == LAM_OK && r.sent_count) {
        add_piece(&r, r.tail, -1, (int64_t)strlen(r.tail));
        status = send_request(&r, err);
    }
    for (size_t i = 0; i < r.piece_count; i++)
        if (r.pieces[i].fd >= 0)
            close(r.pieces[i].fd);
    return status;
}
