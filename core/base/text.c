#include "core/base/text.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

size_t lam_text_copy(char *to, size_t size, const char *from)
{
    assert(size > 0);
    if (!from)
        from = "";
    size_t length = strlen(from);
    if (length >= size) {
        length = size - 1;
        while (length > 0 && ((unsigned char)from[length] & 0xc0) == 0x80)
            length--;
    }
    if (length)
        memmove(to, from, length);
    to[length] = '\0';
    return length;
}

void lam_text_end_whole(char *text)
{
    enum { LONGEST = 4 };
    const char *end = text + strlen(text);
    char *start = text + (end - text);
    while (start > text && end - start < LONGEST && ((unsigned char)start[-1] & 0xc0) == 0x80)
        start--;
    if (start > text && (unsigned char)start[-1] >= 0xc0 && lam_text_utf8_length(start - 1, end) == 0)
        start[-1] = '\0';
}

size_t lam_text_utf8_length(const char *begin, const char *end)
{
    const unsigned char *at = (const unsigned char *)begin;
    size_t left = (size_t)(end - begin);
    if (!left)
        return 0;
    unsigned char c = at[0];
    if (c < 0x80)
        return 1;
    if (c >= 0xc2 && c <= 0xdf)
        return left >= 2 && (at[1] & 0xc0) == 0x80 ? 2 : 0;
    if (c >= 0xe0 && c <= 0xef) {
        unsigned char low = c == 0xe0 ? 0xa0 : 0x80, high = c == 0xed ? 0x9f : 0xbf;
        return left >= 3 && at[1] >= low && at[1] <= high && (at[2] & 0xc0) == 0x80 ? 3 : 0;
    }
    if (c >= 0xf0 && c <= 0xf4) {
        unsigned char low = c == 0xf0 ? 0x90 : 0x80, high = c == 0xf4 ? 0x8f : 0xbf;
        return left >= 4 && at[1] >= low && at[1] <= high && (at[2] & 0xc0) == 0x80 && (at[3] & 0xc0) == 0x80
                   ? 4
                   : 0;
    }
    return 0;
}

void lam_text_make_printable(char *text)
{
    const char *end = text + strlen(text);
    for (char *at = text; at < end;) {
        const unsigned char *byte = (const unsigned char *)at;
        size_t length = lam_text_utf8_length(at, end);
        bool control = byte[0] < ' ' || byte[0] == 0x7f || (byte[0] == 0xc2 && byte[1] < 0xa0);
        size_t bad = length == 0 ? 1 : control ? length : 0;
        memset(at, '?', bad);
        at += bad ? bad : length;
    }
}

bool lam_text_random(char text[LAM_RANDOM_TEXT])
{
    uint64_t random[2];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return false;
    snprintf(text, LAM_RANDOM_TEXT, "%016" PRIx64 "%016" PRIx64, random[0], random[1]);
    return true;
}
