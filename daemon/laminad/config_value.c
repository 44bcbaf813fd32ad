/* Reading and writing one configuration value of each type. Knows nothing of files or sections. */
#include <arpa/inet.h>
#include <ctype.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "daemon/laminad/config_table.h"

static void *field_of(const lam_config_key *key, void *record)
{
    return (char *)record + key->offset;
}

static const void *const_field_of(const lam_config_key *key, const void *record)
{
    return (const char *)record + key->offset;
}

static lam_status expected(lam_error *err, const lam_config_key *key, const char *text)
{
    LAM_AUTO(lam_buffer_done) lam_buffer what;
    lam_buffer_init(&what, LAM_CONFIG_TEXT);
    lam_config_value_describe(key, &what);
    return lam_fail(err, LAM_E_INVALID, "%s must be %s, not '%.100s'", key->name, lam_buffer_text(&what),
                    text);
}

/* ---- whole numbers, with and without units; fields are int or int64_t ---- */

typedef struct unit {
    const char *name;
    int64_t factor;
} unit;

/* Ascending, because writing looks for the largest that divides. */
static const unit durations[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {0}};
static const unit sizes[] = {{"", 1},
                             {"K", (int64_t)1 << 10},
                             {"M", (int64_t)1 << 20},
                             {"G", (int64_t)1 << 30},
                             {"T", (int64_t)1 << 40},
                             {0}};
static const unit counts[] = {{"", 1}, {0}};

static const unit *units_of(const lam_config_key *key)
{
    return key->type == LAM_TYPE_DURATION ? durations : key->type == LAM_TYPE_SIZE ? sizes : counts;
}

static bool read_scaled(const char *text, const unit *units, int64_t *out)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 18)
        return false;
    for (; units->name; units++)
        if (strcmp(text + digits, units->name) == 0)
            return !__builtin_mul_overflow(strtoll(text, NULL, 10), units->factor, out);
    return false;
}

static void write_scaled(int64_t number, const unit *units, char text[LAM_CONFIG_TEXT])
{
    const unit *best = units;
    for (; number != 0 && units->name; units++)
        if (number % units->factor == 0)
            best = units;
    snprintf(text, LAM_CONFIG_TEXT, "%lld%s", (long long)(number / best->factor), best->name);
}

static lam_status parse_integer(const lam_config_key *key, const char *text, void *record, lam_error *err)
{
    int64_t number = 0;
    if (!read_scaled(text, units_of(key), &number) || number < key->minimum || number > key->maximum)
        return expected(err, key, text);
    if (key->size == sizeof(int))
        *(int *)field_of(key, record) = (int)number;
    else
        *(int64_t *)field_of(key, record) = number;
    return LAM_OK;
}

static void format_integer(const lam_config_key *key, const void *record, char text[LAM_CONFIG_TEXT])
{
    const void *field = const_field_of(key, record);
    write_scaled(key->size == sizeof(int) ? *(const int *)field : *(const int64_t *)field, units_of(key),
                 text);
}

static void describe_integer(const lam_config_key *key, lam_buffer *out)
{
    static const char *const names[] = {[LAM_TYPE_INTEGER] = "a whole number",
                                        [LAM_TYPE_WORKERS] = "auto, or a whole number",
                                        [LAM_TYPE_DURATION] = "a duration (ms, s, m, h, d)",
                                        [LAM_TYPE_SIZE] = "a size (bytes, or K, M, G, T)"};
    char low[LAM_CONFIG_TEXT], high[LAM_CONFIG_TEXT];
    write_scaled(key->minimum, units_of(key), low);
    write_scaled(key->maximum, units_of(key), high);
    lam_buffer_printf(out, "%s from %s to %s", names[key->type], low, high);
}

static int usable_cores(void)
{
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof cores, &cores) != 0)
        return 1;
    return CPU_COUNT(&cores);
}

static lam_status parse_workers(const lam_config_key *key, const char *text, void *record, lam_error *err)
{
    if (strcmp(text, "auto") != 0)
        return parse_integer(key, text, record, err);
    int cores = usable_cores();
    *(int *)field_of(key, record) = cores < key->maximum ? cores : (int)key->maximum;
    return LAM_OK;
}

/* ---- one of several words ---- */

static const char *const switch_words[LAM_CONFIG_MAX_WORDS] = {"no", "yes"};

static const char *const *words_of(const lam_config_key *key)
{
    return key->type == LAM_TYPE_SWITCH ? switch_words : key->words;
}

static lam_status parse_word(const lam_config_key *key, const char *text, void *record, lam_error *err)
{
    const char *const *words = words_of(key);
    for (int i = 0; i < LAM_CONFIG_MAX_WORDS && words[i]; i++) {
        if (strcmp(words[i], text) != 0)
            continue;
        if (key->type == LAM_TYPE_SWITCH)
            *(bool *)field_of(key, record) = i;
        else
            *(int *)field_of(key, record) = i;
        return LAM_OK;
    }
    return expected(err, key, text);
}

static void format_word(const lam_config_key *key, const void *record, char text[LAM_CONFIG_TEXT])
{
    const void *field = const_field_of(key, record);
    int index = key->type == LAM_TYPE_SWITCH ? *(const bool *)field : *(const int *)field;
    snprintf(text, LAM_CONFIG_TEXT, "%s", words_of(key)[index]);
}

static void describe_word(const lam_config_key *key, lam_buffer *out)
{
    const char *const *words = words_of(key);
    for (int i = 0; i < LAM_CONFIG_MAX_WORDS && words[i]; i++) {
        bool last = i + 1 == LAM_CONFIG_MAX_WORDS || !words[i + 1];
        lam_buffer_printf(out, "%s%s", i == 0 ? "" : last ? " or " : ", ", words[i]);
    }
}

/* ---- addresses ---- */

/* Host names as RFC 1123 has them, and IPv4 literals, which look the same. */
static bool is_host_name(const char *host)
{
    return *host &&
           strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") == strlen(host);
}

static bool read_address(const lam_config_key *key, const char *text, lam_config_address *out)
{
    lam_config_address address = {0};
    const char *colon = strrchr(text, ':');
    int64_t port = 0;
    if (!colon || !read_scaled(colon + 1, counts, &port) || port < key->minimum || port > key->maximum)
        return false;
    size_t length = (size_t)(colon - text);
    bool bracketed = length > 2 && text[0] == '[' && colon[-1] == ']';
    if (bracketed) {
        text++;
        length -= 2;
    }
    if (length >= sizeof address.host)
        return false;
    memcpy(address.host, text, length);
    address.port = (int)port;
    struct in6_addr binary;
    if (bracketed ? inet_pton(AF_INET6, address.host, &binary) != 1 : !is_host_name(address.host))
        return false;
    *out = address;
    return true;
}

static lam_status parse_address(const lam_config_key *key, const char *text, void *record, lam_error *err)
{
    return read_address(key, text, field_of(key, record)) ? LAM_OK : expected(err, key, text);
}

static void format_address(const lam_config_key *key, const void *record, char text[LAM_CONFIG_TEXT])
{
    const lam_config_address *address = const_field_of(key, record);
    bool ipv6 = strchr(address->host, ':') != NULL;
    text[0] = '\0';
    if (address->host[0])
        snprintf(text, LAM_CONFIG_TEXT, "%s%s%s:%d", ipv6 ? "[" : "", address->host, ipv6 ? "]" : "",
                 address->port);
}

/* ---- text with a grammar ---- */

/* AE (PS3.5 6.2): the default repertoire without backslash and control characters, not only blanks. */
static bool is_ae_title(const char *text)
{
    bool visible = false;
    for (const char *at = text; *at; at++) {
        if (*at < ' ' || *at > '~' || *at == '\\')
            return false;
        visible = visible || *at != ' ';
    }
    return visible;
}

/* Names become folders and URLs. */
static bool is_model_name(const char *text)
{
    return *text && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-") == strlen(text);
}

static bool is_absolute_path(const char *text)
{
    return text[0] == '/';
}

/* No path: an origin ends with host and port. */
static bool is_origin_list(const char *text)
{
    if (strcmp(text, "*") == 0)
        return true;
    size_t count = 0;
    for (const char *at = text; *at; count++) {
        size_t length = strcspn(at, " ");
        size_t scheme = strncmp(at, "https://", 8) == 0 ? 8 : strncmp(at, "http://", 7) == 0 ? 7 : 0;
        if (scheme == 0 || length == scheme || memchr(at + scheme, '/', length - scheme))
            return false;
        at += length;
        at += strspn(at, " ");
    }
    return count > 0;
}

static bool is_url(const char *text)
{
    bool scheme = strncasecmp(text, "http://", 7) == 0 || strncasecmp(text, "https://", 8) == 0;
    return scheme && isgraph((unsigned char)strchr(text, ':')[3]) && strcspn(text, " \"<>?#") == strlen(text);
}

static bool is_printable(const char *text)
{
    size_t length = 0;
    while (text[length] >= ' ' && text[length] <= '~' && text[length] != '\\')
        length++;
    return length > 0 && !text[length];
}

static bool is_anything(const char *text)
{
    return *text != '\0';
}

static bool (*const text_checks[])(const char *) = {
    [LAM_TYPE_PATH] = is_absolute_path,  [LAM_TYPE_AE_TITLE] = is_ae_title, [LAM_TYPE_URL] = is_url,
    [LAM_TYPE_ORIGINS] = is_origin_list, [LAM_TYPE_TEXT] = is_printable,    [LAM_TYPE_MODEL] = is_model_name,
    [LAM_TYPE_RULE] = is_anything};

static lam_status parse_text(const lam_config_key *key, const char *text, void *record, lam_error *err)
{
    size_t length = strlen(text);
    if (length >= key->size || !text_checks[key->type](text))
        return expected(err, key, text);
    while (key->type == LAM_TYPE_URL && text[length - 1] == '/')
        length--;
    char *field = field_of(key, record);
    memcpy(field, text, length);
    field[length] = '\0';
    return LAM_OK;
}

static void format_text(const lam_config_key *key, const void *record, char text[LAM_CONFIG_TEXT])
{
    snprintf(text, LAM_CONFIG_TEXT, "%s", (const char *)const_field_of(key, record));
}

static void describe_text(const lam_config_key *key, lam_buffer *out)
{
    static const char *const names[] = {
        [LAM_TYPE_PATH] = "an absolute path",
        [LAM_TYPE_ADDRESS] = "host:port or [IPv6 address]:port",
        [LAM_TYPE_AE_TITLE] = "1 to 16 ASCII characters without a backslash",
        [LAM_TYPE_URL] = "an http:// or https:// URL without a query",
        [LAM_TYPE_ORIGINS] = "origins (scheme://host[:port]) separated by blanks, or *",
        [LAM_TYPE_TEXT] = "printable ASCII characters without a backslash",
        [LAM_TYPE_MODEL] = "a model name (a to z, 0 to 9, _, -)",
        [LAM_TYPE_RULE] = "conditions joined by 'and'",
    };
    lam_buffer_append_text(out, names[key->type]);
}

/* ---- the types ---- */

static const struct {
    lam_status (*parse)(const lam_config_key *key, const char *text, void *record, lam_error *err);
    void (*format)(const lam_config_key *key, const void *record, char text[LAM_CONFIG_TEXT]);
    void (*describe)(const lam_config_key *key, lam_buffer *out);
} types[] = {
    [LAM_TYPE_INTEGER] = {parse_integer, format_integer, describe_integer},
    [LAM_TYPE_WORKERS] = {parse_workers, format_integer, describe_integer},
    [LAM_TYPE_DURATION] = {parse_integer, format_integer, describe_integer},
    [LAM_TYPE_SIZE] = {parse_integer, format_integer, describe_integer},
    [LAM_TYPE_WORD] = {parse_word, format_word, describe_word},
    [LAM_TYPE_SWITCH] = {parse_word, format_word, describe_word},
    [LAM_TYPE_PATH] = {parse_text, format_text, describe_text},
    [LAM_TYPE_ADDRESS] = {parse_address, format_address, describe_text},
    [LAM_TYPE_AE_TITLE] = {parse_text, format_text, describe_text},
    [LAM_TYPE_URL] = {parse_text, format_text, describe_text},
    [LAM_TYPE_ORIGINS] = {parse_text, format_text, describe_text},
    [LAM_TYPE_TEXT] = {parse_text, format_text, describe_text},
    [LAM_TYPE_MODEL] = {parse_text, format_text, describe_text},
    [LAM_TYPE_RULE] = {parse_text, format_text, describe_text},
};

lam_status lam_config_value_parse(const lam_config_key *key, const char *text, void *record, lam_error *err)
{
    return types[key->type].parse(key, text, record, err);
}

void lam_config_value_format(const lam_config_key *key, const void *record, char text[LAM_CONFIG_TEXT])
{
    types[key->type].format(key, record, text);
}

void lam_config_value_describe(const lam_config_key *key, lam_buffer *out)
{
    types[key->type].describe(key, out);
}

bool lam_config_value_equal(const lam_config_key *key, const void *a, const void *b)
{
    char text_a[LAM_CONFIG_TEXT], text_b[LAM_CONFIG_TEXT];
    lam_config_value_format(key, a, text_a);
    lam_config_value_format(key, b, text_b);
    return strcmp(text_a, text_b) == 0;
}

void lam_config_value_copy(const lam_config_key *key, void *to, const void *from)
{
    memcpy(field_of(key, to), const_field_of(key, from), key->size);
}
