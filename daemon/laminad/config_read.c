/* From the text of a configuration file to a lam_config. inih splits lines into keys and values; this file
 * adds what it leaves out: line numbers, sections without keys, lines that are too long, and the rule that
 * only a condition may go on over several lines. Collects all problems instead of stopping at the first. */
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/laminad/config_table.h"
#include "daemon/laminad/header.h"

typedef struct reader {
    const char *at, *end; /* what is still unread */
    int line;             /* number of the line that was handed to inih last */
    bool continued;       /* that line is indented and so belongs to the key before */
    bool has_key;         /* the section has had a key, so that an indented line continues it */

    lam_config *config;
    const lam_config_section *section; /* NULL outside of one, and in an unknown one */
    void *record;                      /* the struct that its keys are fields of */
    lam_config_lines *lines;           /* its places */
    char title[LAM_CONFIG_NAME + 16];  /* "[peer pacs]" */
    int section_line;
    const lam_config_key *key; /* the last; NULL when it was unknown */
    int rule_line;             /* where `when` began */

    lam_buffer *report;
    int errors;
} reader;

static void __attribute__((format(printf, 3, 4))) problem(reader *r, int line, const char *format, ...)
{
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    lam_buffer_printf(r->report, "error: %s:%d: %s\n", r->config->source, line, message);
    r->errors++;
}

/* ---- sections ---- */

static bool is_name(const char *text)
{
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
    return length > 0 && length < LAM_CONFIG_NAME && text[length] == '\0';
}

/* Makes room for one more in an array of peers or rules; the new one is zeroed. NULL at the limit. */
static void *grow(void **array, size_t *count, size_t size, size_t maximum)
{
    if (*count == maximum)
        return NULL;
    char *larger = realloc(*array, (*count + 1) * size);
    if (!larger)
        return NULL;
    *array = larger;
    return memset(larger + (*count)++ * size, 0, size);
}

static void *add_peer(reader *r, const char *name)
{
    lam_config *c = r->config;
    for (size_t i = 0; i < c->peer_count; i++)
        if (strcmp(c->peers[i].name, name) == 0) {
            problem(r, r->line, "there is a section [peer %s] already", name);
            return NULL;
        }
    void *array = c->peers;
    lam_config_peer *peer = grow(&array, &c->peer_count, sizeof *peer, LAM_CONFIG_MAX_PEERS);
    c->peers = array;
    if (!peer)
        problem(r, r->line, "more than %d peers", LAM_CONFIG_MAX_PEERS);
    else {
        snprintf(peer->name, sizeof peer->name, "%s", name);
        r->lines = &peer->lines;
    }
    return peer;
}

static void *add_rule(reader *r, const char *name)
{
    lam_config *c = r->config;
    for (size_t i = 0; i < c->rule_count; i++)
        if (strcmp(c->rules[i].name, name) == 0) {
            problem(r, r->line, "there is a section [rule %s] already", name);
            return NULL;
        }
    void *array = c->rules;
    lam_config_rule *rule = grow(&array, &c->rule_count, sizeof *rule, LAM_CONFIG_MAX_RULES);
    c->rules = array;
    if (!rule)
        problem(r, r->line, "more than %d rules", LAM_CONFIG_MAX_RULES);
    else {
        snprintf(rule->name, sizeof rule->name, "%s", name);
        r->lines = &rule->lines;
    }
    return rule;
}

/* The condition is whole only when its section ends. */
static void finish_rule(reader *r)
{
    lam_config_rule *rule = r->record;
    lam_error err;
    if (!rule->when_text[0])
        return;
    if (lam_rule_parse(rule->when_text, &rule->when, &err) != LAM_OK) {
        problem(r, r->rule_line, "%s when: %s", r->title, err.message);
        return;
    }
    const char *keyword;
    for (size_t i = 0; (keyword = lam_rule_keyword(rule->when, i)); i++)
        if (!lam_header_tag(keyword))
            problem(r, r->rule_line, "%s when: %s is not an attribute that series are chosen by", r->title,
                    keyword);
}

/* What can only be said when all keys of a section are known. */
static void finish_section(reader *r)
{
    if (!r->section)
        return;
    for (size_t i = 0; i < r->section->key_count; i++)
        if (r->section->keys[i].required && !r->lines->keys[i])
            problem(r, r->section_line, "%s needs the key %s", r->title, r->section->keys[i].name);
    if (r->section == &lam_config_sections[LAM_SECTION_RULE])
        finish_rule(r);
    r->section = NULL;
}

static const lam_config_section *find_section(const char *word)
{
    for (size_t i = 0; i < LAM_SECTION_COUNT; i++)
        if (strcmp(lam_config_sections[i].name, word) == 0)
            return &lam_config_sections[i];
    return NULL;
}

static void no_such_section(reader *r, const char *word)
{
    char known[256] = "";
    size_t length = 0;
    for (size_t i = 0; i < LAM_SECTION_COUNT && length < sizeof known; i++) {
        const lam_config_section *section = &lam_config_sections[i];
        length += (size_t)snprintf(known + length, sizeof known - length, " [%s%s%s]", section->name,
                                   section->named ? " " : "", section->named ? section->named : "");
    }
    problem(r, r->line, "there is no section [%.40s]; there are%s", word, known);
}

static void *open_record(reader *r, const lam_config_section *section, const char *name)
{
    if (section->named) {
        if (!is_name(name)) {
            problem(r, r->line, "[%s NAME] needs a name of 1 to %d letters, digits and _ . -", section->name,
                    LAM_CONFIG_NAME - 1);
            return NULL;
        }
        void *record =
            section == &lam_config_sections[LAM_SECTION_PEER] ? add_peer(r, name) : add_rule(r, name);
        if (record)
            lam_config_section_defaults(section, record);
        return record;
    }
    lam_config_lines *lines = &r->config->lines[section - lam_config_sections];
    if (*name)
        problem(r, r->line, "[%s] takes no name; remove '%.40s'", section->name, name);
    else if (lines->section)
        problem(r, r->line, "there is a section [%s] already", section->name);
    else {
        r->lines = lines;
        return r->config;
    }
    return NULL;
}

/* `text` is what stands between the brackets. */
static void open_section(reader *r, char *text)
{
    char *word = text + strspn(text, " \t");
    char *name = word + strcspn(word, " \t");
    if (*name)
        *name++ = '\0';
    name += strspn(name, " \t");
    for (size_t length = strlen(name); length > 0 && strchr(" \t", name[length - 1]); length--)
        name[length - 1] = '\0';

    const lam_config_section *section = find_section(word);
    if (!section) {
        no_such_section(r, word);
        return;
    }
    r->record = open_record(r, section, name);
    if (!r->record)
        return;
    r->section = section;
    r->lines->section = r->line;
    snprintf(r->title, sizeof r->title, "[%s%s%s]", section->name, *name ? " " : "", name);
}

static void read_section_line(reader *r, const char *line)
{
    finish_section(r);
    r->section_line = r->line;
    r->has_key = false;
    size_t length = strcspn(line, "]");
    if (line[length] == '\0')
        return; /* inih says so */
    char text[256];
    snprintf(text, sizeof text, "%.*s", (int)length, line);
    open_section(r, text);
}

/* ---- lines and keys ---- */

/* Whether inih takes the line as a section, a key or a continuation decides what the handler is told. */
static void look_at(reader *r, const char *line)
{
    const char *start = line + strspn(line, " \t\r\f\v");
    if (strchr(";#", *start))
        return; /* a comment, or nothing */
    r->continued = r->has_key && start > line;
    if (!r->continued && *start == '[')
        read_section_line(r, start + 1);
}

/* The fgets that inih reads with. */
static char *next_line(char *line, int size, void *stream)
{
    reader *r = stream;
    if (r->at == r->end)
        return NULL;
    const char *newline = memchr(r->at, '\n', (size_t)(r->end - r->at));
    size_t length = (size_t)((newline ? newline : r->end) - r->at);
    r->line++;
    if (length >= (size_t)size) {
        problem(r, r->line, "the line is longer than %d characters", size - 1);
        length = 0;
    }
    memcpy(line, r->at, length);
    line[length] = '\0';
    r->at = newline ? newline + 1 : r->end;
    look_at(r, line);
    return line;
}

/* How long the value is without a comment behind it, which inih before version 56 leaves on such lines. */
static size_t length_without_comment(const char *value)
{
    size_t length = strlen(value);
    for (const char *at = value; (at = strchr(at, ';')); at++)
        if (at > value && strchr(" \t", at[-1])) {
            length = (size_t)(at - value);
            break;
        }
    while (length > 0 && strchr(" \t", value[length - 1]))
        length--;
    return length;
}

static void continue_rule(reader *r, const char *value)
{
    char *when = ((lam_config_rule *)r->record)->when_text;
    size_t before = strlen(when), length = length_without_comment(value);
    if (before + 1 + length > LAM_RULE_MAX_TEXT)
        problem(r, r->line, "%s: a rule has at most %d characters", r->title, LAM_RULE_MAX_TEXT);
    else
        snprintf(when + before, LAM_RULE_MAX_TEXT + 1 - before, " %.*s", (int)length, value);
}

static void read_key(reader *r, const char *name, const char *value)
{
    const lam_config_section *section = r->section;
    size_t index = 0;
    while (index < section->key_count && strcmp(section->keys[index].name, name) != 0)
        index++;
    r->key = index < section->key_count ? &section->keys[index] : NULL;
    if (!r->key) {
        problem(r, r->line, "%s has no key '%.40s'", r->title, name);
        return;
    }
    if (r->lines->keys[index]) {
        problem(r, r->line, "%s has %s already", r->title, name);
        return;
    }
    r->lines->keys[index] = r->line;
    r->rule_line = r->key->type == LAM_TYPE_RULE ? r->line : r->rule_line;
    lam_error err;
    if (lam_config_value_parse(r->key, value, r->record, &err) != LAM_OK)
        problem(r, r->line, "%s %s", r->title, err.message);
}

static int handle(void *user, const char *section, const char *name, const char *value)
{
    (void)section; /* cut at 49 characters; look_at has read it whole */
    reader *r = user;
    r->has_key = true;
    if (r->section_line == 0)
        problem(r, r->line, "'%.40s' stands before the first [section]", name);
    if (!r->section)
        return 1;
    if (!r->continued)
        read_key(r, name, value);
    else if (r->key && r->key->type == LAM_TYPE_RULE)
        continue_rule(r, value);
    else
        problem(r, r->line, "an indented line goes on with the key before; remove the blanks at its start");
    return 1;
}

int lam_config_read(const char *text, size_t length, lam_config *config, lam_buffer *report)
{
    reader r = {.at = text, .end = text + length, .config = config, .report = report};
    if (memchr(text, '\0', length)) {
        problem(&r, 1, "not a text file: it contains NUL bytes");
        return r.errors;
    }
    if (length >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        r.at += 3; /* byte order mark */
    int line = ini_parse_stream(next_line, &r, handle, &r);
    finish_section(&r);
    if (line > 0)
        problem(&r, line, "expected a [section] or key = value");
    else if (line < 0)
        problem(&r, 0, "out of memory");
    return r.errors;
}

void lam_config_section_defaults(const lam_config_section *section, void *record)
{
    for (size_t i = 0; i < section->key_count; i++)
        if (section->keys[i].initial)
            lam_config_value_parse(&section->keys[i], section->keys[i].initial, record, NULL);
}
