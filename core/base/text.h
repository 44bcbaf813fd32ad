/* Bounded copies of text. */
#ifndef LAMINA_BASE_TEXT_H
#define LAMINA_BASE_TEXT_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Copies `from` (NULL counts as "") into `to` of `size` bytes (at least 1), cut before the UTF-8 character
 * that would not fit whole; always NUL-terminated. Returns the number of bytes copied. Where a cut would
 * change the meaning, check first. */
size_t lam_text_copy(char *to, size_t size, const char *from);

/* Length of the well-formed UTF-8 sequence that begins at `begin` (Unicode table 3-7), 0 when there is none
 * before `end`. */
size_t lam_text_utf8_length(const char *begin, const char *end);

#ifdef __cplusplus
}
#endif
#endif
