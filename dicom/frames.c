#include "dicom/frames.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dicom/j2k.h"
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

/* The bytes in memory order of a little endian machine, from those in the file (PS3.5 section 8.1 and A.2:
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

static lam_status decode_j2k(lam_frames *frames, int64_t index, void *out, char photometric[17],
                             lam_error *err)
{
    const lam_layout *l = &frames->layout;
    int64_t sign = 0;
    lam_dataset_integer(frames->header, LAM_TAG_PIXEL_SIGN, 0, &sign);
    const lam_j2k_shape shape = {l->rows, l->columns, l->samples, (int)(l->bits_allocated / 8), sign == 1};
    LAM_AUTO(lam_buffer_done) lam_buffer stream;
    lam_buffer_init(&stream, LAM_FRAME_MAX_BYTES);
    const char *said = lam_dataset_text(frames->header, LAM_TAG_PHOTOMETRIC, "");
    lam_status status = l->bits_allocated >= 8 ? LAM_OK : LAM_E_UNSUPPORTED;
    if (status != LAM_OK)
        return lam_fail(err, status, "JPEG 2000 with 1 bit allocated");
    status = join_fragments(frames, index, &stream, err);
    if (status == LAM_OK)
        status = lam_j2k_decode(stream.data, stream.length, &shape, out, err);
    if (status == LAM_OK) /* the decoder has undone the colour transform */
        snprintf(photometric, 17, "%s",
                 strcmp(said, "YBR_ICT") == 0 || strcmp(said, "YBR_RCT") == 0 ? "RGB" : said);
    return status;
}

static lam_status decode_by_dcmtk(lam_frames *frames, int64_t index, bool by_pixel, void *out, size_t bytes,
                                  char photometric[17], lam_error *err)
{
    size_t count;
    const lam_fragment *fragments = lam_layout_frame(&frames->layout, index, &count);
    lam_autofree lam_bytes *pieces = calloc(count ? count : 1, sizeof *pieces);
    if (!pieces)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for %zu fragments", count);
    for (size_t i = 0; i < count; i++)
        pieces[i] = (lam_bytes){frames->file.data + fragments[i].offset, fragments[i].length};
    return lam_dataset_decode(frames->header, pieces, count, by_pixel, out, bytes, photometric, err);
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
    if (l->encapsulated && lam_j2k_is(frames->file.meta.transfer_syntax))
        return decode_j2k(frames, index, out, photometric, err);
    if (l->encapsulated)
        return decode_by_dcmtk(frames, index, by_pixel, out, bytes, photometric, err);
    status = decode_native(frames, index, out, err);
    if (status != LAM_OK)
        return status;
    snprintf(photometric, 17, "%s", lam_dataset_text(frames->header, LAM_TAG_PHOTOMETRIC, ""));
    int64_t planar = 0;
    lam_dataset_integer(frames->header, LAM_TAG_PLANAR, 0, &planar);
    bool planes =
        planar == 1 && l->samples > 1 && l->bits_allocated >= 8 && bytes * 8 == (size_t)l->frame_bits;
    return by_pixel && planes ? interleave(l, out, err) : LAM_OK;
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
