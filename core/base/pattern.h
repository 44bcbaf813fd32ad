/* Regular expressions from outside: POSIX extended ones (POSIX.1-2017, XBD 9.4), compiled by regcomp() only
 * if they are small. glibc copies what a repetition stands after, so that `((a+)+)+…` or `a{255}{255}` of a
 * few bytes would take all memory; here the copies are counted first. */
#ifndef LAMINA_BASE_PATTERN_H
#define LAMINA_BASE_PATTERN_H

#include <regex.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LAM_PATTERN_LENGTH = 256,  /* bytes at most */
    LAM_PATTERN_COPIES = 4096, /* characters at most when every repetition is written out */
};

/* Compiles `pattern`; flags as for regcomp() beside REG_EXTENDED. The caller frees `out` with regfree().
 * LAM_E_INVALID: not a regular expression; LAM_E_LIMIT: too long, or too many repetitions of repetitions. */
lam_status lam_pattern_compile(const char *pattern, int flags, regex_t *out, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
