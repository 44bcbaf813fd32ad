#include "dicom/frames.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "dicom/j2k.h"
#include "dicom/jpeg.h"
#include "dicom/rle.h"
#include "dicom/tag.h"

lam_status lam_frames_open(int fd, lam_frames *out, lam_error *err)
{
    lam_frames frames = {.header = NULL};
    lam_status status = lam_part10_open(fd, &frames.file, err);
    if (status != LAM_OK)
        return status;
    const char *syntax = frames.file.meta.transfer_syntax, *undecoded = lam_transfer_syntax_undecoded(syntax);
    if (undecoded)
        status = lam_fail(err, LAM_E_UNSUPPORTED, "%s (transfer syntax %s) is not decoded here", undecoded,
                          syntax);
    if (status == LAM_OK)
        status = lam_layout_read(&frames.file, &frames.layout, err);
    if (status == LAM_OK)
        status = lam_dataset_parse(&frames.file, LAM_DATASET_HEADER, &frames.header, err);
    if (status == LAM_OK)
        *out = frames;
    else
        lam_frames_close(&frames);
    return status;
}

void lam_frames_close(lam_frames *frames)
{
    if (!frames)
        return;
    lam_frames_forget(frames);
    lam_dataset_free(frames->header);
    frames->header = NULL;
}

void lam_frames_forget(lam_frames *frames)
{
    lam_layout_done(&frames->layout);
    lam_part10_close(&frames->file);
}

lam_status lam_frames_size(const lam_frames *frames, size_t *bytes, lam_error *err)
{
    const lam_layout *l = &frames->layout;
    int64_t size = (l->rows * l->columns * l->samples * l->bits_allocated + 7) / 8;
    if (size > LAM_FRAME_MAX_BYTES)
        return lam_fail(err, LAM_E_LIMIT, "a frame of %lld bytes; at most %lld are decoded", (long long)size,
                        (long long)LAM_FRAME_MAX_BYTES);
    *bytes = (size_t)size;
    return LAM_OK;
}

/* ---- native ---- */

/* Bits from `offset` on, shifted to begin with a byte. `swap` 1: bytes lie in pairs, the second one first. */
static void copy_bits(const unsigned char *from, uint64_t offset, size_t bits, size_t swap,
                      unsigned char *out)
{
    size_t first = offset / 8, bytes = (bits + 7) / 8;
    unsigned shift = offset % 8;
    for (size_t i = 0; i < bytes; i++) {
        unsigned value = from[(first + i) ^ swap] >> shift;
        if (shift && 8 * i + 8 - shift < bits)
            value |= (unsigned)from[(first + i + 1) ^ swap] << (8 - shift);
        out[i] = (unsigned char)value;
    }
    if (bits % 8)
        out[bytes - 1] &= (unsigned char)((1u << bits % 8) - 1);
}

static void swap_bytes(unsigned char *bytes, size_t length, size_t width)
{
    for (size_t at = 0; at + width <= length; at += width)
        for (size_t i = 0; i < width / 2; i++) {
            unsigned char other = bytes[at + i];
            bytes[at + i] = bytes[at + width - 1 - i];
            bytes[at + width - 1 - i] = other;
        }
}

static void copy_native(const lam_frames *frames, int64_t index, size_t swap, unsigned char *out)
{
    const lam_layout *l = &frames->layout;
    copy_bits(frames->file.data + l->offset, (uint64_t)index * (uint64_t)l->frame_bits, (size_t)l->frame_bits,
              swap, out);
}

/* The bytes in memory order of a little endian machine, from those in the file (PS3.5 sections 8.1 and A.3:
 * pixels of 8 bits and less in OW are pairs in a word). */
static lam_status decode_native(const lam_frames *frames, int64_t index, unsigned char *out, lam_error *err)
{
    const lam_layout *l = &frames->layout;
    bool big = frames->file.syntax.big_endian, words = strcmp(l->vr, "OW") == 0 && l->bits_allocated <= 8;
    if (big && words && l->length % 2 != 0)
        return lam_fail(err, LAM_E_CORRUPT, "pixel data of words with an odd number of bytes");
    copy_native(frames, index, big && words, out);
    if (big && l->bits_allocated > 8)
        swap_bytes(out, (size_t)(l->frame_bits / 8), (size_t)l->bits_allocated / 8);
    return LAM_OK;
}

/* From planes to pixels (Planar Configuration 1 to 0). */
static lam_status interleave(const lam_layout *l, unsigned char *bytes, lam_error *err)
{
    size_t pixels = (size_t)(l->rows * l->columns), width = (size_t)l->bits_allocated / 8;
    size_t samples = (size_t)l->samples;
    lam_autofree unsigned char *planes = malloc(pixels * width * samples);
    if (!planes)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a frame");
    memcpy(planes, bytes, pixels * width * samples);
    for (size_t s = 0; s < samples; s++)
        for (size_t i = 0; i < pixels; i++)
            memcpy(bytes + (i * samples + s) * width, planes + (s * pixels + i) * width, width);
    return LAM_OK;
}

/* ---- encapsulated ---- */

static lam_status join_fragments(const lam_frames *frames, int64_t index, lam_buffer *out, lam_error *err)
{
    size_t count;
    const lam_fragment *fragments = lam_layout_frame(&frames->layout, index, &count);
    for (size_t i = 0; i < count; i++)
        lam_buffer_append(out, frames->file.data + fragments[i].offset, fragments[i].length);
    if (out->status != LAM_OK)
        return lam_fail(err, out->status, "a compressed frame of more than %zu bytes", out->maximum);
    return LAM_OK;
}

/* The code stream of a frame: where it lies in the file, or joined from its fragments. */
static lam_status find_stream(const lam_frames *frames, int64_t index, lam_buffer *joined, lam_bytes *out,
                              lam_error *err)
{
    size_t count;
    const lam_fragment *fragments = lam_layout_frame(&frames->layout, index, &count);
    lam_status status = count == 1 ? LAM_OK : join_fragments(frames, index, joined, err);
    if (status == LAM_OK)
        *out = count == 1 ? (lam_bytes){frames->file.data + fragments->offset, fragments->length}
                          : (lam_bytes){joined->data, joined->length};
    return status;
}

/* One coding: the stream of a frame to its pixels. `photometric` holds what the header says. */
typedef lam_status decoder(lam_frames *frames, lam_bytes stream, bool by_pixel, void *out, size_t bytes,
                           char photometric[17], lam_error *err);

static lam_status decode_j2k(lam_frames *frames, lam_bytes stream, bool by_pixel, void *out, size_t bytes,
                             char photometric[17], lam_error *err)
{
    (void)by_pixel; /* they are never apart */
    (void)bytes;
    const lam_layout *l = &frames->layout;
    const lam_j2k_shape shape = {l->rows, l->columns, l->samples, (int)(l->bits_allocated / 8),
                                 lam_dataset_integer_or(frames->header, LAM_TAG_PIXEL_SIGN, 0, 0) == 1};
    lam_status status = lam_j2k_decode(stream.data, stream.length, &shape, out, err);
    if (status == LAM_OK && (strcmp(photometric, "YBR_ICT") == 0 || strcmp(photometric, "YBR_RCT") == 0))
        strcpy(photometric, "RGB"); /* the decoder has undone the colour transform */
    return status;
}

static bool is_planar(const lam_frames *frames)
{
    return frames->layout.samples > 1 && lam_dataset_integer_or(frames->header, LAM_TAG_PLANAR, 0, 0) == 1;
}

static lam_status decode_rle(lam_frames *frames, lam_bytes stream, bool by_pixel, void *out, size_t bytes,
                             char photometric[17], lam_error *err)
{
    (void)bytes;
    (void)photometric;
    const lam_layout *l = &frames->layout;
    const lam_rle_shape shape = {(size_t)(l->rows * l->columns), (size_t)l->samples,
                                 (size_t)l->bits_allocated / 8, !by_pixel && is_planar(frames)};
    return lam_rle_decode(stream.data, stream.length, &shape, out, err);
}

/* From samples of `from` bytes to samples of `to`, in place. */
static void widen(unsigned char *bytes, size_t count, size_t from, size_t to)
{
    for (size_t i = count; i-- > 0;) {
        memmove(bytes + i * to, bytes + i * from, from);
        memset(bytes + i * to + from, 0, to - from);
    }
}

/* JPEG and JPEG-LS, whose samples may have less bits than the header allocates: decoders go by the stream. */
static lam_status decode_jpeg(lam_frames *frames, lam_bytes stream, bool by_pixel, void *out, size_t bytes,
                              char photometric[17], lam_error *err)
{
    const lam_layout *l = &frames->layout;
    lam_jpeg_shape shape;
    if (!lam_jpeg_read(stream.data, stream.length, &shape))
        return lam_fail(err, LAM_E_CORRUPT, "a compressed frame of %zu bytes that is no JPEG stream",
                        stream.length);
    if (shape.columns != l->columns || (shape.rows && shape.rows != l->rows) || shape.samples != l->samples ||
        shape.precision > l->bits_allocated)
        return lam_fail(err, LAM_E_CORRUPT,
                        "the JPEG stream has %lld×%lld pixels of %lld samples of %d bits, the header says "
                        "%lld×%lld, %lld and %lld allocated (rows×columns)",
                        (long long)shape.rows, (long long)shape.columns, (long long)shape.samples,
                        shape.precision, (long long)l->rows, (long long)l->columns, (long long)l->samples,
                        (long long)l->bits_allocated);
    size_t width = shape.precision > 8 ? 2 : 1, allocated = (size_t)l->bits_allocated / 8;
    lam_status status = lam_dataset_decode(frames->header, stream, 8 * (int)width, by_pixel, out,
                                           bytes / allocated * width, photometric, err);
    if (status == LAM_OK && width < allocated)
        widen(out, bytes / allocated, width, allocated);
    return status;
}

/* As native pixels lie, so that their planes become pixels here. */
static lam_status arrange_native(const lam_frames *frames, bool by_pixel, void *out, lam_error *err)
{
    const lam_layout *l = &frames->layout;
    return by_pixel && is_planar(frames) && l->bits_allocated >= 8 ? interleave(l, out, err) : LAM_OK;
}

static lam_status copy_uncompressed(lam_frames *frames, lam_bytes stream, bool by_pixel, void *out,
                                    size_t bytes, char photometric[17], lam_error *err)
{
    (void)photometric;
    if (stream.length < bytes)
        return lam_fail(err, LAM_E_CORRUPT, "a frame of %zu bytes where %zu are announced", stream.length,
                        bytes);
    memcpy(out, stream.data, bytes);
    return arrange_native(frames, by_pixel, out, err);
}

static lam_status inflate_frame(lam_frames *frames, lam_bytes stream, bool by_pixel, void *out, size_t bytes,
                                char photometric[17], lam_error *err)
{
    (void)photometric;
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)stream.data,
                  .avail_in = (unsigned)stream.length, /* at most LAM_FRAME_MAX_BYTES */
                  .next_out = out,
                  .avail_out = (unsigned)bytes};
    if (inflateInit2(&z, -MAX_WBITS) != Z_OK)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for inflating");
    int result = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    if (result != Z_STREAM_END || z.avail_out != 0)
        return lam_fail(err, LAM_E_CORRUPT, "a deflated frame is damaged, or not of %zu bytes", bytes);
    return arrange_native(frames, by_pixel, out, err);
}

/* By the first letters of the transfer syntax; what comes first is more special. */
static const struct {
    const char *syntaxes;
    decoder *decode;
    bool takes_bits; /* frames of 1 bit allocated, too */
} codings[] = {
    {LAM_TS_RLE, decode_rle, false},
    {LAM_TS_UNCOMPRESSED, copy_uncompressed, true},
    {LAM_TS_DEFLATED_FRAMES, inflate_frame, true},
    {"1.2.840.10008.1.2.4.9", decode_j2k, false},  /* .90 to .93 */
    {"1.2.840.10008.1.2.4.20", decode_j2k, false}, /* HTJ2K, .201 to .203 */
    {"1.2.840.10008.1.2.4.", decode_jpeg, false},
};

static lam_status decode_encapsulated(lam_frames *frames, int64_t index, bool by_pixel, void *out,
                                      size_t bytes, char photometric[17], lam_error *err)
{
    const char *syntax = frames->file.meta.transfer_syntax;
    size_t coding = 0;
    while (coding < LAM_COUNT(codings) &&
           strncmp(syntax, codings[coding].syntaxes, strlen(codings[coding].syntaxes)) != 0)
        coding++;
    if (coding == LAM_COUNT(codings))
        return lam_fail(err, LAM_E_UNSUPPORTED, "pixel data in transfer syntax %s are not decoded here",
                        syntax);
    if (frames->layout.bits_allocated < 8 && !codings[coding].takes_bits)
        return lam_fail(err, LAM_E_UNSUPPORTED, "compressed pixel data with 1 bit allocated");
    LAM_AUTO(lam_buffer_done) lam_buffer joined;
    lam_bytes stream;
    lam_buffer_init(&joined, LAM_FRAME_MAX_BYTES);
    lam_status status = find_stream(frames, index, &joined, &stream, err);
    if (status == LAM_OK && (int64_t)stream.length > LAM_FRAME_MAX_BYTES)
        status = lam_fail(err, LAM_E_LIMIT, "a compressed frame of %zu bytes", stream.length);
    return status == LAM_OK ? codings[coding].decode(frames, stream, by_pixel, out, bytes, photometric, err)
                            : status;
}

lam_status lam_frames_decode(lam_frames *frames, int64_t index, bool by_pixel, void *out,
                             char photometric[17], lam_error *err)
{
    const lam_layout *l = &frames->layout;
    size_t bytes = 0;
    if (index < 0 || index >= l->frames)
        return lam_fail(err, LAM_E_NOT_FOUND, "there is no frame %lld; the object has %lld",
                        (long long)index + 1, (long long)l->frames);
    lam_status status = lam_frames_size(frames, &bytes, err);
    if (status != LAM_OK)
        return status;
    char colours[17];
    snprintf(colours, sizeof colours, "%s", lam_dataset_text(frames->header, LAM_TAG_PHOTOMETRIC, ""));
    if (l->encapsulated)
        status = decode_encapsulated(frames, index, by_pixel, out, bytes, colours, err);
    else
        status = decode_native(frames, index, out, err);
    if (status == LAM_OK && !l->encapsulated && bytes * 8 == (size_t)l->frame_bits)
        status = arrange_native(frames, by_pixel, out, err);
    if (status == LAM_OK)
        memcpy(photometric, colours, sizeof colours);
    return status;
}

lam_status lam_frames_stored(const lam_frames *frames, int64_t index, lam_buffer *out, lam_error *err)
{
    const lam_layout *l = &frames->layout;
    if (index < 0 || index >= l->frames)
        return lam_fail(err, LAM_E_NOT_FOUND, "there is no frame %lld; the object has %lld",
                        (long long)index + 1, (long long)l->frames);
    if (l->encapsulated)
        return join_fragments(frames, index, out, err);
    size_t bytes = (size_t)(l->frame_bits + 7) / 8;
    unsigned char *room = (unsigned char *)lam_buffer_reserve(out, bytes);
    if (!room)
        return lam_fail(err, out->status, "out of memory for a frame of %zu bytes", bytes);
    copy_native(frames, index, 0, room);
    out->length += bytes;
    return LAM_OK;
}
