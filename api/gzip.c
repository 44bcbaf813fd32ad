#include "api/gzip.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

enum {
    GZIP_WINDOW = 15 + 16, /* the format is gzip, not zlib */
    MEMORY = 8,
    BLOCK = 64 * 1024
};

struct lam_gzip {
    z_stream z;
    lam_gzip_reader read;
    void *context;
    bool ended; /* nothing more to read */
    bool finished;
    char block[BLOCK];
};

bool lam_gzip_accepted(const char *accept_encoding)
{
    for (const char *at = accept_encoding ? accept_encoding : ""; *at;) {
        at += strspn(at, " \t,");
        size_t item = strcspn(at, ","), name = strcspn(at, " \t;,");
        bool ours = (name == 4 && strncasecmp(at, "gzip", 4) == 0) || (name == 1 && *at == '*');
        const char *q = memmem(at, item, "q=", 2);
        if (ours)
            return !q || strtod(q + 2, NULL) > 0;
        at += item;
    }
    return false;
}

bool lam_gzip_helps(const char *media_type)
{
    return media_type && (strncmp(media_type, "text/", 5) == 0 || strstr(media_type, "json") ||
                          strstr(media_type, "xml") || strstr(media_type, "javascript"));
}

/* The fastest level: the time of the processor is dearer than a few per cent. */
static bool begin(z_stream *z)
{
    *z = (z_stream){0};
    return deflateInit2(z, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, MEMORY, Z_DEFAULT_STRATEGY) == Z_OK;
}

lam_status lam_gzip_text(const char *text, size_t length, lam_buffer *out)
{
    z_stream z;
    if (!begin(&z))
        return LAM_E_NO_MEMORY;
    size_t most = deflateBound(&z, length);
    char *room = lam_buffer_reserve(out, most);
    lam_status status = room && length < UINT32_MAX && most < UINT32_MAX ? LAM_OK : LAM_E_LIMIT;
    if (status == LAM_OK) {
        z.next_in = (Bytef *)(uintptr_t)text;
        z.avail_in = (uInt)length;
        z.next_out = (Bytef *)room;
        z.avail_out = (uInt)most;
        status = deflate(&z, Z_FINISH) == Z_STREAM_END ? LAM_OK : LAM_E_INTERNAL;
        out->length += most - z.avail_out;
    }
    deflateEnd(&z);
    return status;
}

lam_gzip *lam_gzip_create(lam_gzip_reader read, void *context)
{
    lam_gzip *gzip = malloc(sizeof *gzip);
    if (!gzip)
        return NULL;
    gzip->read = read;
    gzip->context = context;
    gzip->ended = gzip->finished = false;
    if (begin(&gzip->z))
        return gzip;
    free(gzip);
    return NULL;
}

void lam_gzip_free(lam_gzip *gzip)
{
    if (!gzip)
        return;
    deflateEnd(&gzip->z);
    free(gzip);
}

static bool refill(lam_gzip *gzip)
{
    if (gzip->z.avail_in || gzip->ended)
        return true;
    ssize_t got = gzip->read(gzip->context, gzip->block, sizeof gzip->block);
    if (got < 0)
        return false;
    gzip->ended = got == 0;
    gzip->z.next_in = (Bytef *)gzip->block;
    gzip->z.avail_in = (uInt)got;
    return true;
}

ssize_t lam_gzip_read(lam_gzip *gzip, char *bytes, size_t size)
{
    gzip->z.next_out = (Bytef *)bytes;
    gzip->z.avail_out = (uInt)(size < UINT32_MAX ? size : UINT32_MAX);
    uInt room = gzip->z.avail_out;
    while (!gzip->finished && gzip->z.avail_out == room) {
        if (!refill(gzip))
            return -1;
        int code = deflate(&gzip->z, gzip->ended ? Z_FINISH : Z_NO_FLUSH);
        if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
            return -1;
        gzip->finished = code == Z_STREAM_END;
    }
    return (ssize_t)(room - gzip->z.avail_out);
}
