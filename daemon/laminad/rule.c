#include "daemon/laminad/rule.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buffer.h"
#include "core/base/pattern.h"
#include "core/base/text.h"

typedef struct term {
    char *keyword;
    char *value;
    lam_rule_op op;
    double number; /* the four orderings */
    regex_t regex; /* the two searches */
    bool has_regex;
} term;

struct lam_rule {
    term terms[LAM_RULE_MAX_TERMS];
    size_t count;
};

/* Two-letter operators before the one-letter ones they begin with. */
static const struct {
    const char *text;
    lam_rule_op op;
} operators[] = {
    {"!=", LAM_RULE_NOT_EQUAL}, {"<=", LAM_RULE_AT_MOST}, {">=", LAM_RULE_AT_LEAST}, {"=", LAM_RULE_EQUAL},
    {"<", LAM_RULE_LESS},       {">", LAM_RULE_GREATER},  {"~", LAM_RULE_SEARCH},
};

enum { MAX_KEYWORD = 64, MAX_NUMBER = 32, MAX_QUOTED = 72 };

static bool is_search(lam_rule_op op)
{
    return op == LAM_RULE_SEARCH || op == LAM_RULE_SEARCH_IGNORE_CASE;
}

static bool is_ordering(lam_rule_op op)
{
    return op == LAM_RULE_LESS || op == LAM_RULE_GREATER || op == LAM_RULE_AT_MOST || op == LAM_RULE_AT_LEAST;
}

static const char *operator_text(lam_rule_op op)
{
    for (size_t i = 0; i < LAM_COUNT(operators); i++)
        if (operators[i].op == op)
            return operators[i].text;
    return "~";
}

/* A whole decimal number, as DS and IS write it (PS3.5 6.2). */
static bool read_number(const char *text, size_t length, double *out)
{
    char copy[MAX_NUMBER + 1];
    if (length == 0 || length > MAX_NUMBER || strspn(text, "+-.0123456789eE") < length)
        return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    char *end = NULL;
    double number = strtod(copy, &end);
    if (*end != '\0' || !isfinite(number))
        return false;
    *out = number;
    return true;
}

/* ---- building ---- */

static void term_done(term *t)
{
    free(t->keyword);
    free(t->value);
    if (t->has_regex)
        regfree(&t->regex);
    *t = (term){0};
}

lam_rule *lam_rule_create(void)
{
    return calloc(1, sizeof(lam_rule));
}

void lam_rule_free(lam_rule *rule)
{
    if (!rule)
        return;
    for (size_t i = 0; i < rule->count; i++)
        term_done(&rule->terms[i]);
    free(rule);
}

static lam_status check_keyword(const char *keyword, lam_error *err)
{
    size_t length = strlen(keyword);
    bool good = length > 0 && length <= MAX_KEYWORD && isupper((unsigned char)keyword[0]);
    for (size_t i = 0; good && i < length; i++)
        good = isalnum((unsigned char)keyword[i]);
    if (good)
        return LAM_OK;
    return lam_fail(
        err, LAM_E_INVALID,
        "'%.*s' is not a DICOM attribute keyword; write it as PS3.6 does, such as SeriesDescription",
        MAX_KEYWORD, keyword);
}

static lam_status compile(term *t, lam_error *err)
{
    if (is_ordering(t->op) && !read_number(t->value, strlen(t->value), &t->number))
        return lam_fail(err, LAM_E_INVALID, "%s %s needs a number, not '%s'", t->keyword,
                        operator_text(t->op), t->value);
    if (!is_search(t->op))
        return LAM_OK;
    int flags = REG_NOSUB | (t->op == LAM_RULE_SEARCH_IGNORE_CASE ? REG_ICASE : 0);
    lam_error why = {LAM_OK, ""};
    lam_status status = lam_pattern_compile(t->value, flags, &t->regex, &why);
    t->has_regex = status == LAM_OK;
    return status == LAM_OK ? LAM_OK : lam_fail(err, status, "%s: %s", t->keyword, why.message);
}

lam_status lam_rule_add(lam_rule *rule, const char *keyword, lam_rule_op op, const char *value,
                        lam_error *err)
{
    if (rule->count == LAM_RULE_MAX_TERMS)
        return lam_fail(err, LAM_E_LIMIT, "a rule has at most %d terms", LAM_RULE_MAX_TERMS);
    lam_status status = check_keyword(keyword, err);
    if (status != LAM_OK)
        return status;
    term *t = &rule->terms[rule->count]; /* in place: a compiled expression must not be copied */
    *t = (term){.keyword = strdup(keyword), .value = strdup(value), .op = op};
    status = t->keyword && t->value ? compile(t, err) : lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    if (status == LAM_OK)
        rule->count++;
    else
        term_done(t);
    return status;
}

/* ---- parsing ---- */

typedef struct cursor {
    const char *text;
    const char *at;
    lam_error *err;
} cursor;

static void skip_blanks(cursor *c)
{
    while (isspace((unsigned char)*c->at))
        c->at++;
}

static lam_status expected(const cursor *c, const char *what)
{
    return lam_fail(c->err, LAM_E_INVALID, "column %td: expected %s, found %s%.20s%s", c->at - c->text + 1,
                    what, *c->at ? "'" : "", *c->at ? c->at : "the end", *c->at ? "'" : "");
}

/* Appends up to the closing delimiter; backslash + delimiter is the delimiter itself. */
static lam_status read_delimited(cursor *c, lam_buffer *out, const char *name)
{
    char delimiter = *c->at;
    const char *start = c->at++;
    for (; *c->at != delimiter; c->at++) {
        if (*c->at == '\0') {
            c->at = start;
            return expected(c, name);
        }
        if (c->at[0] == '\\' && c->at[1] == delimiter)
            c->at++;
        lam_buffer_append(out, c->at, 1);
    }
    c->at++;
    return LAM_OK;
}

static lam_status read_operator(cursor *c, lam_rule_op *op)
{
    for (size_t i = 0; i < LAM_COUNT(operators); i++) {
        size_t length = strlen(operators[i].text);
        if (strncmp(c->at, operators[i].text, length) == 0) {
            c->at += length;
            *op = operators[i].op;
            return LAM_OK;
        }
    }
    return expected(c, "one of = != < > <= >= ~");
}

static lam_status read_pattern(cursor *c, lam_buffer *value, lam_rule_op *op)
{
    if (*c->at != '/')
        return expected(c, "a regular expression between slashes, such as /hippo/i");
    lam_status status = read_delimited(c, value, "a regular expression that ends with a slash");
    if (status == LAM_OK && *c->at == 'i') {
        *op = LAM_RULE_SEARCH_IGNORE_CASE;
        c->at++;
    }
    return status;
}

static lam_status read_word(cursor *c, lam_buffer *value)
{
    if (*c->at == '"')
        return read_delimited(c, value, "text that ends with a quotation mark");
    size_t length = strcspn(c->at, " \t\r\n\"");
    if (length == 0)
        return expected(c, "a value");
    c->at += length;
    return lam_buffer_append(value, c->at - length, length);
}

static lam_status read_term(cursor *c, lam_rule *rule)
{
    char keyword[MAX_KEYWORD + 2] = "";
    size_t length = 0;
    while (isalnum((unsigned char)c->at[length]))
        length++;
    if (length == 0)
        return expected(c, "a DICOM attribute keyword");
    snprintf(keyword, sizeof keyword, "%.*s", (int)length, c->at);
    c->at += length;
    skip_blanks(c);

    lam_rule_op op = LAM_RULE_EQUAL;
    lam_status status = read_operator(c, &op);
    if (status != LAM_OK)
        return status;
    skip_blanks(c);

    LAM_AUTO(lam_buffer_done) lam_buffer value;
    lam_buffer_init(&value, LAM_RULE_MAX_TEXT);
    status = op == LAM_RULE_SEARCH ? read_pattern(c, &value, &op) : read_word(c, &value);
    if (status == LAM_OK)
        status = value.status;
    if (status != LAM_OK)
        return status;
    if (*c->at != '\0' && !isspace((unsigned char)*c->at))
        return expected(c, "a blank after the value");
    return lam_rule_add(rule, keyword, op, lam_buffer_text(&value), c->err);
}

static lam_status read_and(cursor *c)
{
    if (strncmp(c->at, "and", 3) != 0 || !isspace((unsigned char)c->at[3]))
        return expected(c, "'and' and another term");
    c->at += 3;
    skip_blanks(c);
    return LAM_OK;
}

lam_status lam_rule_parse(const char *text, lam_rule **out, lam_error *err)
{
    if (strlen(text) > LAM_RULE_MAX_TEXT)
        return lam_fail(err, LAM_E_LIMIT, "a rule has at most %d characters", LAM_RULE_MAX_TEXT);
    lam_rule *rule = lam_rule_create();
    if (!rule)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    cursor c = {text, text, err};
    skip_blanks(&c);
    lam_status status = read_term(&c, rule);
    for (skip_blanks(&c); status == LAM_OK && *c.at; skip_blanks(&c)) {
        status = read_and(&c);
        if (status == LAM_OK)
            status = read_term(&c, rule);
    }
    if (status == LAM_OK)
        *out = rule;
    else
        lam_rule_free(rule);
    return status;
}

/* ---- evaluating ---- */

const char *lam_rule_keyword(const lam_rule *rule, size_t index)
{
    return index < rule->count ? rule->terms[index].keyword : NULL;
}

/* The next of several values, without the blanks that pad it; false at the end. */
static bool next_value(const char **rest, const char **value, size_t *length)
{
    if (!*rest)
        return false;
    const char *start = *rest;
    const char *end = start + strcspn(start, "\\");
    *rest = *end ? end + 1 : NULL;
    while (start < end && *start == ' ')
        start++;
    while (end > start && end[-1] == ' ')
        end--;
    *value = start;
    *length = (size_t)(end - start);
    return true;
}

static bool value_holds(const term *t, const char *value, size_t length)
{
    double number;
    regmatch_t range = {.rm_so = 0, .rm_eo = (regoff_t)length};
    bool equal = strlen(t->value) == length && memcmp(t->value, value, length) == 0;
    switch (t->op) {
    case LAM_RULE_EQUAL:
        return equal;
    case LAM_RULE_NOT_EQUAL:
        return !equal;
    case LAM_RULE_LESS:
        return read_number(value, length, &number) && number < t->number;
    case LAM_RULE_GREATER:
        return read_number(value, length, &number) && number > t->number;
    case LAM_RULE_AT_MOST:
        return read_number(value, length, &number) && number <= t->number;
    case LAM_RULE_AT_LEAST:
        return read_number(value, length, &number) && number >= t->number;
    case LAM_RULE_SEARCH:
    case LAM_RULE_SEARCH_IGNORE_CASE:
        return length > 0 && regexec(&t->regex, value, 1, &range, REG_STARTEND) == 0;
    }
    return false;
}

/* `!=` wants all values to differ, everything else any value to hold. */
static bool term_holds(const term *t, const char *values)
{
    bool all = t->op == LAM_RULE_NOT_EQUAL;
    const char *value = NULL;
    size_t length = 0;
    while (next_value(&values, &value, &length))
        if (value_holds(t, value, length) != all)
            return !all;
    return all;
}

/* Long values are cut between two characters, because a reason becomes JSON. Gives the length. */
static size_t describe(const term *t, const char *values, char *text, size_t size)
{
    bool absent = !values || values[strspn(values, " \\")] == '\0';
    char found[MAX_QUOTED + 1];
    lam_text_copy(found, sizeof found, values);
    int used = absent ? snprintf(text, size, "%s is absent", t->keyword)
                      : snprintf(text, size, "%s is \"%s\"", t->keyword, found);
    return (size_t)used < size ? (size_t)used : size - 1;
}

static void explain(const term *t, const char *values, char reason[LAM_RULE_REASON])
{
    const char *slash = is_search(t->op) ? "/" : "";
    char wanted[MAX_QUOTED + 1];
    lam_text_copy(wanted, sizeof wanted, t->value);
    size_t used = describe(t, values, reason, LAM_RULE_REASON);
    snprintf(reason + used, LAM_RULE_REASON - used, ", wanted %s %s%s%s%s", operator_text(t->op), slash,
             wanted, slash, t->op == LAM_RULE_SEARCH_IGNORE_CASE ? "i" : "");
}

bool lam_rule_matches(const lam_rule *rule, lam_rule_get get, void *context, char *reason)
{
    enum { ROOM = 2 * MAX_QUOTED }; /* for one more term; of many the last are left out */
    char held[LAM_RULE_REASON] = "";
    size_t used = 0;
    for (size_t i = 0; i < rule->count; i++) {
        const term *t = &rule->terms[i];
        const char *values = get(context, t->keyword);
        if (!term_holds(t, values)) {
            if (reason)
                explain(t, values, reason);
            return false;
        }
        if (reason && used + ROOM < sizeof held) {
            used += lam_text_copy(held + used, sizeof held - used, used ? ", " : "");
            used += describe(t, values, held + used, sizeof held - used);
        }
    }
    if (reason)
        memcpy(reason, held, used + 1);
    return true;
}
