#include "dicom/transcode.h"

#include <stdlib.h>

#include "core/base/cleanup.h"
#include "dicom/frames.h"

/* Frames of single bits follow each other without gaps (PS3.5 section 8.1.1). */
static void append_bits(const unsigned char *frame, size_t bits, unsigned char *pixels, size_t offset)
{
    for (size_t i = 0, to = offset; i < bits; i++, to++)
        pixels[to / 8] |= (unsigned char)((frame[i / 8] >> i % 8 & 1) << to % 8);
}

/* The pixels decoded, so that any native transfer syntax can hold them. */
static lam_status expand(lam_frames *frames, lam_error *err)
{
    const lam_layout *l = &frames->layout;
    size_t size = 0;
    lam_status status = lam_frames_size(frames, &size, err);
    if (status != LAM_OK)
        return status;
    if (size > (size_t)LAM_FRAME_MAX_BYTES / (size_t)l->frames)
        return lam_fail(err, LAM_E_LIMIT, "%lld frames of %zu bytes: retrieve them as frames",
                        (long long)l->frames, size);
    size_t frame_bits = (size_t)l->frame_bits, bytes = ((size_t)l->frames * frame_bits + 7) / 8;
    unsigned char *pixels = lam_dataset_make_bytes(frames->header, LAM_TAG_PIXELS, bytes + bytes % 2);
    char photometric[17] = "";
    if (!pixels)
        return lam_dataset_status(frames->header, err);
    lam_autofree unsigned char *one = frame_bits % 8 != 0 ? malloc(size) : NULL;
    if (frame_bits % 8 != 0 && !one)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a frame of %zu bytes", size);
    for (int64_t i = 0; i < l->frames && status == LAM_OK; i++) {
        status = lam_frames_decode(frames, i, true, one ? one : pixels + (size_t)i * size, photometric, err);
        if (one && status == LAM_OK)
            append_bits(one, frame_bits, pixels, (size_t)i * frame_bits);
    }
    if (status != LAM_OK)
        return status;
    lam_dataset_remove(frames->header, LAM_TAG_EXTENDED_OFFSETS);
    lam_dataset_remove(frames->header, LAM_TAG_EXTENDED_LENGTHS);
    if (l->samples > 1) {
        lam_dataset_set_text(frames->header, LAM_TAG_PHOTOMETRIC, photometric);
        lam_dataset_set_number(frames->header, LAM_TAG_PLANAR, 0);
    }
    return lam_dataset_status(frames->header, err);
}

lam_status lam_transcode(int from, int to, const char *transfer_syntax, lam_error *err)
{
    LAM_AUTO_PTR(lam_dataset) *whole = NULL;
    LAM_AUTO(lam_frames_close) lam_frames frames = {.header = NULL};
    LAM_AUTO(lam_part10_close) lam_part10 file = {.data = NULL};
    lam_status status = lam_part10_open(from, &file, err);
    if (status != LAM_OK)
        return status;
    if (!file.syntax.encapsulated) {
        status = lam_dataset_read(from, LAM_DATASET_WHOLE, &whole, err);
        return status == LAM_OK ? lam_dataset_write(whole, to, transfer_syntax, err) : status;
    }
    lam_error why = {LAM_OK, ""};
    status = lam_frames_open(from, &frames, &why);
    if (status == LAM_E_UNSUPPORTED) { /* no pixels: the data set alone */
        status = lam_dataset_read(from, LAM_DATASET_WHOLE, &whole, err);
        return status == LAM_OK ? lam_dataset_write(whole, to, transfer_syntax, err) : status;
    }
    if (status != LAM_OK)
        return lam_fail(err, status, "%s", why.message);
    status = expand(&frames, err);
    return status == LAM_OK ? lam_dataset_write(frames.header, to, transfer_syntax, err) : status;
}
