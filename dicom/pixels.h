/* The samples of one decoded frame and what they are: shape, bits, sign (PS3.3 C.7.6.3). Whatever looks at
 * pixels as numbers, for analysis or for the eye, reads them here; what the numbers mean is its own affair.
 */
#ifndef LAMINA_DICOM_PIXELS_H
#define LAMINA_DICOM_PIXELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "dicom/frames.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lam_pixels {
    const lam_layout *layout; /* the frames' */
    unsigned char *bytes;     /* as lam_frames_decode gives them, by pixel */
    char photometric[17];     /* what they are after decoding */
    int stored, high;         /* Bits Stored, High Bit */
    bool is_signed;
    bool is_padded; /* stored values from `padding_least` to `padding_most` are no part of the image */
    double padding_least, padding_most;
    size_t count; /* rows × columns */
} lam_pixels;

/* All but `bytes`, with the photometric interpretation of the header. False where Bits Stored and High Bit do
 * not fit in Bits Allocated: then every allocated bit is taken to count. */
bool lam_pixels_describe(const lam_frames *frames, lam_pixels *out);

/* Decodes frame `index` (from 0). Errors: those of lam_frames_size and lam_frames_decode. */
lam_status lam_pixels_read(lam_frames *frames, int64_t index, lam_pixels *out, lam_error *err);
void lam_pixels_done(lam_pixels *pixels);

/* Sample `i`: its stored bits with their sign, whatever the other bits of its word hold; or the number, of
 * floating point pixels. `i` counts samples, or single bits where 1 is allocated. */
double lam_pixels_value(const lam_pixels *pixels, size_t i);

/* Whether a stored value fills up what is not image (Pixel Padding Value, PS3.3 C.7.5.1.1.2). */
static inline bool lam_pixels_is_padding(const lam_pixels *pixels, double stored)
{
    return pixels->is_padded && stored >= pixels->padding_least && stored <= pixels->padding_most;
}

#ifdef __cplusplus
}
#endif
#endif
