#include "api/parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/reply.h"
#include "core/base/buffer.h"
#include "core/base/cleanup.h"

enum { MAX_HEADERS = 64 * 1024 * 1024, PART_HEADER = 1024 };

static const struct {
    const char *transfer_syntax, *media_type;
} media_types[] = {
    {"1.2.840.10008.1.2.4.50", "image/jpeg"},   {"1.2.840.10008.1.2.4.51", "image/jpeg"},
    {"1.2.840.10008.1.2.4.57", "image/jpeg"},   {"1.2.840.10008.1.2.4.70", "image/jpeg"},
    {"1.2.840.10008.1.2.4.80", "image/jls"},    {"1.2.840.10008.1.2.4.81", "image/jls"},
    {"1.2.840.10008.1.2.4.90", "image/jp2"},    {"1.2.840.10008.1.2.4.91", "image/jp2"},
    {"1.2.840.10008.1.2.4.92", "image/jpx"},    {"1.2.840.10008.1.2.4.93", "image/jpx"},
    {"1.2.840.10008.1.2.4.201", "image/jphc"},  {"1.2.840.10008.1.2.4.202", "image/jphc"},
    {"1.2.840.10008.1.2.4.203", "image/jphc"},  {"1.2.840.10008.1.2.4.110", "image/jxl"},
    {"1.2.840.10008.1.2.4.111", "image/jxl"},   {"1.2.840.10008.1.2.4.112", "image/jxl"},
    {"1.2.840.10008.1.2.5", "image/dicom-rle"},
};

const char *lam_parts_media_type(const char *transfer_syntax)
{
    for (size_t i = 0; i < LAM_COUNT(media_types); i++)
        if (strcmp(media_types[i].transfer_syntax, transfer_syntax) == 0)
            return media_types[i].media_type;
    return NULL;
}

bool lam_parts_boundary(char boundary[LAM_BOUNDARY + 1])
{
    return lam_text_random(boundary);
}

void lam_pixels_done(lam_pixels *pixels)
{
    if (pixels->fd >= 0)
        close(pixels->fd);
    free(pixels->pieces);
    *pixels = (lam_pixels){.fd = -1};
}

void lam_reply_pixels_error(lam_request *request, const lam_error *error)
{
    if (error->status == LAM_E_UNSUPPORTED || error->status == LAM_E_CORRUPT)
        lam_reply_problem(request, MHD_HTTP_NOT_ACCEPTABLE, "%s", error->message);
    else
        lam_reply_error(request, error);
}

/* ---- a body of pieces ---- */

/* What libmicrohttpd sends from: the mapped file, and the text between its pieces. The mapping is only read
 * by the kernel, in sendmsg(2), so that a file which fails or shrinks is an error of that call and no signal.
 */
typedef struct body {
    const char *mapping;
    size_t mapped;
    lam_buffer text;
    struct MHD_IoVec *list;
    size_t count;
} body;

static void free_body(void *context)
{
    body *b = context;
    if (b->mapping)
        munmap((void *)(uintptr_t)b->mapping, b->mapped);
    lam_buffer_done(&b->text);
    free(b->list);
    free(b);
}

static body *make_body(const lam_pixels *pixels, size_t texts)
{
    struct stat info;
    body *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    lam_buffer_init(&b->text, MAX_HEADERS);
    b->list = calloc(pixels->count + texts, sizeof *b->list);
    if (b->list && fstat(pixels->fd, &info) == 0 && info.st_size > 0) {
        void *mapping = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, pixels->fd, 0);
        if (mapping != MAP_FAILED) {
            b->mapping = mapping;
            b->mapped = (size_t)info.st_size;
            return b;
        }
    }
    free_body(b);
    return NULL;
}

static void add_piece(body *b, const lam_piece *piece)
{
    if (piece->length > 0)
        b->list[b->count++] = (struct MHD_IoVec){b->mapping + piece->offset, (size_t)piece->length};
}

static int64_t length_of(const body *b)
{
    int64_t length = 0;
    for (size_t i = 0; i < b->count; i++)
        length += (int64_t)b->list[i].iov_len;
    return length;
}

/* Takes the body. */
static void send_body(lam_request *request, const char *media_type, body *b)
{
    int64_t length = length_of(b);
    struct MHD_Response *reply = MHD_create_response_from_iovec(b->list, (unsigned)b->count, free_body, b);
    if (!reply)
        free_body(b);
    lam_reply_made(request, MHD_HTTP_OK, media_type, reply, length);
}

static void reply_no_memory(lam_request *request)
{
    lam_reply_problem(request, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory for the answer");
}

void lam_reply_pixels(lam_request *request, const char *media_type, lam_pixels *pixels, bool stored)
{
    if (pixels->count == 1) {
        lam_reply_file_part(request, media_type, LAM_TAKE_FD(pixels->fd), pixels->pieces[0].offset,
                            pixels->pieces[0].length, stored);
        lam_pixels_done(pixels);
        return;
    }
    body *b = make_body(pixels, 0);
    for (size_t i = 0; b && i < pixels->count; i++)
        add_piece(b, &pixels->pieces[i]);
    lam_pixels_done(pixels);
    if (b)
        send_body(request, media_type, b);
    else
        reply_no_memory(request);
}

/* ---- multipart ---- */

static size_t parts_in(const lam_pixels *pixels)
{
    return pixels->count ? pixels->pieces[pixels->count - 1].part + 1 : 0;
}

/* The text before part `part`; the text after the last when `part` is their number. */
static void write_delimiter(lam_buffer *text, const char *boundary, size_t part, size_t parts,
                            const char *media_type, const char *locations, int64_t frame)
{
    const char *line = part ? "\r\n" : "";
    if (part == parts) {
        lam_buffer_printf(text, "\r\n--%s--\r\n", boundary);
        return;
    }
    lam_buffer_printf(text, "%s--%s\r\nContent-Type: %s\r\n", line, boundary, media_type);
    if (locations && frame > 0)
        lam_buffer_printf(text, "Content-Location: %s%lld\r\n", locations, (long long)frame);
    else if (locations)
        lam_buffer_printf(text, "Content-Location: %s\r\n", locations);
    lam_buffer_append_text(text, "\r\n");
}

/* All the text first, since it moves while it grows; ends[i] is where that before part i ends. */
static bool write_texts(body *b, const char *boundary, size_t parts, const char *media_type,
                        const char *locations, const int64_t *frames, size_t *ends)
{
    for (size_t i = 0; i <= parts; i++) {
        int64_t frame = frames && i < parts ? frames[i] : (int64_t)i + 1;
        write_delimiter(&b->text, boundary, i, parts, media_type, locations, frame);
        ends[i] = b->text.length;
    }
    return b->text.status == LAM_OK;
}

static void add_text(body *b, const size_t *ends, size_t part)
{
    size_t begin = part ? ends[part - 1] : 0;
    b->list[b->count++] = (struct MHD_IoVec){b->text.data + begin, ends[part] - begin};
}

void lam_reply_pixels_multipart(lam_request *request, const char *part_type, const char *media_type,
                                const char *locations, const int64_t *frames, lam_pixels *pixels)
{
    char boundary[LAM_BOUNDARY + 1] = "", type[160];
    size_t parts = parts_in(pixels), part = 0;
    body *b = lam_parts_boundary(boundary) ? make_body(pixels, parts + 1) : NULL;
    lam_autofree size_t *ends = calloc(parts + 1, sizeof *ends);
    if (b && (!ends || !write_texts(b, boundary, parts, media_type, locations, frames, ends))) {
        free_body(b);
        b = NULL;
    }
    for (size_t i = 0; b && i < pixels->count; i++) {
        while (part <= pixels->pieces[i].part)
            add_text(b, ends, part++);
        add_piece(b, &pixels->pieces[i]);
    }
    if (b)
        add_text(b, ends, parts);
    lam_pixels_done(pixels);
    snprintf(type, sizeof type, "multipart/related; type=\"%s\"; boundary=%s", part_type, boundary);
    if (b)
        send_body(request, type, b);
    else
        reply_no_memory(request);
}
