#include "dicom/layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "dicom/bytes.h"
#include "dicom/walk.h"

/* What is read on the way to the pixel data. */
typedef struct reader {
    lam_layout *layout;
    const lam_part10 *file;
    char photometric[17];
    const unsigned char *extended; /* Extended Offset Table (PS3.3 C.7.6.3.1.8) */
    size_t extended_length;
} reader;

static const struct {
    lam_tag tag;
    size_t member;
} numbers[] = {
    {LAM_TAG_ROWS, offsetof(lam_layout, rows)},
    {LAM_TAG_COLUMNS, offsetof(lam_layout, columns)},
    {LAM_TAG_SAMPLES, offsetof(lam_layout, samples)},
    {LAM_TAG_BITS_ALLOCATED, offsetof(lam_layout, bits_allocated)},
};

/* A value of text, at most `size` - 1 characters, without padding. */
static void copy_text(const lam_walk_event *e, char *text, size_t size)
{
    size_t length = e->length < size - 1 ? e->length : size - 1;
    memcpy(text, e->value, length);
    while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\0'))
        length--;
    text[length] = '\0';
}

static void note_element(reader *r, const lam_walk_event *e)
{
    for (size_t i = 0; i < LAM_COUNT(numbers); i++)
        if (numbers[i].tag == e->tag && e->length >= 2) {
            int64_t value = e->big_endian ? lam_be16(e->value) : lam_le16(e->value);
            memcpy((char *)r->layout + numbers[i].member, &value, sizeof value);
        }
    if (e->tag == LAM_TAG_FRAMES) {
        char text[17];
        copy_text(e, text, sizeof text);
        int64_t frames = strtoll(text, NULL, 10);
        r->layout->frames = frames ? frames : 1; /* empty and 0 are seen where one is meant */
    } else if (e->tag == LAM_TAG_PHOTOMETRIC) {
        copy_text(e, r->photometric, sizeof r->photometric);
    } else if (e->tag == LAM_TAG_EXTENDED_OFFSETS) {
        r->extended = e->value;
        r->extended_length = e->length;
    }
}

static bool is_pixel_data(const lam_walk_event *e)
{
    return e->kind == LAM_WALK_ELEMENT && e->depth == 0 &&
           (e->tag == LAM_TAG_PIXELS || e->tag == LAM_TAG_FLOAT_PIXELS || e->tag == LAM_TAG_DOUBLE_PIXELS);
}

static lam_status find_pixels(reader *r, lam_walk_event *e, lam_error *err)
{
    lam_walk walk;
    lam_walk_init(&walk, r->file->data, r->file->length, r->file->syntax);
    for (;;) {
        lam_status status = lam_walk_next(&walk, e, err);
        if (status != LAM_OK)
            return status;
        if (e->kind == LAM_WALK_END)
            return lam_fail(err, LAM_E_UNSUPPORTED, "the object has no pixel data");
        if (is_pixel_data(e))
            return LAM_OK;
        if (e->kind == LAM_WALK_ELEMENT && e->depth == 0)
            note_element(r, e);
    }
}

static lam_status check_shape(reader *r, lam_error *err)
{
    static const int64_t depths[] = {1, 8, 16, 32, 64};
    lam_layout *l = r->layout;
    bool known = false;
    if (l->tag == LAM_TAG_FLOAT_PIXELS)
        l->bits_allocated = 32;
    else if (l->tag == LAM_TAG_DOUBLE_PIXELS)
        l->bits_allocated = 64;
    for (size_t i = 0; i < LAM_COUNT(depths); i++)
        known |= depths[i] == l->bits_allocated;
    if (l->rows < 1 || l->columns < 1 || l->samples < 1 || l->samples > 4)
        return lam_fail(err, LAM_E_UNSUPPORTED, "pixel data of %lld×%lld pixels with %lld samples",
                        (long long)l->rows, (long long)l->columns, (long long)l->samples);
    if (!known)
        return lam_fail(err, LAM_E_UNSUPPORTED, "pixel data of %lld bits allocated",
                        (long long)l->bits_allocated);
    if (l->frames < 1 || l->frames > LAM_LAYOUT_MAX_FRAMES)
        return lam_fail(err, LAM_E_LIMIT, "an object of %lld frames", (long long)l->frames);
    /* of two pixels the chrominance is given once (PS3.3 C.7.6.3.1.2) */
    bool halved = !l->encapsulated && l->samples == 3 && strstr(r->photometric, "_422") != NULL;
    l->frame_bits = l->rows * l->columns * (halved ? 2 : l->samples) * l->bits_allocated;
    return LAM_OK;
}

static lam_status check_native(const lam_layout *l, lam_error *err)
{
    /* frames, rows, columns, samples and depth are bounded: the product fits */
    uint64_t needed = ((uint64_t)l->frame_bits * (uint64_t)l->frames + 7) / 8;
    if (needed > l->length)
        return lam_fail(err, LAM_E_CORRUPT, "%s%zu bytes where %llu are announced",
                        l->cut_short ? "the file ends inside the pixel data: " : "pixel data of ", l->length,
                        (unsigned long long)needed);
    return LAM_OK;
}

/* ---- encapsulated ---- */

static lam_status list_fragments(lam_layout *l, const unsigned char *data, size_t *table, lam_error *err)
{
    size_t end = l->offset + l->length, room = 0;
    for (size_t at = l->offset; end - at >= 8;) {
        size_t length = lam_le32(data + at + 4); /* the walk has checked that it fits */
        if (at == l->offset) {
            *table = length; /* the first item is the Basic Offset Table */
        } else {
            if (l->fragment_count == LAM_LAYOUT_MAX_FRAGMENTS)
                return lam_fail(err, LAM_E_LIMIT, "more than %d fragments", LAM_LAYOUT_MAX_FRAGMENTS);
            if (l->fragment_count == room) {
                room = room ? 2 * room : 16;
                lam_fragment *more = realloc(l->fragments, room * sizeof *more);
                if (!more)
                    return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for %zu fragments", room);
                l->fragments = more;
            }
            l->fragments[l->fragment_count++] = (lam_fragment){.offset = at + 8, .length = length};
        }
        at += 8 + length;
    }
    return LAM_OK;
}

/* By an offset table: frame k begins with the fragment whose item lies `offset` bytes after the first. */
static bool assign_by_table(lam_layout *l, const unsigned char *table, size_t length, size_t width)
{
    if (length != (size_t)l->frames * width || l->fragment_count == 0)
        return false;
    int64_t frame = -1;
    for (size_t i = 0; i < l->fragment_count; i++) {
        uint64_t here = l->fragments[i].offset - l->fragments[0].offset;
        if (frame + 1 < l->frames) {
            const unsigned char *entry = table + (size_t)(frame + 1) * width;
            uint64_t start = width == 8 ? lam_le64(entry) : lam_le32(entry);
            if (start < here)
                return false; /* it begins inside of a fragment */
            frame += start == here;
        }
        if (frame < 0)
            return false;
        l->fragments[i].frame = frame;
    }
    return frame + 1 == l->frames;
}

/* Where nothing says it: a frame begins where a JPEG or JPEG 2000 code stream does. */
static bool assign_by_content(lam_layout *l, const unsigned char *data)
{
    int64_t frame = -1;
    for (size_t i = 0; i < l->fragment_count; i++) {
        const unsigned char *b = data + l->fragments[i].offset;
        bool starts = l->fragments[i].length >= 4 && b[0] == 0xff &&
                      ((b[1] == 0xd8 && b[2] == 0xff) || (b[1] == 0x4f && b[2] == 0xff && b[3] == 0x51));
        frame += starts;
        if (frame < 0)
            return false;
        l->fragments[i].frame = frame;
    }
    return frame + 1 == l->frames;
}

static lam_status assign_frames(reader *r, size_t table, lam_error *err)
{
    lam_layout *l = r->layout;
    if (l->frames == 1 && l->fragment_count > 0)
        return LAM_OK; /* all are of the one frame, which is 0 */
    if ((int64_t)l->fragment_count == l->frames) {
        for (size_t i = 0; i < l->fragment_count; i++)
            l->fragments[i].frame = (int64_t)i;
        return LAM_OK;
    }
    if (assign_by_table(l, r->file->data + l->offset + 8, table, 4) ||
        assign_by_table(l, r->extended, r->extended_length, 8) || assign_by_content(l, r->file->data))
        return LAM_OK;
    if (l->cut_short)
        return lam_fail(err, LAM_E_CORRUPT, "the file ends inside the pixel data, which have %zu fragments",
                        l->fragment_count);
    if (l->fragment_count == 0)
        return lam_fail(err, LAM_E_CORRUPT, "the pixel data have no fragments");
    return lam_fail(err, LAM_E_CORRUPT, "%zu fragments cannot be told apart as %lld frames",
                    l->fragment_count, (long long)l->frames);
}

/* ---- the whole ---- */

static lam_status read_layout(reader *r, lam_error *err)
{
    lam_layout *l = r->layout;
    lam_walk_event e;
    size_t table = 0;
    lam_status status = find_pixels(r, &e, err);
    if (status != LAM_OK)
        return status;
    l->tag = e.tag;
    memcpy(l->vr, e.vr, sizeof l->vr);
    l->offset = (size_t)(e.value - r->file->data);
    l->length = e.length;
    l->encapsulated = e.encapsulated;
    l->cut_short = e.cut_short;
    status = check_shape(r, err);
    if (status != LAM_OK)
        return status;
    if (!l->encapsulated)
        return check_native(l, err);
    status = list_fragments(l, r->file->data, &table, err);
    return status == LAM_OK ? assign_frames(r, table, err) : status;
}

lam_status lam_layout_read(const lam_part10 *file, lam_layout *out, lam_error *err)
{
    lam_layout layout = {.samples = 1, .frames = 1};
    reader r = {.layout = &layout, .file = file};
    lam_status status = read_layout(&r, err);
    if (status == LAM_OK)
        *out = layout;
    else
        lam_layout_done(&layout);
    return status;
}

void lam_layout_done(lam_layout *layout)
{
    if (!layout)
        return;
    free(layout->fragments);
    *layout = (lam_layout){.tag = 0};
}

const lam_fragment *lam_layout_frame(const lam_layout *layout, int64_t frame, size_t *count)
{
    size_t low = 0, high = layout->fragment_count;
    while (low < high) { /* the first fragment whose frame is not before it */
        size_t middle = low + (high - low) / 2;
        if (layout->fragments[middle].frame < frame)
            low = middle + 1;
        else
            high = middle;
    }
    size_t end = low;
    while (end < layout->fragment_count && layout->fragments[end].frame == frame)
        end++;
    *count = end - low;
    return end > low ? &layout->fragments[low] : NULL;
}

/* As it was encoded; where it was not (PS3.5 annex A.1), what it would be explicitly. */
static const char *vr_of(const lam_layout *l)
{
    if (l->vr[0] == 'O')
        return l->vr;
    if (l->tag == LAM_TAG_FLOAT_PIXELS)
        return "OF";
    if (l->tag == LAM_TAG_DOUBLE_PIXELS)
        return "OD";
    return l->encapsulated ? "OB" : "OW";
}

static void write_places(const lam_layout *layout, const lam_part10 *file, lam_json_writer *w)
{
    int64_t base = (int64_t)file->offset;
    lam_jw_integer(w, "offset", base + (int64_t)layout->offset);
    lam_jw_integer(w, "length", (int64_t)layout->length);
    lam_jw_integer(w, "frames", layout->frames);
    lam_jw_integer(w, "frame_bits", layout->frame_bits);
    if (layout->encapsulated) {
        lam_jw_array(w, "fragments");
        for (size_t i = 0; i < layout->fragment_count; i++) {
            lam_jw_array(w, NULL);
            lam_jw_integer(w, NULL, layout->fragments[i].frame);
            lam_jw_integer(w, NULL, base + (int64_t)layout->fragments[i].offset);
            lam_jw_integer(w, NULL, (int64_t)layout->fragments[i].length);
            lam_jw_end(w);
        }
        lam_jw_end(w);
    }
}

void lam_layout_write(const lam_layout *layout, const lam_part10 *file, lam_json_writer *w, const char *key)
{
    char tag[9];
    snprintf(tag, sizeof tag, "%08X", layout->tag);
    lam_jw_object(w, key);
    lam_jw_text(w, "tag", tag);
    lam_jw_text(w, "vr", vr_of(layout));
    if (!file->syntax.deflated)
        write_places(layout, file, w);
    lam_jw_end(w);
}
