/* Data sets in DICOM JSON (PS3.18 annex F) as jansson values: reading, writing and checking their elements.
 * Tags are eight hexadecimal digits in upper case. Nothing here knows a dictionary. */
#ifndef LAMINA_DAEMON_ELEMENT_H
#define LAMINA_DAEMON_ELEMENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A data set from outside: tags, value representations, values of kinds that these can have, sequences not
 * deeper than 16. LAM_E_INVALID names the element. */
lam_status lam_element_check(const json_t *data_set, lam_error *err);

/* The first value as text, or NULL: absent, empty, no text. Borrowed. */
const char *lam_element_text(const json_t *data_set, const char *tag);
/* The first value is there and is not empty. */
bool lam_element_has_value(const json_t *data_set, const char *tag);
/* The items of a sequence, an array, or NULL; the first of them. Borrowed. */
json_t *lam_element_items(const json_t *data_set, const char *tag);
json_t *lam_element_item(const json_t *data_set, const char *tag);

/* Each replaces the element. `text` NULL makes one without value; `items`, an array, and `item` are taken. */
void lam_element_set_text(json_t *data_set, const char *tag, const char *vr, const char *text);
void lam_element_set_items(json_t *data_set, const char *tag, json_t *items);
void lam_element_set_item(json_t *data_set, const char *tag, json_t *item);

/* An item of a code sequence (PS3.3 section 8.8). The caller's. */
json_t *lam_element_code(const char *value, const char *scheme, const char *meaning);

/* A DT value (PS3.5 section 6.2) as milliseconds since 1970; missing parts are the earliest. `offset`
 * (Timezone Offset From UTC, "+0100", or NULL for local time) counts where the value has none. False when it
 * is none. */
bool lam_element_read_datetime(const char *text, const char *offset, int64_t *ms);
enum { LAM_DATETIME_TEXT = 27 };
/* The same written, in UTC. Returns `text`. */
char *lam_element_write_datetime(int64_t ms, char text[LAM_DATETIME_TEXT]);

#ifdef __cplusplus
}
#endif
#endif
