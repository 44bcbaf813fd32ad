/* Media types and what a client accepts (RFC 9110 sections 8.3 and 12.5.1, PS3.18 section 8.7): parsing in
 * one place, choosing from a list of offers. Knows the two parameters that select in DICOMweb, `type` of
 * multipart/related and `transfer-syntax`; others do not take part. No HTTP and no I/O. */
#ifndef LAMINA_API_NEGOTIATE_H
#define LAMINA_API_NEGOTIATE_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { LAM_MEDIA_TEXT = 128, LAM_MEDIA_PARAMETERS = 6 };

/* A media type or range. Type and parameter names are in lower case, quotes removed. */
typedef struct lam_media_type {
    char type[LAM_MEDIA_TEXT]; /* "multipart/related", "*" "/" "*" */
    struct {
        char name[32];
        char value[LAM_MEDIA_TEXT];
    } parameters[LAM_MEDIA_PARAMETERS];
    size_t count;
    int quality; /* q in thousandths, 0 … 1000; 1000 when absent */
} lam_media_type;

/* Reads one media type from `text` up to its end or to a comma outside quotes. *rest (may be NULL) points
 * past what was read. False when malformed or too long; *rest is set then, too, so that a list can go on.
 * Values that need quotes but have none (`type=application/dicom`) are read, since clients send them.
 * Parameters past the sixth are ignored. */
bool lam_media_type_parse(const char *text, lam_media_type *out, const char **rest);

/* The parameter's value (borrowed) or NULL. `name` in lower case. */
const char *lam_media_type_get(const lam_media_type *media, const char *name);

/* What a resource can be given as. */
typedef struct lam_offer {
    const char *type;            /* "multipart/related" */
    const char *part_type;       /* its type parameter, "application/dicom"; NULL where there is none */
    const char *transfer_syntax; /* UID; NULL where it does not apply: then any requested one fits */
    bool by_name; /* only for who names a transfer syntax, or `*` for any: others cannot know what they get */
} lam_offer;

/* The offer that the Accept value prefers: highest q of the most specific range that matches it; among equals
 * the first. NULL or blank accepts anything. -1 when none is acceptable. Malformed ranges are passed over. */
int lam_negotiate(const char *accept, const lam_offer *offers, size_t count);

#ifdef __cplusplus
}
#endif
#endif
