/* gzip (RFC 1952), by zlib. */
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>

#include "api/coding_internal.h"

enum {
    GZIP_WINDOW = 15 + 16, /* the format is gzip, not zlib */
    MEMORY = 8
};

/* The fastest level: the time of the processor is dearer than a few per cent. */
static void *create(void)
{
    z_stream *z = calloc(1, sizeof *z);
    if (z && deflateInit2(z, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, MEMORY, Z_DEFAULT_STRATEGY) == Z_OK)
        return z;
    free(z);
    return NULL;
}

static void release(void *state)
{
    deflateEnd(state);
    free(state);
}

static uInt piece(size_t length)
{
    return length < UINT_MAX ? (uInt)length : UINT_MAX;
}

static bool step(void *state, lam_coding_step *s, bool *finished)
{
    z_stream *z = state;
    int code = Z_OK;
    while (code == Z_OK && s->out_left && (s->in_left || s->last)) {
        uInt in = z->avail_in = piece(s->in_left), out = z->avail_out = piece(s->out_left);
        z->next_in = (Bytef *)(uintptr_t)s->in;
        z->next_out = (Bytef *)s->out;
        code = deflate(z, s->last && in == s->in_left ? Z_FINISH : Z_NO_FLUSH);
        s->in += in - z->avail_in;
        s->in_left -= in - z->avail_in;
        s->out += out - z->avail_out;
        s->out_left -= out - z->avail_out;
    }
    *finished = code == Z_STREAM_END;
    return code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR;
}

static size_t bound(size_t length)
{
    return length + length / 1000 + 1024; /* stored blocks, header and trailer (RFC 1951 section 3.2.4) */
}

const lam_compressor lam_compressor_gzip = {create, release, step, bound};
