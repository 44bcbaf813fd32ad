/* cmocka with what it needs included first, and the few checks every unit test wants. Tests only. */
#ifndef LAMINA_TESTS_UNIT_H
#define LAMINA_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base/status.h"

/* The call succeeded; if not, the message it left is shown. `err` is the lam_error it was given. */
#define assert_ok(call, err)                                                                                 \
    do {                                                                                                     \
        lam_status assert_ok_ = (call);                                                                      \
        if (assert_ok_ != LAM_OK)                                                                            \
            fail_msg("%s: %s: %s", #call, lam_status_name(assert_ok_), (err).message);                       \
    } while (0)

/* The call failed in the way named and said something about it. */
#define assert_fails(call, expected, err)                                                                    \
    do {                                                                                                     \
        (err) = (lam_error){LAM_OK, ""};                                                                     \
        lam_status assert_fails_ = (call);                                                                   \
        if (assert_fails_ != (expected))                                                                     \
            fail_msg("%s: %s instead of %s (%s)", #call, lam_status_name(assert_fails_),                     \
                     lam_status_name(expected), (err).message);                                              \
        assert_int_equal((err).status, (expected));                                                          \
        assert_true((err).message[0] != '\0');                                                               \
    } while (0)

#endif
