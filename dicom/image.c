#include "dicom/image.h"

#include <math.h>
#include <string.h>

#include "dicom/lut.h"
#include "dicom/pixels.h"
#include "dicom/tag.h"

lam_status lam_image_check(const lam_frames *frames, lam_error *err)
{
    const lam_layout *l = &frames->layout;
    const char *photometric = lam_dataset_text(frames->header, LAM_TAG_PHOTOMETRIC, "");
    lam_pixels pixels;
    if (l->cut_short)
        return lam_fail(err, LAM_E_CORRUPT, "the file ends inside the pixel data (%zu bytes of it are there)",
                        l->length);
    if (l->tag != LAM_TAG_PIXELS)
        return lam_fail(err, LAM_E_UNSUPPORTED, "floating point pixel data are not analysed");
    if (l->samples != 1 || strncmp(photometric, "MONOCHROME", 10) != 0)
        return lam_fail(
            err, LAM_E_UNSUPPORTED,
            "colour images are not analysed (PhotometricInterpretation %.16s, %lld samples a pixel)",
            *photometric ? photometric : "missing", (long long)l->samples);
    if (l->bits_allocated != 8 && l->bits_allocated != 16 && l->bits_allocated != 32)
        return lam_fail(err, LAM_E_UNSUPPORTED, "images with BitsAllocated %lld are not analysed",
                        (long long)l->bits_allocated);
    if (!lam_pixels_describe(frames, &pixels)) {
        int64_t stored = lam_dataset_integer_or(frames->header, LAM_TAG_BITS_STORED, 0, l->bits_allocated);
        return lam_fail(err, LAM_E_INVALID, "%lld bits stored up to bit %lld do not fit in %lld allocated",
                        (long long)stored,
                        (long long)lam_dataset_integer_or(frames->header, LAM_TAG_HIGH_BIT, 0, stored - 1),
                        (long long)l->bits_allocated);
    }
    return LAM_OK;
}

/* The table that gives the modality values instead of slope and intercept; *out is NULL where there is none.
 */
static lam_status read_lut(lam_frames *frames, bool is_signed, lam_lut **out, lam_error *err)
{
    lam_dataset *item = lam_dataset_item(frames->header, LAM_TAG_MODALITY_LUT, 0);
    *out = lam_lut_read(item, LAM_TAG_LUT_DESCRIPTOR, LAM_TAG_LUT_DATA, is_signed);
    if (item && !*out)
        return lam_fail(err, LAM_E_INVALID,
                        "an image has a Modality LUT (0028,3000) without the entries that it announces");
    return LAM_OK;
}

lam_status lam_image_frame(lam_frames *frames, int64_t index, lam_rescale rescale, float *out, lam_error *err)
{
    LAM_AUTO(lam_pixels_done) lam_pixels pixels = {.bytes = NULL};
    LAM_AUTO_PTR(lam_lut) *lut = NULL;
    lam_status status = lam_pixels_read(frames, index, &pixels, err);
    if (status == LAM_OK)
        status = read_lut(frames, pixels.is_signed, &lut, err);
    if (status != LAM_OK)
        return status;
    bool inverted = lam_dataset_is(frames->header, LAM_TAG_PHOTOMETRIC, "MONOCHROME1");
    int bits = lut ? lut->bits : pixels.stored;
    double mirror = pixels.is_signed && !lut ? -1 : ldexp(1, bits) - 1; /* least value + largest value */
    for (size_t i = 0; i < pixels.count; i++) {
        double stored = lam_pixels_value(&pixels, i), value = lut ? lam_lut_at(lut, stored) : stored;
        if (inverted)
            value = mirror - value;
        if (!lut)
            value = value * rescale.slope + rescale.intercept;
        out[i] = lam_pixels_is_padding(&pixels, stored) ? NAN : (float)value;
    }
    return LAM_OK;
}
