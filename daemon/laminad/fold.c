#include "daemon/laminad/fold.h"

#include <stdint.h>
#include <string.h>

enum { MAX_KEY = 4096 };

/* U+00C0 to U+017F as plain lower-case letters; a digit stands for two letters, see `pairs`, a blank for a
 * character that stays. */
static const char latin[] = "aaaaaa0ceeeeiiiidnooooo ouuuuy12aaaaaa0ceeeeiiiidnooooo ouuuuy1y"
                            "aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiii33jjkkklllllll"
                            "lllnnnnnnnnnoooooo44rrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs";
static const char *const pairs[] = {"ae", "th", "ss", "ij", "oe"};

/* One character of UTF-8; its length, or 1 for a byte that begins none. */
static size_t decode(const unsigned char *text, uint32_t *code)
{
    static const struct {
        unsigned char mask, lead;
    } forms[] = {{0x80, 0x00}, {0xe0, 0xc0}, {0xf0, 0xe0}, {0xf8, 0xf0}};
    for (size_t length = 1; length <= 4; length++) {
        if ((text[0] & forms[length - 1].mask) != forms[length - 1].lead)
            continue;
        uint32_t value = text[0] & (unsigned char)~forms[length - 1].mask;
        for (size_t i = 1; i < length; i++) {
            if ((text[i] & 0xc0) != 0x80)
                return *code = text[0], 1;
            value = value << 6 | (text[i] & 0x3f);
        }
        *code = value;
        return length;
    }
    *code = text[0];
    return 1;
}

static void append_two_bytes(lam_buffer *out, uint32_t code)
{
    const char bytes[] = {(char)(0xc0 | code >> 6), (char)(0x80 | (code & 0x3f))};
    lam_buffer_append(out, bytes, 2);
}

/* Greek and Cyrillic capitals of the basic blocks. */
static uint32_t lower(uint32_t code)
{
    if ((code >= 0x391 && code <= 0x3a9) || (code >= 0x410 && code <= 0x42f))
        return code + 0x20;
    return code >= 0x400 && code <= 0x40f ? code + 0x50 : code;
}

static size_t fold_one(const char *text, lam_buffer *out)
{
    uint32_t code;
    size_t length = decode((const unsigned char *)text, &code);
    if (length == 1) {
        char c = code >= 'A' && code <= 'Z' ? (char)(code + 'a' - 'A') : *text;
        lam_buffer_append(out, &c, 1);
    } else if (code >= 0xc0 && code <= 0x17f && latin[code - 0xc0] != ' ') {
        char c = latin[code - 0xc0];
        if (c >= '0' && c <= '4')
            lam_buffer_append_text(out, pairs[c - '0']);
        else
            lam_buffer_append(out, &c, 1);
    } else if (length == 2 && lower(code) != code) {
        append_two_bytes(out, lower(code));
    } else if (code < 0x300 || code > 0x36f) { /* combining marks go */
        lam_buffer_append(out, text, length);
    }
    return length;
}

static void fold_range(const char *text, size_t length, lam_buffer *out)
{
    for (size_t at = 0; at < length;)
        at += fold_one(text + at, out);
}

void lam_fold_text(const char *text, lam_buffer *out)
{
    fold_range(text, strlen(text), out);
}

void lam_fold_name(const char *name, lam_buffer *out)
{
    for (;;) {
        size_t length = strcspn(name, "="), used = length;
        while (used && (name[used - 1] == '^' || name[used - 1] == ' '))
            used--;
        fold_range(name, used, out);
        lam_buffer_append_text(out, "^=");
        name += length;
        if (*name++ == '\0')
            return;
    }
}

static void sql_fold_name(sqlite3_context *context, int count, sqlite3_value **arguments)
{
    (void)count;
    const char *name = (const char *)sqlite3_value_text(arguments[0]);
    if (!name)
        return;
    lam_buffer key;
    lam_buffer_init(&key, MAX_KEY);
    lam_fold_name(name, &key);
    sqlite3_result_text(context, lam_buffer_text(&key), -1, SQLITE_TRANSIENT);
    lam_buffer_done(&key);
}

int lam_fold_register(sqlite3 *handle)
{
    return sqlite3_create_function_v2(handle, "lam_fold_name", 1,
                                      SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, NULL,
                                      sql_fold_name, NULL, NULL, NULL);
}
