#include "dicom/image.h"

#include <math.h>
#include <string.h>

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
        return lam_fail(err, LAM_E_UNSUPPORTED, "images of %lld bits allocated are not analysed",
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

lam_status lam_image_frame(lam_frames *frames, int64_t index, lam_rescale rescale, float *out, lam_error *err)
{
    LAM_AUTO(lam_pixels_done) lam_pixels pixels = {.bytes = NULL};
    lam_status status = lam_pixels_read(frames, index, &pixels, err);
    if (status != LAM_OK)
        return status;
    bool inverted = lam_dataset_is(frames->header, LAM_TAG_PHOTOMETRIC, "MONOCHROME1");
    double mirror = pixels.is_signed ? -1 : ldexp(1, pixels.stored) - 1; /* least value + largest value */
    for (size_t i = 0; i < pixels.count; i++) {
        double stored = lam_pixels_value(&pixels, i);
        if (inverted)
            stored = mirror - stored;
        out[i] = (float)(stored * rescale.slope + rescale.intercept);
    }
    return LAM_OK;
}
