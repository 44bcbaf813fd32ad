/* Incremental reader of multipart bodies (RFC 2046 section 5.1, multipart/related of RFC 2387) as DICOMweb
 * uses them (PS3.18 section 8.6.1.2): bytes are pushed in as they arrive, in pieces of any size, and the
 * content of each part is handed on at once. Memory is one header block, whatever the size of a part.
 *
 * A delimiter counts only at the start of a line, after CRLF, and only when nothing but blanks or "--"
 * follows the boundary, so pixel data may contain its like. A body is whole only when its closing delimiter
 * was seen. Not for form data, and not recursive: a nested multipart is the content of a part. */
#ifndef LAMINA_API_MULTIPART_H
#define LAMINA_API_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LAM_MULTIPART_BOUNDARY = 100,     /* characters: RFC 2046 section 5.1.1 allows 70, Orthanc sends 73 */
    LAM_MULTIPART_HEADERS = 8 * 1024, /* bytes of one part's header block */
    LAM_MULTIPART_PREAMBLE = 64 * 1024
};

/* Where the pieces go. A status other than LAM_OK ends the reading and is given back by feed. `headers` is
 * the part's header block, unfolded, lines ended by "\n", NUL-terminated; borrowed for the call. */
typedef struct lam_multipart_events {
    lam_status (*part_begin)(void *context, const char *headers, lam_error *err);
    lam_status (*part_data)(void *context, const char *bytes, size_t length, lam_error *err);
    lam_status (*part_end)(void *context, lam_error *err);
} lam_multipart_events;

typedef struct lam_multipart lam_multipart;

/* `boundary` without the leading "--". LAM_E_INVALID when it is empty, longer than that or has characters
 * that RFC 2046 does not allow. `events` is copied; `context` is its first argument. At most
 * `max_parts` parts. */
lam_status lam_multipart_create(const char *boundary, size_t max_parts, const lam_multipart_events *events,
                                void *context, lam_multipart **out, lam_error *err);
void lam_multipart_free(lam_multipart *reader);

/* Takes the next bytes of the body. LAM_E_INVALID on syntax, LAM_E_LIMIT on too many parts or too large
 * headers; after an error every further call gives it again. */
lam_status lam_multipart_feed(lam_multipart *reader, const char *bytes, size_t length, lam_error *err);

/* The body has ended: LAM_OK when the closing delimiter was seen and there was at least one part, else
 * LAM_E_INVALID saying what is missing. */
lam_status lam_multipart_finish(lam_multipart *reader, lam_error *err);

/* The value of header `name` (any case) in a header block as part_begin gives it, blanks trimmed, into
 * `value`. False when absent or longer than `size` - 1. */
bool lam_multipart_header(const char *headers, const char *name, char *value, size_t size);

#ifdef __cplusplus
}
#endif
#endif
