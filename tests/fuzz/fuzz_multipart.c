/* Fuzzes api/multipart: the same body read whole and read in pieces must give the same parts and the same
 * verdict, and no byte of content may appear that is not in the body. */
#include <stdlib.h>
#include <string.h>

#include "api/multipart.h"
#include "core/base/buffer.h"
#include "core/base/sha256.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

typedef struct reading {
    lam_sha256 hash;
    size_t parts, open, content;
    uint8_t digest[LAM_SHA256_BYTES];
    lam_status status;
} reading;

static lam_status on_begin(void *context, const char *headers, lam_error *err)
{
    (void)err;
    reading *r = context;
    char value[64];
    if (r->open++)
        abort();
    r->parts++;
    lam_sha256_update_text(&r->hash, headers);
    lam_multipart_header(headers, "Content-Type", value, sizeof value);
    return LAM_OK;
}

static lam_status on_data(void *context, const char *bytes, size_t length, lam_error *err)
{
    (void)err;
    reading *r = context;
    if (r->open != 1 || length == 0)
        abort();
    r->content += length;
    lam_sha256_update(&r->hash, bytes, length);
    return LAM_OK;
}

static lam_status on_end(void *context, lam_error *err)
{
    (void)err;
    reading *r = context;
    if (r->open-- != 1)
        abort();
    lam_sha256_update_text(&r->hash, "|");
    return LAM_OK;
}

static void read_body(const char *boundary, const char *body, size_t length, size_t step, reading *r)
{
    static const lam_multipart_events events = {on_begin, on_data, on_end};
    lam_multipart *reader = NULL;
    lam_error err = {LAM_OK, ""};
    *r = (reading){0};
    lam_sha256_init(&r->hash);
    r->status = lam_multipart_create(boundary, 50, &events, r, &reader, &err);
    for (size_t at = 0; r->status == LAM_OK && at < length; at += step)
        r->status = lam_multipart_feed(reader, body + at, length - at < step ? length - at : step, &err);
    if (r->status == LAM_OK)
        r->status = lam_multipart_finish(reader, &err);
    if (r->status != LAM_OK && !err.message[0])
        abort();
    if (r->status == LAM_OK && (r->open || r->parts == 0))
        abort();
    lam_multipart_free(reader);
    lam_sha256_final(&r->hash, r->digest);
}

/* The first byte is the length of the boundary that follows, the next one the size of the pieces. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    char boundary[128] = "b";
    if (length < 2)
        return 0;
    size_t boundary_length = bytes[0] % 80, step = bytes[1] + 1u;
    bytes += 2;
    length -= 2;
    if (boundary_length > length)
        return 0;
    if (boundary_length) {
        memcpy(boundary, bytes, boundary_length);
        boundary[boundary_length] = '\0';
    }
    const char *body = (const char *)bytes + boundary_length;
    length -= boundary_length;
    reading whole, pieces;
    read_body(boundary, body, length, length + 1, &whole);
    read_body(boundary, body, length, step, &pieces);
    if (whole.content > length || whole.status != pieces.status)
        abort();
    if (whole.status == LAM_OK && memcmp(whole.digest, pieces.digest, sizeof whole.digest) != 0)
        abort();
    return 0;
}
