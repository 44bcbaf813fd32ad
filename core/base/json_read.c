/* The reading half of json.h: recursive descent over a copy of the text; strings are unescaped in place. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/text.h"

struct lam_json_value {
    lam_json_kind kind;
    const char *key; /* of the member it is, or NULL */
    union {
        bool boolean;
        double number;
        const char *text;
        struct {
            lam_jv *first;
            lam_jv **index; /* built when the container closes, for lam_jv_at */
            size_t count;
        } children;
    } as;
    lam_jv *next;
};

typedef struct block {
    struct block *next;
    size_t used, size;
    max_align_t data[];
} block;

struct lam_json {
    char *text;
    block *blocks;
    lam_jv *root;
};

typedef struct parser {
    lam_json *document;
    const char *source; /* as it was given: strings of the copy are unescaped in place */
    char *at, *end;
    size_t values;
    int depth;
    lam_error *err;
} parser;

static lam_status fail_at(const parser *p, lam_status status, const char *what)
{
    int line = 1, column = 1;
    const char *stop = p->source + (p->at - p->document->text);
    for (const char *c = p->source; c < stop; c++, column++)
        if (*c == '\n') {
            line++;
            column = 0;
        }
    return lam_fail(p->err, status, "JSON line %d column %d: %s", line, column, what);
}

static void *allocate(lam_json *document, size_t size)
{
    size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    block *b = document->blocks;
    if (!b || b->size - b->used < size) {
        size_t room = size > 4096 ? size : 4096;
        b = malloc(sizeof *b + room);
        if (!b)
            return NULL;
        *b = (block){.next = document->blocks, .size = room};
        document->blocks = b;
    }
    void *memory = (char *)b->data + b->used;
    b->used += size;
    memset(memory, 0, size);
    return memory;
}

static void skip_blanks(parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r'))
        p->at++;
}

static int hex4(const char *at, const char *end)
{
    int code = 0;
    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        code = code * 16 + digit;
    }
    return code;
}

static char *put_utf8(char *out, unsigned code)
{
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xc0 | code >> 6);
        *out++ = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *out++ = (char)(0xe0 | code >> 12);
        *out++ = (char)(0x80 | (code >> 6 & 0x3f));
        *out++ = (char)(0x80 | (code & 0x3f));
    } else {
        *out++ = (char)(0xf0 | code >> 18);
        *out++ = (char)(0x80 | (code >> 12 & 0x3f));
        *out++ = (char)(0x80 | (code >> 6 & 0x3f));
        *out++ = (char)(0x80 | (code & 0x3f));
    }
    return out;
}

static lam_status parse_escape(parser *p, char **out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (p->at >= p->end)
        return fail_at(p, LAM_E_INVALID, "string is not closed");
    char c = *p->at++;
    const char *plain = c ? strchr(from, c) : NULL;
    if (plain) {
        *(*out)++ = to[plain - from];
        return LAM_OK;
    }
    int code = c == 'u' ? hex4(p->at, p->end) : -1;
    if (code <= 0)
        return fail_at(p, LAM_E_INVALID, "bad escape in string");
    p->at += 4;
    unsigned unicode = (unsigned)code;
    if (unicode >= 0xd800 && unicode < 0xe000) {
        int low = p->end - p->at >= 6 && p->at[0] == '\\' && p->at[1] == 'u' ? hex4(p->at + 2, p->end) : -1;
        if (unicode >= 0xdc00 || low < 0xdc00 || low > 0xdfff)
            return fail_at(p, LAM_E_INVALID, "unpaired surrogate in string");
        unicode = 0x10000 + ((unicode - 0xd800) << 10) + ((unsigned)low - 0xdc00);
        p->at += 6;
    }
    *out = put_utf8(*out, unicode);
    return LAM_OK;
}

static lam_status parse_string(parser *p, const char **text)
{
    char *out = ++p->at; /* unescaped text is never longer, so it is written over the source */
    const char *begin = out;
    for (;;) {
        if (p->at >= p->end)
            return fail_at(p, LAM_E_INVALID, "string is not closed");
        unsigned char c = (unsigned char)*p->at;
        if (c == '"')
            break;
        if (c < 0x20)
            return fail_at(p, LAM_E_INVALID, "control character in string");
        if (c == '\\') {
            p->at++;
            lam_status status = parse_escape(p, &out);
            if (status != LAM_OK)
                return status;
            continue;
        }
        size_t length = lam_text_utf8_length(p->at, p->end);
        if (!length)
            return fail_at(p, LAM_E_INVALID, "string is not UTF-8");
        memmove(out, p->at, length);
        out += length;
        p->at += length;
    }
    p->at++;
    *out = '\0'; /* at latest over the closing quote */
    *text = begin;
    return LAM_OK;
}

/* The number grammar of RFC 8259 section 6; strtod alone would take hex, inf and leading zeros. */
static bool is_number(const char *at, const char *end, const char **after)
{
    const char *c = at;
    if (c < end && *c == '-')
        c++;
    const char *digits = c;
    while (c < end && *c >= '0' && *c <= '9')
        c++;
    if (c == digits || (*digits == '0' && c - digits > 1))
        return false;
    if (c < end && *c == '.') {
        digits = ++c;
        while (c < end && *c >= '0' && *c <= '9')
            c++;
        if (c == digits)
            return false;
    }
    if (c < end && (*c == 'e' || *c == 'E')) {
        c++;
        if (c < end && (*c == '+' || *c == '-'))
            c++;
        digits = c;
        while (c < end && *c >= '0' && *c <= '9')
            c++;
        if (c == digits)
            return false;
    }
    *after = c;
    return true;
}

static lam_status parse_value(parser *p, lam_jv **out);

static bool has_key(const lam_jv *first, const char *key)
{
    for (const lam_jv *v = first; v; v = v->next)
        /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): members of objects have keys */
        if (strcmp(v->key, key) == 0)
            return true;
    return false;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp((*(lam_jv *const *)a)->key, (*(lam_jv *const *)b)->key);
}

/* Objects of many members are checked for duplicates by sorting, small ones as they come. */
enum { SMALL_OBJECT = 16 };

static lam_status close_container(parser *p, lam_jv *container)
{
    size_t count = container->as.children.count;
    lam_jv **index = allocate(p->document, count * sizeof *index);
    if (!index)
        return fail_at(p, LAM_E_NO_MEMORY, "out of memory");
    size_t i = 0;
    for (lam_jv *child = container->as.children.first; child; child = child->next)
        index[i++] = child;
    if (container->kind == LAM_JSON_OBJECT && count > SMALL_OBJECT) {
        lam_jv **sorted = malloc(count * sizeof *sorted);
        if (!sorted)
            return fail_at(p, LAM_E_NO_MEMORY, "out of memory");
        memcpy(sorted, index, count * sizeof *sorted);
        qsort(sorted, count, sizeof *sorted, compare_keys);
        bool twice = false;
        for (i = 1; i < count; i++)
            twice |= strcmp(sorted[i - 1]->key, sorted[i]->key) == 0;
        free(sorted);
        if (twice)
            return fail_at(p, LAM_E_INVALID, "the same key twice in an object");
    }
    container->as.children.index = index;
    return LAM_OK;
}

static lam_status parse_key(parser *p, const lam_jv *object, const char **key)
{
    if (p->at >= p->end || *p->at != '"')
        return fail_at(p, LAM_E_INVALID, "expected a key in quotes");
    lam_status status = parse_string(p, key);
    if (status != LAM_OK)
        return status;
    if (object->as.children.count <= SMALL_OBJECT && has_key(object->as.children.first, *key))
        return fail_at(p, LAM_E_INVALID, "the same key twice in an object");
    skip_blanks(p);
    if (p->at >= p->end || *p->at != ':')
        return fail_at(p, LAM_E_INVALID, "expected ':'");
    p->at++;
    return LAM_OK;
}

static lam_status parse_container(parser *p, lam_jv *container)
{
    char close = *p->at++ == '{' ? '}' : ']';
    container->kind = close == '}' ? LAM_JSON_OBJECT : LAM_JSON_ARRAY;
    if (++p->depth > LAM_JSON_MAX_DEPTH)
        return fail_at(p, LAM_E_LIMIT, "nested too deeply");
    lam_jv **tail = &container->as.children.first;
    skip_blanks(p);
    if (p->at < p->end && *p->at == close) {
        p->at++;
        p->depth--;
        return LAM_OK;
    }
    for (;;) {
        const char *key = NULL;
        lam_status status = LAM_OK;
        skip_blanks(p);
        if (close == '}')
            status = parse_key(p, container, &key);
        lam_jv *child = NULL;
        if (status == LAM_OK)
            status = parse_value(p, &child);
        if (status != LAM_OK)
            return status;
        child->key = key;
        *tail = child;
        tail = &child->next;
        container->as.children.count++;
        skip_blanks(p);
        if (p->at < p->end && *p->at == ',') {
            p->at++;
            continue;
        }
        if (p->at >= p->end || *p->at != close)
            return fail_at(p, LAM_E_INVALID, close == '}' ? "expected ',' or '}'" : "expected ',' or ']'");
        p->at++;
        p->depth--;
        return close_container(p, container);
    }
}

static lam_status parse_literal(parser *p, lam_jv *value)
{
    static const struct {
        const char *word;
        lam_json_kind kind;
        bool boolean;
    } literals[] = {
        {"true", LAM_JSON_BOOL, true}, {"false", LAM_JSON_BOOL, false}, {"null", LAM_JSON_NULL, false}};
    for (size_t i = 0; i < LAM_COUNT(literals); i++) {
        size_t length = strlen(literals[i].word);
        if ((size_t)(p->end - p->at) >= length && memcmp(p->at, literals[i].word, length) == 0) {
            value->kind = literals[i].kind;
            value->as.boolean = literals[i].boolean;
            p->at += length;
            return LAM_OK;
        }
    }
    const char *after = NULL;
    if (!is_number(p->at, p->end, &after))
        return fail_at(p, LAM_E_INVALID, "expected a value");
    value->kind = LAM_JSON_NUMBER;
    value->as.number = strtod(p->at, NULL); /* the copy ends in NUL */
    if (!isfinite(value->as.number))
        return fail_at(p, LAM_E_INVALID, "number is out of range");
    p->at = (char *)after;
    return LAM_OK;
}

static lam_status parse_value(parser *p, lam_jv **out)
{
    if (++p->values > LAM_JSON_MAX_VALUES)
        return fail_at(p, LAM_E_LIMIT, "too many values");
    lam_jv *value = allocate(p->document, sizeof *value);
    if (!value)
        return fail_at(p, LAM_E_NO_MEMORY, "out of memory");
    *out = value;
    skip_blanks(p);
    if (p->at >= p->end)
        return fail_at(p, LAM_E_INVALID, "expected a value");
    if (*p->at == '{' || *p->at == '[')
        return parse_container(p, value);
    if (*p->at == '"') {
        value->kind = LAM_JSON_STRING;
        return parse_string(p, &value->as.text);
    }
    return parse_literal(p, value);
}

lam_status lam_json_parse(const char *text, size_t length, lam_json **out, lam_error *err)
{
    lam_json *document = calloc(1, sizeof *document);
    if (document)
        document->text = malloc(length + 1);
    if (!document || !document->text) {
        lam_json_free(document);
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for %zu bytes of JSON", length);
    }
    if (length)
        memcpy(document->text, text, length);
    document->text[length] = '\0';
    parser p = {.document = document,
                .source = text,
                .at = document->text,
                .end = document->text + length,
                .err = err};
    lam_status status = parse_value(&p, &document->root);
    if (status == LAM_OK) {
        skip_blanks(&p);
        if (p.at != p.end)
            status = fail_at(&p, LAM_E_INVALID, "text after the end of the document");
    }
    if (status != LAM_OK) {
        lam_json_free(document);
        return status;
    }
    *out = document;
    return LAM_OK;
}

void lam_json_free(lam_json *document)
{
    if (!document)
        return;
    while (document->blocks) {
        block *next = document->blocks->next;
        free(document->blocks);
        document->blocks = next;
    }
    free(document->text);
    free(document);
}

const lam_jv *lam_json_root(const lam_json *document)
{
    return document ? document->root : NULL;
}

bool lam_jv_is(const lam_jv *value, lam_json_kind kind)
{
    return value && value->kind == kind;
}

const lam_jv *lam_jv_get(const lam_jv *object, const char *key)
{
    if (!lam_jv_is(object, LAM_JSON_OBJECT))
        return NULL;
    for (const lam_jv *child = object->as.children.first; child; child = child->next)
        if (strcmp(child->key, key) == 0)
            return child;
    return NULL;
}

size_t lam_jv_count(const lam_jv *container)
{
    bool is = lam_jv_is(container, LAM_JSON_ARRAY) || lam_jv_is(container, LAM_JSON_OBJECT);
    return is ? container->as.children.count : 0;
}

const lam_jv *lam_jv_at(const lam_jv *container, size_t index)
{
    return index < lam_jv_count(container) ? container->as.children.index[index] : NULL;
}

const char *lam_jv_key_at(const lam_jv *object, size_t index)
{
    const lam_jv *child = lam_jv_at(object, index);
    return child ? child->key : NULL;
}

const char *lam_jv_text(const lam_jv *value, const char *otherwise)
{
    return lam_jv_is(value, LAM_JSON_STRING) ? value->as.text : otherwise;
}

double lam_jv_number(const lam_jv *value, double otherwise)
{
    return lam_jv_is(value, LAM_JSON_NUMBER) ? value->as.number : otherwise;
}

/* 2^53: beyond it a double no longer names one integer. */
static const double largest_integer = 9007199254740992.0;

int64_t lam_jv_integer(const lam_jv *value, int64_t otherwise)
{
    double number = lam_jv_number(value, NAN);
    if (!(fabs(number) <= largest_integer) || number != floor(number))
        return otherwise;
    return (int64_t)number;
}

bool lam_jv_bool(const lam_jv *value, bool otherwise)
{
    return lam_jv_is(value, LAM_JSON_BOOL) ? value->as.boolean : otherwise;
}

static const char *const kind_names[] = {
    [LAM_JSON_NULL] = "null",       [LAM_JSON_BOOL] = "true or false", [LAM_JSON_NUMBER] = "a number",
    [LAM_JSON_STRING] = "a string", [LAM_JSON_ARRAY] = "an array",     [LAM_JSON_OBJECT] = "an object",
};

lam_status lam_jv_need(const lam_jv *object, const char *key, lam_json_kind kind, const lam_jv **out,
                       lam_error *err)
{
    const lam_jv *value = lam_jv_get(object, key);
    if (!value)
        return lam_fail(err, LAM_E_INVALID, "`%s` is missing; it must be %s", key, kind_names[kind]);
    if (value->kind != kind)
        return lam_fail(err, LAM_E_INVALID, "`%s` must be %s, not %s", key, kind_names[kind],
                        kind_names[value->kind]);
    *out = value;
    return LAM_OK;
}

lam_status lam_jv_need_text(const lam_jv *object, const char *key, const char **out, lam_error *err)
{
    const lam_jv *value = NULL;
    lam_status status = lam_jv_need(object, key, LAM_JSON_STRING, &value, err);
    if (status == LAM_OK)
        *out = value->as.text;
    return status;
}

lam_status lam_jv_need_number(const lam_jv *object, const char *key, double minimum, double maximum,
                              double *out, lam_error *err)
{
    const lam_jv *value = NULL;
    lam_status status = lam_jv_need(object, key, LAM_JSON_NUMBER, &value, err);
    if (status != LAM_OK)
        return status;
    if (value->as.number < minimum || value->as.number > maximum)
        return lam_fail(err, LAM_E_INVALID, "`%s` is %g; it must be from %g to %g", key, value->as.number,
                        minimum, maximum);
    *out = value->as.number;
    return LAM_OK;
}

lam_status lam_jv_need_integer(const lam_jv *object, const char *key, int64_t minimum, int64_t maximum,
                               int64_t *out, lam_error *err)
{
    double number = 0;
    lam_status status = lam_jv_need_number(object, key, (double)minimum, (double)maximum, &number, err);
    if (status != LAM_OK)
        return status;
    if (number != floor(number))
        return lam_fail(err, LAM_E_INVALID, "`%s` is %g; it must be a whole number", key, number);
    if (fabs(number) > largest_integer)
        return lam_fail(err, LAM_E_INVALID, "`%s` is %g; a number names no integer beyond 2^53", key, number);
    *out = (int64_t)number;
    return LAM_OK;
}

void lam_jw_value(lam_json_writer *w, const char *key, const lam_jv *value)
{
    if (!value) {
        lam_jw_null(w, key);
        return;
    }
    switch (value->kind) {
    case LAM_JSON_NULL:
        lam_jw_null(w, key);
        return;
    case LAM_JSON_BOOL:
        lam_jw_bool(w, key, value->as.boolean);
        return;
    case LAM_JSON_NUMBER:
        lam_jw_number(w, key, value->as.number);
        return;
    case LAM_JSON_STRING:
        lam_jw_text(w, key, value->as.text);
        return;
    case LAM_JSON_ARRAY:
    case LAM_JSON_OBJECT:
        (value->kind == LAM_JSON_OBJECT ? lam_jw_object : lam_jw_array)(w, key);
        for (const lam_jv *child = value->as.children.first; child; child = child->next)
            lam_jw_value(w, child->key, child);
        lam_jw_end(w);
    }
}
