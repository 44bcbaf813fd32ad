#include "dicom/overlay_plane.h"

#include "dicom/tag.h"

/* Elements of any of the groups (PS3.5 section 7.6). */
enum {
    FIRST_GROUP = 0x6000,
    LAST_GROUP = 0x601E,
    ROWS = 0x0010,
    COLUMNS = 0x0011,
    FRAMES = 0x0015,
    ORIGIN = 0x0050,
    FRAME_ORIGIN = 0x0051,
    DATA = 0x3000,
    MAX_SIDE = 65535
};

/* Which frame of the plane lies on this one of the image, from 0; -1: none. A plane that has no frames of its
 * own lies on all (C.9.2.1.4). */
static int64_t frame_of_plane(lam_dataset *object, unsigned group, int64_t frame)
{
    int64_t frames = lam_dataset_integer_or(object, LAM_TAG(group, FRAMES), 0, 0);
    int64_t own = frame + 1 - lam_dataset_integer_or(object, LAM_TAG(group, FRAME_ORIGIN), 0, 1);
    if (frames <= 0)
        return 0;
    return own >= 0 && own < frames ? own : -1;
}

static void draw_plane(lam_dataset *object, unsigned group, int64_t frame, lam_canvas *canvas)
{
    static const uint8_t white[3] = {255, 255, 255};
    size_t count = 0;
    const unsigned char *bits = lam_dataset_bits(object, LAM_TAG(group, DATA), &count);
    int64_t rows = lam_dataset_integer_or(object, LAM_TAG(group, ROWS), 0, 0),
            columns = lam_dataset_integer_or(object, LAM_TAG(group, COLUMNS), 0, 0);
    int64_t top = lam_dataset_integer_or(object, LAM_TAG(group, ORIGIN), 0, 1) - 1,
            left = lam_dataset_integer_or(object, LAM_TAG(group, ORIGIN), 1, 1) - 1;
    int64_t own = frame_of_plane(object, group, frame);
    if (!bits || own < 0 || rows < 1 || columns < 1 || rows > MAX_SIDE || columns > MAX_SIDE ||
        own >= (int64_t)count / (rows * columns))
        return;
    for (int64_t i = 0, at = own * rows * columns; i < rows * columns; i++, at++)
        if (bits[at / 8] >> at % 8 & 1)
            lam_canvas_set(canvas, (int)(left + i % columns), (int)(top + i / columns), white);
}

void lam_overlay_planes_draw(lam_dataset *object, int64_t frame, lam_canvas *canvas)
{
    for (unsigned group = FIRST_GROUP; group <= LAST_GROUP; group += 2)
        if (lam_dataset_has(object, LAM_TAG(group, DATA)))
            draw_plane(object, group, frame, canvas);
}
