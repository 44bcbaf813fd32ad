#include "daemon/laminad/query_compose.h"

#include <stdlib.h>
#include <string.h>

enum { KEY = 11 /* "TTTTTTTT": */ };

static bool has(const lam_wanted *wanted, uint32_t tag)
{
    for (size_t i = 0; i < wanted->count; i++)
        if (wanted->tags[i] == tag)
            return true;
    return wanted->all;
}

bool lam_wanted_add(lam_wanted *wanted, uint32_t tag)
{
    for (size_t i = 0; i < wanted->count; i++)
        if (wanted->tags[i] == tag)
            return true;
    if (wanted->count == LAM_COMPOSE_TAGS)
        return false;
    wanted->tags[wanted->count++] = tag;
    return true;
}

/* Past the string that begins at `at`. */
static const char *skip_string(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++)
        if (*at == '\\')
            at++;
    return at < end ? at + 1 : end;
}

/* Past the object that begins at `at`. */
static const char *skip_object(const char *at, const char *end)
{
    int depth = 0;
    while (at < end) {
        if (*at == '"') {
            at = skip_string(at, end);
            continue;
        }
        if (*at == '{')
            depth++;
        else if (*at == '}' && --depth == 0)
            return at + 1;
        at++;
    }
    return end;
}

void lam_composer_take(lam_composer *composer, const char *object, size_t length)
{
    const char *end = object + length;
    for (const char *at = object + 1; at + KEY < end && *at == '"';) {
        const char *after = skip_object(at + KEY, end);
        uint32_t tag = (uint32_t)strtoul(at + 1, NULL, 16);
        if (composer->count < LAM_COMPOSE_MEMBERS && has(composer->wanted, tag))
            composer->members[composer->count++] =
                (lam_member){.tag = tag, .text = at, .length = (size_t)(after - at)};
        at = after + (after < end && *after == ',');
    }
}

/* Insertion, as each source is in order already; equal tags keep the order in which they were taken. */
static void sort(lam_composer *composer)
{
    for (size_t i = 1; i < composer->count; i++) {
        lam_member member = composer->members[i];
        size_t to = i;
        for (; to > 0 && composer->members[to - 1].tag > member.tag; to--)
            composer->members[to] = composer->members[to - 1];
        composer->members[to] = member;
    }
}

void lam_composer_write(lam_composer *composer, lam_buffer *out)
{
    sort(composer);
    lam_buffer_append(out, "{", 1);
    for (size_t i = 0, written = 0; i < composer->count; i++) {
        const lam_member *member = &composer->members[i];
        if (i && member->tag == composer->members[i - 1].tag)
            continue;
        if (written++)
            lam_buffer_append(out, ",", 1);
        lam_buffer_append(out, member->text, member->length);
    }
    lam_buffer_append(out, "}", 1);
    composer->count = 0;
}
