/* For clang-tidy only, given with -include: what the analyzer cannot see across files. Failing is never
 * LAM_OK. */
#include "core/base/status.h"

#define lam_fail(err, status, ...)       (lam_fail((err), (status), __VA_ARGS__), (status))
#define lam_fail_errno(err, number, ...) (lam_fail_errno((err), (number), __VA_ARGS__), LAM_E_IO)
