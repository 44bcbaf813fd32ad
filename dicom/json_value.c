#include "dicom/json_value.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "dicom/dictionary.h"
#include "dicom/index.h"

typedef struct value {
    lam_json_writer *w;
    const unsigned char *bytes;
    size_t length;
    bool big_endian;
    const lam_charset *charset;
    lam_buffer *scratch;
} value;

typedef void write_function(const value *v, int size);

static write_function write_strings, write_text, write_names, write_numbers_as_text, write_tags, write_floats,
    write_signed, write_unsigned, write_bytes;

typedef enum vr_class { SHORT_TEXT, BINARY, NUMBERS } vr_class;

static const struct vr_row {
    char name[3];
    vr_class class;
    write_function *write;
    int size; /* of one value, where it is binary */
} vrs[] = {
    {"AE", SHORT_TEXT, write_strings, 0}, {"AS", SHORT_TEXT, write_strings, 0},
    {"AT", NUMBERS, write_tags, 4},       {"CS", SHORT_TEXT, write_strings, 0},
    {"DA", SHORT_TEXT, write_strings, 0}, {"DS", SHORT_TEXT, write_numbers_as_text, 0},
    {"DT", SHORT_TEXT, write_strings, 0}, {"FD", NUMBERS, write_floats, 8},
    {"FL", NUMBERS, write_floats, 4},     {"IS", SHORT_TEXT, write_numbers_as_text, 0},
    {"LO", SHORT_TEXT, write_strings, 0}, {"LT", SHORT_TEXT, write_text, 0},
    {"OB", BINARY, write_bytes, 1},       {"OD", BINARY, write_bytes, 8},
    {"OF", BINARY, write_bytes, 4},       {"OL", BINARY, write_bytes, 4},
    {"OV", BINARY, write_bytes, 8},       {"OW", BINARY, write_bytes, 2},
    {"PN", SHORT_TEXT, write_names, 0},   {"SH", SHORT_TEXT, write_strings, 0},
    {"SL", NUMBERS, write_signed, 4},     {"SS", NUMBERS, write_signed, 2},
    {"ST", SHORT_TEXT, write_text, 0},    {"SV", NUMBERS, write_signed, 8},
    {"TM", SHORT_TEXT, write_strings, 0}, {"UC", SHORT_TEXT, write_strings, 0},
    {"UI", SHORT_TEXT, write_strings, 0}, {"UL", NUMBERS, write_unsigned, 4},
    {"UN", BINARY, write_bytes, 1},       {"UR", SHORT_TEXT, write_text, 0},
    {"US", NUMBERS, write_unsigned, 2},   {"UT", SHORT_TEXT, write_text, 0},
    {"UV", NUMBERS, write_unsigned, 8},
};

static const struct vr_row *row_of(const char *vr)
{
    const struct vr_row *unknown = NULL;
    for (size_t i = 0; i < LAM_COUNT(vrs); i++) {
        if (memcmp(vrs[i].name, vr, 2) == 0)
            return &vrs[i];
        if (strcmp(vrs[i].name, "UN") == 0)
            unknown = &vrs[i];
    }
    return unknown;
}

const char *lam_json_value_vr(const lam_walk_event *element, bool pixels_are_signed)
{
    char vr[3];
    memcpy(vr, element->vr, sizeof vr);
    if (strcmp(vr, "UN") == 0)
        lam_dictionary_vr(element->tag, vr);
    if (strcmp(vr, "xs") == 0)
        return pixels_are_signed ? "SS" : "US";
    return strcmp(vr, "SQ") == 0 ? "UN" : row_of(vr)->name; /* SQ here: bytes of one that was written as UN */
}

bool lam_json_value_is_bulk(const lam_walk_event *element, const char *vr)
{
    size_t most = row_of(vr)->class == BINARY ? LAM_INDEX_INLINE_BINARY : LAM_INDEX_INLINE_TEXT;
    return element->length > most;
}

void lam_json_value_write(lam_json_writer *w, const lam_walk_event *element, const char *vr,
                          const lam_charset *charset, lam_buffer *scratch)
{
    const struct vr_row *row = row_of(vr);
    value v = {w, element->value, element->length, element->big_endian, charset, scratch};
    if (row->class == SHORT_TEXT)
        while (v.length > 0 && (v.bytes[v.length - 1] == ' ' || v.bytes[v.length - 1] == '\0'))
            v.length--;
    if (v.length >= (row->size ? (size_t)row->size : 1))
        row->write(&v, row->size);
}

/* ---- text ---- */

/* The value in UTF-8, borrowed from the scratch buffer, writable. */
static char *as_utf8(const value *v)
{
    lam_buffer_clear(v->scratch);
    lam_charset_to_utf8(v->charset, (const char *)v->bytes, v->length, v->scratch);
    if (v->scratch->status != LAM_OK || !v->scratch->data)
        return NULL;
    return v->scratch->data;
}

static char *trim(char *text)
{
    while (*text == ' ')
        text++;
    size_t n = strlen(text);
    while (n > 0 && text[n - 1] == ' ')
        text[--n] = '\0';
    return text;
}

/* Calls `each` for every value between backslashes. */
static void for_each_value(const value *v, void each(lam_json_writer *w, char *text))
{
    char *rest = as_utf8(v);
    if (!rest)
        return;
    lam_jw_array(v->w, "Value");
    while (rest) {
        char *one = strsep(&rest, "\\");
        each(v->w, trim(one));
    }
    lam_jw_end(v->w);
}

static void string_value(lam_json_writer *w, char *text)
{
    if (*text)
        lam_jw_text(w, NULL, text);
    else
        lam_jw_null(w, NULL);
}

static void write_strings(const value *v, int size)
{
    (void)size;
    for_each_value(v, string_value);
}

static void write_text(const value *v, int size)
{
    (void)size;
    const char *text = as_utf8(v);
    if (!text)
        return;
    lam_jw_array(v->w, "Value");
    lam_jw_text(v->w, NULL, text);
    lam_jw_end(v->w);
}

static void name_value(lam_json_writer *w, char *text)
{
    static const char *const groups[] = {"Alphabetic", "Ideographic", "Phonetic"};
    if (!*text) {
        lam_jw_null(w, NULL);
        return;
    }
    lam_jw_object(w, NULL);
    for (size_t i = 0; i < LAM_COUNT(groups) && text; i++) {
        const char *one = trim(strsep(&text, "="));
        if (*one)
            lam_jw_text(w, groups[i], one);
    }
    lam_jw_end(w);
}

static void write_names(const value *v, int size)
{
    (void)size;
    for_each_value(v, name_value);
}

/* A decimal or integer string as a JSON number with the digits it was written with (RFC 8259 section 6 wants
 * no plus sign, no leading zeros, a digit on each side of the point). False when it is not a number. */
static bool as_json_number(const char *text, char out[64])
{
    char *o = out;
    if (strlen(text) > 40)
        return false;
    if (*text == '-')
        *o++ = '-';
    if (*text == '-' || *text == '+')
        text++;
    const char *digits = text;
    while (*text == '0' && isdigit((unsigned char)text[1]))
        text++;
    if (!isdigit((unsigned char)*text))
        *o++ = '0';
    while (isdigit((unsigned char)*text))
        *o++ = *text++;
    bool any = text > digits;
    if (*text == '.') {
        text++;
        any |= isdigit((unsigned char)*text) != 0;
        if (isdigit((unsigned char)*text))
            *o++ = '.';
        while (isdigit((unsigned char)*text))
            *o++ = *text++;
    }
    if (any && (*text == 'e' || *text == 'E')) {
        *o++ = *text++;
        if (*text == '-' || *text == '+')
            *o++ = *text++;
        any = isdigit((unsigned char)*text) != 0;
        while (isdigit((unsigned char)*text))
            *o++ = *text++;
    }
    *o = '\0';
    return any && *text == '\0' && isfinite(strtod(out, NULL));
}

static void number_value(lam_json_writer *w, char *text)
{
    char number[64];
    if (!*text)
        lam_jw_null(w, NULL);
    else if (as_json_number(text, number))
        lam_jw_raw(w, NULL, number);
    else
        lam_jw_text(w, NULL, text);
}

static void write_numbers_as_text(const value *v, int size)
{
    (void)size;
    for_each_value(v, number_value);
}

/* ---- binary ---- */

static uint64_t get(const value *v, size_t index, int size)
{
    const unsigned char *b = v->bytes + index * (size_t)size;
    uint64_t bits = 0;
    for (int i = 0; i < size; i++)
        bits = bits << 8 | b[v->big_endian ? i : size - 1 - i];
    return bits;
}

static void write_tags(const value *v, int size)
{
    (void)size;
    lam_jw_array(v->w, "Value");
    for (size_t i = 0; i < v->length / 4; i++) {
        value half = {.bytes = v->bytes + 4 * i, .big_endian = v->big_endian};
        char text[9];
        snprintf(text, sizeof text, "%04X%04X", (unsigned)get(&half, 0, 2), (unsigned)get(&half, 1, 2));
        lam_jw_text(v->w, NULL, text);
    }
    lam_jw_end(v->w);
}

static void write_floats(const value *v, int size)
{
    lam_jw_array(v->w, "Value");
    for (size_t i = 0; i < v->length / (size_t)size; i++) {
        uint64_t bits = get(v, i, size);
        uint32_t low = (uint32_t)bits;
        float single;
        double number;
        memcpy(&single, &low, sizeof single);
        memcpy(&number, &bits, sizeof number);
        number = size == 4 ? (double)single : number;
        if (isfinite(number))
            lam_jw_number(v->w, NULL, number);
        else /* PS3.18 F.2.4 has no number for these; the strings are what others write too */
            lam_jw_text(v->w, NULL, isnan(number) ? "NaN" : number > 0 ? "inf" : "-inf");
    }
    lam_jw_end(v->w);
}

/* Text past 2^53, which PS3.18 table F.2.3-1 leaves open for SV and UV: readers hold numbers in doubles, and
 * some refuse more than 63 bits. */
static void write_integer(const value *v, bool negative, uint64_t magnitude)
{
    char text[24];
    snprintf(text, sizeof text, "%s%llu", negative ? "-" : "", (unsigned long long)magnitude);
    (magnitude >> 53 ? lam_jw_text : lam_jw_raw)(v->w, NULL, text);
}

static void write_signed(const value *v, int size)
{
    lam_jw_array(v->w, "Value");
    for (size_t i = 0; i < v->length / (size_t)size; i++) {
        uint64_t sign = UINT64_C(1) << (8 * size - 1);
        uint64_t number = (get(v, i, size) ^ sign) - sign;
        bool negative = number >> 63;
        write_integer(v, negative, negative ? -number : number);
    }
    lam_jw_end(v->w);
}

static void write_unsigned(const value *v, int size)
{
    lam_jw_array(v->w, "Value");
    for (size_t i = 0; i < v->length / (size_t)size; i++)
        write_integer(v, false, get(v, i, size));
    lam_jw_end(v->w);
}

/* Base64 of the value in little endian, which the size of a word makes of big endian (PS3.18 F.2.7). */
static void write_bytes(const value *v, int size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    lam_buffer_clear(v->scratch);
    size_t swap = v->big_endian && v->length % (size_t)size == 0 ? (size_t)size - 1 : 0;
    for (size_t i = 0; i < v->length; i += 3) {
        size_t n = v->length - i < 3 ? v->length - i : 3;
        uint32_t three = 0;
        for (size_t k = 0; k < 3; k++) /* the XOR walks a word backwards */
            three = three << 8 | (k < n ? v->bytes[(i + k) ^ swap] : 0u);
        char four[4];
        for (size_t k = 0; k < 4; k++)
            four[k] = k <= n ? digits[three >> (18 - 6 * k) & 63] : '=';
        lam_buffer_append(v->scratch, four, sizeof four);
    }
    lam_jw_text(v->w, "InlineBinary", lam_buffer_text(v->scratch));
}
