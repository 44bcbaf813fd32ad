/* JSON (RFC 8259) for the parts that may depend on nothing: manifests and weight headers in core/rnn,
 * messages between the programs. Reading gives an immutable tree with limits on size, depth and count;
 * writing appends to a lam_buffer. The HTTP side and the command line use jansson instead. */
#ifndef LAMINA_BASE_JSON_H
#define LAMINA_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buffer.h"
#include "core/base/cleanup.h"
#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- reading ---- */

typedef enum lam_json_kind {
    LAM_JSON_NULL,
    LAM_JSON_BOOL,
    LAM_JSON_NUMBER,
    LAM_JSON_STRING,
    LAM_JSON_ARRAY,
    LAM_JSON_OBJECT
} lam_json_kind;

typedef struct lam_json lam_json;     /* a parsed document; owns everything in it */
typedef struct lam_json_value lam_jv; /* a value in it; borrowed */

/* What is written may be a little deeper than what is read, so that a document that was read can become part
 * of another. */
enum { LAM_JSON_MAX_DEPTH = 60, LAM_JSON_WRITE_DEPTH = 64, LAM_JSON_MAX_VALUES = 2000000 };

/* Parses `length` bytes (copied). Errors: LAM_E_INVALID with line and column, LAM_E_LIMIT, LAM_E_NO_MEMORY.
 * Rejects duplicate keys, invalid UTF-8, unpaired surrogates, NUL in strings, trailing text. */
lam_status lam_json_parse(const char *text, size_t length, lam_json **out, lam_error *err);
void lam_json_free(lam_json *document);
const lam_jv *lam_json_root(const lam_json *document);
LAM_DEFINE_AUTO(lam_json, lam_json_free)

/* All accept NULL as "absent", so look-ups chain. */
bool lam_jv_is(const lam_jv *value, lam_json_kind kind);
const lam_jv *lam_jv_get(const lam_jv *object, const char *key); /* NULL when absent or not an object */
size_t lam_jv_count(const lam_jv *container);                    /* members of an array or object, else 0 */
const lam_jv *lam_jv_at(const lam_jv *container,
                        size_t index); /* element or member value; NULL past the end */
const char *lam_jv_key_at(const lam_jv *object, size_t index);

/* The value, or `otherwise` when absent or of another kind. Strings are borrowed from the document. */
const char *lam_jv_text(const lam_jv *value, const char *otherwise);
double lam_jv_number(const lam_jv *value, double otherwise);
int64_t lam_jv_integer(const lam_jv *value,
                       int64_t otherwise); /* otherwise too when fractional or out of range */
bool lam_jv_bool(const lam_jv *value, bool otherwise);

/* Required members: the error names the key ("`network` must be an array"). */
lam_status lam_jv_need(const lam_jv *object, const char *key, lam_json_kind kind, const lam_jv **out,
                       lam_error *err);
lam_status lam_jv_need_text(const lam_jv *object, const char *key, const char **out, lam_error *err);
/* At most 2^53 to either side, whatever the bounds. */
lam_status lam_jv_need_integer(const lam_jv *object, const char *key, int64_t minimum, int64_t maximum,
                               int64_t *out, lam_error *err);
lam_status lam_jv_need_number(const lam_jv *object, const char *key, double minimum, double maximum,
                              double *out, lam_error *err);

/* ---- writing ---- */

/* Compact JSON into a buffer. Commas and quotes are its business; nesting errors are asserts. Failures are
 * sticky in buffer->status. With key NULL the value is an array element or the root. Non-finite numbers are
 * written as null. */
typedef struct lam_json_writer {
    lam_buffer *buffer;
    uint64_t in_array; /* a bit a level */
    uint64_t has_value;
    int depth;
} lam_json_writer;

lam_json_writer lam_json_write_to(lam_buffer *buffer);
void lam_jw_object(lam_json_writer *w, const char *key); /* opens */
void lam_jw_array(lam_json_writer *w, const char *key);  /* opens */
void lam_jw_end(lam_json_writer *w);                     /* closes the innermost */
void lam_jw_text(lam_json_writer *w, const char *key,
                 const char *text); /* NULL text is null; bad UTF-8 becomes U+FFFD */
void lam_jw_number(lam_json_writer *w, const char *key,
                   double number); /* shortest form that reads back the same */
void lam_jw_integer(lam_json_writer *w, const char *key, int64_t number);
void lam_jw_bool(lam_json_writer *w, const char *key, bool value);
void lam_jw_null(lam_json_writer *w, const char *key);
void lam_jw_raw(lam_json_writer *w, const char *key, const char *json); /* text that is JSON already */
void lam_jw_value(lam_json_writer *w, const char *key,
                  const lam_jv *value); /* a parsed value again; NULL writes null */

#ifdef __cplusplus
}
#endif
#endif
