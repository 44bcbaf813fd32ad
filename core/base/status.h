/* What went wrong, as a value: the status every fallible function returns and the error object that carries
 * its message.
 *
 * A function that can fail returns lam_status and takes an optional `lam_error *err` (may be NULL). It leaves
 * its outputs untouched on failure. It either returns the error or logs it, never both. Not for programmer
 * errors: those are asserts. */
#ifndef LAMINA_BASE_STATUS_H
#define LAMINA_BASE_STATUS_H

#include <stdarg.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lam_status {
    LAM_OK = 0,
    LAM_E_INVALID,     /* the input breaks a rule: syntax, range, shape */
    LAM_E_CORRUPT,     /* stored or received bytes are damaged */
    LAM_E_UNSUPPORTED, /* well-formed, but nothing here handles it */
    LAM_E_LIMIT,       /* larger, deeper or more than a stated limit */
    LAM_E_NOT_FOUND,
    LAM_E_EXISTS,  /* a different thing already has this name */
    LAM_E_STATE,   /* not legal in the state the object is in */
    LAM_E_BUSY,    /* try again later */
    LAM_E_TIMEOUT, /* a peer or child did not answer in time */
    LAM_E_CANCELLED,
    LAM_E_DENIED, /* who asks may not */
    LAM_E_PEER,   /* the other side refused or broke the protocol */
    LAM_E_NO_SPACE,
    LAM_E_NO_MEMORY,
    LAM_E_IO,
    LAM_E_INTERNAL, /* a bug or an exception that has no better name */
    LAM_STATUS_COUNT
} lam_status;

typedef struct lam_error {
    lam_status status;
    char message[512]; /* what, where, what to do; no patient identifiers */
} lam_error;

/* The stable name of a status, such as "not_found", for logs and JSON. Never NULL. */
const char *lam_status_name(lam_status status);

/* Fills `err` (if not NULL) and returns `status`, so that a failing function ends in `return lam_fail(err,
 * …)`. Messages longer than the buffer are cut, between two characters. */
lam_status lam_fail(lam_error *err, lam_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
lam_status lam_fail_v(lam_error *err, lam_status status, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

/* As lam_fail, with the status and text of errno value `number` (ENOSPC → LAM_E_NO_SPACE and so on) appended.
 */
lam_status lam_fail_errno(lam_error *err, int number, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the message already in `err`, for a caller that knows where it happened. Returns
 * err's status (LAM_E_INTERNAL when err is NULL, so prefer to keep the status you were given). */
lam_status lam_error_prefix(lam_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#ifdef __cplusplus
}
#endif
#endif
