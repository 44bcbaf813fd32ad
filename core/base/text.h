/* Bounded copies of text. */
#ifndef LAMINA_BASE_TEXT_H
#define LAMINA_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Copies `from` (NULL counts as "") into `to` of `size` bytes (at least 1), cut before the UTF-8 character
 * that would not fit whole; always NUL-terminated. Returns the number of bytes copied. Where a cut would
 * change the meaning, check first. */
size_t lam_text_copy(char *to, size_t size, const char *from);

/* Takes away the beginning of a UTF-8 character that a cut has left at the end of `text`; for what snprintf
 * made. */
void lam_text_end_whole(char *text);

/* Makes text from elsewhere safe for a terminal and for JSON: bytes that are no UTF-8, and control characters
 * also of C1 (U+0080 to U+009F), become '?'. */
void lam_text_make_printable(char *text);

/* 128 random bits in hexadecimal, for names that must not meet or be guessed. False: the system has none. */
enum { LAM_RANDOM_TEXT = 33 };
bool lam_text_random(char text[LAM_RANDOM_TEXT]);

/* Length of the well-formed UTF-8 sequence that begins at `begin` (Unicode table 3-7), 0 when there is none
 * before `end`. */
size_t lam_text_utf8_length(const char *begin, const char *end);

#ifdef __cplusplus
}
#endif
#endif
