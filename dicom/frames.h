/* The frames of one object, one at a time: found by its layout, decoded by the codec of its transfer syntax.
 * The file is mapped, not read, so that a frame of a large object costs that frame. */
#ifndef LAMINA_DICOM_FRAMES_H
#define LAMINA_DICOM_FRAMES_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/buffer.h"
#include "core/base/cleanup.h"
#include "core/base/status.h"
#include "dicom/dataset.h"
#include "dicom/layout.h"
#include "dicom/part10.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LAM_FRAME_MAX_BYTES ((int64_t)1 << 30)

typedef struct lam_frames {
    lam_part10 file;
    lam_layout layout;
    lam_dataset *header; /* everything before the pixel data */
} lam_frames;

/* Opens a Part 10 file; `fd` may be closed afterwards. Errors: those of lam_part10_open, lam_layout_read and
 * lam_dataset_parse. */
lam_status lam_frames_open(int fd, lam_frames *out, lam_error *err);
void lam_frames_close(lam_frames *frames);

/* Lets go of the file and its layout; only `header` is of use from now on. */
void lam_frames_forget(lam_frames *frames);

/* Bytes of a decoded frame: rows × columns × samples × bytes allocated. One of 1 bit allocated is packed, its
 * first pixel in the lowest bit of its first byte, and takes as many whole bytes as it needs. LAM_E_LIMIT
 * above LAM_FRAME_MAX_BYTES. */
lam_status lam_frames_size(const lam_frames *frames, size_t *bytes, lam_error *err);

/* Decodes frame `index` (from 0) into `out` of that size: native little endian pixels. `by_pixel`: the
 * samples of a pixel together, whatever Planar Configuration says; else as that says. `photometric` gets what
 * the samples then are: decoders of JPEG give RGB for YBR. A native YBR_FULL_422 frame stays as it is and
 * takes two thirds of the size. Errors: LAM_E_NOT_FOUND (no such frame), LAM_E_UNSUPPORTED naming the
 * transfer syntax, LAM_E_CORRUPT, LAM_E_NO_MEMORY. */
lam_status lam_frames_decode(lam_frames *frames, int64_t index, bool by_pixel, void *out,
                             char photometric[17], lam_error *err);

/* Appends the frame as it is stored: the code stream of an encapsulated one, else its bytes, from a whole
 * byte on. */
lam_status lam_frames_stored(const lam_frames *frames, int64_t index, lam_buffer *out, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
