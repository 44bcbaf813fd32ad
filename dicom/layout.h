/* Where the pixels of an object lie in its bytes: the value of its pixel data, and for encapsulated ones the
 * fragments of each frame (PS3.5 annex A.4). Looks at tags, lengths and offset tables only; decodes nothing.
 * With it a frame can be sent, or decoded, without reading the frames before it. */
#ifndef LAMINA_DICOM_LAYOUT_H
#define LAMINA_DICOM_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/json.h"
#include "core/base/status.h"
#include "dicom/part10.h"
#include "dicom/tag.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LAM_LAYOUT_MAX_FRAMES = 1000000, LAM_LAYOUT_MAX_FRAGMENTS = 1000000 };

/* A piece of a compressed frame. */
typedef struct lam_fragment {
    int64_t frame;         /* from 0 */
    size_t offset, length; /* from the start of the data set */
} lam_fragment;

typedef struct lam_layout {
    lam_tag tag; /* which pixel data: LAM_TAG_PIXELS, LAM_TAG_FLOAT_PIXELS or LAM_TAG_DOUBLE_PIXELS */
    char vr[3];
    size_t offset, length; /* of the value, from the start of the data set; of all fragments with their items
                            */
    int64_t rows, columns, samples, bits_allocated, frames;
    int64_t frame_bits; /* of a native frame, rows × columns × what a pixel takes; packed without gaps */
    bool encapsulated;
    bool cut_short;          /* the file ends before the pixel data do; what frames are there can be shown */
    lam_fragment *fragments; /* in the order of frames; NULL when native */
    size_t fragment_count;
} lam_layout;

/* Errors: LAM_E_UNSUPPORTED (no pixel data in the object), LAM_E_CORRUPT (pixel data shorter than the frames
 * that are announced, fragments that belong to no frame), LAM_E_LIMIT, those of lam_walk_next. */
lam_status lam_layout_read(const lam_part10 *file, lam_layout *out, lam_error *err);
void lam_layout_done(lam_layout *layout);

/* The fragments of a frame (from 0). NULL and 0 when there are none. */
const lam_fragment *lam_layout_frame(const lam_layout *layout, int64_t frame, size_t *count);

/* Writes the answer to LAM_MESSAGE_LAYOUT as a member `key` (or NULL): offsets are those in the file. Of an
 * object that is deflated only tag and VR, since its pixels are nowhere in the file. */
void lam_layout_write(const lam_layout *layout, const lam_part10 *file, lam_json_writer *w, const char *key);

#ifdef __cplusplus
}
#endif
#endif
