#include "core/base/json_scan.h"

#include <stdbool.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/text.h"

typedef struct scanner {
    const char *start, *at, *end;
    lam_error *err;
} scanner;

static lam_status fail_at(const scanner *s, const char *what)
{
    return lam_fail(s->err, LAM_E_INVALID, "JSON byte %zu: %s", (size_t)(s->at - s->start), what);
}

static void skip_blanks(scanner *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

/* Takes `c` if it comes next, after blanks. */
static bool take(scanner *s, char c)
{
    skip_blanks(s);
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool skip_escape(scanner *s)
{
    if (s->at == s->end)
        return false;
    char c = *s->at++;
    if (c != 'u')
        return c && strchr("\"\\/bfnrt", c);
    if (s->end - s->at < 4)
        return false;
    for (int i = 0; i < 4; i++)
        if (!is_hex(*s->at++))
            return false;
    return true;
}

/* At the opening quote; `out` is what lies between the quotes. */
static lam_status skip_string(scanner *s, lam_json_span *out)
{
    const char *begin = ++s->at;
    while (s->at < s->end && *s->at != '"') {
        unsigned char c = (unsigned char)*s->at;
        size_t length = 1;
        if (c < 0x20)
            return fail_at(s, "control character in string");
        if (c >= 0x80)
            length = lam_text_utf8_length(s->at, s->end);
        if (!length)
            return fail_at(s, "string is not UTF-8");
        s->at += length;
        if (c == '\\' && !skip_escape(s))
            return fail_at(s, "bad escape in string");
    }
    if (s->at == s->end)
        return fail_at(s, "string is not closed");
    *out = (lam_json_span){begin, (size_t)(s->at - begin)};
    s->at++;
    return LAM_OK;
}

static size_t skip_digits(scanner *s)
{
    const char *begin = s->at;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    return (size_t)(s->at - begin);
}

static lam_status skip_number(scanner *s)
{
    if (*s->at == '-')
        s->at++;
    const char *first = s->at;
    size_t digits = skip_digits(s);
    if (!digits || (*first == '0' && digits > 1))
        return fail_at(s, "not a value");
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        if (!skip_digits(s))
            return fail_at(s, "bad number");
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        s->at++;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
            s->at++;
        if (!skip_digits(s))
            return fail_at(s, "bad number");
    }
    return LAM_OK;
}

static bool skip_word(scanner *s, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(s->end - s->at) < length || memcmp(s->at, word, length) != 0)
        return false;
    s->at += length;
    return true;
}

static lam_status skip_value(scanner *s, int depth);

/* At the opening brace. */
static lam_status skip_object(scanner *s, int depth, lam_json_visit visit, void *user)
{
    s->at++;
    if (take(s, '}'))
        return LAM_OK;
    do {
        lam_json_span key, value;
        skip_blanks(s);
        if (s->at == s->end || *s->at != '"')
            return fail_at(s, "a key must be a string");
        lam_status status = skip_string(s, &key);
        if (status != LAM_OK)
            return status;
        if (!take(s, ':'))
            return fail_at(s, "a colon must follow a key");
        skip_blanks(s);
        value.bytes = s->at;
        status = skip_value(s, depth + 1);
        value.length = (size_t)(s->at - value.bytes);
        if (status == LAM_OK && visit)
            status = visit(user, key, value, s->err);
        if (status != LAM_OK)
            return status;
    } while (take(s, ','));
    return take(s, '}') ? LAM_OK : fail_at(s, "object is not closed");
}

/* At the opening bracket. */
static lam_status skip_array(scanner *s, int depth)
{
    s->at++;
    if (take(s, ']'))
        return LAM_OK;
    do {
        skip_blanks(s);
        lam_status status = skip_value(s, depth + 1);
        if (status != LAM_OK)
            return status;
    } while (take(s, ','));
    return take(s, ']') ? LAM_OK : fail_at(s, "array is not closed");
}

/* At its first byte. */
static lam_status skip_value(scanner *s, int depth)
{
    lam_json_span ignored;
    if (depth > LAM_JSON_MAX_DEPTH)
        return lam_fail(s->err, LAM_E_LIMIT, "JSON byte %zu: nested too deep", (size_t)(s->at - s->start));
    if (s->at == s->end)
        return fail_at(s, "text ends early");
    switch (*s->at) {
    case '{':
        return skip_object(s, depth, NULL, NULL);
    case '[':
        return skip_array(s, depth);
    case '"':
        return skip_string(s, &ignored);
    case 't':
        return skip_word(s, "true") ? LAM_OK : fail_at(s, "not a value");
    case 'f':
        return skip_word(s, "false") ? LAM_OK : fail_at(s, "not a value");
    case 'n':
        return skip_word(s, "null") ? LAM_OK : fail_at(s, "not a value");
    default:
        return skip_number(s);
    }
}

lam_status lam_json_scan(lam_json_span object, lam_json_visit visit, void *user, lam_error *err)
{
    scanner s = {object.bytes, object.bytes, object.bytes + object.length, err};
    skip_blanks(&s);
    if (s.at == s.end || *s.at != '{')
        return fail_at(&s, "not an object");
    lam_status status = skip_object(&s, 0, visit, user);
    if (status != LAM_OK)
        return status;
    skip_blanks(&s);
    return s.at == s.end ? LAM_OK : fail_at(&s, "text after the object");
}
