/* A pull parser over an encoded data set (PS3.5 section 7): tags, value representations, lengths and nesting,
 * never values. Copies nothing, allocates nothing, recurses never; every length is checked against what
 * contains it. The header index is made with it, and no other parser sees bytes that it has not accepted. */
#ifndef LAMINA_DICOM_WALK_H
#define LAMINA_DICOM_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "dicom/transfer_syntax.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LAM_WALK_MAX_DEPTH = 16,         /* sequences inside sequences; real reports have about 8 */
    LAM_WALK_MAX_ELEMENTS = 8000000, /* in one object */
};

typedef enum lam_walk_kind {
    LAM_WALK_ELEMENT,
    LAM_WALK_SEQUENCE, /* its items follow */
    LAM_WALK_ITEM,
    LAM_WALK_ITEM_END,
    LAM_WALK_SEQUENCE_END,
    LAM_WALK_END, /* of the data set; comes again if asked again */
} lam_walk_kind;

typedef struct lam_walk_event {
    lam_walk_kind kind;
    uint32_t tag; /* of the element or sequence (for the other kinds: that they belong to) */
    char vr[3];   /* as encoded, else from the dictionary ("xs": see dictionary.h) */
    int depth;    /* sequences around it: 0 at the top; an item has its sequence's */
    bool big_endian;
    bool cut_short;             /* pixel data only: the file ends before its value does */
    bool encapsulated;          /* pixel data only: `value` holds fragments, from the first item tag on */
    const unsigned char *value; /* in the walked bytes; NULL for other kinds than ELEMENT */
    size_t length;
} lam_walk_event;

typedef struct lam_walk_level {
    size_t end; /* position, or SIZE_MAX when a delimiter ends it */
    uint32_t tag;
    bool is_sequence;
    bool explicit_vr;
} lam_walk_level;

typedef struct lam_walk {
    const unsigned char *bytes;
    size_t length, position;
    bool big_endian;
    bool pixels_end_it; /* set by the caller: END comes where the top-level pixel data would */
    int64_t elements;
    int top;
    lam_walk_level levels[2 * LAM_WALK_MAX_DEPTH + 1];
} lam_walk;

/* `bytes` is borrowed for as long as the walk goes on. */
void lam_walk_init(lam_walk *walk, const unsigned char *bytes, size_t length, lam_transfer_syntax syntax);

/* The next event. Errors: LAM_E_CORRUPT (what is wrong, tag and position), LAM_E_LIMIT; then the walk is
 * over.
 */
lam_status lam_walk_next(lam_walk *walk, lam_walk_event *out, lam_error *err);

/* Walks to the end, or to the pixel data if they are not wanted, and says how many bytes that are. LAM_OK:
 * within all limits, no value reaches past its container, pixel data complete. */
lam_status lam_walk_check(const unsigned char *bytes, size_t length, lam_transfer_syntax syntax, bool pixels,
                          size_t *checked, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
