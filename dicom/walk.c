#include "dicom/walk.h"

#include <string.h>

#include "dicom/bytes.h"
#include "dicom/dictionary.h"
#include "dicom/tag.h"

#define UNDEFINED UINT32_MAX

/* An element's header, decoded. */
typedef struct header {
    lam_tag tag;
    char vr[3];
    uint32_t length;
    size_t bytes; /* of the header */
    bool implicit;
} header;

static uint16_t get16(const lam_walk *walk, size_t at)
{
    const unsigned char *b = walk->bytes + at;
    return walk->big_endian ? lam_be16(b) : lam_le16(b);
}

static uint32_t get32(const lam_walk *walk, size_t at)
{
    const unsigned char *b = walk->bytes + at;
    return walk->big_endian ? lam_be32(b) : lam_le32(b);
}

static lam_tag get_tag(const lam_walk *walk, size_t at)
{
    return LAM_TAG(get16(walk, at), get16(walk, at + 2));
}

/* Where what is being read must end at the latest. */
static size_t limit_of(const lam_walk *walk)
{
    for (int i = walk->top; i > 0; i--)
        if (walk->levels[i].end != SIZE_MAX)
            return walk->levels[i].end;
    return walk->length;
}

static lam_status corrupt(const lam_walk *walk, lam_tag tag, const char *what, lam_error *err)
{
    return lam_fail(err, LAM_E_CORRUPT, "damaged data set at byte %zu, (%04x,%04x): %s", walk->position,
                    LAM_TAG_ARGS(tag), what);
}

void lam_walk_init(lam_walk *walk, const unsigned char *bytes, size_t length, lam_transfer_syntax syntax)
{
    *walk = (lam_walk){.bytes = bytes, .length = length, .big_endian = syntax.big_endian};
    walk->levels[0] = (lam_walk_level){.end = length, .explicit_vr = syntax.explicit_vr};
}

/* VRs with a 16 bit length (PS3.5 7.1.2); every other one, known or not, has 32 bits after two reserved. */
static bool has_short_length(const char vr[2])
{
    static const char names[][3] = {"AE", "AS", "AT", "CS", "DA", "DS", "DT", "FL", "FD", "IS", "LO",
                                    "LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (vr[0] == names[i][0] && vr[1] == names[i][1])
            return true;
    return false;
}

static bool is_letter(unsigned char c)
{
    return c >= 'A' && c <= 'Z';
}

static lam_status read_header(const lam_walk *walk, size_t limit, header *out, lam_error *err)
{
    size_t at = walk->position;
    if (limit - at < 8)
        return corrupt(walk, 0, "fewer than 8 bytes are left for an element", err);
    header h = {.tag = get_tag(walk, at), .bytes = 8};
    const unsigned char *vr = walk->bytes + at + 4;
    bool delimiter = h.tag >> 16 == 0xfffe;
    /* Some writers leave single elements of an explicit file implicit; letters tell. */
    h.implicit = delimiter || !walk->levels[walk->top].explicit_vr || !is_letter(vr[0]) || !is_letter(vr[1]);
    if (h.implicit) {
        h.length = get32(walk, at + 4);
        if (!delimiter)
            lam_dictionary_vr(h.tag, h.vr);
    } else {
        h.vr[0] = (char)vr[0];
        h.vr[1] = (char)vr[1];
        if (has_short_length(h.vr)) {
            h.length = get16(walk, at + 6);
        } else {
            if (limit - at < 12)
                return corrupt(walk, h.tag, "its header is cut short", err);
            h.length = get32(walk, at + 8);
            h.bytes = 12;
        }
    }
    *out = h;
    return LAM_OK;
}

static lam_status push(lam_walk *walk, lam_walk_level level, lam_error *err)
{
    if (walk->top + 1 >= (int)(sizeof walk->levels / sizeof walk->levels[0]))
        return lam_fail(err, LAM_E_LIMIT, "sequences are nested more than %d deep at (%04x,%04x)",
                        LAM_WALK_MAX_DEPTH, LAM_TAG_ARGS(level.tag));
    walk->levels[++walk->top] = level;
    return LAM_OK;
}

static void end_level(lam_walk *walk, lam_walk_event *event)
{
    const lam_walk_level *level = &walk->levels[walk->top--];
    event->kind = level->is_sequence ? LAM_WALK_SEQUENCE_END : LAM_WALK_ITEM_END;
    event->tag = level->tag;
    event->depth = walk->top / 2;
}

/* Steps over the fragments of encapsulated pixel data (PS3.5 annex A.4). */
static void skip_fragments(lam_walk *walk, lam_walk_event *event)
{
    size_t start = walk->position;
    event->cut_short = true;
    while (walk->length - walk->position >= 8) {
        lam_tag tag = get_tag(walk, walk->position);
        uint32_t length = get32(walk, walk->position + 4);
        if (tag != LAM_TAG_ITEM) {
            event->cut_short = tag != LAM_TAG_SEQUENCE_END;
            break;
        }
        if (length > walk->length - walk->position - 8)
            break;
        walk->position += 8 + (size_t)length;
    }
    event->value = walk->bytes + start;
    event->length = walk->position - start;
    event->encapsulated = true;
    walk->position = event->cut_short ? walk->length : walk->position + 8;
}

static bool is_pixel_data(lam_tag tag)
{
    return tag == LAM_TAG_PIXELS || tag == LAM_TAG_FLOAT_PIXELS || tag == LAM_TAG_DOUBLE_PIXELS;
}

/* Also what was written as UN of known length by something that did not know the attribute (PS3.5 6.2.2 note
 * 2), if it does begin with an item. */
static bool is_sequence(const lam_walk *walk, const header *h, size_t limit)
{
    char known[3];
    if (strcmp(h->vr, "SQ") == 0 || h->length == UNDEFINED)
        return true;
    return strcmp(h->vr, "UN") == 0 && !walk->big_endian && h->length >= 8 && limit - walk->position >= 8 &&
           get_tag(walk, walk->position) == LAM_TAG_ITEM && lam_dictionary_vr(h->tag, known) &&
           strcmp(known, "SQ") == 0;
}

static lam_status begin_sequence(lam_walk *walk, const header *h, size_t limit, lam_walk_event *event,
                                 lam_error *err)
{
    if (h->length != UNDEFINED && h->length > limit - walk->position)
        return corrupt(walk, h->tag, "the sequence reaches past what contains it", err);
    /* UN of undefined length is implicit VR inside, whatever surrounds it (PS3.5 6.2.2 note 2). */
    bool explicit_vr = walk->levels[walk->top].explicit_vr && !h->implicit && strcmp(h->vr, "UN") != 0;
    event->kind = LAM_WALK_SEQUENCE;
    memcpy(event->vr, "SQ", 3);
    return push(walk,
                (lam_walk_level){.end = h->length == UNDEFINED ? SIZE_MAX : walk->position + h->length,
                                 .tag = h->tag,
                                 .is_sequence = true,
                                 .explicit_vr = explicit_vr},
                err);
}

/* At the top level or inside an item. */
static lam_status next_element(lam_walk *walk, lam_walk_event *event, lam_error *err)
{
    size_t limit = limit_of(walk);
    header h;
    lam_status status = read_header(walk, limit, &h, err);
    if (status != LAM_OK)
        return status;
    bool top = walk->top == 0;
    if (top && walk->pixels_end_it && is_pixel_data(h.tag)) {
        walk->length = walk->levels[0].end = walk->position;
        event->kind = LAM_WALK_END;
        return LAM_OK;
    }
    if (h.tag == LAM_TAG_ITEM_END && !top && walk->levels[walk->top].end == SIZE_MAX) {
        walk->position += h.bytes;
        end_level(walk, event);
        return LAM_OK;
    }
    if (h.tag >> 16 == 0xfffe)
        return corrupt(walk, h.tag, "a delimiter where an element should be", err);
    if (++walk->elements > LAM_WALK_MAX_ELEMENTS)
        return lam_fail(err, LAM_E_LIMIT, "more than %d elements in one object", LAM_WALK_MAX_ELEMENTS);
    walk->position += h.bytes;
    event->tag = h.tag;
    event->depth = walk->top / 2;
    event->big_endian = walk->big_endian;
    memcpy(event->vr, h.vr, sizeof h.vr);
    if (h.length == UNDEFINED && is_pixel_data(h.tag)) {
        skip_fragments(walk, event);
        return LAM_OK;
    }
    if (is_sequence(walk, &h, limit))
        return begin_sequence(walk, &h, limit, event, err);
    event->cut_short = h.length > limit - walk->position;
    if (event->cut_short && !(top && is_pixel_data(h.tag)))
        return corrupt(walk, h.tag, "its value reaches past what contains it", err);
    event->value = walk->bytes + walk->position;
    event->length = event->cut_short ? limit - walk->position : h.length;
    walk->position += event->length;
    return LAM_OK;
}

/* Inside a sequence: an item or the end. */
static lam_status next_item(lam_walk *walk, lam_walk_event *event, lam_error *err)
{
    const lam_walk_level *sequence = &walk->levels[walk->top];
    size_t limit = limit_of(walk);
    if (limit - walk->position < 8)
        return corrupt(walk, sequence->tag, "the sequence is cut short", err);
    lam_tag tag = get_tag(walk, walk->position);
    uint32_t length = get32(walk, walk->position + 4);
    if (tag == LAM_TAG_SEQUENCE_END && sequence->end == SIZE_MAX) {
        walk->position += 8;
        end_level(walk, event);
        return LAM_OK;
    }
    if (tag != LAM_TAG_ITEM)
        return corrupt(walk, sequence->tag, "something else than an item in a sequence", err);
    walk->position += 8;
    if (length != UNDEFINED && length > limit - walk->position)
        return corrupt(walk, sequence->tag, "an item reaches past its sequence", err);
    event->kind = LAM_WALK_ITEM;
    event->tag = sequence->tag;
    event->depth = walk->top / 2;
    return push(walk,
                (lam_walk_level){.end = length == UNDEFINED ? SIZE_MAX : walk->position + length,
                                 .tag = sequence->tag,
                                 .explicit_vr = sequence->explicit_vr},
                err);
}

lam_status lam_walk_next(lam_walk *walk, lam_walk_event *out, lam_error *err)
{
    lam_walk_event event = {.kind = LAM_WALK_ELEMENT};
    const lam_walk_level *level = &walk->levels[walk->top];
    lam_status status = LAM_OK;
    if (walk->position == level->end) {
        if (walk->top == 0)
            event.kind = LAM_WALK_END;
        else
            end_level(walk, &event);
    } else {
        status = level->is_sequence ? next_item(walk, &event, err) : next_element(walk, &event, err);
    }
    if (status == LAM_OK)
        *out = event;
    return status;
}

lam_status lam_walk_check(const unsigned char *bytes, size_t length, lam_transfer_syntax syntax, bool pixels,
                          size_t *checked, lam_error *err)
{
    lam_walk walk;
    lam_walk_event event;
    lam_walk_init(&walk, bytes, length, syntax);
    walk.pixels_end_it = !pixels;
    do {
        lam_status status = lam_walk_next(&walk, &event, err);
        if (status != LAM_OK)
            return status;
        if (event.cut_short)
            return lam_fail(err, LAM_E_CORRUPT,
                            "the file ends inside the pixel data (%zu bytes of it are there)", event.length);
    } while (event.kind != LAM_WALK_END);
    *checked = walk.position;
    return LAM_OK;
}
