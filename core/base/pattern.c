#include "core/base/pattern.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 16, TOO_MUCH = LAM_PATTERN_COPIES + 1 };

/* Past one bracket expression, whose first ] stands for itself. */
static const char *skip_bracket(const char *at)
{
    at += at[1] == '^' ? 2 : 1;
    at += *at == ']';
    while (*at && *at != ']')
        at++;
    return *at ? at + 1 : at;
}

/* How often glibc writes out what stands before a repetition, which `*at` is moved past: the larger number of
 * an interval, twice for + and an open interval, once for * and ?. */
static long copies_of(const char **at)
{
    const char *p = *at;
    long copies = 1;
    if (*p == '{') {
        char *end;
        copies = strtol(p + 1, &end, 10);
        if (*end == ',')
            copies = isdigit((unsigned char)end[1]) ? strtol(end + 1, &end, 10) : copies + 1;
        while (*end && *end != '}')
            end++;
        p = end;
    } else if (*p == '+') {
        copies = 2;
    }
    *at = *p ? p + 1 : p;
    return copies < 1 ? 1 : copies > TOO_MUCH ? TOO_MUCH : copies;
}

/* Characters of the pattern with its repetitions written out, from `*at` to the end of the group. */
static long count_copies(const char **at, int depth)
{
    long sum = 0;
    while (**at && !(**at == ')' && depth > 0)) {
        long atom = 1;
        if (**at == '(' && depth < MAX_DEPTH) {
            ++*at;
            atom += count_copies(at, depth + 1);
            *at += **at == ')';
        } else if (**at == '(') {
            return TOO_MUCH;
        } else if (**at == '[') {
            *at = skip_bracket(*at);
        } else {
            *at += **at == '\\' && (*at)[1] ? 2 : 1;
        }
        while (**at && strchr("*+?{", **at) && atom < TOO_MUCH)
            atom = 1 + atom * copies_of(at);
        sum += atom;
        if (sum >= TOO_MUCH)
            return TOO_MUCH;
    }
    return sum;
}

lam_status lam_pattern_compile(const char *pattern, int flags, regex_t *out, lam_error *err)
{
    const char *at = pattern;
    char why[128];
    if (strlen(pattern) > LAM_PATTERN_LENGTH)
        return lam_fail(err, LAM_E_LIMIT, "a regular expression is longer than %d bytes", LAM_PATTERN_LENGTH);
    if (count_copies(&at, 0) > LAM_PATTERN_COPIES)
        return lam_fail(err, LAM_E_LIMIT, "the regular expression '%.64s' repeats too many repetitions",
                        pattern);
    int code = regcomp(out, pattern, REG_EXTENDED | flags);
    if (code == 0)
        return LAM_OK;
    regerror(code, out, why, sizeof why);
    return lam_fail(err, LAM_E_INVALID, "'%.64s' is not a regular expression: %s", pattern, why);
}
