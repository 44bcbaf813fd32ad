#include "dicom/pixels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dicom/bytes.h"
#include "dicom/tag.h"

/* A stored value in a header, whichever sign its VR gave it. */
static bool stored_value(const lam_frames *frames, lam_tag tag, bool is_signed, int64_t *out)
{
    if (!lam_dataset_integer(frames->header, tag, 0, out))
        return false;
    if (is_signed && *out > INT16_MAX && *out <= UINT16_MAX)
        *out -= 1 << 16;
    else if (!is_signed && *out < 0 && *out >= INT16_MIN)
        *out += 1 << 16;
    return true;
}

static void describe_padding(const lam_frames *frames, lam_pixels *p)
{
    int64_t padding = 0, limit = 0;
    p->is_padded = stored_value(frames, LAM_TAG_PADDING, p->is_signed, &padding);
    if (!stored_value(frames, LAM_TAG_PADDING_LIMIT, p->is_signed, &limit))
        limit = padding;
    p->padding_least = (double)(padding < limit ? padding : limit);
    p->padding_most = (double)(padding < limit ? limit : padding);
}

bool lam_pixels_describe(const lam_frames *frames, lam_pixels *out)
{
    const lam_layout *l = &frames->layout;
    lam_pixels p = {.layout = l, .count = (size_t)(l->rows * l->columns)};
    int64_t stored = lam_dataset_integer_or(frames->header, LAM_TAG_BITS_STORED, 0, l->bits_allocated);
    int64_t high = lam_dataset_integer_or(frames->header, LAM_TAG_HIGH_BIT, 0, stored - 1);
    bool fits = stored >= 1 && stored <= l->bits_allocated && high >= stored - 1 && high < l->bits_allocated;
    if (!fits) {
        stored = l->bits_allocated;
        high = stored - 1;
    }
    p.stored = (int)stored;
    p.high = (int)high;
    p.is_signed = lam_dataset_integer_or(frames->header, LAM_TAG_PIXEL_SIGN, 0, 0) == 1;
    snprintf(p.photometric, sizeof p.photometric, "%s",
             lam_dataset_text(frames->header, LAM_TAG_PHOTOMETRIC, ""));
    describe_padding(frames, &p);
    *out = p;
    return fits;
}

lam_status lam_pixels_read(lam_frames *frames, int64_t index, lam_pixels *out, lam_error *err)
{
    lam_pixels p;
    size_t size = 0;
    lam_pixels_describe(frames, &p);
    lam_status status = lam_frames_size(frames, &size, err);
    if (status != LAM_OK)
        return status;
    p.bytes = calloc(1, size + 8); /* a pixel whose chrominance is that of two may be the only one */
    if (!p.bytes)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a frame of %zu bytes", size);
    status = lam_frames_decode(frames, index, true, p.bytes, p.photometric, err);
    if (status == LAM_OK)
        *out = p;
    else
        lam_pixels_done(&p);
    return status;
}

void lam_pixels_done(lam_pixels *pixels)
{
    if (!pixels)
        return;
    free(pixels->bytes);
    pixels->bytes = NULL;
}

double lam_pixels_value(const lam_pixels *p, size_t i)
{
    const lam_layout *l = p->layout;
    float f;
    double d;
    if (l->bits_allocated == 1)
        return p->bytes[i / 8] >> i % 8 & 1;
    size_t width = (size_t)l->bits_allocated / 8;
    const unsigned char *at = p->bytes + i * width;
    if (l->tag == LAM_TAG_FLOAT_PIXELS)
        return memcpy(&f, at, sizeof f), (double)f;
    if (l->tag == LAM_TAG_DOUBLE_PIXELS)
        return memcpy(&d, at, sizeof d), d;
    uint64_t word = width == 1 ? *at : width == 2 ? lam_le16(at) : width == 4 ? lam_le32(at) : lam_le64(at);
    uint64_t mask = ~UINT64_C(0) >> (64 - p->stored);
    uint64_t bits = word >> (p->high + 1 - p->stored) & mask;
    bool negative = p->is_signed && bits > mask / 2;
    return negative ? -(double)(mask - bits) - 1 : (double)bits;
}
