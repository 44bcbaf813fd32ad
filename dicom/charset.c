#include "dicom/charset.h"

#include <errno.h>
#include <iconv.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "core/base/cleanup.h"

/* Encodings of the C library. Double-byte sets that DICOM designates by escape sequences are converted
 * through the EUC form of the same set. */
typedef enum encoding {
    ASCII, /* needs no conversion */
    LATIN1,
    LATIN2,
    LATIN3,
    LATIN4,
    LATIN5,
    LATIN9,
    CYRILLIC,
    ARABIC,
    GREEK,
    HEBREW,
    THAI,
    KATAKANA,
    KOREAN,
    CHINESE,
    JIS_X0208,
    JIS_X0212,
    GBK,
    GB18030,
    UTF8,
    ENCODINGS
} encoding;

static const char *const iconv_names[ENCODINGS] = {
    [LATIN1] = "ISO-8859-1", [LATIN2] = "ISO-8859-2",  [LATIN3] = "ISO-8859-3",   [LATIN4] = "ISO-8859-4",
    [LATIN5] = "ISO-8859-9", [LATIN9] = "ISO-8859-15", [CYRILLIC] = "ISO-8859-5", [ARABIC] = "ISO-8859-6",
    [GREEK] = "ISO-8859-7",  [HEBREW] = "ISO-8859-8",  [THAI] = "TIS-620",        [KATAKANA] = "EUC-JP",
    [KOREAN] = "EUC-KR",     [CHINESE] = "GB2312",     [JIS_X0208] = "EUC-JP",    [JIS_X0212] = "EUC-JP",
    [GBK] = "GBK",           [GB18030] = "GB18030",
};

/* Defined terms (PS3.3 C.12.1.1.2) without their "ISO_IR " or "ISO 2022 IR ", and what is written for them.
 */
static const struct {
    const char *term;
    encoding g1;
    encoding single;
} terms[] = {
    {"6", LATIN1, 0},   {"100", LATIN1, 0}, {"101", LATIN2, 0},   {"109", LATIN3, 0},      {"110", LATIN4, 0},
    {"148", LATIN5, 0}, {"203", LATIN9, 0}, {"144", CYRILLIC, 0}, {"127", ARABIC, 0},      {"126", GREEK, 0},
    {"138", HEBREW, 0}, {"166", THAI, 0},   {"13", KATAKANA, 0},  {"149", KOREAN, 0},      {"58", CHINESE, 0},
    {"87", LATIN1, 0},  {"159", LATIN1, 0}, {"192", 0, UTF8},     {"GB18030", 0, GB18030}, {"GBK", 0, GBK},
    {"UTF-8", 0, UTF8}, {"UTF8", 0, UTF8},
};

/* Escape sequences after ESC (PS3.3 tables C.12-3 and C.12-4). */
static const struct {
    const char *sequence;
    bool to_g0;
    encoding set;
} escapes[] = {
    {"(B", true, ASCII},     {"(J", true, ASCII},     {"$B", true, JIS_X0208}, {"$(D", true, JIS_X0212},
    {"-A", false, LATIN1},   {"-B", false, LATIN2},   {"-C", false, LATIN3},   {"-D", false, LATIN4},
    {"-L", false, CYRILLIC}, {"-G", false, ARABIC},   {"-F", false, GREEK},    {"-H", false, HEBREW},
    {"-M", false, LATIN5},   {"-b", false, LATIN9},   {"-T", false, THAI},     {")I", false, KATAKANA},
    {"$)C", false, KOREAN},  {"$)A", false, CHINESE},
};

static _Thread_local struct {
    bool open;
    iconv_t handle;
} converters[ENCODINGS];

static iconv_t converter(encoding from)
{
    if (!converters[from].open) {
        iconv_t handle = iconv_open("UTF-8", iconv_names[from]);
        converters[from].handle =
            handle == (iconv_t)-1 && from != LATIN1 ? iconv_open("UTF-8", iconv_names[LATIN1]) : handle;
        converters[from].open = true;
    }
    return converters[from].handle;
}

void lam_charset_prepare(void)
{
    for (int e = LATIN1; e < ENCODINGS; e++)
        if (iconv_names[e])
            (void)converter((encoding)e);
}

/* Past `word` and what separates it from the next, if it is there. */
static size_t skip_word(const char *value, size_t length, size_t at, const char *word)
{
    size_t n = strlen(word);
    if (length - at < n || strncasecmp(value + at, word, n) != 0)
        return at;
    for (at += n; at < length && (value[at] == ' ' || value[at] == '_' || value[at] == '-'); at++)
        ;
    return at;
}

/* Separators and case do not count: "ISO_IR100", "ISO-IR 100" and "iso_2022_ir_100" occur. */
static void select_term(lam_charset *set, const char *value, size_t length, bool first)
{
    size_t at = 0;
    static const char *const words[] = {"ISO", "2022", "IR"};
    for (size_t i = 0; i < LAM_COUNT(words); i++)
        at = skip_word(value, length, at, words[i]);
    for (size_t i = 0; i < LAM_COUNT(terms); i++)
        if (strlen(terms[i].term) == length - at &&
            strncasecmp(terms[i].term, value + at, length - at) == 0) {
            if (first || terms[i].single)
                set->single = terms[i].single;
            if (first)
                set->g1 = terms[i].g1;
        }
}

lam_charset lam_charset_parse(const char *value, size_t length)
{
    lam_charset set = {.g1 = LATIN1};
    for (size_t start = 0, count = 0; start <= length && count < LAM_CHARSET_MAX_EXTENSIONS; count++) {
        const char *end = memchr(value + start, '\\', length - start);
        size_t stop = end ? (size_t)(end - value) : length;
        size_t trimmed = stop;
        while (trimmed > start && (value[trimmed - 1] == ' ' || value[trimmed - 1] == '\0'))
            trimmed--;
        select_term(&set, value + start, trimmed - start, count == 0);
        set.extensions |= count > 0;
        start = stop + 1;
    }
    return set;
}

static void convert(encoding from, const char *bytes, size_t length, lam_buffer *out)
{
    iconv_t handle = converter(from);
    if (handle == (iconv_t)-1) {
        lam_buffer_append_text(out, "\xef\xbf\xbd");
        return;
    }
    char *in = (char *)(uintptr_t)bytes;
    iconv(handle, NULL, NULL, NULL, NULL);
    while (length > 0) {
        char chunk[512];
        char *to = chunk;
        size_t room = sizeof chunk;
        size_t result = iconv(handle, &in, &length, &to, &room);
        lam_buffer_append(out, chunk, sizeof chunk - room);
        if (result == (size_t)-1 && errno != E2BIG && length > 0) { /* a bad or unfinished character */
            lam_buffer_append_text(out, "\xef\xbf\xbd");
            in++;
            length--;
        }
    }
}

/* Characters of a double-byte set that is designated as G0 come as two 7-bit bytes; EUC-JP wants the high
 * bits. */
static size_t convert_pairs(encoding set, const char *text, size_t length, lam_buffer *out)
{
    size_t used = 0;
    while (used + 1 < length && text[used] > 0x20 && text[used + 1] > 0x20) {
        char euc[3] = {(char)0x8f, (char)(text[used] | 0x80), (char)(text[used + 1] | 0x80)};
        bool prefixed = set == JIS_X0212;
        convert(set, prefixed ? euc : euc + 1, prefixed ? 3 : 2, out);
        used += 2;
    }
    return used;
}

/* Half-width katakana are one byte, which EUC-JP wants announced. */
static void convert_katakana(const char *text, size_t length, lam_buffer *out)
{
    for (size_t i = 0; i < length; i++) {
        char euc[2] = {(char)0x8e, text[i]};
        convert(KATAKANA, euc, sizeof euc, out);
    }
}

static size_t match_escape(const char *text, size_t length, encoding *g0, encoding *g1)
{
    for (size_t i = 0; i < LAM_COUNT(escapes); i++) {
        size_t n = strlen(escapes[i].sequence);
        if (length > n && memcmp(text + 1, escapes[i].sequence, n) == 0) {
            *(escapes[i].to_g0 ? g0 : g1) = escapes[i].set;
            return n + 1;
        }
    }
    return 1; /* an unknown one: ESC itself is dropped */
}

static size_t run_of_high(const char *text, size_t length)
{
    size_t n = 0;
    while (n < length && (unsigned char)text[n] >= 0x80)
        n++;
    return n;
}

static void convert_designated(const lam_charset *charset, const char *text, size_t length, lam_buffer *out)
{
    encoding g0 = (encoding)charset->g0, g1 = (encoding)charset->g1;
    for (size_t i = 0; i < length;) {
        unsigned char c = (unsigned char)text[i];
        if (c == 0x1b) {
            i += match_escape(text + i, length - i, &g0, &g1);
        } else if (c >= 0x80) {
            size_t n = run_of_high(text + i, length - i);
            if (g1 == KATAKANA)
                convert_katakana(text + i, n, out);
            else
                convert(g1, text + i, n, out);
            i += n;
        } else if (g0 != ASCII && convert_pairs(g0, text + i, 2 < length - i ? 2 : length - i, out)) {
            i += 2;
        } else {
            if (c == '\\' || c == '\r' || c == '\n' || c == '\f' || c == '\t') { /* PS3.5 6.1.2.5.3 */
                g0 = (encoding)charset->g0;
                g1 = (encoding)charset->g1;
            }
            lam_buffer_append(out, text + i, 1);
            i++;
        }
    }
}

void lam_charset_to_utf8(const lam_charset *charset, const char *text, size_t length, lam_buffer *out)
{
    bool plain = true;
    for (size_t i = 0; i < length && plain; i++)
        plain = (unsigned char)text[i] < 0x80 && text[i] != 0x1b;
    if (plain || charset->single == UTF8)
        lam_buffer_append(out, text, length);
    else if (charset->single)
        convert((encoding)charset->single, text, length, out);
    else
        convert_designated(charset, text, length, out);
}
