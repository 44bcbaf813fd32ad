/* The writing half of json.h. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/text.h"

lam_json_writer lam_json_write_to(lam_buffer *buffer)
{
    return (lam_json_writer){.buffer = buffer};
}

/* Text from outside may be in any character set; what is not UTF-8 is replaced, so the document always is. */
static void put_string(lam_buffer *out, const char *text)
{
    lam_buffer_append_text(out, "\"");
    const char *end = text + strlen(text), *plain = text;
    for (const char *c = text; c < end;) {
        unsigned char byte = (unsigned char)*c;
        size_t length = byte < 0x80 ? 1 : lam_text_utf8_length(c, end);
        bool as_it_is = length && byte >= 0x20 && byte != '"' && byte != '\\';
        if (as_it_is) {
            c += length;
            continue;
        }
        lam_buffer_append(out, plain, (size_t)(c - plain));
        if (!length)
            lam_buffer_append_text(out, "\xef\xbf\xbd"); /* U+FFFD */
        else if (byte == '\n')
            lam_buffer_append_text(out, "\\n");
        else
            lam_buffer_printf(out, byte < 0x20 ? "\\u%04x" : "\\%c", byte);
        plain = ++c;
    }
    lam_buffer_append(out, plain, (size_t)(end - plain));
    lam_buffer_append_text(out, "\"");
}

/* Everything before a value: comma, key. */
static void begin(lam_json_writer *w, const char *key)
{
    uint64_t level = UINT64_C(1) << w->depth;
    assert(w->depth > 0 || !(w->has_value & level));
    assert(w->depth == 0 || !(w->in_array & level) == (key != NULL));
    if (w->has_value & level)
        lam_buffer_append_text(w->buffer, ",");
    w->has_value |= level;
    if (key) {
        put_string(w->buffer, key);
        lam_buffer_append_text(w->buffer, ":");
    }
}

static void open_level(lam_json_writer *w, const char *key, bool array)
{
    begin(w, key);
    w->depth++;
    assert(w->depth < LAM_JSON_WRITE_DEPTH);
    uint64_t level = UINT64_C(1) << w->depth;
    w->has_value &= ~level;
    w->in_array = array ? w->in_array | level : w->in_array & ~level;
    lam_buffer_append_text(w->buffer, array ? "[" : "{");
}

void lam_jw_object(lam_json_writer *w, const char *key)
{
    open_level(w, key, false);
}

void lam_jw_array(lam_json_writer *w, const char *key)
{
    open_level(w, key, true);
}

void lam_jw_end(lam_json_writer *w)
{
    assert(w->depth > 0);
    lam_buffer_append_text(w->buffer, w->in_array & (UINT64_C(1) << w->depth) ? "]" : "}");
    w->depth--;
}

void lam_jw_text(lam_json_writer *w, const char *key, const char *text)
{
    if (!text) {
        lam_jw_null(w, key);
        return;
    }
    begin(w, key);
    put_string(w->buffer, text);
}

void lam_jw_number(lam_json_writer *w, const char *key, double number)
{
    if (!isfinite(number)) {
        lam_jw_null(w, key);
        return;
    }
    begin(w, key);
    char text[40];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    lam_buffer_append_text(w->buffer, text);
}

void lam_jw_integer(lam_json_writer *w, const char *key, int64_t number)
{
    begin(w, key);
    lam_buffer_printf(w->buffer, "%lld", (long long)number);
}

void lam_jw_bool(lam_json_writer *w, const char *key, bool value)
{
    begin(w, key);
    lam_buffer_append_text(w->buffer, value ? "true" : "false");
}

void lam_jw_null(lam_json_writer *w, const char *key)
{
    begin(w, key);
    lam_buffer_append_text(w->buffer, "null");
}

void lam_jw_raw(lam_json_writer *w, const char *key, const char *json)
{
    begin(w, key);
    lam_buffer_append_text(w->buffer, json);
}
