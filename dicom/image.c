#include "dicom/image.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "dicom/j2k.h"
#include "dicom/transfer_syntax.h"

enum { MAX_SIDE = 65535, MAX_FRAMES = 1000000, MAX_STREAM = 1 << 30 };

static lam_status check_kind(lam_dataset *dataset, int64_t samples, lam_error *err)
{
    const char *photometric = lam_dataset_text(dataset, LAM_TAG_PHOTOMETRIC, "");
    if (!lam_dataset_has(dataset, LAM_TAG_ROWS) || !lam_dataset_has(dataset, LAM_TAG_COLUMNS))
        return lam_fail(err, LAM_E_INVALID, "the object is not an image: it has no Rows and Columns");
    if (lam_dataset_has(dataset, LAM_TAG_FLOAT_PIXELS) || lam_dataset_has(dataset, LAM_TAG_DOUBLE_PIXELS))
        return lam_fail(err, LAM_E_UNSUPPORTED, "floating point pixel data are not analysed");
    if (samples != 1 || strncmp(photometric, "MONOCHROME", 10) != 0)
        return lam_fail(
            err, LAM_E_UNSUPPORTED,
            "colour images are not analysed (PhotometricInterpretation %.16s, %lld samples a pixel)",
            *photometric ? photometric : "missing", (long long)samples);
    return LAM_OK;
}

lam_status lam_image_describe(lam_dataset *dataset, lam_image *out, lam_error *err)
{
    lam_status status = check_kind(dataset, lam_dataset_integer_or(dataset, LAM_TAG_SAMPLES, 0, 1), err);
    if (status != LAM_OK)
        return status;
    int64_t allocated = lam_dataset_integer_or(dataset, LAM_TAG_BITS_ALLOCATED, 0, 0);
    int64_t stored = lam_dataset_integer_or(dataset, LAM_TAG_BITS_STORED, 0, allocated);
    int64_t high = lam_dataset_integer_or(dataset, LAM_TAG_HIGH_BIT, 0, stored - 1);
    lam_image image = {.rows = lam_dataset_integer_or(dataset, LAM_TAG_ROWS, 0, 0),
                       .columns = lam_dataset_integer_or(dataset, LAM_TAG_COLUMNS, 0, 0),
                       .frames = lam_dataset_integer_or(dataset, LAM_TAG_FRAMES, 0, 1),
                       .is_signed = lam_dataset_integer_or(dataset, LAM_TAG_PIXEL_SIGN, 0, 0) == 1,
                       .inverted = lam_dataset_is(dataset, LAM_TAG_PHOTOMETRIC, "MONOCHROME1")};
    if (image.rows < 1 || image.columns < 1 || image.rows > MAX_SIDE || image.columns > MAX_SIDE ||
        image.frames < 1 || image.frames > MAX_FRAMES)
        return lam_fail(err, LAM_E_INVALID, "an image of %lld×%lld pixels and %lld frames",
                        (long long)image.rows, (long long)image.columns, (long long)image.frames);
    if (allocated != 8 && allocated != 16 && allocated != 32)
        return lam_fail(err, LAM_E_UNSUPPORTED, "images of %lld bits allocated are not analysed",
                        (long long)allocated);
    if (stored < 1 || stored > allocated || high < stored - 1 || high >= allocated)
        return lam_fail(err, LAM_E_INVALID, "%lld bits stored up to bit %lld do not fit in %lld allocated",
                        (long long)stored, (long long)high, (long long)allocated);
    image.bits_allocated = (int)allocated;
    image.bits_stored = (int)stored;
    image.high_bit = (int)high;
    *out = image;
    return LAM_OK;
}

static uint32_t word_at(const void *bytes, size_t index, int bits_allocated)
{
    switch (bits_allocated) {
    case 8:
        return ((const uint8_t *)bytes)[index];
    case 16:
        return ((const uint16_t *)bytes)[index];
    default:
        return ((const uint32_t *)bytes)[index];
    }
}

/* The stored bits of one word, sign extended, mirrored when the image is inverted. */
static int64_t stored_value(const lam_image *image, uint32_t word)
{
    uint64_t range = UINT64_C(1) << image->bits_stored;
    uint64_t bits = ((uint64_t)word >> (image->high_bit + 1 - image->bits_stored)) & (range - 1);
    int64_t value = (int64_t)bits;
    if (image->is_signed && bits & range / 2)
        value -= (int64_t)range;
    int64_t lowest = image->is_signed ? -(int64_t)(range / 2) : 0;
    return image->inverted ? 2 * lowest + (int64_t)range - 1 - value : value;
}

static lam_status decode_frame(lam_dataset *dataset, const lam_image *image, size_t frame, void *bytes,
                               size_t length, lam_error *err)
{
    const char *syntax = lam_dataset_transfer_syntax(dataset),
               *undecoded = lam_transfer_syntax_undecoded(syntax);
    char photometric[17];
    if (undecoded)
        return lam_fail(err, LAM_E_UNSUPPORTED, "%s (transfer syntax %s) is not decoded here", undecoded,
                        syntax);
    if (!lam_j2k_is(syntax))
        return lam_dataset_frame(dataset, frame, bytes, length, photometric, err);
    const lam_j2k_shape shape = {image->rows, image->columns, 1, image->bits_allocated / 8, image->is_signed};
    LAM_AUTO(lam_buffer_done) lam_buffer stream;
    lam_buffer_init(&stream, MAX_STREAM);
    lam_status status = lam_dataset_stream(dataset, frame, &stream, err);
    return status == LAM_OK ? lam_j2k_decode(stream.data, stream.length, &shape, bytes, err) : status;
}

lam_status lam_image_frame(lam_dataset *dataset, const lam_image *image, int64_t frame, lam_rescale rescale,
                           float *out, lam_error *err)
{
    size_t count = (size_t)(image->rows * image->columns);
    size_t length = count * (size_t)(image->bits_allocated / 8);
    lam_autofree void *bytes = calloc(1, length + 1);
    if (!bytes)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a frame of %zu bytes", length);
    lam_status status = decode_frame(dataset, image, (size_t)frame, bytes, length, err);
    if (status != LAM_OK)
        return status;
    for (size_t i = 0; i < count; i++) {
        double stored = (double)stored_value(image, word_at(bytes, i, image->bits_allocated));
        out[i] = (float)(stored * rescale.slope + rescale.intercept);
    }
    return LAM_OK;
}
