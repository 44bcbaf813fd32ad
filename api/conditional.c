#include "api/conditional.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool lam_etag_matches(const char *header, const char *etag)
{
    etag += strncmp(etag, "W/", 2) == 0 ? 2 : 0;
    size_t length = strlen(etag);
    for (const char *at = header; *at;) {
        at += strspn(at, " \t,");
        if (*at == '*')
            return true;
        if (strncmp(at, "W/", 2) == 0)
            at += 2;
        size_t item = strcspn(at, ",");
        size_t trimmed = item;
        while (trimmed && (at[trimmed - 1] == ' ' || at[trimmed - 1] == '\t'))
            trimmed--;
        if (trimmed == length && memcmp(at, etag, length) == 0)
            return true;
        at += item;
    }
    return false;
}

/* Digits only; no more than fit. */
static bool read_number(const char **at, int64_t *number)
{
    size_t digits = strspn(*at, "0123456789");
    if (digits == 0 || digits > 18)
        return false;
    *number = strtoll(*at, NULL, 10);
    *at += digits;
    return true;
}

lam_range_kind lam_range_parse(const char *header, int64_t size, int64_t *first, int64_t *length)
{
    if (!header || strncasecmp(header, "bytes=", 6) != 0)
        return LAM_RANGE_ALL;
    const char *at = header + 6 + strspn(header + 6, " \t");
    int64_t from = -1, to = -1;
    if (*at != '-' && !read_number(&at, &from))
        return LAM_RANGE_ALL;
    if (*at++ != '-')
        return LAM_RANGE_ALL;
    bool open_end = !read_number(&at, &to);
    at += strspn(at, " \t");
    if (*at || (from < 0 && open_end) || (from >= 0 && !open_end && to < from))
        return LAM_RANGE_ALL;
    if (from < 0) { /* the last `to` bytes */
        if (to == 0 || size == 0)
            return LAM_RANGE_NONE;
        from = to < size ? size - to : 0;
        to = size - 1;
    }
    if (from >= size)
        return LAM_RANGE_NONE;
    if (open_end || to >= size)
        to = size - 1;
    *first = from;
    *length = to - from + 1;
    return LAM_RANGE_PART;
}
