#include "dicom/index.h"

#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/json.h"
#include "core/base/uid.h"
#include "dicom/json_value.h"
#include "dicom/layout.h"
#include "dicom/part10.h"
#include "dicom/tag.h"
#include "dicom/walk.h"

enum {
    MAX_DISORDERED = 256,            /* elements that may stand out of order, in one object */
    MAX_SEQUENCE = 12 * 1024 * 1024, /* of JSON; a longer top-level sequence becomes a BulkDataURI */
    MAX_SCRATCH = 4 * 1024 * 1024,
};

/* What is known at each nesting depth. */
typedef struct level {
    lam_tag sequence; /* the one that is open here */
    int64_t item;     /* in it, from 0; -1 before the first */
    lam_tag highest;  /* element tag so far in this item */
    lam_charset charset;
    lam_buffer seen; /* element tags of this item, as lam_tag */
} level;

typedef struct indexer {
    lam_walk walk;
    lam_json_writer w;
    lam_buffer *out;
    lam_buffer scratch;
    level levels[LAM_WALK_MAX_DEPTH + 1];
    int skip_depth;         /* the sequence open at this depth is left out; -1: none */
    lam_json_writer before; /* the top-level sequence that is being written, to take it back */
    size_t length_before;
    int disordered;
    bool pixels_are_signed;
    unsigned found; /* bit per row of required */
} indexer;

static const struct {
    lam_tag tag;
    const char *name;
} required[] = {
    {LAM_TAG_SOP_CLASS, "SOPClassUID"},
    {LAM_TAG_SOP_INSTANCE, "SOPInstanceUID"},
    {LAM_TAG_STUDY, "StudyInstanceUID"},
    {LAM_TAG_SERIES, "SeriesInstanceUID"},
};

static lam_status note_uid(indexer *x, const lam_walk_event *e, lam_error *err)
{
    for (size_t i = 0; i < LAM_COUNT(required); i++) {
        if (required[i].tag != e->tag)
            continue;
        char uid[LAM_UID_TEXT] = "";
        size_t n = e->length;
        while (n > 0 && (e->value[n - 1] == '\0' || e->value[n - 1] == ' '))
            n--;
        if (n < sizeof uid)
            memcpy(uid, e->value, n);
        if (n >= sizeof uid || !lam_uid_is_valid(uid))
            return lam_fail(err, LAM_E_INVALID, "%s (%04x,%04x) is not a valid UID (PS3.5 9.1)",
                            required[i].name, LAM_TAG_ARGS(e->tag));
        x->found |= 1u << i;
    }
    return LAM_OK;
}

static lam_status check_required(const indexer *x, lam_error *err)
{
    for (size_t i = 0; i < LAM_COUNT(required); i++)
        if (!(x->found & 1u << i))
            return lam_fail(err, LAM_E_INVALID, "the object has no %s (%04x,%04x)", required[i].name,
                            LAM_TAG_ARGS(required[i].tag));
    return LAM_OK;
}

static void put_key(char key[9], lam_tag tag)
{
    for (int i = 0; i < 8; i++)
        key[i] = "0123456789ABCDEF"[tag >> (28 - 4 * i) & 15];
    key[8] = '\0';
}

static void write_bulk_uri(indexer *x, lam_tag tag, int depth)
{
    char path[24 * (LAM_WALK_MAX_DEPTH + 1)];
    int at = snprintf(path, sizeof path, "bulk");
    for (int i = 0; i < depth; i++)
        at += snprintf(path + at, sizeof path - (size_t)at, "/%08X/%lld", (unsigned)x->levels[i].sequence,
                       (long long)x->levels[i].item);
    snprintf(path + at, sizeof path - (size_t)at, "/%08X", (unsigned)tag);
    lam_jw_text(&x->w, "BulkDataURI", path);
}

/* JSON keys must be unique. Elements come in ascending order (PS3.5 7.1), but real files have some that do
 * not; those are looked for among the ones seen, which is slow and therefore counted. */
static lam_status check_repeated(indexer *x, const lam_walk_event *e, bool *repeated, lam_error *err)
{
    level *here = &x->levels[e->depth];
    *repeated = false;
    if (e->tag > here->highest) {
        here->highest = e->tag;
    } else {
        if (++x->disordered > MAX_DISORDERED)
            return lam_fail(err, LAM_E_CORRUPT,
                            "more than %d elements are out of order, the last (%04x,%04x)", MAX_DISORDERED,
                            LAM_TAG_ARGS(e->tag));
        const lam_tag *seen = (const lam_tag *)(const void *)here->seen.data;
        for (size_t i = 0; i < here->seen.length / sizeof *seen; i++)
            *repeated |= seen[i] == e->tag;
    }
    lam_status status = lam_buffer_append(&here->seen, &e->tag, sizeof e->tag);
    return status == LAM_OK ? LAM_OK : lam_fail(err, status, "out of memory for the tags of an item");
}

static lam_status index_element(indexer *x, const lam_walk_event *e, lam_error *err)
{
    if (e->tag == LAM_TAG_CHARACTER_SET)
        x->levels[e->depth].charset = lam_charset_parse((const char *)e->value, e->length);
    if (e->tag == LAM_TAG_PIXEL_SIGN && e->length >= 2)
        x->pixels_are_signed = e->value[0] | e->value[1];
    if (e->depth == 0) {
        lam_status status = note_uid(x, e, err);
        if (status != LAM_OK)
            return status;
    }
    const char *vr = lam_json_value_vr(e, x->pixels_are_signed);
    char key[9];
    put_key(key, e->tag);
    lam_jw_object(&x->w, key);
    lam_jw_text(&x->w, "vr", vr);
    if (lam_json_value_is_bulk(e, vr))
        write_bulk_uri(x, e->tag, e->depth);
    else
        lam_json_value_write(&x->w, e, vr, &x->levels[e->depth].charset, &x->scratch);
    lam_jw_end(&x->w);
    if (x->scratch.status != LAM_OK)
        return lam_fail(err, x->scratch.status, "out of memory for the value of (%04x,%04x)",
                        LAM_TAG_ARGS(e->tag));
    return LAM_OK;
}

static void begin_sequence(indexer *x, const lam_walk_event *e)
{
    char key[9];
    put_key(key, e->tag);
    if (e->depth == 0) {
        x->before = x->w;
        x->length_before = x->out->length;
    }
    x->levels[e->depth].sequence = e->tag;
    x->levels[e->depth].item = -1;
    lam_jw_object(&x->w, key);
    lam_jw_text(&x->w, "vr", "SQ");
}

static void begin_item(indexer *x, const lam_walk_event *e)
{
    level *inside = &x->levels[e->depth + 1];
    if (x->levels[e->depth].item++ < 0)
        lam_jw_array(&x->w, "Value");
    inside->highest = 0;
    inside->charset = x->levels[e->depth].charset;
    lam_buffer_clear(&inside->seen);
    lam_jw_object(&x->w, NULL);
}

static void end_sequence(indexer *x, const lam_walk_event *e)
{
    if (x->levels[e->depth].item >= 0)
        lam_jw_end(&x->w);
    lam_jw_end(&x->w);
}

/* Thousands of frames may describe themselves in one sequence: past the limit only its address stays. */
static void cut_long_sequence(indexer *x)
{
    char key[9];
    lam_tag tag = x->levels[0].sequence;
    x->w = x->before;
    x->out->length = x->length_before;
    put_key(key, tag);
    lam_jw_object(&x->w, key);
    lam_jw_text(&x->w, "vr", "SQ");
    write_bulk_uri(x, tag, 0);
    lam_jw_end(&x->w);
    x->skip_depth = 0;
}

static lam_status check_room(const indexer *x, lam_error *err)
{
    if (x->out->status == LAM_OK)
        return LAM_OK;
    return lam_fail(err, x->out->status, "the header is larger than %zu bytes as JSON", x->out->maximum);
}

static lam_status index_event(indexer *x, const lam_walk_event *e, lam_error *err)
{
    if (x->skip_depth >= 0) {
        if (e->kind == LAM_WALK_SEQUENCE_END && e->depth == x->skip_depth)
            x->skip_depth = -1;
        return LAM_OK;
    }
    if (e->kind == LAM_WALK_ELEMENT || e->kind == LAM_WALK_SEQUENCE) {
        bool repeated;
        lam_status status = check_repeated(x, e, &repeated, err);
        if (status != LAM_OK)
            return status;
        bool left_out = repeated || (e->tag & 0xffff) == 0; /* group lengths say nothing about the object */
        if (left_out && e->kind == LAM_WALK_SEQUENCE)
            x->skip_depth = e->depth;
        if (left_out)
            return LAM_OK;
    }
    switch (e->kind) {
    case LAM_WALK_ELEMENT: {
        lam_status status = index_element(x, e, err);
        if (status != LAM_OK)
            return status;
        break;
    }
    case LAM_WALK_SEQUENCE:
        begin_sequence(x, e);
        break;
    case LAM_WALK_ITEM:
        begin_item(x, e);
        break;
    case LAM_WALK_ITEM_END:
        lam_jw_end(&x->w);
        break;
    case LAM_WALK_SEQUENCE_END:
        end_sequence(x, e);
        break;
    case LAM_WALK_END:
        break;
    }
    if (e->depth + (e->kind == LAM_WALK_ITEM) > 0 && x->out->length - x->length_before > MAX_SEQUENCE)
        cut_long_sequence(x);
    return check_room(x, err);
}

static lam_status index_data(indexer *x, lam_error *err)
{
    lam_walk_event event;
    do {
        lam_status status = lam_walk_next(&x->walk, &event, err);
        if (status == LAM_OK)
            status = index_event(x, &event, err);
        if (status != LAM_OK)
            return status;
    } while (event.kind != LAM_WALK_END);
    return check_required(x, err);
}

/* Where the frames are, if there are any and they can be found; pixel data that are damaged are stored too.
 */
static void write_pixels(indexer *x, const lam_part10 *file)
{
    LAM_AUTO(lam_layout_done) lam_layout layout = {.tag = 0};
    if (lam_layout_read(file, &layout, NULL) == LAM_OK && layout.fragment_count <= LAM_INDEX_MAX_FRAGMENTS)
        lam_layout_write(&layout, file, &x->w, "pixels");
}

static void indexer_init(indexer *x, const lam_part10 *file, lam_buffer *out)
{
    *x = (indexer){.out = out, .skip_depth = -1, .w = lam_json_write_to(out)};
    lam_walk_init(&x->walk, file->data, file->length, file->syntax);
    x->walk.pixels_end_it = true;
    lam_buffer_init(&x->scratch, MAX_SCRATCH);
    for (size_t i = 0; i < LAM_COUNT(x->levels); i++)
        lam_buffer_init(&x->levels[i].seen, sizeof(lam_tag) * LAM_WALK_MAX_ELEMENTS);
    x->levels[0].charset = lam_charset_parse("", 0);
}

static void indexer_done(indexer *x)
{
    lam_buffer_done(&x->scratch);
    for (size_t i = 0; i < LAM_COUNT(x->levels); i++)
        lam_buffer_done(&x->levels[i].seen);
}

lam_status lam_index_file(int fd, lam_buffer *out, lam_error *err)
{
    lam_part10 file;
    lam_status status = lam_part10_open(fd, &file, err);
    if (status != LAM_OK)
        return status;
    indexer x;
    indexer_init(&x, &file, out);
    size_t length = out->length;
    lam_jw_object(&x.w, NULL);
    lam_jw_text(&x.w, "transfer_syntax_uid", file.meta.transfer_syntax);
    lam_jw_integer(&x.w, "dataset_offset", (int64_t)file.offset);
    lam_jw_object(&x.w, "attributes");
    status = index_data(&x, err);
    if (status == LAM_OK) {
        lam_jw_end(&x.w);
        write_pixels(&x, &file);
        lam_jw_end(&x.w);
        status = check_room(&x, err);
    }
    if (status != LAM_OK && out->data) {
        out->length = length;
        out->data[length] = '\0';
    }
    indexer_done(&x);
    lam_part10_close(&file);
    return status;
}
