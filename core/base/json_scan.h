/* JSON text walked through without building anything of it: for who keeps the text as it is and needs a few
 * members only. */
#ifndef LAMINA_BASE_JSON_SCAN_H
#define LAMINA_BASE_JSON_SCAN_H

#include <stddef.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A piece of somebody's text. */
typedef struct lam_json_span {
    const char *bytes;
    size_t length;
} lam_json_span;

/* Called for each member of the object in order: its key as it is written, without the quotes and with its
 * escapes, and the text of its value. What it returns other than LAM_OK ends the scan. */
typedef lam_status (*lam_json_visit)(void *user, lam_json_span key, lam_json_span value, lam_error *err);

/* The whole text must be one object; all of it is held to the grammar of RFC 8259 and to UTF-8 as in
 * lam_json_parse, except that a key may come twice. A member is visited before what follows it is looked at.
 * Errors: LAM_E_INVALID with the byte (the text itself is never quoted), LAM_E_LIMIT (nested deeper than
 * LAM_JSON_MAX_DEPTH), what `visit` returned. */
lam_status lam_json_scan(lam_json_span object, lam_json_visit visit, void *user, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
