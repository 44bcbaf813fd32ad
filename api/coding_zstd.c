/* zstd (RFC 8878), by libzstd. At this level the window stays far under the 8 MiB that RFC 9659 allows. */
#include <zstd.h>

#include "api/coding_internal.h"

enum { LEVEL = 1 };

static void *create(void)
{
    ZSTD_CCtx *context = ZSTD_createCCtx();
    if (context && !ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, LEVEL)))
        return context;
    ZSTD_freeCCtx(context);
    return NULL;
}

static void release(void *state)
{
    ZSTD_freeCCtx(state);
}

static bool step(void *state, lam_coding_step *s, bool *finished)
{
    ZSTD_inBuffer in = {s->in, s->in_left, 0};
    ZSTD_outBuffer out = {s->out, s->out_left, 0};
    size_t left = ZSTD_compressStream2(state, &out, &in, s->last ? ZSTD_e_end : ZSTD_e_continue);
    s->in += in.pos;
    s->in_left -= in.pos;
    s->out += out.pos;
    s->out_left -= out.pos;
    *finished = s->last && left == 0;
    return !ZSTD_isError(left);
}

static size_t bound(size_t length)
{
    return ZSTD_compressBound(length);
}

const lam_compressor lam_compressor_zstd = {create, release, step, bound};
