#include "api/negotiate.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_RANGES = 32 };

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static const char *skip_blanks(const char *at)
{
    while (is_blank(*at))
        at++;
    return at;
}

/* Past the next comma outside quotes, or to the end. */
static const char *skip_item(const char *at)
{
    for (bool quoted = false; *at; at++) {
        if (quoted && *at == '\\' && at[1])
            at++;
        else if (*at == '"')
            quoted = !quoted;
        else if (*at == ',' && !quoted)
            return at + 1;
    }
    return at;
}

/* Copies up to one of `stops`, without blanks at the end and in lower case if asked. False when empty or too
 * long. */
static bool read_token(const char **at, const char *stops, bool lower, char *out, size_t size)
{
    size_t length = strcspn(*at, stops);
    const char *from = *at;
    *at += length;
    while (length && is_blank(from[length - 1]))
        length--;
    if (length == 0 || length >= size)
        return false;
    for (size_t i = 0; i < length; i++)
        out[i] = lower && from[i] >= 'A' && from[i] <= 'Z' ? (char)(from[i] - 'A' + 'a') : from[i];
    out[length] = '\0';
    return true;
}

static bool read_quoted(const char **at, char *out, size_t size)
{
    size_t used = 0;
    const char *from = *at + 1;
    for (; *from && *from != '"'; from++) {
        if (*from == '\\' && from[1])
            from++;
        if (used + 1 >= size)
            return false;
        out[used++] = *from;
    }
    if (*from != '"')
        return false;
    out[used] = '\0';
    *at = from + 1;
    return true;
}

static int parse_quality(const char *value)
{
    char *end = NULL;
    double q = strtod(value, &end);
    if (end == value || !(q >= 0 && q <= 1))
        return 0;
    return (int)(q * 1000 + 0.5);
}

static bool read_parameter(const char **at, lam_media_type *media)
{
    char name[32], value[LAM_MEDIA_TEXT];
    *at = skip_blanks(*at + 1);
    if (**at == '\0' || **at == ';' || **at == ',')
        return true; /* an empty parameter: "type;" */
    if (!read_token(at, "=;,", true, name, sizeof name) || **at != '=')
        return false;
    *at = skip_blanks(*at + 1);
    if (!(**at == '"' ? read_quoted(at, value, sizeof value)
                      : read_token(at, ";,", false, value, sizeof value)))
        return false;
    *at = skip_blanks(*at);
    if (strcmp(name, "q") == 0) {
        media->quality = parse_quality(value);
    } else if (media->count < LAM_MEDIA_PARAMETERS) {
        memcpy(media->parameters[media->count].name, name, sizeof name);
        memcpy(media->parameters[media->count].value, value, sizeof value);
        media->count++;
    }
    return **at == '\0' || **at == ';' || **at == ',';
}

static bool is_media_type(const char *type)
{
    const char *slash = strchr(type, '/');
    return slash && slash != type && slash[1] && !strchr(slash + 1, '/') && !strpbrk(type, " \t\"=()<>@?");
}

bool lam_media_type_parse(const char *text, lam_media_type *out, const char **rest)
{
    if (rest)
        *rest = skip_item(text);
    lam_media_type media = {.quality = 1000};
    const char *at = skip_blanks(text);
    if (!read_token(&at, ";,", true, media.type, sizeof media.type) || !is_media_type(media.type))
        return false;
    while (*at == ';')
        if (!read_parameter(&at, &media))
            return false;
    *out = media;
    return true;
}

const char *lam_media_type_get(const lam_media_type *media, const char *name)
{
    for (size_t i = 0; i < media->count; i++)
        if (strcmp(media->parameters[i].name, name) == 0)
            return media->parameters[i].value;
    return NULL;
}

/* 3 for the type itself, 2 for all of its kind, 1 for any, 0 when the range does not take it. */
static int closeness(const char *range, const char *type)
{
    size_t major = (size_t)(strchr(type, '/') - type) + 1;
    if (strcasecmp(range, type) == 0)
        return 3;
    if (strncasecmp(range, type, major) == 0 && strcmp(range + major, "*") == 0)
        return 2;
    return strcmp(range, "*/*") == 0;
}

/* How closely the range fits the offer: 0 not at all, else more for a closer fit. */
static int specificity(const lam_media_type *range, const lam_offer *offer)
{
    int fit = 8 * closeness(range->type, offer->type);
    const char *part = lam_media_type_get(range, "type");
    if (fit && part && offer->part_type) {
        int of_part = closeness(part, offer->part_type);
        fit = of_part ? fit + 2 * of_part : 0;
    }
    if (!fit)
        return 0;
    const char *syntax = lam_media_type_get(range, "transfer-syntax");
    if (!syntax && offer->by_name)
        return 0;
    if (syntax && offer->transfer_syntax && strcmp(syntax, "*") != 0) {
        if (strcmp(syntax, offer->transfer_syntax) != 0)
            return 0;
        fit += 1;
    }
    return fit;
}

static int offer_quality(const lam_offer *offer, const lam_media_type *ranges, size_t count)
{
    int best_fit = 0, quality = 0;
    for (size_t i = 0; i < count; i++) {
        int fit = specificity(&ranges[i], offer);
        if (fit > best_fit || (fit && fit == best_fit && ranges[i].quality > quality)) {
            best_fit = fit;
            quality = ranges[i].quality;
        }
    }
    return quality;
}

int lam_negotiate(const char *accept, const lam_offer *offers, size_t count)
{
    if (!accept || *skip_blanks(accept) == '\0')
        return count ? 0 : -1;
    lam_media_type ranges[MAX_RANGES];
    size_t found = 0;
    for (const char *at = accept; *at && found < MAX_RANGES;)
        if (lam_media_type_parse(at, &ranges[found], &at))
            found++;
    int best = -1, best_quality = 0;
    for (size_t i = 0; i < count; i++) {
        int quality = offer_quality(&offers[i], ranges, found);
        if (quality > best_quality) {
            best = (int)i;
            best_quality = quality;
        }
    }
    return best;
}
