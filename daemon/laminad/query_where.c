#include "daemon/laminad/query_where.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/uid.h"
#include "daemon/laminad/attribute.h"
#include "daemon/laminad/fold.h"
#include "daemon/laminad/keywords.h"

enum { MAX_VALUE = 4096, MAX_LIST = 2000, MAX_FUZZY_WORDS = 8 };

static const char *const aliases[LAM_LEVELS] = {"t", "s", "i", "w", "u"};

void lam_where_init(lam_where *where)
{
    where->count = 0;
    lam_buffer_init(&where->sql, LAM_WHERE_SQL);
    lam_buffer_init(&where->text, LAM_WHERE_TEXT * 4);
}

void lam_where_done(lam_where *where)
{
    lam_buffer_done(&where->sql);
    lam_buffer_done(&where->text);
}

int lam_where_value(lam_where *where, const char *text, size_t length)
{
    if (where->count == LAM_WHERE_VALUES)
        return 0;
    where->offsets[where->count] = where->text.length;
    lam_buffer_append(&where->text, text, length);
    lam_buffer_append(&where->text, "", 1);
    return (int)++where->count;
}

const char *lam_where_get(const lam_where *where, size_t index)
{
    return where->text.data + where->offsets[index];
}

typedef struct spelling {
    const char *text;
    size_t length;
} spelling;

static int compare_keyword(const void *wanted, const void *row)
{
    const spelling *w = wanted;
    const char *keyword = ((const lam_keyword *)row)->keyword;
    int order = strncmp(w->text, keyword, w->length);
    return order ? order : -(keyword[w->length] != '\0');
}

bool lam_where_tag(const char *name, size_t length, uint32_t *tag)
{
    const spelling wanted = {name, length};
    const lam_keyword *known =
        bsearch(&wanted, lam_keywords, lam_keyword_count, sizeof lam_keywords[0], compare_keyword);
    if (known) {
        *tag = known->tag;
        return true;
    }
    if (length != 8 || strspn(name, "0123456789abcdefABCDEF") < 8)
        return false;
    char digits[9] = "";
    memcpy(digits, name, 8);
    *tag = (uint32_t)strtoul(digits, NULL, 16);
    return true;
}

/* What is compared: a column, or an attribute in the JSON of a level. */
typedef struct subject {
    lam_where *where;
    const lam_search_term *term;
    char x[160];
} subject;

static lam_status refuse(const subject *s, lam_error *err, const char *wanted)
{
    return lam_fail(err, LAM_E_INVALID, "query parameter %.80s must be %s", s->term->name, wanted);
}

/* ---- one value ---- */

/* `?` of a condition stands for the value that follows it here. */
static void compare(subject *s, const char *before, const char *after, const char *value, size_t length)
{
    lam_buffer_printf(&s->where->sql, "%s%s?%d", before, after, lam_where_value(s->where, value, length));
}

/* A DICOM pattern as one of SQLite's GLOB, where [ is special, too. */
static void append_pattern(lam_buffer *out, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (text[i] == '[')
            lam_buffer_append_text(out, "[[]");
        else
            lam_buffer_append(out, text + i, 1);
}

/* The characters before the first wildcard bound a range of the index; `+` keeps SQLite from preparing the
 * statement anew for each pattern. */
static void match_pattern(subject *s, const char *value, size_t length)
{
    LAM_AUTO(lam_buffer_done) lam_buffer pattern;
    lam_buffer_init(&pattern, (size_t)4 * MAX_VALUE);
    append_pattern(&pattern, value, length);
    size_t fixed = 0;
    while (fixed < length && fixed < MAX_VALUE && value[fixed] != '*' && value[fixed] != '?')
        fixed++;
    lam_buffer_append_text(&s->where->sql, "(");
    if (fixed) {
        compare(s, s->x, " >= ", value, fixed);
        char next[MAX_VALUE + 1];
        memcpy(next, value, fixed);
        next[fixed - 1]++; /* the least text after all that begin so */
        lam_buffer_append_text(&s->where->sql, " AND ");
        compare(s, s->x, " < ", next, fixed);
        lam_buffer_append_text(&s->where->sql, " AND ");
    }
    lam_buffer_append_text(&s->where->sql, "+");
    compare(s, s->x, " GLOB ", lam_buffer_text(&pattern), pattern.length);
    lam_buffer_append_text(&s->where->sql, ")");
}

static bool has_wildcard(const char *value, size_t length)
{
    return memchr(value, '*', length) || memchr(value, '?', length);
}

/* Blanks around a value do not count (PS3.5 section 6.2); the index keeps none. */
static const char *trim(const char *value, size_t *length)
{
    size_t leading = 0;
    while (leading < *length && value[leading] == ' ')
        leading++;
    *length -= leading;
    value += leading;
    while (*length && value[*length - 1] == ' ')
        --*length;
    return value;
}

static void match_text(subject *s, const char *value, size_t length)
{
    value = trim(value, &length);
    if (has_wildcard(value, length))
        match_pattern(s, value, length);
    else
        compare(s, s->x, " = ", value, length);
}

/* ---- kinds ---- */

static lam_status match_list(subject *s, const char *value, lam_error *err)
{
    lam_buffer_append_text(&s->where->sql, "(");
    size_t count = 0;
    for (const char *at = value; *at;) {
        size_t length = strcspn(at, ",\\");
        if (length) {
            if (count++)
                lam_buffer_append_text(&s->where->sql, " OR ");
            match_text(s, at, length);
        }
        at += length + (at[length] != '\0');
    }
    lam_buffer_append_text(&s->where->sql, ")");
    return count ? LAM_OK : refuse(s, err, "one value, or several separated by commas");
}

/* Any number of UIDs is one value, so that the statement stays the same. */
static lam_status match_uids(subject *s, const char *value, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer list;
    lam_buffer_init(&list, LAM_WHERE_TEXT);
    size_t count = 0;
    for (const char *at = value; *at;) {
        size_t length = strcspn(at, ",\\");
        char uid[LAM_UID_TEXT] = "";
        if (length < sizeof uid)
            memcpy(uid, at, length);
        if (!lam_uid_is_valid(uid))
            return refuse(s, err, "a UID, or several separated by commas");
        lam_buffer_printf(&list, "%s\"%s\"", count++ ? "," : "[", uid);
        at += length + (at[length] != '\0');
    }
    lam_buffer_append_text(&list, "]");
    if (list.status != LAM_OK || count > MAX_LIST)
        return refuse(s, err, "a shorter list");
    if (count == 1) {
        compare(s, s->x, " = ", value, strcspn(value, ",\\"));
        return LAM_OK;
    }
    lam_buffer_printf(&s->where->sql, "%s IN (SELECT value FROM json_each(?%d))", s->x,
                      lam_where_value(s->where, lam_buffer_text(&list), list.length));
    return LAM_OK;
}

static bool is_date(const char *text, size_t length)
{
    return length == 8 && strspn(text, "0123456789") >= 8;
}

static lam_status match_date(subject *s, const char *value, lam_error *err)
{
    static const char wanted[] = "a date YYYYMMDD, or a range of dates with a hyphen";
    const char *hyphen = strchr(value, '-');
    size_t first = hyphen ? (size_t)(hyphen - value) : strlen(value);
    if ((first && !is_date(value, first)) || (first == 0 && (!hyphen || !hyphen[1])))
        return refuse(s, err, wanted);
    if (!hyphen) {
        compare(s, s->x, " = ", value, first);
        return LAM_OK;
    }
    if (hyphen[1] && !is_date(hyphen + 1, strlen(hyphen + 1)))
        return refuse(s, err, wanted);
    lam_buffer_append_text(&s->where->sql, "(");
    compare(s, s->x, " >= ", first ? value : "0", first ? first : 1);
    if (hyphen[1]) {
        lam_buffer_append_text(&s->where->sql, " AND ");
        compare(s, s->x, " <= ", hyphen + 1, 8);
    }
    lam_buffer_append_text(&s->where->sql, ")");
    return LAM_OK;
}

/* Values are compared by their digits, so those of one time zone. */
static lam_status match_datetime(subject *s, const char *value, lam_error *err)
{
    const char *hyphen = strchr(value, '-');
    size_t first = hyphen ? (size_t)(hyphen - value) : strlen(value), digits = strspn(value, "0123456789.");
    const char *last = hyphen ? hyphen + 1 : value;
    size_t length = strlen(last);
    if (digits != first || strspn(last, "0123456789.") != length || (!first && !length) || first > 21 ||
        length > 21)
        return refuse(s, err,
                      "a date and time YYYYMMDDHHMMSS, which may end earlier, or a range with a hyphen");
    lam_buffer_append_text(&s->where->sql, "(");
    compare(s, s->x, " >= ", first ? value : "0", first ? first : 1);
    if (length) { /* all that begin with it are in it: ':' comes after the digits */
        lam_buffer_append_text(&s->where->sql, " AND ");
        compare(s, s->x, " < ", last, length);
        lam_buffer_append_text(&s->where->sql, " || ':'");
    }
    lam_buffer_append_text(&s->where->sql, ")");
    return LAM_OK;
}

/* Six digits out of HH[MM[SS[.FFFFFF]]], the missing ones from `rest`. */
static bool read_time(const char *text, size_t length, const char *rest, char time[7])
{
    size_t digits = strspn(text, "0123456789");
    digits = digits < length ? digits : length;
    if (digits < 2 || digits > 6 || digits % 2 || (digits < length && (digits != 6 || text[6] != '.')))
        return false;
    memcpy(time, rest, 7);
    memcpy(time, text, digits);
    return true;
}

static lam_status match_time(subject *s, const char *value, lam_error *err)
{
    const char *hyphen = strchr(value, '-');
    size_t first = hyphen ? (size_t)(hyphen - value) : strlen(value);
    char from[7] = "000000", to[7] = "235959";
    bool good = (hyphen || first) && (!hyphen || first || hyphen[1]);
    if (first)
        good &= read_time(value, first, "000000", from);
    if (!hyphen)
        memcpy(to, from, sizeof to);
    else if (hyphen[1])
        good &= read_time(hyphen + 1, strlen(hyphen + 1), "595959", to);
    if (!good)
        return refuse(s, err, "a time HHMMSS, or a range of times with a hyphen");
    char x[200];
    snprintf(x, sizeof x, "substr(substr(%s, 1, 6) || '000000', 1, 6)", s->x);
    lam_buffer_append_text(&s->where->sql, "(");
    compare(s, x, " >= ", from, 6);
    lam_buffer_append_text(&s->where->sql, " AND ");
    compare(s, x, " <= ", to, 6);
    lam_buffer_append_text(&s->where->sql, ")");
    return LAM_OK;
}

static lam_status match_number(subject *s, const char *value, lam_error *err)
{
    char *end = NULL;
    errno = 0;
    strtod(value, &end);
    bool decimal =
        strspn(value, "+-.0123456789eE") == strlen(value); /* strtod takes "nan" and "0x10" as well */
    if (errno || end == value || *end || !decimal)
        return refuse(s, err, "a number");
    lam_buffer_append_text(&s->where->sql, "CAST(");
    lam_buffer_append_text(&s->where->sql, s->x);
    compare(s, " AS REAL)", " = CAST(", value, strlen(value));
    lam_buffer_append_text(&s->where->sql, " AS REAL)");
    return LAM_OK;
}

static lam_status match_modalities(subject *s, const char *value, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer list;
    lam_buffer_init(&list, LAM_WHERE_TEXT);
    for (const char *at = value; *at;) {
        size_t length = strcspn(at, ",\\"), significant = length;
        const char *code = trim(at, &significant);
        lam_buffer_append_text(&list, list.length ? ",*\\" : "*\\");
        lam_buffer_append(&list, code, significant);
        lam_buffer_append_text(&list, "\\*");
        at += length + (at[length] != '\0');
    }
    size_t count = 0;
    lam_buffer_append_text(&s->where->sql, "(");
    for (const char *at = lam_buffer_text(&list); *at;) {
        size_t length = strcspn(at, ",");
        if (count++)
            lam_buffer_append_text(&s->where->sql, " OR ");
        match_pattern(s, at, length);
        at += length + (at[length] != '\0');
    }
    lam_buffer_append_text(&s->where->sql, ")");
    return count ? LAM_OK : refuse(s, err, "a modality, or several separated by commas");
}

/* ---- names ---- */

/* Each word as the beginning of any part of the name. */
static lam_status match_words(subject *s, const char *folded, lam_error *err)
{
    size_t count = 0;
    for (const char *at = folded; *at;) {
        size_t length = strcspn(at, " ^=,*?");
        if (length && count < MAX_FUZZY_WORDS) {
            char pattern[256];
            int written =
                snprintf(pattern, sizeof pattern, "*[ =,^-]%.*s*", (int)(length < 200 ? length : 200), at);
            lam_buffer_printf(&s->where->sql, "%s'^' || %s GLOB ?%d", count++ ? " AND " : "(", s->x,
                              lam_where_value(s->where, pattern, (size_t)written));
        }
        at += length + (at[length] != '\0');
    }
    if (!count)
        return refuse(s, err, "a name");
    lam_buffer_append_text(&s->where->sql, ")");
    return LAM_OK;
}

/* The pattern of one group: a component that is empty or not given may be anything. */
static void group_pattern(const char *folded, size_t length, lam_buffer *out)
{
    for (size_t at = 0; at <= length;) {
        size_t component = 0;
        while (at + component < length && folded[at + component] != '^')
            component++;
        if (component == 0)
            lam_buffer_append_text(out, "*");
        lam_buffer_append(out, folded + at, component);
        at += component + 1;
        if (at <= length)
            lam_buffer_append_text(out, "^");
    }
    if (folded[length - 1] != '*')
        lam_buffer_append_text(out, "^*");
}

static lam_status match_name(subject *s, const char *value, bool fuzzy, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer folded, pattern, elsewhere;
    lam_buffer_init(&folded, LAM_WHERE_TEXT);
    lam_buffer_init(&pattern, LAM_WHERE_TEXT);
    lam_buffer_init(&elsewhere, LAM_WHERE_TEXT);
    lam_fold_text(value, &folded);
    if (fuzzy)
        return match_words(s, lam_buffer_text(&folded), err);
    size_t length = strcspn(lam_buffer_text(&folded), "=");
    while (length && folded.data[length - 1] == '^')
        length--;
    if (length == 0)
        return refuse(s, err, "a name");
    group_pattern(folded.data, length, &pattern);
    lam_buffer_append_text(&s->where->sql, "(");
    match_pattern(s, lam_buffer_text(&pattern), pattern.length);
    bool ascii = true;
    for (size_t i = 0; i < length; i++)
        ascii &= (unsigned char)folded.data[i] < 0x80;
    if (!ascii) { /* then also in the ideographic and phonetic groups */
        lam_buffer_printf(&elsewhere, "*=%s", lam_buffer_text(&pattern));
        lam_buffer_append_text(&s->where->sql, " OR ");
        match_pattern(s, lam_buffer_text(&elsewhere), elsewhere.length);
    }
    lam_buffer_append_text(&s->where->sql, ")");
    return LAM_OK;
}

/* ---- a term ---- */

static lam_status match_value(subject *s, lam_match_kind kind, bool fuzzy, lam_error *err)
{
    const char *value = s->term->value;
    switch (kind) {
    case LAM_MATCH_CODE:
        return match_list(s, value, err);
    case LAM_MATCH_UID:
        return match_uids(s, value, err);
    case LAM_MATCH_DATE:
        return match_date(s, value, err);
    case LAM_MATCH_DATETIME:
        return match_datetime(s, value, err);
    case LAM_MATCH_TIME:
        return match_time(s, value, err);
    case LAM_MATCH_NAME:
        return match_name(s, value, fuzzy, err);
    case LAM_MATCH_NUMBER:
        return match_number(s, value, err);
    case LAM_MATCH_MODALITIES:
        return match_modalities(s, value, err);
    case LAM_MATCH_TEXT:
    case LAM_MATCH_NEVER:
        break;
    }
    match_text(s, value, strlen(value));
    return LAM_OK;
}

/* A term on a lower level asks for those that have such a one below them. */
static void open_level(lam_where *where, lam_level asked, lam_level of)
{
    static const char *const below[LAM_LEVELS][LAM_LEVELS] = {
        [LAM_LEVEL_STUDY] = {[LAM_LEVEL_SERIES] = "t.id IN (SELECT s.study_id FROM series s WHERE ",
                             [LAM_LEVEL_INSTANCE] =
                                 "t.id IN (SELECT s.study_id FROM instance i JOIN series s ON s.id = "
                                 "i.series_id WHERE "},
        [LAM_LEVEL_SERIES] = {[LAM_LEVEL_INSTANCE] = "s.id IN (SELECT i.series_id FROM instance i WHERE "},
        [LAM_LEVEL_WORKITEM] = {[LAM_LEVEL_INPUT] =
                                    "w.id IN (SELECT u.workitem_id FROM workitem_input u WHERE "},
    };
    lam_buffer_append_text(&where->sql, " AND ");
    if (of > asked)
        lam_buffer_append_text(&where->sql, below[asked][of]);
}

static lam_status find_attribute(const lam_search_term *term, size_t length, lam_level level,
                                 const lam_attribute **out, lam_error *err)
{
    uint32_t tag;
    if (!lam_where_tag(term->name, length, &tag))
        return lam_fail(err, LAM_E_INVALID, "query parameter %.80s is not known here", term->name);
    *out = lam_attribute_at_level(level, tag);
    if (!*out || ((*out)->match == LAM_MATCH_NEVER && term->name[length] == '\0' && *term->value))
        return lam_fail(err, LAM_E_INVALID, "query parameter %.80s cannot be searched for", term->name);
    return LAM_OK;
}

static lam_status name_subject(subject *s, const lam_attribute *attribute, size_t length, lam_error *err)
{
    const char *alias = aliases[attribute->level], *dot = s->term->name + length;
    uint32_t inner;
    if (*dot == '\0') {
        if (attribute->column)
            snprintf(s->x, sizeof s->x, "%s.%s", alias, attribute->column);
        else
            snprintf(s->x, sizeof s->x, "(SELECT json_extract(%s.attributes, '$.\"%08X\".Value[0]'))", alias,
                     (unsigned)attribute->tag);
        return LAM_OK;
    }
    if (!lam_where_tag(dot + 1, strlen(dot + 1), &inner) || attribute->column)
        return lam_fail(err, LAM_E_INVALID, "query parameter %.80s is not known here", s->term->name);
    snprintf(s->x, sizeof s->x,
             "(SELECT json_extract(%s.attributes, '$.\"%08X\".Value[0].\"%08X\".Value[0]'))", alias,
             (unsigned)attribute->tag, (unsigned)inner);
    return LAM_OK;
}

/* A study has modalities, its series one each. */
static const lam_attribute *at_level(const lam_attribute *attribute, lam_level level)
{
    if (attribute->tag == 0x00080060 && level == LAM_LEVEL_STUDY)
        return lam_attribute_of_tag(0x00080061);
    return attribute;
}

/* Every item of the input of a workitem is a row; what is asked of an item is asked of those. */
static bool is_of_input(const char *name, size_t length, lam_level level)
{
    uint32_t tag, inner;
    if (level != LAM_LEVEL_WORKITEM || name[length] != '.' || !lam_where_tag(name, length, &tag) ||
        tag != 0x00404021 || !lam_where_tag(name + length + 1, strlen(name + length + 1), &inner))
        return false;
    const lam_attribute *attribute = lam_attribute_at_level(level, inner);
    return attribute && attribute->level == LAM_LEVEL_INPUT;
}

lam_status lam_where_term(lam_where *where, const lam_search_term *term, const lam_search *search,
                          lam_wanted *wanted, lam_error *err)
{
    const lam_attribute *attribute = NULL;
    size_t length = strcspn(term->name, ".");
    if (is_of_input(term->name, length, search->level)) {
        const lam_search_term inner = {term->name + length + 1, term->value};
        return lam_where_term(where, &inner, search, wanted, err);
    }
    lam_status status = find_attribute(term, length, search->level, &attribute, err);
    if (status != LAM_OK)
        return status;
    attribute = at_level(attribute, search->level);
    lam_wanted_add(wanted, attribute->tag);
    if (*term->value == '\0' || strcmp(term->value, "*") == 0)
        return LAM_OK; /* universal matching, PS3.4 section C.2.2.2.3 */
    subject s = {.where = where, .term = term};
    if (strlen(term->value) > LAM_WHERE_TEXT / 2 ||
        (attribute->match != LAM_MATCH_UID && strlen(term->value) > MAX_VALUE))
        return refuse(&s, err, "shorter");
    status = name_subject(&s, attribute, length, err);
    if (status != LAM_OK)
        return status;
    open_level(where, search->level, attribute->level);
    status = match_value(&s, term->name[length] ? LAM_MATCH_TEXT : attribute->match, search->fuzzy, err);
    if (attribute->level > search->level)
        lam_buffer_append_text(&where->sql, ")");
    if (status == LAM_OK && (where->count == LAM_WHERE_VALUES || where->sql.status != LAM_OK))
        status = lam_fail(err, LAM_E_LIMIT, "the search has too many conditions");
    return status;
}
