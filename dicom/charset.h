/* Text in any DICOM character set (PS3.3 C.12.1.1.2, PS3.5 6.1) to UTF-8, ISO 2022 code extensions included.
 * The converters of the C library are opened once and kept, so that a process that has given up its file
 * system can still use them. */
#ifndef LAMINA_DICOM_CHARSET_H
#define LAMINA_DICOM_CHARSET_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/buffer.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LAM_CHARSET_MAX_EXTENSIONS = 8 };

/* What a Specific Character Set (0008,0005) selects. A value; zero-initialised it is the default repertoire.
 */
typedef struct lam_charset {
    int single; /* index of the one encoding of all bytes, or 0 */
    int g0, g1; /* sets that are designated at the start of each value */
    bool extensions;
} lam_charset;

/* Opens every converter (in this thread; each thread that converts needs its own call). A set that the C
 * library lacks is read as ISO 8859-1. */
void lam_charset_prepare(void);

/* From the attribute's value as encoded, `length` bytes, values separated by backslashes. Terms are
 * recognised in upper and lower case and with any separators. Unknown ones select ISO 8859-1, so that no byte
 * is lost. */
lam_charset lam_charset_parse(const char *value, size_t length);

/* Appends `length` bytes as UTF-8. The backslash stays the separator of values where the encoding has it, and
 * never stands for half a character. Bytes that do not convert become U+FFFD. */
void lam_charset_to_utf8(const lam_charset *charset, const char *text, size_t length, lam_buffer *out);

#ifdef __cplusplus
}
#endif
#endif
