/* Requests for what has changed, or for a part of it (RFC 9110 sections 13 and 14): the header values, apart
 * from HTTP. Internal to api/. */
#ifndef LAMINA_API_CONDITIONAL_H
#define LAMINA_API_CONDITIONAL_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Whether an If-None-Match value names `etag` (with its quotes), or is "*". Weak comparison: W/ does not
 * count. */
bool lam_etag_matches(const char *header, const char *etag);

typedef enum lam_range_kind {
    LAM_RANGE_ALL,  /* no range, or one that may be ignored: malformed, not in bytes, several */
    LAM_RANGE_PART, /* 206 */
    LAM_RANGE_NONE  /* 416: begins past the end */
} lam_range_kind;

/* Reads a Range value for a resource of `size` bytes. Sets *first and *length for LAM_RANGE_PART. */
lam_range_kind lam_range_parse(const char *header, int64_t size, int64_t *first, int64_t *length);

#ifdef __cplusplus
}
#endif
#endif
