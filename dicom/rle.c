#include "dicom/rle.h"

#include <string.h>

#include "dicom/bytes.h"

enum { HEADER_BYTES = 64, MOST_SEGMENTS = 15 };

/* PackBits (G.3.2): every `step`th byte of `out`, `pixels` of them. False where the segment ends first. */
static bool unpack(const unsigned char *at, const unsigned char *end, size_t pixels, size_t step,
                   unsigned char *out)
{
    for (size_t done = 0; done < pixels;) {
        if (end - at < 2)
            return false;
        unsigned code = *at++;
        size_t count = code < 128 ? code + 1 : code > 128 ? 257 - code : 0;
        bool literal = code < 128;
        if (count > pixels - done)
            count = pixels - done;
        if (literal && count > (size_t)(end - at))
            return false;
        for (size_t i = 0; i < count; i++, done++)
            out[done * step] = literal ? at[i] : *at;
        at += literal ? count : count > 0;
    }
    return true;
}

lam_status lam_rle_decode(const unsigned char *stream, size_t length, const lam_rle_shape *shape,
                          unsigned char *out, lam_error *err)
{
    size_t width = shape->bytes_allocated, segments = shape->samples * width;
    if (length < HEADER_BYTES)
        return lam_fail(err, LAM_E_CORRUPT, "an RLE frame of %zu bytes", length);
    if (segments > MOST_SEGMENTS || lam_le32(stream) != segments)
        return lam_fail(err, LAM_E_CORRUPT, "an RLE frame of %u segments, by the header it has %zu",
                        (unsigned)lam_le32(stream), segments);
    for (size_t s = 0; s < segments; s++) {
        size_t begin = lam_le32(stream + 4 + 4 * s);
        size_t end = s + 1 < segments ? lam_le32(stream + 8 + 4 * s) : length;
        if (begin < HEADER_BYTES || begin > end || end > length)
            return lam_fail(err, LAM_E_CORRUPT, "segment %zu of an RLE frame lies outside of it", s + 1);
        /* the most significant byte of a sample comes first (G.2) */
        size_t sample = s / width, byte = width - 1 - s % width;
        size_t first = (shape->by_plane ? sample * shape->pixels : sample) * width + byte;
        size_t step = shape->by_plane ? width : width * shape->samples;
        if (!unpack(stream + begin, stream + end, shape->pixels, step, out + first))
            return lam_fail(err, LAM_E_CORRUPT, "segment %zu of an RLE frame ends before its last pixel",
                            s + 1);
    }
    return LAM_OK;
}
