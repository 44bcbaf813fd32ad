#include "dicom/value.h"

#include <stdlib.h>
#include <string.h>

#include "dicom/walk.h"

typedef struct path {
    lam_tag tags[LAM_WALK_MAX_DEPTH + 1];
    int64_t items[LAM_WALK_MAX_DEPTH + 1]; /* the item of tags[i] that holds tags[i + 1] */
    int last;                              /* index of the tag that is wanted */
} path;

static bool read_hexadecimal(const char **at, lam_tag *tag)
{
    if (strspn(*at, "0123456789ABCDEFabcdef") != 8)
        return false;
    *tag = (lam_tag)strtoul(*at, NULL, 16);
    *at += 8;
    return true;
}

static bool read_item(const char **at, int64_t *item)
{
    size_t digits = strspn(*at, "0123456789");
    if (digits < 1 || digits > 9)
        return false;
    *item = strtoll(*at, NULL, 10);
    *at += digits;
    return true;
}

static bool read_path(const char *text, path *out)
{
    path p = {.last = 0};
    if (!read_hexadecimal(&text, &p.tags[0]))
        return false;
    while (*text == '/') {
        text++;
        if (p.last == LAM_WALK_MAX_DEPTH || !read_item(&text, &p.items[p.last]) || *text++ != '/' ||
            !read_hexadecimal(&text, &p.tags[++p.last]))
            return false;
    }
    *out = p;
    return *text == '\0';
}

/* How far along the path the walk is. */
typedef struct search {
    path path;
    int depth;    /* sequences of the path that are open around the walk */
    int64_t item; /* in the innermost of them */
    bool inside;  /* of the item that is wanted */
    const unsigned char *begin;
} search;

/* True when the value is found. */
static bool visit(search *s, const lam_walk *walk, const lam_walk_event *e, lam_bytes *out)
{
    bool here = e->depth == s->depth && (s->depth == 0 || s->inside);
    switch (e->kind) {
    case LAM_WALK_ELEMENT:
        if (!here || e->tag != s->path.tags[s->depth] || s->depth != s->path.last)
            return false;
        *out = (lam_bytes){e->value, e->length};
        return true;
    case LAM_WALK_SEQUENCE:
        if (!here || e->tag != s->path.tags[s->depth])
            return false;
        s->begin = walk->bytes + walk->position;
        s->item = -1;
        s->inside = false;
        s->depth++;
        return false;
    case LAM_WALK_ITEM:
        if (e->depth == s->depth - 1 && s->depth <= s->path.last)
            s->inside = ++s->item == s->path.items[s->depth - 1];
        return false;
    case LAM_WALK_SEQUENCE_END:
        if (e->depth != s->depth - 1 || e->tag != s->path.tags[s->depth - 1])
            return false;
        *out = (lam_bytes){s->begin, (size_t)(walk->bytes + walk->position - s->begin)};
        return s->depth == s->path.last + 1;
    default:
        return false;
    }
}

lam_status lam_value_find(const lam_part10 *file, const char *text, lam_bytes *out, lam_error *err)
{
    search s = {.depth = 0};
    if (!read_path(text, &s.path))
        return lam_fail(err, LAM_E_INVALID, "\"%.80s\" is not the path of a value", text);
    lam_walk walk;
    lam_walk_event e;
    lam_walk_init(&walk, file->data, file->length, file->syntax);
    do {
        lam_status status = lam_walk_next(&walk, &e, err);
        if (status != LAM_OK)
            return status;
        if (visit(&s, &walk, &e, out))
            return LAM_OK;
        if (s.depth > 0 && e.kind == LAM_WALK_SEQUENCE_END && e.depth == s.depth - 1)
            break; /* it was in there or nowhere */
    } while (e.kind != LAM_WALK_END);
    return lam_fail(err, LAM_E_NOT_FOUND, "the object has no such value");
}
