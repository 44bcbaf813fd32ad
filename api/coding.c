#include "api/coding.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/coding_internal.h"

enum { BLOCK = 64 * 1024 };

static const struct {
    const char *name;
    const lam_compressor *compressor;
} codings[LAM_CODINGS] = {
    [LAM_CODING_ZSTD] = {"zstd", &lam_compressor_zstd},
    [LAM_CODING_GZIP] = {"gzip", &lam_compressor_gzip},
};

const char *lam_coding_name(lam_coding coding)
{
    return codings[coding].name;
}

bool lam_coding_helps(const char *media_type)
{
    return media_type && (strncmp(media_type, "text/", 5) == 0 || strstr(media_type, "json") ||
                          strstr(media_type, "xml") || strstr(media_type, "javascript"));
}

/* ---- what a client takes ---- */

/* The q of the item at `at`, `length` characters long. */
static double quality(const char *at, size_t length)
{
    for (const char *semicolon; (semicolon = memchr(at, ';', length));) {
        length -= (size_t)(semicolon + 1 - at);
        at = semicolon + 1;
        size_t blanks = strspn(at, " \t");
        if (length > blanks + 2 && strncasecmp(at + blanks, "q=", 2) == 0)
            return strtod(at + blanks + 2, NULL);
    }
    return 1;
}

/* Of a coding by its name, or by `*` where it is not named; 0: not wanted. */
static double wanted(const char *list, const char *name)
{
    double any = 0;
    for (const char *at = list; *at;) {
        at += strspn(at, " \t,");
        size_t item = strcspn(at, ","), length = strcspn(at, " \t;,");
        if (length == strlen(name) && strncasecmp(at, name, length) == 0)
            return quality(at, item);
        if (length == 1 && *at == '*')
            any = quality(at, item);
        at += item;
    }
    return any;
}

lam_coding lam_coding_choose(const char *accept_encoding)
{
    lam_coding best = LAM_CODING_NONE;
    double most = 0;
    for (lam_coding coding = LAM_CODING_NONE + 1; accept_encoding && coding < LAM_CODINGS; coding++) {
        double q = wanted(accept_encoding, codings[coding].name);
        if (q > most) {
            best = coding;
            most = q;
        }
    }
    return best;
}

/* ---- a text ---- */

lam_status lam_coding_text(lam_coding coding, const char *text, size_t length, lam_buffer *out)
{
    const lam_compressor *compressor = codings[coding].compressor;
    void *state = compressor->create();
    if (!state)
        return LAM_E_NO_MEMORY;
    size_t most = compressor->bound(length);
    lam_coding_step step = {
        .in = text, .in_left = length, .out = lam_buffer_reserve(out, most), .out_left = most, .last = true};
    bool finished = false;
    lam_status status = step.out ? LAM_OK : LAM_E_LIMIT;
    if (status == LAM_OK && (!compressor->step(state, &step, &finished) || !finished))
        status = LAM_E_INTERNAL;
    if (status == LAM_OK)
        out->length += most - step.out_left;
    compressor->free(state);
    return status;
}

/* ---- a stream ---- */

struct lam_encoder {
    const lam_compressor *compressor;
    void *state;
    lam_encoder_source read;
    void *context;
    lam_coding_step step;
    bool finished;
    char block[BLOCK];
};

lam_encoder *lam_encoder_create(lam_coding coding, lam_encoder_source read, void *context)
{
    lam_encoder *encoder = malloc(sizeof *encoder);
    if (!encoder)
        return NULL;
    encoder->compressor = codings[coding].compressor;
    encoder->state = encoder->compressor->create();
    encoder->read = read;
    encoder->context = context;
    encoder->step = (lam_coding_step){.last = false};
    encoder->finished = false;
    if (encoder->state)
        return encoder;
    free(encoder);
    return NULL;
}

void lam_encoder_free(lam_encoder *encoder)
{
    if (!encoder)
        return;
    encoder->compressor->free(encoder->state);
    free(encoder);
}

static bool refill(lam_encoder *encoder)
{
    if (encoder->step.in_left || encoder->step.last)
        return true;
    ssize_t got = encoder->read(encoder->context, encoder->block, sizeof encoder->block);
    if (got < 0)
        return false;
    encoder->step.in = encoder->block;
    encoder->step.in_left = (size_t)got;
    encoder->step.last = got == 0;
    return true;
}

ssize_t lam_encoder_read(lam_encoder *encoder, char *bytes, size_t size)
{
    encoder->step.out = bytes;
    encoder->step.out_left = size;
    while (!encoder->finished && encoder->step.out_left == size)
        if (!refill(encoder) ||
            !encoder->compressor->step(encoder->state, &encoder->step, &encoder->finished))
            return -1;
    return (ssize_t)(size - encoder->step.out_left);
}
