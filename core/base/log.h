/* One line a fact, key=value, to stderr (journald takes it from there). Only daemon/ and api/ log, once,
 * where an error is handled; core/ and dicom/ return errors instead. Values with blanks or quotes are quoted
 * and escaped, so a hostile name cannot forge a line. No patient identifiers (promise 9): log study UIDs'
 * database ids, job ids, associations. */
#ifndef LAMINA_BASE_LOG_H
#define LAMINA_BASE_LOG_H

#include <stdbool.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lam_log_level { LAM_LOG_ERROR, LAM_LOG_WARNING, LAM_LOG_INFO, LAM_LOG_DEBUG } lam_log_level;

/* Set once before threads start. `program` is borrowed. With `systemd` each line starts with its <priority>.
 */
void lam_log_open(const char *program, lam_log_level level, bool systemd);

/* lam_log(LAM_LOG_INFO, "stored", "association=%s bytes=%zu", id, n): `event` is a constant word; the format
 * makes the key=value pairs. Use LAM_QUOTE for values from outside. Thread-safe; one write(2) a line; lines
 * over 2 KiB are cut. */
void lam_log(lam_log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A value from outside made safe for a line: printable ASCII, quoted, at most 200 characters. Returns `text`.
 */
enum { LAM_LOG_QUOTE = 256 };
char *lam_log_quote(const char *value, char text[LAM_LOG_QUOTE]);
#define LAM_QUOTE(value) lam_log_quote((value), (char[LAM_LOG_QUOTE]){0})

#ifdef __cplusplus
}
#endif
#endif
