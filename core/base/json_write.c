/* The writing half of json.h. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"

lam_json_writer lam_json_write_to(lam_buffer *buffer)
{
    return (lam_json_writer){.buffer = buffer};
}

static void put_string(lam_buffer *out, const char *text)
{
    lam_buffer_append_text(out, "\"");
    const char *plain = text;
    for (const char *c = text;; c++) {
        unsigned char byte = (unsigned char)*c;
        bool special = byte < 0x20 || byte == '"' || byte == '\\';
        if (!special)
            continue;
        lam_buffer_append(out, plain, (size_t)(c - plain));
        plain = c + 1;
        if (byte == '\0')
            break;
        if (byte == '"' || byte == '\\')
            lam_buffer_printf(out, "\\%c", byte);
        else if (byte == '\n')
            lam_buffer_append_text(out, "\\n");
        else
            lam_buffer_printf(out, "\\u%04x", byte);
    }
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
    assert(w->depth < LAM_JSON_MAX_DEPTH);
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

/* Text from outside may be in any character set; what is not UTF-8 is replaced, so the document always is. */
static char *valid_utf8(const char *text)
{
    size_t length = strlen(text);
    char *out = malloc(3 * length + 1);
    if (!out)
        return NULL;
    char *o = out;
    for (const unsigned char *c = (const unsigned char *)text; *c;) {
        int more = *c < 0x80                  ? 0
                   : *c >= 0xc2 && *c <= 0xdf ? 1
                   : (*c & 0xf0) == 0xe0      ? 2
                   : *c >= 0xf0 && *c <= 0xf4 ? 3
                                              : -1;
        int good = 0;
        while (more > good && (c[good + 1] & 0xc0) == 0x80)
            good++;
        unsigned second = more > 0 && good ? c[1] : 0;
        bool overlong = (*c == 0xe0 && second < 0xa0) || (*c == 0xf0 && second < 0x90);
        bool outside = (*c == 0xed && second > 0x9f) || (*c == 0xf4 && second > 0x8f);
        if (more < 0 || good < more || overlong || outside) {
            memcpy(o, "\xef\xbf\xbd", 3);
            o += 3;
            c++;
        } else {
            memcpy(o, c, (size_t)more + 1);
            o += more + 1;
            c += more + 1;
        }
    }
    *o = '\0';
    return out;
}

void lam_jw_text(lam_json_writer *w, const char *key, const char *text)
{
    if (!text) {
        lam_jw_null(w, key);
        return;
    }
    begin(w, key);
    bool ascii = true;
    for (const char *c = text; *c && ascii; c++)
        ascii = (unsigned char)*c < 0x80;
    lam_autofree char *clean = ascii ? NULL : valid_utf8(text);
    if (!ascii && !clean)
        w->buffer->status = LAM_E_NO_MEMORY;
    else
        put_string(w->buffer, ascii ? text : clean);
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
